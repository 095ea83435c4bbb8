"""When a unit takes jobs: `auto`, `ask` or `never` per hour of the week, as its maker set it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Accept = Literal["auto", "ask", "never"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LETTERS: dict[Accept, str] = {"auto": "a", "ask": "q", "never": "n"}
_WORDS: dict[str, Accept] = {letter: word for word, letter in _LETTERS.items()}
_DAY = "|".join(DAYS)
_RULE = re.compile(
    rf"(?P<first>{_DAY}|daily)(?:-(?P<last>{_DAY}))? (?P<from>\d{{1,2}})-(?P<to>\d{{1,2}}) (?P<what>auto|ask|never)"
)


@dataclass(frozen=True, slots=True)
class Week:
    """24 letters for each day from Monday on: `a` auto, `q` ask, `n` never; local time."""

    days: tuple[str, ...]

    def at(self, weekday: int, hour: int) -> Accept:
        """What holds on `weekday` (0 is Monday) in `hour` (0..23)."""
        return _WORDS[self.days[weekday][hour]]

    def named(self) -> dict[str, str]:
        """Return the letters by name of the day."""
        return dict(zip(DAYS, self.days, strict=True))


def parse_hours(otherwise: Accept, rules: Sequence[str]) -> Week:
    """Return the week of rules such as `mon-fri 08-18 auto`; a later rule wins. `22-6` goes over midnight.

    Raises ValueError for a rule that cannot be read.
    """
    days = [[_LETTERS[otherwise]] * 24 for _ in DAYS]
    for rule in rules:
        match = _RULE.fullmatch(rule.strip().lower())
        if match is None or int(match["from"]) > 23 or int(match["to"]) > 24 or match["from"] == match["to"]:
            raise ValueError(f"{rule!r}: a rule is written as 'mon-fri 08-18 auto' or 'daily 22-6 never'")
        letter = {"auto": "a", "ask": "q", "never": "n"}[match["what"]]
        begin, end = int(match["from"]), int(match["to"])
        hours = end - begin if end > begin else end - begin + 24
        for day in _days(match):
            for hour in range(begin, begin + hours):
                days[(day + hour // 24) % 7][hour % 24] = letter
    return Week(tuple("".join(day) for day in days))


def _days(match: re.Match[str]) -> Sequence[int]:
    if match["first"] == "daily":
        return range(7)
    first = DAYS.index(match["first"])
    last = DAYS.index(match["last"]) if match["last"] else first
    return [(first + step) % 7 for step in range((last - first) % 7 + 1)]
