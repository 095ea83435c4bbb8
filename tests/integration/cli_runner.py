"""The command line as a person runs it: a process, its exit code and what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.rig import environment

LIMIT_S = 100.0


@dataclass(frozen=True, slots=True)
class Said:
    """What one command left behind."""

    code: int
    out: str
    err: str

    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def fabunit(*arguments: str, socket: Path | None = None, text: str | None = None, **environ: str) -> Said:
    """Run `fabunit ARGUMENTS`; `text` goes to stdin, `environ` is added to the environment."""
    extra = {"FABUNIT_SOCKET": str(socket)} if socket is not None else {}
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        input="" if text is None else text,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**environment(), **extra, **environ},
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
