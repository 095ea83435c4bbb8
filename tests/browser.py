"""A real Chromium without a window, spoken to over its debugging pipe: no driver program, no library, no port."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Starting takes seconds on a loaded machine; an answer never does.
DEADLINE_S = 40.0


def program() -> str | None:
    """Return the installed browser, None without one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One browser with one page; a context manager. Waits are for conditions, with a deadline."""

    def __init__(self, profile: Path, path: str) -> None:
        to_read, self._to_browser = os.pipe()
        self._from_browser, to_write = os.pipe()
        # The pipe's ends must be descriptors 3 and 4 of the browser (Chromium, --remote-debugging-pipe).
        command = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
        arguments = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, *arguments],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._ids = itertools.count(1)
        self._buffer = bytearray()
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = next(
            found for found in self.call("Target.getTargets")["targetInfos"] if found["type"] == "page"
        )
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._to_browser)
        os.close(self._from_browser)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_S
        while True:
            answer = self._next(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from_browser], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._from_browser, 1 << 16)
            assert piece, "the browser has ended"
            self._buffer += piece
        line, _, rest = self._buffer.partition(b"\0")
        self._buffer = bytearray(rest)
        return dict(json.loads(line))

    def screen(self, width: int, height: int, *, phone: bool = False) -> None:
        """Be a screen of this size; a phone has touch and two device pixels to one."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def dark(self, *, on: bool) -> None:
        """Prefer dark colours, or light ones."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, limit_s: float = DEADLINE_S) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + limit_s
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"never true: {expression}\n{self.text('body')[:2000]}"
            select.select([], [], [], 0.05)

    def text(self, selector: str) -> str:
        """Return what a person reads in an element."""
        return str(self.value(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText || ''"))

    def is_shown(self, selector: str) -> bool:
        """Tell whether a person sees an element."""
        name = json.dumps(selector)
        return bool(
            self.value(
                f"(() => {{ const e = document.querySelector({name}); return !!e && e.checkVisibility(); }})()"
            )
        )

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse or a finger does; it must be there, shown and not covered."""
        name = json.dumps(selector)
        self.until(
            f"(() => {{ const e = document.querySelector({name}); return e && e.checkVisibility() && !e.disabled; }})()"
        )
        self.value(f"document.querySelector({name}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.value(
            f"(() => {{ const r = document.querySelector({name}).getBoundingClientRect();"
            " return [r.left + r.width / 2, r.top + r.height / 2]; })()"
        )
        hit = f"document.querySelector({name}).contains(document.elementFromPoint({box[0]}, {box[1]}))"
        assert self.value(hit), f"{selector} is covered"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Put text into a field."""
        self.click(selector)
        self.call("Input.insertText", text=text)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file as a person does in the dialog."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write what is seen as PNG; `whole`: the page beyond the screen, too."""
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    def complaints(self) -> list[str]:
        """Return what the page's console complained about: exceptions, blocked content, errors."""
        self.value("1")
        found = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"].get("exception", {}).get("description")))
            if event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        return found
