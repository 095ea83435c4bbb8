"""PrusaSlicer's values as figures that know the setting they came from; a value that is none is named with its key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from agent.domain.errors import ConfigError
from agent.toml_document import KeyPath, TomlDocument

SETTINGS_ABSENT = "settings_absent"
"""Code of the error for settings of another kind altogether: a print's where a material was looked for."""
_SHOWN_CHARS = 60
_POINT = re.compile(r"\s*(-?\d{1,6}(?:\.\d{0,6})?)x(-?\d{1,6}(?:\.\d{0,6})?)\s*")
_SWITCHES = {"": False, "0": False, "false": False, "1": True, "true": True}


class _Read:
    """What was read from the setting `key`, whose value is `text`."""

    key: str
    text: str

    @classmethod
    def of(cls, value: float, key: str, text: str) -> Self:
        """Return the number with its origin."""
        made = cls(value)  # type: ignore[call-arg]  # a number takes it
        made.key, made.text = key, text
        return made


class Figure(_Read, float):
    """A figure that was worked out from a setting."""

    def turned_into(self, value: float) -> Figure:
        """Return another figure with the same origin."""
        return Figure.of(value, self.key, self.text)


class Count(_Read, int):
    """A whole number that was read from a setting."""


@dataclass(frozen=True, slots=True)
class ImportedTables(TomlDocument):
    """Tables made of such figures: complaints name the setting, which is what a maker can change."""

    @classmethod
    def of(cls, data: dict[str, Any]) -> ImportedTables:
        """Return the tables as a document."""
        return cls("imported settings", data, {})

    def where(self, path: KeyPath) -> str:
        """`key = 'value'` of the setting that the figure at this place came from."""
        found: Any = self.data
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else _item(found, part)
        return f"{found.key} = {_shown(found.text)}" if isinstance(found, (Figure, Count)) else self.source


class PresetValues:
    """Settings read by key; remembers in `used` what was read.

    Lists have one entry per extruder, the first counts. ConfigError for a value that is not what its key stands for.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.used: set[str] = set()

    def text(self, key: str) -> str | None:
        """Return the first entry, None where the key is absent."""
        value = self.settings.get(key)
        if value is None:
            return None
        self.used.add(key)
        return re.split(r"[,;]", value)[0].strip().strip('"')

    def number(self, key: str, expected: str = "a number") -> Figure | None:
        """Return a number, None where the key is absent or says nothing; like PrusaSlicer it ignores a % behind it."""
        text = self.text(key)
        return (
            None if text in (None, "", "nil") else self._figure(key, (text or "").removesuffix("%"), expected)
        )

    def share(self, key: str, whole: float | None, expected: str = "a number, or percent") -> Figure | None:
        """Return a number that may be written in percent of `whole`; None also where `whole` is not known."""
        text = self.text(key) or ""
        if not text.endswith("%"):
            return self.number(key, expected)
        percent = self._figure(key, text[:-1], expected)
        return None if whole is None else percent.turned_into(percent * whole / 100)

    def percent(self, key: str) -> Figure | None:
        """Return percent, with or without the sign."""
        return self.share(key, 100.0, "percent")

    def count(self, key: str) -> Count | None:
        """Return a whole number, None where the key is absent or says nothing."""
        figure = self.number(key, "a whole number")
        if figure is None:
            return None
        if not figure.is_integer():
            raise self.bad(key, "a whole number")
        return Count.of(int(figure), key, figure.text)

    def above_zero(self, key: str, expected: str) -> Figure | None:
        """Return a number above 0, None where the key is absent."""
        figure = self.number(key, expected)
        if figure is not None and figure <= 0:
            raise self.bad(key, expected)
        return figure

    def flag(self, key: str) -> bool | None:
        """Return a switch, None where the key is absent."""
        text = self.text(key)
        if text is None:
            return None
        if text.lower() not in _SWITCHES:
            raise self.bad(key, "0 or 1")
        return _SWITCHES[text.lower()]

    def bed(self) -> tuple[Figure, Figure] | None:
        """Return width and depth of a bed with its corner at the origin, None where there is none."""
        key, value = "bed_shape", self.settings.get("bed_shape")
        if value is None:
            return None
        self.used.add(key)
        expected = "corners in mm such as 0x0,220x0,220x220,0x220, none left of or in front of the origin"
        points = [_POINT.fullmatch(part) for part in value.strip().strip('"').split(",")]
        corners = [(float(point[1]), float(point[2])) for point in points if point is not None]
        if len(corners) != len(points) or min(min(corner) for corner in corners) < 0:
            raise self.bad(key, expected)
        width, depth = (max(axis) for axis in zip(*corners, strict=True))
        if not (width and depth):
            raise self.bad(key, expected)
        return Figure.of(width, key, value), Figure.of(depth, key, value)

    def bad(self, key: str, expected: str) -> ConfigError:
        """Return the error for the value of a key."""
        return ConfigError(
            f"{key} = {_shown(self.settings.get(key, ''))} cannot be used: {expected} is expected",
            remedy=f"correct {key} in the file, or export it from PrusaSlicer again",
        )

    def _figure(self, key: str, text: str, expected: str) -> Figure:
        try:
            value = float(text)
        except ValueError:
            raise self.bad(key, expected) from None
        if not math.isfinite(value):
            raise self.bad(key, expected)
        return Figure.of(value, key, self.settings[key])


def _item(found: Any, part: str | int) -> Any:
    is_there = isinstance(found, list) and isinstance(part, int) and part < len(found)
    return found[part] if is_there else None


def _shown(text: str) -> str:
    """Quote a value, printable and short."""
    shown = ascii(text)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[: _SHOWN_CHARS - 4]}...'"
