"""The daemon's own way in: exactly what it understands, and nothing it would misunderstand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli.start import RunOrder, plain_run
from agent.control.client import ControlClient
from agent.domain.errors import NoDaemonError


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


def test_a_daemon_is_known_by_its_name_whoever_began_it(tmp_path: Path) -> None:
    config, sock = tmp_path / "fabunit.toml", tmp_path / "sock"
    config.write_text(
        f'[unit]\nid = "hand"\nstate_dir = "{tmp_path / "state"}"\n[printer]\nport = "{tmp_path / "none"}"\n'
    )
    environ = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-m", "agent", "run", "--config", str(config), "--socket", str(sock)]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log, env=environ) as daemon:
        try:
            client, end_s = ControlClient(sock), time.monotonic() + 30
            while not _answers(client):
                assert time.monotonic() < end_s, (tmp_path / "log").read_text()
                time.sleep(0.02)
            place = Path(f"/proc/{daemon.pid}")
            assert (place / "comm").read_text() == "fabunit\n"
            assert b"\0no_debug_ranges\0-m\0agent\0run\0" in (place / "cmdline").read_bytes()
            assert b"MALLOC_ARENA_MAX=1\0" in (place / "environ").read_bytes()
        finally:
            daemon.terminate()
        assert daemon.wait(30) == 0


def _answers(client: ControlClient) -> bool:
    try:
        return bool(client.get("/v1/status"))
    except NoDaemonError:
        return False
