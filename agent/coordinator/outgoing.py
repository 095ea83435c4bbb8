"""One stream of durable records on its way out: what was sent, what the coordinator has, when to begin again. Pure.

A record leaves the unit's disk only when the coordinator says that it is on its own (`acked`). The broker's PUBACK
merely frees a place in the window: between broker and coordinator messages get lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.coordinator.documents.records import MAX_RECORDS
from agent.coordinator.messages import Loaded

# What may be under way without the coordinator's word for it: 10 full batches, so that a round trip of 200 ms to
# the coordinator still lets 10,000 records a second through, and an absent one costs no more than this.
MAX_AHEAD_RECORDS = 2_000
# A batch this size crosses a slow uplink (1 Mbit/s) in a second, and fits every broker that was looked at.
MAX_BATCH_BYTES = 96 * 1024
# A coordinator commits and acknowledges within milliseconds; after this the records are taken for lost.
STALL_S = 30.0
STALL_MOST_S = 600.0
# While nobody acknowledges, a few records at a time ask whether somebody listens again.
PROBE_RECORDS = 10
# A topic the broker forbids is a matter of its access list: somebody has to change that first.
FORBIDDEN_RETRY_S = 300.0
BUSY_RETRY_S = 30.0
# Only a record this big can be the reason why a broker cuts the connection each time it is sent.
SUSPECT_BYTES = 16 * 1024
SUSPECT_LOSSES = 3

NO_SUBSCRIBERS = 0x10
NOT_AUTHORIZED = 0x87
_BUSY_CODES = frozenset({0x89, 0x97})
_FAILURE = 0x80


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one epoch in order; `first` and `last` are their lowest and highest numbers.

    `held_from` is the lowest number of the epoch that the unit still has to deliver.
    """

    epoch: str
    first: int
    last: int
    held_from: int
    bodies: tuple[bytes, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Omission:
    """A record that cannot go out as it is; its number will be sent with `reason` instead of its content."""

    seq: int
    reason: str


@dataclass(slots=True)
class Outgoing:
    """The stream `name`: everything up to `acked` is the coordinator's, up to `cursor` was sent, `newest` exists."""

    name: str
    acked: int = 0
    newest: int = 0
    cursor: int = 0
    is_loading: bool = False
    is_probing: bool = False
    problem: str = ""
    batch_records: int = MAX_RECORDS
    _in_flight: dict[int, Batch] = field(default_factory=dict)
    _waits_since_s: float | None = None
    _stall_s: float = STALL_S
    _blocked_until_s: float = 0.0
    _suspect: int = 0
    _losses: int = 0
    _shrunk_records: int = MAX_RECORDS

    def __post_init__(self) -> None:
        self.cursor = max(self.cursor, self.acked)

    @property
    def backlog(self) -> int:
        """Records the coordinator lacks (an upper bound where numbers are missing)."""
        return max(0, self.newest - self.acked)

    def wants(self, now: float) -> int:
        """How many records to load now behind `cursor`; 0 for none."""
        if self.is_loading or now < self._blocked_until_s or self.cursor >= self.newest:
            return 0
        if self.is_probing:
            return PROBE_RECORDS if self.cursor == self.acked and not self._in_flight else 0
        ahead = self.cursor - self.acked
        if ahead >= MAX_AHEAD_RECORDS:
            return 0
        return min(self.batch_records, self._shrunk_records, MAX_AHEAD_RECORDS - ahead)

    def cut(self, loaded: Loaded, budget_bytes: int, now: float) -> Batch | Omission | None:
        """Make one batch of loaded records, or name the first one that fits nowhere. None: nothing to send now.

        `budget_bytes` is what a payload may have. The records behind the batch are loaded again later. What was
        loaded behind another cursor than today's is dropped: it would leave out what was rewound.
        """
        self.is_loading = False
        room = self.wants(now)
        if loaded.after != self.cursor or room == 0:
            return None
        wanted = loaded.records[:room]
        if not wanted:
            self.cursor = max(self.cursor, loaded.upto)
            return None
        if len(wanted[0].body) > budget_bytes:
            return Omission(wanted[0].seq, f"its {len(wanted[0].body)} bytes are too many for the broker")
        limit = min(budget_bytes, MAX_BATCH_BYTES)
        epoch = wanted[0].epoch
        count, size = 0, 0
        for record in wanted:
            if record.epoch != epoch or (count and size + len(record.body) + 1 > limit):
                break
            size += len(record.body) + 1
            count += 1
        chosen = wanted[:count]
        return Batch(
            epoch,
            chosen[0].seq,
            chosen[-1].seq,
            loaded.held_from.get(epoch, chosen[0].seq),
            tuple(record.body for record in chosen),
            size,
        )

    def sent(self, token: int, batch: Batch, now: float) -> None:
        """Note that a batch is on the wire."""
        self._in_flight[token] = batch
        self.cursor = batch.last
        if self._waits_since_s is None:
            self._waits_since_s = now

    def published(self, token: int, code: int, now: float) -> Omission | None:
        """Take the broker's PUBACK for a batch; returns a record to be left out, if that is what it means."""
        batch = self._in_flight.pop(token, None)
        if batch is None:
            return None
        if code == NO_SUBSCRIBERS:
            self._nobody_listens(now)
        elif code == NOT_AUTHORIZED:
            self._block(now, FORBIDDEN_RETRY_S, f"the broker forbids {self.name}: check its access list")
        elif code in _BUSY_CODES:
            self._block(now, BUSY_RETRY_S, "the broker's quota is used up")
        elif code >= _FAILURE:
            return self._refused(batch, code)
        else:
            self.problem = ""
        return None

    def acknowledged(self, upto: int, now: float) -> bool:
        """Take the coordinator's word; returns whether that was progress.

        A coordinator that was away and repeats an old number asks for everything behind it.
        """
        is_progress = upto > self.acked
        if is_progress:
            self.acked = upto
            self._stall_s = STALL_S
        if self.is_probing and not self._in_flight:
            self.cursor = self.acked
        self.is_probing = False
        self.cursor = max(self.cursor, self.acked)
        if self.problem and now >= self._blocked_until_s:
            self.problem = ""
        if is_progress or self.cursor == self.acked:
            self._waits_since_s = None if self.cursor == self.acked else now
        if is_progress:
            self._shrunk_records = min(MAX_RECORDS, self._shrunk_records * 2)
        return is_progress

    def deadline(self) -> float | None:
        """When `on_deadline` has something to do, on the clock of `now`."""
        stall = None if self._waits_since_s is None else self._waits_since_s + self._stall_s
        if self._blocked_until_s and self.cursor < self.newest:
            return self._blocked_until_s if stall is None else min(stall, self._blocked_until_s)
        return stall

    def on_deadline(self, now: float) -> None:
        """No acknowledgement came for too long: begin again behind the last one, carefully."""
        if self._blocked_until_s and now >= self._blocked_until_s:
            self._blocked_until_s = 0.0
        if self._waits_since_s is not None and now >= self._waits_since_s + self._stall_s:
            self._rewind()
            self.is_probing = True
            self._stall_s = min(self._stall_s * 2, STALL_MOST_S)
            self.problem = "the coordinator does not acknowledge"

    def disconnected(self) -> Omission | None:
        """The connection is gone: nothing is in flight any more. Returns a record that brings it down each time."""
        head = min(self._in_flight.values(), key=lambda batch: batch.first, default=None)
        self._rewind()
        if head is None:
            return None
        self._losses = self._losses + 1 if self._suspect == head.first else 1
        self._suspect = head.first
        if self._losses < SUSPECT_LOSSES:
            return None
        self._losses = 0
        if len(head.bodies) > 1:
            self._shrunk_records = max(1, len(head.bodies) // 2)
            return None
        if head.size_bytes < SUSPECT_BYTES:
            return None
        return Omission(head.first, "the broker cut the connection each time this record was sent")

    def rewind(self, to: int) -> None:
        """Begin again behind number `to`, also where it was acknowledged."""
        self._rewind()
        self.is_probing = False
        self.acked = self.cursor = min(to, self.acked)

    def _rewind(self) -> None:
        self.cursor = self.acked
        self._in_flight.clear()
        self._waits_since_s = None
        self.is_loading = False

    def _nobody_listens(self, now: float) -> None:
        # The stall timer goes on: what was published reached nobody and is sent again when it ends.
        self.is_probing = True
        self.problem = "no coordinator is subscribed"
        if self._waits_since_s is None:
            self._waits_since_s = now

    def _block(self, now: float, wait_s: float, problem: str) -> None:
        self._rewind()
        self._blocked_until_s = now + wait_s
        self.problem = problem

    def _refused(self, batch: Batch, code: int) -> Omission | None:
        self._rewind()
        self.problem = f"the broker refused a batch (0x{code:02x})"
        if len(batch.bodies) > 1:
            self._shrunk_records = max(1, len(batch.bodies) // 2)
            return None
        return Omission(batch.first, f"the broker refused it (0x{code:02x})")
