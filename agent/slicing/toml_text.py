"""Writes the tables of a profile as TOML text that people go on editing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LINE = 100


def toml_text(document: Mapping[str, Any], heading: str) -> str:
    """Return the document with a comment above it: plain values first, then one section per table."""
    lines = [f"# {line}".rstrip() for line in heading.splitlines()]
    _section(lines, (), document)
    return "\n".join(lines) + "\n"


def _section(lines: list[str], path: tuple[str, ...], table: Mapping[str, Any]) -> None:
    values = {key: value for key, value in table.items() if not _is_section(value)}
    if path and values:
        lines += ["", f"[{'.'.join(_key(part) for part in path)}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    for key, value in table.items():
        if _is_section(value):
            _section(lines, (*path, key), value)


def _is_section(value: object) -> bool:
    """Small tables of numbers read better on one line."""
    return isinstance(value, Mapping) and not (
        value and len(value) <= 4 and all(isinstance(part, (int, float)) for part in value.values())
    )


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        parts = [_value(part) for part in value]
        flat = f"[{', '.join(parts)}]"
        return flat if len(flat) <= _LINE else "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    return _text(str(value))


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'
