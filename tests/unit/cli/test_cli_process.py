"""What a shell sees: exit codes, streams, signals, and what is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
import structlog

from agent.cli.main import COMMANDS, LazyGroup, load, main, report, wants_json
from agent.domain.errors import ConfigError, FabunitError
from tests.unit.cli.conftest import ROOT

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.control.served import Served


def loaded(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the top-level modules it has loaded."""
    program = f"{code}\nimport sys; print(*sorted(name.split('.')[0] for name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(result.stdout.splitlines()[-1].split())


HEAVY = {"pydantic", "asyncio", "structlog", "h11", "rich", "serial", "sqlite3"}


def test_the_entry_point_loads_only_click() -> None:
    assert loaded("import agent.cli.main") & (HEAVY | {"http", "email"}) == set()


def test_help_loads_no_command() -> None:
    program = (
        "import sys\nfrom agent.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('agent.cli.') and name != 'agent.cli.main'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"demo", "run", "simulate", "analyse", "ports"}))
def test_commands_load_nothing_heavy(name: str) -> None:
    assert loaded(f"import {COMMANDS[name].target.partition(':')[0]}") & HEAVY == set()


def test_status_against_a_daemon_loads_nothing_heavy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABUNIT_SOCKET", str(cli.socket))
    program = "from agent.cli.main import main\ntry:\n    main(['status'])\n"
    program += "except SystemExit as end:\n    assert not end.code"
    assert loaded(program) & HEAVY == set()


def commands(group: click.Group, path: str = "") -> list[tuple[str, click.Command]]:
    """List all commands with their full names."""
    found: list[tuple[str, click.Command]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        if isinstance(group, LazyGroup) and name in ("demo", "simulate"):
            continue  # they have their own tests
        command = group.get_command(context, name)
        assert command is not None
        full = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            found += commands(command, full)
        else:
            found.append((full, command))
    return found


LOCAL = ("analyse", "check", "completion", "coordinator", "ports", "profile", "setup", "slice")
"""Commands that need no daemon."""


@pytest.mark.parametrize(
    ("name", "command"), commands(main), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_takes_the_common_options_and_explains_itself(
    name: str, command: click.Command
) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "--config"} <= options
    local = name.split(maxsplit=1)[0] in LOCAL
    assert ("--socket" in options) is not local
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option)), name


def test_the_help_list_says_what_the_commands_say() -> None:
    for name, entry in COMMANDS.items():
        assert entry.help.endswith("."), name
        assert len(entry.help) < 70, name


@pytest.mark.parametrize("arguments", [
    ["status"], ["jobs"], ["job", "show", "x"], ["pause"], ["logs"], ["logs", "-f"], ["status", "--watch"],
    ["console", "M105"], ["printer", "info"], ["history"], ["bed", "clear"], ["prompt"],
])  # fmt: skip
def test_without_a_daemon_every_command_says_so(lonely: Cli, arguments: list[str]) -> None:
    result = lonely(*arguments, code=3)
    assert result.stdout == ""
    assert result.stderr.startswith(
        f"error: no daemon is running at {lonely.socket}\nhint: start it with `fabunit run`"
    )
    error = lonely.json(*arguments, code=3)["error"]
    assert error.keys() == {"code", "message", "remedy"}
    assert error["code"] == "no_daemon"


def test_the_socket_option_wins_over_the_environment(cli: Cli, tmp_path: Path) -> None:
    cli("status", "--socket", str(tmp_path / "other"), code=3)
    assert "printing" in cli("status", "--socket", str(cli.socket)).stdout


@pytest.mark.parametrize(
    "arguments", [["statsu"], ["status", "--nope"], ["print"], ["history", "-n", "0"], ["answer", "x"]]
)
def test_wrong_usage_is_exit_code_2_in_both_forms(lonely: Cli, arguments: list[str]) -> None:
    result = lonely(*arguments, code=2)
    assert result.stderr.startswith("error: ")
    assert "--help`" in result.stderr
    assert lonely.json(*arguments, code=2)["error"]["code"] == "usage"


def test_no_arguments_is_the_help() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "agent"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    # Click 8.1, as Trixie has it, takes it for a question and answers on stdout.
    code, said = (2, result.stderr) if hasattr(click.exceptions, "NoArgsIsHelpError") else (0, result.stdout)
    assert result.returncode == code
    assert "Usage: fabunit" in said
    assert "demo" in said


def test_version() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "agent", "-V"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.startswith("fabunit ")


def test_json_is_only_an_option_before_the_double_dash() -> None:
    assert wants_json(["print", "--json", "a"])
    assert not wants_json(["print", "--", "--json"])


def test_errors_carry_their_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        report(ConfigError("line 3: no such key `prot`", remedy="did you mean `port`?"), as_json=False) == 2
    )
    assert report(FabunitError("m"), as_json=True) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: line 3: no such key `prot`\nhint: did you mean `port`?\n"
    assert json.loads(captured.out)["error"] == {"code": "failed", "message": "m", "remedy": ""}


def test_a_fault_of_ours_is_reported_not_hidden(cli: Cli, served: Served) -> None:
    served.unit.queue.jobs = [object()]  # type: ignore[list-item] # a fault in the daemon
    with structlog.testing.capture_logs() as logged:
        error = cli.json("jobs", code=1)["error"]
    assert error["code"] == "internal"
    assert [(entry["event"], entry["path"], entry["exc_info"]) for entry in logged] == [
        ("request failed", "/v1/jobs", True)
    ]


def test_ctrl_c_is_130_and_quiet(cli: Cli, served: Served) -> None:
    served.unit.ring.append({"t_ms": 0, "level": "info", "event": "ready"})
    with cli.start("logs", "-f") as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert (out, err.strip()) == ("", "")


def test_a_reader_that_has_enough_is_no_error(cli: Cli, served: Served) -> None:
    for number in range(3000):
        served.unit.ring.append({"t_ms": 0, "level": "info", "event": f"entry-{number}", "text": "x" * 300})
    command = f"{sys.executable} -m agent logs -n 1000 | head -1"
    result = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "FABUNIT_SOCKET": str(cli.socket)},
    )  # fmt: skip
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(lonely: Cli, shell: str) -> None:
    text = lonely("completion", shell).stdout
    assert "_FABUNIT_COMPLETE" in text
    assert "# To install: fabunit completion" in text
    document = lonely.json("completion", shell)
    assert (document["shell"], document["install"] in text) == (shell, True)


def test_completion_of_an_unknown_shell(lonely: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/nonsuch")
    assert "name one of bash, fish, zsh" in lonely("completion", code=2).stderr


def test_completion_knows_commands_without_a_daemon() -> None:
    environ = {"_FABUNIT_COMPLETE": "bash_complete", "COMP_WORDS": "fabunit sta", "COMP_CWORD": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "agent"], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, **environ},
    )  # fmt: skip
    assert result.stdout == "plain,status\n"


def test_a_target_that_is_no_command_is_a_fault() -> None:
    with pytest.raises(TypeError):
        load(COMMANDS["status"]._replace(target="agent.cli.main:wants_json"))


def test_ports_needs_no_daemon(lonely: Cli) -> None:
    assert isinstance(lonely.json("ports")["ports"], list)
    assert lonely("ports").stdout


def test_wrong_usage_is_told_without_what_only_newer_clicks_have(
    lonely: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("click.exceptions.NoArgsIsHelpError", raising=False)
    assert "error:" in lonely("job", "move", "j-3", "--to", "0", code=2).stderr
