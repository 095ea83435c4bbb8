"""Commands shown in the documentation exist, with the options they are shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agent.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
PAGES = (
    "README.md",
    "docs/install-pi.md",
    "docs/contributing.md",
    "docs/coordinator.md",
    "docs/system-test.md",
)
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:sudo )?(?:fabunit|make) [^`]+)`")


def shown() -> Iterator[tuple[str, str]]:
    """Page and command line."""
    for page in PAGES:
        text = (ROOT / page).read_text()
        lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
        lines += _INLINE.findall(_BLOCK.sub("", text))
        for line in lines:
            for command in re.split(r"\s&&\s|;\s", line.partition("  #")[0]):
                words = command.strip().removeprefix("sudo ")
                if words.startswith(("fabunit ", "make ", "~/fabunit/bin/fabunit ")):
                    yield page, words.removeprefix("~/fabunit/bin/")


SHOWN = sorted(set(shown()))


def test_there_are_some() -> None:
    assert len(SHOWN) > 25


@pytest.mark.parametrize(("page", "line"), [item for item in SHOWN if item[1].startswith("fabunit ")])
def test_fabunit_takes_it(page: str, line: str) -> None:
    del page
    group: click.Group = main
    context = click.Context(main, info_name="fabunit")
    words = shlex.split(line)[1:]
    while words:
        if words[0] in ("-V", "--version"):
            return
        name, command, rest = group.resolve_command(context, words)
        assert command is not None
        if isinstance(command, click.Group):
            context, group, words = click.Context(command, parent=context, info_name=name), command, rest
            continue
        _parse(command, name or "", rest, context)
        return


def _parse(command: click.Command, name: str, arguments: list[str], parent: click.Context) -> None:
    """As the command line would, but a file that is shown need not exist, and prose may name a command alone."""
    try:
        command.make_context(name, arguments, parent=parent)
    except click.MissingParameter:
        assert not arguments
    except click.BadParameter as error:
        assert "does not exist" in error.message, error.message  # noqa: PT017 - most raise nothing


@pytest.mark.parametrize(("page", "line"), [item for item in SHOWN if item[1].startswith("make ")])
def test_make_knows_it(page: str, line: str) -> None:
    del page
    target = shlex.split(line)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
