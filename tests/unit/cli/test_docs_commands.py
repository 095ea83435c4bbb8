"""Commands shown anywhere in the documentation exist, with the options they are shown with.

What can be run on a bench is run, in the order of the page, by `tests/integration/test_docs_walk.py`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

import click
import pytest

from agent.cli.main import main
from tests.doc_page import ROOT, DocPage, pages

# Programs of a Debian machine that the pages use besides ours; a word that is not here is a typing error or new.
PROGRAMS = {
    "cd",
    "curl",
    "exec",
    "git",
    "head",
    "openssl",
    "sh",
    "sudo",
    "apt",
    "systemctl",
    "systemd-analyze",
}
PROGRAMS |= {"fabunit", "make", "pytest", "touch", "(umask"}


def shown() -> Iterator[tuple[str, str]]:
    """Page and command line."""
    for page in pages():
        lines = [line for block in page.blocks if block.is_shell for line in block.commands]
        for line in [*lines, *page.inline]:
            if "[OPTIONS]" in line:
                continue  # headings of the reference, which is written from the commands
            for command in re.split(r"\s(?:&&|\|\|?|>|<)\s|;\s", line):
                words = command.strip().removeprefix("sudo ").removeprefix("~/fabunit/bin/")
                if words.startswith(("fabunit ", "make ")):
                    yield page.name, words


SHOWN = sorted(set(shown()))


def test_there_are_some() -> None:
    assert len(SHOWN) > 120
    assert len({page for page, _ in SHOWN}) > 15


@pytest.mark.parametrize(("page", "line"), [item for item in SHOWN if item[1].startswith("fabunit ")])
def test_fabunit_takes_it(page: str, line: str) -> None:
    del page
    group: click.Group = main
    context = click.Context(main, info_name="fabunit")
    words = shlex.split(line)[1:]
    while words:
        if words[0] in ("-V", "--version", "COMMAND"):
            return
        name, command, rest = group.resolve_command(context, words)
        assert command is not None
        if isinstance(command, click.Group):
            context, group, words = click.Context(command, parent=context, info_name=name), command, rest
            continue
        _parse(command, name or "", rest, context)
        return


def _parse(command: click.Command, name: str, arguments: list[str], parent: click.Context) -> None:
    """As the command line would, but a file that is shown need not exist, and prose may leave arguments out."""
    try:
        command.make_context(name, list(arguments), parent=parent)
    except click.MissingParameter:
        assert all(word.startswith("--") for word in arguments)
    except click.BadOptionUsage as error:
        if len(arguments) != 1 or "requires an argument" not in error.message:
            raise
    except click.BadParameter as error:
        assert "does not exist" in error.message, error.message  # noqa: PT017 - most raise nothing


@pytest.mark.parametrize(("page", "line"), [item for item in SHOWN if item[1].startswith("make ")])
def test_make_knows_it(page: str, line: str) -> None:
    del page
    target = shlex.split(line)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_is_to_be_typed_is_marked_as_such_and_is_shell(page: DocPage) -> None:
    for block in page.blocks:
        if not block.kind:
            typed = [
                line
                for line in block.text.splitlines()
                if re.match(r"(?:sudo |fabunit [a-z]+ |make [a-z])", line)
            ]
            assert not typed, f"{page.name}: mark this block as sh"
        if not block.is_shell:
            continue
        for line in block.commands:
            assert line.split()[0] in PROGRAMS, f"{page.name}: {line}"
        if shutil.which("sh") is not None:
            done = subprocess.run(
                ["sh", "-n"], input="\n".join(block.commands), text=True, capture_output=True, check=False
            )
            assert done.returncode == 0, f"{page.name}: {done.stderr}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: DocPage) -> None:
    folder = (ROOT / page.name).parent
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", page.text)
    for target in (name or source for name, source in targets):
        if "://" not in target and not target.startswith("mailto:"):
            assert (folder / target).exists(), f"{page.name} points to {target}"
