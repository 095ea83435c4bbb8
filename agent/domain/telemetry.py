"""Telemetry blocks: a minute of the printer as least, mean and greatest value per channel. Pure.

A block is what a coordinator gets when nobody watches: 60 samples in about 300 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BLOCK_S = 60.0
# What the longest merged block spans; beyond this a temperature curve says nothing any more.
LONGEST_BLOCK_S = 900.0


@dataclass(frozen=True, slots=True)
class Span:
    """Least, mean and greatest value of a channel over `n` samples."""

    least: float
    mean: float
    greatest: float
    n: int


@dataclass(frozen=True, slots=True)
class TelemetryBlock:
    """What happened in `span_s` seconds from `t_ms` (Unix) and `mono_ms` (of this boot) on.

    `channels` are numbers such as `T0` (°C) or `fraction` (0..1); `last` the newest words, such as the state.
    """

    t_ms: int
    mono_ms: int
    span_s: float
    channels: Mapping[str, Span]
    last: Mapping[str, str]


@dataclass(slots=True)
class BlockBuilder:
    """Collects samples; `since_s` is monotonic seconds of the first one."""

    t_ms: int
    mono_ms: int
    _sums: dict[str, list[float]] = field(default_factory=dict)
    _last: dict[str, str] = field(default_factory=dict)

    def add(self, values: Mapping[str, float], words: Mapping[str, str]) -> None:
        """Take one sample."""
        for name, value in values.items():
            sums = self._sums.get(name)
            if sums is None:
                self._sums[name] = [value, value, value, 1]
            else:
                sums[0] = min(sums[0], value)
                sums[1] += value
                sums[2] = max(sums[2], value)
                sums[3] += 1
        self._last.update(words)

    def block(self, span_s: float) -> TelemetryBlock:
        """Return what was collected as a block of `span_s` seconds."""
        channels = {
            name: Span(least, total / n, greatest, int(n))
            for name, (least, total, greatest, n) in self._sums.items()
        }
        return TelemetryBlock(self.t_ms, self.mono_ms, span_s, channels, dict(self._last))


def merged(blocks: Sequence[TelemetryBlock]) -> TelemetryBlock:
    """Return one block that spans all of `blocks`, which follow each other."""
    first, last = blocks[0], blocks[-1]
    channels: dict[str, Span] = {}
    for block in blocks:
        for name, span in block.channels.items():
            before = channels.get(name)
            channels[name] = span if before is None else _joined(before, span)
    span_s = (last.mono_ms - first.mono_ms) / 1000 + last.span_s
    words = {name: word for block in blocks for name, word in block.last.items()}
    return TelemetryBlock(first.t_ms, first.mono_ms, span_s, channels, words)


def _joined(one: Span, other: Span) -> Span:
    n = one.n + other.n
    mean = (one.mean * one.n + other.mean * other.n) / n
    return Span(min(one.least, other.least), mean, max(one.greatest, other.greatest), n)
