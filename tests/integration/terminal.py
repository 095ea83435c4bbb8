"""A person at a bare terminal: types lines, reads what appears, presses Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

from tests.integration.rig import environment

LIMIT_S = 60.0
PRESSED_AGAIN_S = 2.0


class Terminal:
    """Runs `fabunit ARGUMENTS` on a pseudo-terminal of its own."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.seen = ""
        self._read_to = 0
        command = [sys.executable, "-m", "agent", *arguments]
        extra = {**environment(), "TERM": "dumb", "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1", **environ}
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(Path(__file__).resolve().parents[2])
            os.execve(sys.executable, command, extra)

    def expect(self, text: str) -> None:
        """Wait until `text` appears behind what was expected before."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.seen[self._read_to :]:
            assert self._read(deadline), f"ended without {text!r}:\n{self.seen}"
        self._read_to = self.seen.index(text, self._read_to) + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, line.encode() + b"\n")

    def interrupted(self) -> int:
        """Press Ctrl-C until the program ends, as a person would; returns the exit code.

        One that comes just before Python waits for input is noticed only with the next one.
        """
        deadline = time.monotonic() + LIMIT_S
        while True:
            os.write(self._master, b"\x03")
            pressed = time.monotonic()
            while select.select(
                [self._master], [], [], max(0.0, pressed + PRESSED_AGAIN_S - time.monotonic())
            )[0]:
                if not self._read(deadline):
                    return self.ended()
            assert time.monotonic() < deadline, f"Ctrl-C does not end it:\n{self.seen}"

    def ended(self) -> int:
        """Wait for the end; returns the exit code."""
        deadline = time.monotonic() + LIMIT_S
        while self._read(deadline):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._master)
        return os.waitstatus_to_exitcode(status)

    def _read(self, deadline: float) -> bool:
        """Take what comes; False when the program has let go of its terminal."""
        left = deadline - time.monotonic()
        ready, _, _ = select.select([self._master], [], [], max(0.0, left))
        assert ready, f"nothing happens any more:\n{self.seen}"
        try:
            data = os.read(self._master, 4096)
        except OSError:
            return False
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
