"""The last resort of an emergency stop: a program of the maker's that cuts the printer's power (smart plug, relay).

A heater whose transistor has failed heats on whatever the firmware is told; only its power supply can be stopped.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.domain.errors import ConfigError
from agent.domain.events import EventDraft, EventType

RUN_LIMIT_S = 10.0
"""A plug on the same network answers in less than one; a program that hangs must not keep the next try away."""
TRIES = 5
PAUSE_S = 1.0
SAID_MOST = 500

_log = structlog.get_logger("power")


@dataclass(frozen=True, slots=True)
class PowerCut:
    """How it went: `is_off` when the program ended with 0 at try number `tries`; `detail` for people."""

    is_off: bool
    tries: int
    detail: str

    def event(self) -> EventDraft:
        """The durable fact."""
        state = "power_off" if self.is_off else "power_not_off"
        return EventDraft(EventType.SAFETY, self.detail, state=state, data={"tries": self.tries})


class PowerSwitch:
    """Runs the program, in a thread of its own: neither the event loop nor the printer waits for it."""

    def __init__(
        self, command: Sequence[str], on_end: Callable[[PowerCut], None], *, pause_s: float = PAUSE_S
    ) -> None:
        """`command`: program with its whole path, and its arguments; no shell. `on_end` is called in that thread.

        Raises ConfigError when the program is not there or cannot be started.
        """
        program = Path(command[0])
        if not (program.is_file() and os.access(program, os.X_OK)):
            msg = f"[printer] power_off: {program} is no program that this user can start"
            raise ConfigError(msg, remedy="give the whole path of an executable file, or remove the key")
        self._command = list(command)
        self._on_end = on_end
        self._pause_s = pause_s
        self._running: threading.Thread | None = None

    def cut(self, why: str) -> None:
        """Begin to switch off; nothing more while that is under way. `why` is in the program's FABUNIT_REASON."""
        if self._running is not None and self._running.is_alive():
            return
        self._running = threading.Thread(target=self._work, args=(why,), name="power", daemon=True)
        self._running.start()

    def _work(self, why: str) -> None:
        said = ""
        for number in range(1, TRIES + 1):
            said = self._try(why)
            if not said:
                _log.warning("power_is_off", tries=number, reason=why)
                self._on_end(PowerCut(is_off=True, tries=number, detail="the printer's power is off"))
                return
            _log.error("power_not_off", try_=number, detail=said)
            if number < TRIES:
                time.sleep(self._pause_s)
        detail = f"the printer's power could NOT be switched off: {said}; switch it off at its mains switch"
        self._on_end(PowerCut(is_off=False, tries=TRIES, detail=detail))

    def _try(self, why: str) -> str:
        """Run the program once; an empty string when it has done its work, else what went wrong."""
        try:
            done = subprocess.run(  # noqa: S603 - the maker's own program, from the configuration
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=RUN_LIMIT_S,
                env={**os.environ, "FABUNIT_REASON": why},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{self._command[0]} did not end within {RUN_LIMIT_S:.0f} s"
        except OSError as error:
            return f"{self._command[0]} did not start: {error.strerror or error}"
        if done.returncode == 0:
            return ""
        words = done.stdout.decode("utf-8", "replace").strip()[-SAID_MOST:]
        return f"{self._command[0]} ended with {done.returncode}" + (f" ({words})" if words else "")
