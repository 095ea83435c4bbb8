"""docs/cli.md describes the commands that exist, as they are."""

from __future__ import annotations

import re

from agent.cli.main import COMMANDS, INTERRUPTED
from agent.domain import errors
from tests.unit.cli.cli_reference import DOCUMENT, render, stored


def test_the_reference_is_fresh() -> None:
    assert stored() == render(), "run `python tests/unit/cli/cli_reference.py`"


def test_every_command_is_in_the_reference() -> None:
    named = {heading.split()[1] for heading in re.findall(r"^### (fabunit .*)$", stored(), re.MULTILINE)}
    assert named == set(COMMANDS)


def test_all_exit_codes_are_documented() -> None:
    table = re.search(r"## Exit codes\n(.*?)\n## ", DOCUMENT.read_text(), re.DOTALL)
    assert table is not None
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table[1], re.MULTILINE)}
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FabunitError)
    ]
    assert documented == {0, INTERRUPTED} | {kind.exit_code for kind in kinds}


def test_every_command_has_its_json_documented() -> None:
    table = re.search(r"## What --json answers\n(.*?)\n## ", DOCUMENT.read_text(), re.DOTALL)
    assert table is not None
    documented = {
        name.split()[0]
        for cell in re.findall(r"^\| (`.*?) \|", table[1], re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", cell)
    }
    assert set(COMMANDS) - documented == {"run", "simulate"}
