"""The manual page fabunit(1), from the commands themselves."""

from __future__ import annotations

import click

from agent.cli.main import COMMANDS, main

_COMMON = frozenset({"--json", "--config", "--socket"})
_FILES = (
    ("/etc/fabunit/NAME.toml", "configuration of the unit NAME; `fabunit setup` writes it"),
    ("/etc/fabunit/profiles/", "your own printers, materials and qualities"),
    ("/var/lib/fabunit/NAME/", "queue, history and files of the unit"),
    ("/run/fabunit/NAME/fabunit.sock", "its control socket, for members of the group fabunit"),
    ("/opt/fabunit/current", "the version in use; `fabunit-rollback` goes back to the one before"),
)
_CODES = (("0", "done"), ("1", "failed"), ("2", "wrong usage"), ("3", "no daemon"),
          ("4", "refused by a rule"), ("5", "not found"), ("130", "interrupted"))  # fmt: skip


def man_page(version: str) -> str:
    """Return the page as roff source (man(7))."""
    lines = [f'.TH FABUNIT 1 "" "fabunit {version}" "User Commands"']
    lines += [".SH NAME", "fabunit \\- print host for 3D printers", ".SH SYNOPSIS", ".B fabunit"]
    lines += [".I COMMAND", "[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...", ".SH DESCRIPTION"]
    lines += [
        _text("A daemon takes jobs, checks them and streams them to a printer; this command talks to it.")
    ]
    lines += [
        _text("Every command takes --json, --config PATH and, where it talks to the daemon, --socket PATH.")
    ]
    lines += [".SH COMMANDS"]
    for name, entry in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        if command is not None:
            lines += _command(f"fabunit {name}", command, entry.help)
    lines += [".SH EXIT STATUS", *_pairs(_CODES), ".SH FILES", *_pairs(_FILES)]
    lines += [".SH SEE ALSO", _text("systemctl(1), journalctl(1), /usr/share/doc/fabunit/")]
    return "\n".join(lines) + "\n"


def _command(path: str, command: click.Command, summary: str) -> list[str]:
    context = click.Context(command, info_name=path)
    lines = [f".SS {_text(path)}", _text(" ".join((command.help or summary).replace("\b", "").split()))]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                lines += [".TP", f"\\fB{_text(path)} {_text(name)}\\fR", _text(child.get_short_help_str(200))]
        return lines
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and not _COMMON.issuperset(parameter.opts):
            lines += [".TP", f"\\fB{_text(record[0])}\\fR", _text(record[1]) or "\\&"]
    return lines


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    return [line for left, right in pairs for line in (".TP", f"\\fB{_text(left)}\\fR", _text(right))]


def _text(text: str) -> str:
    """Make plain text safe for roff: dashes stay dashes, a leading dot is no request."""
    escaped = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
