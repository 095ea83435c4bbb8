"""Writes the reference part of docs/cli.md from the commands themselves.

Run `python tests/unit/cli/cli_reference.py` after changing a command; a test fails while the file is stale.
"""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.main import main

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "cli.md"
# Described once, at the top of the document.
COMMON = frozenset({"--json", "--config", "--socket"})
MARK = "<!-- from here on written by tests/unit/cli/cli_reference.py -->"


def render() -> str:
    """Return the reference as Markdown."""
    return "\n".join(_sections(main, "fabunit")).rstrip() + "\n"


def stored() -> str:
    """Return the reference as it is in the document."""
    return DOCUMENT.read_text().partition(MARK)[2].lstrip("\n")


def _sections(group: click.Group, path: str) -> list[str]:
    context = click.Context(group, info_name=path)
    lines: list[str] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        full = f"{path} {name}"
        if isinstance(command, click.Group):
            lines += _sections(command, full)
        else:
            lines += _section(command, full)
    return lines


def _section(command: click.Command, full: str) -> list[str]:
    context = click.Context(command, info_name=full)
    usage = " ".join([full, *command.collect_usage_pieces(context)])
    lines = [f"### {full}", "", f"`{usage}`", "", *_paragraphs(command.help or ""), ""]
    own = [parameter for parameter in command.params if not COMMON.issuperset(parameter.opts)]
    rows = [row for parameter in own if (row := _row(parameter, context))]
    return [*lines, "| option | what |", "|---|---|", *rows, ""] if rows else lines


def _paragraphs(text: str) -> list[str]:
    blocks = [" ".join(block.split()) for block in text.split("\n\n")]
    return "\n\n".join(blocks).splitlines()


def _row(parameter: click.Parameter, context: click.Context) -> str | None:
    record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
    if record is None:
        return None
    option, what = (" ".join(part.split()).replace("|", "\\|") for part in record)
    return f"| `{option}` | {what} |"


if __name__ == "__main__":
    head = DOCUMENT.read_text().partition(MARK)[0]
    DOCUMENT.write_text(f"{head}{MARK}\n\n{render()}")
