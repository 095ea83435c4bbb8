"""The daemon's own way in: exactly what it understands, and nothing it would misunderstand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.start import RunOrder, plain_run


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ("run", RunOrder()),
        ("run --json", RunOrder(as_json=True)),
        ("run --config a.toml --socket s", RunOrder(Path("a.toml"), Path("s"))),
        ("run --socket=s --config=a=b.toml", RunOrder(Path("a=b.toml"), Path("s"))),
        ("run --config a --config b", RunOrder(Path("b"))),
    ],
)
def test_what_a_service_calls(words: str, order: RunOrder) -> None:
    assert plain_run(words.split()) == order


@pytest.mark.parametrize(
    "words",
    ["", "status", "--version", "run --help", "run -h", "run --config", "run --config --json", "run --config=",
     "run --conf a", "run --json=1", "run extra", "run --config . --json", "run -- --json"],
)  # fmt: skip
def test_everything_else_is_the_command_line_s(words: str) -> None:
    assert plain_run(words.split()) is None


def test_a_daemon_that_cannot_start_says_so_in_the_way_of_all_commands(tmp_path: Path) -> None:
    config = tmp_path / "fabunit.toml"
    config.write_text('[unit]\nid = "a"\nstate_dirr = "x"\n')
    command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "state_dirr" in failed.stderr
    assert "hint:" in failed.stderr


def test_the_daemon_is_read_without_the_library_of_command_lines() -> None:
    code = (
        "import sys, agent.cli.start, agent.log, agent.app, agent.control.api; print('click' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


@pytest.mark.parametrize("told", [{}, {"MALLOC_ARENA_MAX": "2"}])
def test_the_daemon_begins_once_more_where_its_heap_was_not_settled(told: dict[str, str]) -> None:
    code = (
        "import os, sys, agent.cli.start as start\n"
        "sys.argv[1:] = ['run', '--config', '/nowhere']\n"
        "os.execv = lambda program, words: (print(words, os.environ['MALLOC_ARENA_MAX']), os._exit(0))\n"
        "sys.stdout.reconfigure(line_buffering=True)\n"
        "start.main()\n"
    )
    environ = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"} | told
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False
    )
    again = [sys.executable, "-X", "no_debug_ranges", "-c", code]
    assert shown.stdout == ("" if told else f"{again} 1\n")
    assert shown.returncode == (2 if told else 0), shown.stderr


def test_beginning_again_keeps_the_process_and_what_it_was_called_with(tmp_path: Path) -> None:
    config = tmp_path / "fabunit.toml"
    config.write_text("state_dirr = 1")
    environ = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-W", "error", "-m", "agent", "run", "--config", str(config)]
    failed = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert failed.returncode == 2
    assert "state_dirr" in failed.stderr
