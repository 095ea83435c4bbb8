"""A TOML file that knows on which line each key stands; `tomllib` itself keeps no positions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.domain.errors import ConfigError

KeyPath = tuple[str | int, ...]

_MAX_BYTES = 1 << 20  # hand-written files are a few KiB; anything near this is the wrong file
_SYNTAX_POSITION = re.compile(r"^(?P<what>.*?) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR_END = re.compile(r"[,\]}\n#]")
_MULTILINE_END = {
    '"""': re.compile(r'(?:[^\\"]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    "'''": re.compile(r"(?:[^']|'(?!''))*'{3,5}"),
}
_STRING_END = {'"': re.compile(r'(?:[^\\"]|\\.)*"'), "'": re.compile(r"[^']*'")}


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """The parsed `data` of `source` (its name in messages); `lines`: the 1-based line of every key path."""

    source: str
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    @classmethod
    def read(cls, path: Path) -> TomlDocument:
        """Read and parse. ConfigError when the file is unreadable, too large, not UTF-8 or not TOML."""
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file", remedy="check the path") from None
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read: {error.strerror}", remedy="check path and permissions"
            ) from None
        if len(raw) > _MAX_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_BYTES} bytes, this is no configuration file")
        return cls.parse(raw, str(path))

    @classmethod
    def parse(cls, raw: bytes, source: str) -> TomlDocument:
        """Parse the bytes of a file called `source`; same errors as `read`."""
        try:
            text = raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise ConfigError(
                f"{source}, line {line}: not UTF-8 text", remedy="save the file as UTF-8"
            ) from None
        try:
            data = tomllib.loads(text)
            lines = _LineFinder(text).lines
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(
                _syntax_message(source, text, str(error)), remedy="see https://toml.io"
            ) from None
        except RecursionError:
            raise ConfigError(f"{source}: values are nested too deeply") from None
        return cls(source, data, lines)

    def where(self, path: KeyPath) -> str:
        """`file, line n` for a key path, or for the nearest parent that is written in the file."""
        for length in range(len(path), 0, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return f"{self.source}, line {line}"
        return self.source


def dotted(path: Sequence[str | int]) -> str:
    """Return the key path as a person writes it: `printer.bauds[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(wrong: str, valid: Sequence[str]) -> str | None:
    """Return the valid key a person most likely meant, or None."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error

    matches = get_close_matches(wrong.lower().replace("-", "_"), valid, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _syntax_message(source: str, text: str, message: str) -> str:
    found = _SYNTAX_POSITION.match(message)
    if not found:
        return f"{source}: {message}"
    line = int(found["line"]) if found["line"] else text.rstrip("\n").count("\n") + 1
    return f"{source}, line {line}: {found['what']}"


class _LineFinder:
    """Walks text that `tomllib` has already accepted and notes the line of each key."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._line_at = 0
        self._table_counts: dict[KeyPath, int] = {}
        table: KeyPath = ()
        while self._skip_blank():
            table = self._header() if text[self._at] == "[" else self._assignment(table)

    def _note(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._line_at, self._at)
        self._line_at = self._at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line)

    def _skip_blank(self) -> bool:
        """Skip white space, line ends and comments; False at the end of the text."""
        text = self._text
        while self._at < len(text):
            if text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            elif text[self._at] in " \t\n":
                self._at += 1
            else:
                return True
        return False

    def _header(self) -> KeyPath:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        path = self._resolve(self._key())
        if brackets == 2:
            index = self._table_counts.get(path, -1) + 1
            self._table_counts[path] = index
            path = (*path, index)
        self._note(path)
        self._at += brackets
        return path

    def _resolve(self, key: KeyPath) -> KeyPath:
        """Insert the index: a header below an array of tables means its newest element."""
        path: KeyPath = ()
        for part in key[:-1]:
            path = (*path, part)
            if path in self._table_counts:
                path = (*path, self._table_counts[path])
        return (*path, key[-1])

    def _assignment(self, table: KeyPath) -> KeyPath:
        path = (*table, *self._key())
        self._note(path)
        self._at += 1
        self._value(path)
        return table

    def _key(self) -> KeyPath:
        """Read a bare, quoted or dotted key; stand on the `=` or `]` after it."""
        parts: list[str | int] = []
        while self._skip_blank() and self._text[self._at] not in "=]":
            char = self._text[self._at]
            if char == ".":
                self._at += 1
            elif char in "\"'":
                start = self._at
                self._string()
                parts.append(tomllib.loads(f"k = {self._text[start : self._at]}")["k"])
            else:
                found = _BARE_KEY.match(self._text, self._at)
                if not found:
                    break
                parts.append(found[0])
                self._at = found.end()
        return tuple(parts)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        char = self._text[self._at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._array(path)
        elif char == "{":
            self._inline_table(path)
        else:
            found = _SCALAR_END.search(self._text, self._at)
            self._at = found.start() if found else len(self._text)

    def _string(self) -> None:
        opening = self._text[self._at : self._at + 3]
        endings = _MULTILINE_END if opening in _MULTILINE_END else _STRING_END
        opening = opening if opening in _MULTILINE_END else opening[0]
        found = endings[opening].match(self._text, self._at + len(opening))
        self._at = found.end() if found else len(self._text)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._note((*path, index))
            self._value((*path, index))
            index += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip_blank() and self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._assignment(path)
        self._at += 1
