"""What the virtual printer measured: counts, prints, starvation, emergency stops."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_PRINTS_KEPT = 1000  # a summary stays readable, however many prints ran


@dataclass(slots=True)
class PrintRecord:
    """One numbering epoch: everything between two settings of the line number. Times in seconds of the clock."""

    base: int
    first_i: int
    lines: int = 0
    moves: int = 0
    ideal_s: float = 0.0
    actual_s: float = 0.0
    standing_s: float = 0.0  # at rest between moves while a blocking command ran
    starved: int = 0
    starved_s: float = 0.0

    def as_dict(self, digest: str) -> dict[str, object]:
        """JSON form."""
        return {
            "base": self.base,
            "first_i": self.first_i,
            "lines": self.lines,
            "moves": self.moves,
            "sha256": digest,
            "ideal_s": round(self.ideal_s, 6),
            "actual_s": round(self.actual_s, 6),
            "standing_s": round(self.standing_s, 6),
            "starvation_events": self.starved,
            "starvation_ms": round(self.starved_s * 1000.0, 3),
        }


class LineDigest:
    """SHA-256 over lines joined with LF, fed in batches."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._batch: list[bytes] = []
        self._any = False

    def add(self, line: bytes) -> None:
        """Append a line."""
        self._batch.append(line)
        if len(self._batch) >= 512:
            self._digest_batch()

    def _digest_batch(self) -> None:
        if self._batch:
            if self._any:
                self._sha.update(b"\n")
            self._sha.update(b"\n".join(self._batch))
            self._any = True
            self._batch.clear()

    def hexdigest(self) -> str:
        """The digest so far."""
        self._digest_batch()
        return self._sha.hexdigest()


@dataclass(slots=True)
class Statistics:
    """Counters since power-on; they survive resets of the board."""

    received: int = 0  # lines that came out of the line buffer, empty ones excluded
    executed: int = 0
    job_lines: int = 0
    rejected: int = 0
    resends: int = 0
    duplicates: int = 0
    lost_bytes: int = 0  # receive ring overflow
    flushed_bytes: int = 0  # thrown away with the ring after a rejected line
    resets: int = 0
    kills: int = 0
    stops: list[dict[str, object]] = field(default_factory=list)
    prints: list[dict[str, object]] = field(default_factory=list)
    digest: LineDigest = field(default_factory=LineDigest)
    print_digest: LineDigest = field(default_factory=LineDigest)
    current: PrintRecord = field(default_factory=lambda: PrintRecord(0, 0))

    def job_line(self, text: bytes) -> None:
        """A numbered line was executed."""
        self.job_lines += 1
        self.current.lines += 1
        self.digest.add(text)
        self.print_digest.add(text)

    def close_print(self, base: int) -> None:
        """The line number was set to `base`: a new epoch begins."""
        if (self.current.lines or self.current.moves) and len(self.prints) < _PRINTS_KEPT:
            self.prints.append(self.current.as_dict(self.print_digest.hexdigest()))
        self.current = PrintRecord(base, self.executed)
        self.print_digest = LineDigest()

    def as_dict(self) -> dict[str, object]:
        """The summary; totals are over all prints."""
        records = [*self.prints]
        if self.current.lines or self.current.moves:
            records.append(self.current.as_dict(self.print_digest.hexdigest()))
        totals = {
            key: round(sum(float(str(r[key])) for r in records), 6)
            for key in ("ideal_s", "actual_s", "standing_s", "starvation_events", "starvation_ms")
        }
        return {
            "lines_received": self.received,
            "lines_executed": self.executed,
            "job_lines": self.job_lines,
            "lines_rejected": self.rejected,
            "resends": self.resends,
            "duplicates": self.duplicates,
            "bytes_lost": self.lost_bytes,
            "bytes_flushed": self.flushed_bytes,
            "resets": self.resets,
            "kills": self.kills,
            **totals,
            "sha256": self.digest.hexdigest(),
            "stops": self.stops,
            "prints": records,
        }
