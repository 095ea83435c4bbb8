"""The unit as a service: enabling `fabunit@NAME` and waiting for its first sign of life."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from agent.control.client import ControlClient
from agent.domain.errors import FabunitError, NoDaemonError

RUNNING_SYSTEMD = Path("/run/systemd/system")
UNIT_FILES = (Path("/usr/lib/systemd/system/fabunit@.service"), Path("/etc/systemd/system/fabunit@.service"))
START_S = 60.0
"""`TimeoutStartSec=` of the unit."""
CONNECT_S = 20.0
"""For the first search for the printer: several baud rates on a board that boots."""
_COMMAND_S = 120.0
# What the unit file lets the service open (systemd/fabunit@.service), as /proc/devices calls them.
_ALLOWED = frozenset({"ttyACM", "ttyUSB", "ttyAMA", "ttyS"})
_SETTLED = ("idle", "printing", "paused", "attention", "halted")


def is_available() -> bool:
    """Whether systemd runs this machine and knows the unit."""
    return RUNNING_SYSTEMD.is_dir() and any(path.exists() for path in UNIT_FILES)


def drop_in(port: str, devices: Path = Path("/proc/devices")) -> str | None:
    """Return the drop-in that a port of an unusual kind needs, None for the usual ones and for network ports."""
    try:
        major = os.major(os.stat(port).st_rdev)  # noqa: PTH116 - follows the link to the device itself
        text = devices.read_text("ascii")
    except (OSError, ValueError):
        return None
    for line in text.partition("Block devices:")[0].splitlines():
        number, _, name = line.strip().partition(" ")
        if number == str(major) and name not in _ALLOWED and name not in ("tty", "/dev/tty"):
            return f"# The printer's port is a {name} device.\n[Service]\nDeviceAllow=char-{name} rw\n"
    return None


def enable(unit: str, *, restart: bool) -> None:
    """Have systemd run the unit now and at every start. Raises FabunitError with what systemctl said."""
    name = f"fabunit@{unit}.service"
    _systemctl("daemon-reload")
    _systemctl("enable", name)
    _systemctl("restart" if restart else "start", name)


def first_status(unit: str) -> dict[str, Any]:
    """Wait until the daemon answers and has found its printer, or says why not. Raises NoDaemonError."""
    client = ControlClient(Path(f"/run/fabunit/{unit}/fabunit.sock"))
    deadline = time.monotonic() + START_S
    found_by = None
    while True:
        now = time.monotonic()
        try:
            status: dict[str, Any] = client.get("/v1/status")
        except NoDaemonError:
            if now > deadline:
                raise
        else:
            found_by = found_by or now + CONNECT_S
            if status["printer"]["state"] in _SETTLED or now > found_by:
                return status
        time.sleep(0.2)


def _systemctl(*arguments: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and a checked unit id
            ["systemctl", "--no-ask-password", *arguments],  # noqa: S607 - found as the administrator has it
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FabunitError(f"systemctl {' '.join(arguments)}: {error}", code="service_failed") from error
    if done.returncode != 0:
        raise FabunitError(
            f"systemctl {' '.join(arguments)}: {done.stderr.strip() or done.returncode}",
            code="service_failed",
            remedy=f"systemctl status {arguments[-1]}; journalctl -u {arguments[-1]}",
        )
