"""A person who types what a page shows: in a shell, in a folder with a few files, beside a unit on the bench."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.cli_runner import LIMIT_S
from tests.integration.rig import Rig, environment, spiral
from tests.unit.mesh.shapes import box, stl, threemf

# `sudo` without its options, `install` without an owner this machine does not have; the unit is no service here.
_SUDO = '#!/bin/sh\n[ "$1" = -u ] && shift 2\nexec "$@"\n'
_INSTALL = '#!/bin/sh\nfor word; do shift; [ "$word" = -o ] && skip=1 && continue\n'
_INSTALL += '[ -n "$skip" ] && skip= && continue; set -- "$@" "$word"; done\nexec /usr/bin/install "$@"\n'


class Reader:
    """Types commands into a shell whose `fabunit` is this checkout's and whose `systemctl` starts and stops the rig."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.desk = rig.folder / "desk"
        self.desk.mkdir()
        programs = rig.folder / "programs"
        programs.mkdir()
        self._program(programs / "fabunit", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m agent "$@"\n')
        self._program(programs / "sudo", _SUDO)
        self._program(programs / "install", _INSTALL)
        self._program(programs / "systemctl", f'#!/bin/sh\necho "$1" > {rig.folder}/wanted\n')
        self._environ = environment() | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "FABUNIT_SOCKET": str(rig.socket),
            "FABUNIT_CONFIG": str(rig.config),
            "CONFIGURATION_DIRECTORY": str(rig.folder / "etc"),
            "XDG_CACHE_HOME": str(rig.folder / "cache"),
        }
        self._folder = self.desk
        for name in ("part.gcode", "bracket.gcode"):
            (self.desk / name).write_text(spiral(400))
        for name in ("part.stl", "bracket.stl"):
            (self.desk / name).write_bytes(stl(box(8.0, 8.0, 3.0)))
        (self.desk / "part.3mf").write_bytes(threemf(box(8.0, 8.0, 3.0)))

    def types(self, line: str, code: int = 0, instead: dict[str, str] | None = None) -> str:
        """Run one line of a page, `instead` of placeholders in it what they stand for; returns what it said."""
        for placeholder, value in (instead or {}).items():
            line = line.replace(placeholder, value)
        if line.startswith("cd "):
            self._folder = Path(line[3:])
            assert self._folder.is_dir(), line
            return ""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        self._serve()
        return done.stdout + done.stderr

    def watches(self, line: str) -> str:
        """Run a line that does not end, read its first words and press Ctrl-C."""
        with subprocess.Popen(
            shlex.split(line),
            cwd=self._folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as running:
            assert running.stdout is not None
            first = running.stdout.readline()
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=LIMIT_S)
        assert running.returncode in (0, 130, -signal.SIGINT), line
        return first

    def knows(self, name: str, value: str) -> None:
        """Set a variable that a page uses."""
        self._environ[name] = value

    def _serve(self) -> None:
        """Do what `systemctl` was asked for."""
        wanted = self.rig.folder / "wanted"
        if not wanted.exists():
            return
        word = wanted.read_text().strip()
        wanted.unlink()
        if word == "stop":
            self.rig.stop_daemon()
        elif word == "start":
            self.rig.start_daemon()

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)
