"""The topics of one unit, all under `fabunit/v1/{unit}/`. Pure.

The unit writes only `up/#` and `state/#` and reads only `down/#`, so that three lines of a broker's access list
cover every unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ROOT = "fabunit/v1"
UNIT_ID = re.compile(r"[a-z0-9-]{3,64}")
# AWS IoT Core's bound; the longest of ours stays far below it.
MAX_TOPIC_BYTES = 256


@dataclass(frozen=True, slots=True)
class Topics:
    """The full topic names of unit `unit`. ValueError for a text that is no unit id."""

    unit: str

    def __post_init__(self) -> None:
        if not UNIT_ID.fullmatch(self.unit):
            raise ValueError(f"{self.unit!r} is no unit id")

    def _under(self, tail: str) -> str:
        return f"{ROOT}/{self.unit}/{tail}"

    @property
    def events(self) -> str:
        """Batches of durable records, QoS 1."""
        return self._under("up/events")

    @property
    def live(self) -> str:
        """1 Hz samples while a lease runs, QoS 0."""
        return self._under("up/live")

    @property
    def results(self) -> str:
        """Answers to commands, job documents and wants, QoS 1."""
        return self._under("up/results")

    @property
    def presence(self) -> str:
        """Online, offline or lost; QoS 1, retained, also the last will."""
        return self._under("state/presence")

    @property
    def description(self) -> str:
        """What the unit is and how it is (`state/unit`); QoS 1, retained."""
        return self._under("state/unit")

    @property
    def home(self) -> str:
        """What Home Assistant shows, where the owner wants it; QoS 1, retained."""
        return self._under("state/home")

    @property
    def jobs(self) -> str:
        """Job documents for this unit, QoS 1."""
        return self._under("down/jobs")

    @property
    def commands(self) -> str:
        """Commands for this unit, QoS 1, with expiry."""
        return self._under("down/commands")

    @property
    def ack(self) -> str:
        """Cumulative acknowledgements of durable records, QoS 1."""
        return self._under("down/ack")

    @property
    def want(self) -> str:
        """The jobs this unit should have; QoS 1, retained."""
        return self._under("down/want")

    @property
    def down(self) -> str:
        """The filter for everything this unit reads."""
        return self._under("down/#")

    def may_answer_on(self, topic: str) -> bool:
        """Tell whether a response topic that a command names is one this unit may write: below `up/results`."""
        return (
            topic.startswith(f"{self.results}/")
            and len(topic.encode("utf-8", "replace")) <= MAX_TOPIC_BYTES
            and not any(mark in topic for mark in "+#\x00")
        )


ALL_UP = f"{ROOT}/+/up/#"
ALL_STATE = f"{ROOT}/+/state/#"


def split(topic: str) -> tuple[str, str] | None:
    """Return (unit, tail) of a topic such as `fabunit/v1/unit-7f3a/up/events`, or None for a foreign one."""
    prefix = f"{ROOT}/"
    if not topic.startswith(prefix):
        return None
    unit, slash, tail = topic.removeprefix(prefix).partition("/")
    return (unit, tail) if slash and UNIT_ID.fullmatch(unit) else None
