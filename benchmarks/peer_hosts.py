"""Other print hosts, installed in environments of their own and driven from outside: command line and HTTP only."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any, Self

OCTOPRINT = ("octoprint==1.11.8",)
PRINTRUN = ("--no-deps", "printrun==2.2.0", "pyserial==3.5")
"""Without its dependencies: those of its windows need headers that a headless machine does not have."""
START_LIMIT_S = 60.0
END_LIMIT_S = 60.0
API_KEY = "bench" * 6

OCTOPRINT_CONFIG: dict[str, Any] = {
    "api": {"key": API_KEY},
    "server": {"firstRun": False, "seenWizards": {}, "onlineCheck": {"enabled": False}},
    "gcodeAnalysis": {"runAt": "never"},
    "serial": {"additionalPorts": ["/dev/pts/*"], "autoconnect": False},
    "plugins": {
        "_disabled": [
            "announcements",
            "softwareupdate",
            "tracking",
            "pi_support",
            "discovery",
            "pluginmanager",
        ]
    },
}
"""Everything off that is not printing; the plugins named ask the internet or look at the machine."""


def environment(folder: Path, name: str, requirements: tuple[str, ...]) -> Path:
    """The `bin` folder of a virtual environment with these requirements; made on first use.

    Raises SystemExit with pip's words when it cannot be made.
    """
    target = folder / name
    mark = target / "installed.txt"
    wanted = " ".join(requirements)
    if not mark.exists() or mark.read_text() != wanted:
        print(f"installing {wanted} into {target} …", file=sys.stderr, flush=True)
        for command in (
            [sys.executable, "-m", "venv", str(target)],
            [str(target / "bin" / "pip"), "install", "--quiet", *requirements],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name} could not be installed: {done.stderr[-2000:]}")
        mark.write_text(wanted)
    return target / "bin"


class Printrun:
    """`printcore.py PORT FILE`: its own command line; it begins two seconds after the start by itself."""

    def __init__(self, binaries: Path, port: str, part: Path, baud: int) -> None:
        command = [str(binaries / "python"), str(binaries / "printcore.py"), "-b", str(baud), port, str(part)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def begin(self, part: Path) -> None:
        del part  # it was named when the process was started

    def finish(self) -> None:
        if self._process.wait(END_LIMIT_S):
            raise RuntimeError("printcore has failed")


class OctoPrint:
    """The OctoPrint server in a folder of its own, driven over its HTTP interface on a local port."""

    def __init__(self, binaries: Path, port: str, baud: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fabunit-bench-octoprint-")
        base = Path(self._folder.name)
        (base / "config.yaml").write_text(json.dumps(OCTOPRINT_CONFIG))  # JSON is YAML
        address = free_port()
        self._url = f"http://127.0.0.1:{address}/api"
        command = [str(binaries / "octoprint"), "serve", "--basedir", str(base), "--host", "127.0.0.1"]
        command += ["--port", str(address), "--iknowwhatimdoing"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._wait("version", lambda document: "server" in document)
            self._call("connection", {"command": "connect", "port": port, "baudrate": baud})
            self._wait("connection", lambda document: document["current"]["state"] == "Operational")
        except BaseException:
            self.__exit__()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._folder.cleanup()

    def begin(self, part: Path) -> None:
        boundary = uuid.uuid4().hex
        fields = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\ntrue\r\n'
            for name in ("select", "print")
        )
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{part.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = fields.encode() + head.encode() + part.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        self._send("files/local", body, f"multipart/form-data; boundary={boundary}")

    def finish(self) -> None:
        self._wait("connection", lambda document: document["current"]["state"] == "Operational")

    def _wait(self, path: str, condition: Any) -> None:
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end:
            try:
                if condition(self._send(path)):
                    return
            except (OSError, ValueError, http.client.HTTPException):  # its start page answers oddly
                if self._process.poll() is not None:
                    raise RuntimeError("OctoPrint has ended") from None
            time.sleep(0.1)
        raise TimeoutError(f"OctoPrint: {path} does not come to what was waited for")

    def _call(self, path: str, document: dict[str, Any]) -> None:
        self._send(path, json.dumps(document).encode(), "application/json")

    def _send(self, path: str, body: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
        headers = {"X-Api-Key": API_KEY, "Content-Type": kind}
        request = urllib.request.Request(f"{self._url}/{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 404:
                raise RuntimeError(f"OctoPrint: {path}: {error.code} {error.read()[:300]!r}") from error
            raise
        document: dict[str, Any] = json.loads(text) if text else {}
        return document


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
