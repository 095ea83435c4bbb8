"""Fixtures: a served fake unit and a way to run commands against it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from agent.cli.main import main
from tests.unit.control.fake_unit import printing_unit
from tests.unit.control.served import Served, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

ROOT = Path(__file__).resolve().parents[3]


def runner() -> CliRunner:
    """One that keeps stdout and stderr apart: click 8.1 has to be asked for that, 8.2 always does."""
    is_asked = "mix_stderr" in inspect.signature(CliRunner).parameters
    options: dict[str, Any] = {"mix_stderr": False} if is_asked else {}
    return CliRunner(**options)


@dataclass
class Cli:
    """Runs `fabunit` in this process, or in one of its own."""

    socket: Path

    def __call__(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        """Run a command and check its exit code."""
        result = runner().invoke(main, list(arguments), input=stdin, env={"FABUNIT_SOCKET": str(self.socket)})
        assert result.exit_code == code, f"exit {result.exit_code}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Any:
        """Run with --json: exactly one document on stdout."""
        return json.loads(self(*arguments, "--json", code=code, stdin=stdin).stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        environ = {**os.environ, "FABUNIT_SOCKET": str(self.socket)}
        command = [sys.executable, "-m", "agent", *arguments]
        return subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environ
        )


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve a printing unit."""
    with serve(printing_unit()) as running:
        yield running


@pytest.fixture
def cli(served: Served) -> Cli:
    """Run commands against the served unit."""
    return Cli(served.path)


@pytest.fixture
def quick_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `--wait` look often."""
    monkeypatch.setattr("agent.cli.follow.POLL_S", 0.01)


@pytest.fixture
def lonely(tmp_path: Path) -> Cli:
    """Run commands where no daemon is."""
    return Cli(tmp_path / "none.sock")
