"""A broker for demos and tests on a free port of the loopback interface: mosquitto, else the one in `iotcore`.

iotcore carries rumqttd as a wheel: it speaks MQTT 5, but keeps nothing over a restart. Good for a demo, not for
tests that kill the broker.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Self

from agent.domain.errors import FabunitError

# Daemons live outside an ordinary user's path.
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
START_LIMIT_S = 10.0
END_LIMIT_S = 5.0
_POLL_S = 0.01
_ATTEMPTS = 3


class BrokerError(FabunitError):
    """There is no broker program, or it does not start."""

    code = "no_broker"


class Program(StrEnum):
    """Which broker runs."""

    MOSQUITTO = "mosquitto"
    IOTCORE = "iotcore"


def find_program() -> Program | None:
    """Return the best broker that is installed, None when there is none."""
    if find_mosquitto() is not None:
        return Program.MOSQUITTO
    return Program.IOTCORE if importlib.util.find_spec("iotcore") is not None else None


def find_mosquitto() -> str | None:
    """Return the path of the mosquitto program, None when it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=os.pathsep.join(_PLACES))


class LocalBroker:
    """One broker process with its own folder; a context manager. Nobody but this machine can reach it.

    With `folder` and `port` kept, `start` after `kill` brings back the same broker with what it had saved.
    Raises BrokerError when no broker is installed.
    """

    def __init__(self, folder: Path | None = None, port: int = 0, program: Program | None = None) -> None:
        found = program or find_program()
        if found is None:
            raise BrokerError(
                "there is no broker to start", remedy="sudo apt install mosquitto, or pip install iotcore"
            )
        self.program = found
        self._owns_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="fabunit-broker-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The broker's URL, once it was started."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it and return when it takes connections. Raises BrokerError with its last words."""
        is_port_given = bool(self.port)
        if is_port_given and not _is_free(self.port):
            raise BrokerError(
                f"port {self.port} is in use", remedy="end the other program or take another port"
            )
        for attempt in range(_ATTEMPTS):
            # Between choosing a free port and listening on it somebody else can take it.
            self.port = self.port if is_port_given else _free_port()
            self._process = self._spawn()
            if self._is_up(self._process):
                return
            self.kill()
            if is_port_given or attempt == _ATTEMPTS - 1:
                break
        words = (self.folder / "broker.log").read_text(errors="replace").strip().splitlines()[-2:]
        self._remove_folder()
        raise BrokerError(f"{self.program.value} did not start: {' / '.join(words) or 'it said nothing'}")

    def stop(self) -> None:
        """End it in order, and remove its folder unless that was given. Idempotent."""
        self._signal(signal.SIGTERM)
        self._remove_folder()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._signal(signal.SIGKILL)

    def _spawn(self) -> subprocess.Popen[bytes]:
        config = self.folder / "broker.toml"  # iotcore goes by the ending, mosquitto does not care
        if self.program is Program.MOSQUITTO:
            config.write_text(_mosquitto_config(self.port, self.folder))
            command = [find_mosquitto() or self.program.value, "-c", str(config)]
        else:
            config.write_text(_iotcore_config(self.port))
            command = [
                sys.executable,
                "-P",
                "-m",
                "iotcore",
                "--log-level",
                "warning",
                "--config",
                str(config),
            ]
        with (self.folder / "broker.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - a program the owner installed, no shell
                [*_dying_with_us(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the program that started it, which ends it in order
            )

    def _is_up(self, process: subprocess.Popen[bytes]) -> bool:
        deadline_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline_s and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return process.poll() is None
            time.sleep(_POLL_S)
        return False

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _remove_folder(self) -> None:
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def _dying_with_us() -> list[str]:
    """Have the kernel end the broker when this program is killed, where util-linux is installed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def _mosquitto_config(port: int, folder: Path) -> str:
    """Write the configuration: a named listener, because a bare one would open all interfaces."""
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "set_tcp_nodelay true",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 5",
        "max_queued_messages 100000",
        "log_type error",
        "log_type warning",
        "log_dest stderr",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it gives up root and cannot write its folder any more
    return "\n".join(lines) + "\n"


def _iotcore_config(port: int) -> str:
    return f"""id = 0
[router]
id = 0
max_connections = 200
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
"""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections that just ended do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
