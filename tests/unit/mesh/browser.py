"""A real browser without a window, driven over its debugging pipe: messages are JSON, ended by a zero byte."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIMIT_S = 60.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-unsafe-swiftshader",
    "--window-size=1280,860", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# The browser reads from descriptor 3 and writes to 4.
_EXEC = "import os,sys; os.dup2(int(sys.argv[1]),3); os.dup2(int(sys.argv[2]),4); os.execv(sys.argv[3],sys.argv[3:])"


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One page in one browser; every call waits for its answer."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._number = 0
        self._session: str | None = None
        self._pending = b""

    def open(self, page: Path) -> None:
        """Load a file and wait until it has run."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.navigate", url=page.as_uri())
        end = time.monotonic() + LIMIT_S
        while self.run("document.readyState + location.protocol") != "completefile:":
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def drag(self, start: tuple[float, float], stop: tuple[float, float], steps: int = 8) -> None:
        """Press, move and release the mouse, as a hand does."""
        self._mouse("mousePressed", start, 1)
        for step in range(1, steps + 1):
            share = step / steps
            at = (start[0] + (stop[0] - start[0]) * share, start[1] + (stop[1] - start[1]) * share)
            self._mouse("mouseMoved", at, 1)
        self._mouse("mouseReleased", stop, 0)

    def click(self, at: tuple[float, float]) -> None:
        self._mouse("mousePressed", at, 1)
        self._mouse("mouseReleased", at, 0)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is on the screen."""
        script = f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoViewIfNeeded(); "
        script += "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        x, y = self.run(script)
        return float(x), float(y)

    def picture(self, path: Path | None = None) -> bytes:
        """What is seen, as PNG, after the page has drawn what it was about to draw."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return data

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events in between are passed over."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _mouse(self, kind: str, at: tuple[float, float], buttons: int) -> None:
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=at[0],
            y=at[1],
            button="left",
            buttons=buttons,
            clickCount=1,
        )

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + LIMIT_S
        while b"\0" not in self._pending:
            assert select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0], "no answer"
            chunk = os.read(self._read, 1 << 16)
            assert chunk, "the browser has ended"
            self._pending += chunk
        message, _, self._pending = self._pending.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own below `folder`; ended by process id."""
    program = find_chromium()
    assert program is not None
    theirs_in, write = os.pipe()
    read, theirs_out = os.pipe()
    command = [sys.executable, "-c", _EXEC, str(theirs_in), str(theirs_out), program, *FLAGS]
    command += [f"--user-data-dir={folder / 'profile'}", "about:blank"]
    environment = {**os.environ, "HOME": str(folder)}
    process = subprocess.Popen(
        command,
        pass_fds=(theirs_in, theirs_out),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(write, read)
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        os.close(write)
        os.close(read)
