"""Telemetry blocks on disk: a database of its own, relaxed (`synchronous=NORMAL`), bounded, thinned when it is full.

A power cut may take the last blocks, never a job's events: those are in the database of record. Numbers that a cut
took back could be given out twice, so every boot counts under an epoch of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.domain.errors import StorageError
from agent.domain.events import Stamp
from agent.domain.telemetry import LONGEST_BLOCK_S, Span, TelemetryBlock, merged
from agent.storage import faults

T = TypeVar("T")

# Two weeks of printing day and night, 8 MB; older blocks are merged, then dropped.
MAX_BLOCKS = 20_000
# Thinning is rare and works on this many of the oldest rows at once.
THIN_ROWS = 1_000
MERGE = 5
_BUSY_TIMEOUT_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch   TEXT NOT NULL,
    covers  INTEGER,
    t_ms    INTEGER NOT NULL,
    mono_ms INTEGER NOT NULL,
    boot    TEXT NOT NULL,
    clk     TEXT NOT NULL,
    span_s  REAL NOT NULL,
    body    TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS boots (boot TEXT PRIMARY KEY, epoch TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One row: `(epoch, seq)` names it; `covers` is the lowest number it stands for after merging, else None."""

    seq: int
    epoch: str
    covers: int | None
    boot: str
    clk: str
    block: TelemetryBlock


@dataclass(frozen=True, slots=True)
class BlocksWaiting:
    """Blocks in order, the highest number that exists, and the lowest one of each epoch among them."""

    blocks: tuple[StoredBlock, ...]
    newest: int
    held_from: dict[str, int]


class TelemetryStore:
    """The blocks that the coordinator does not have yet; event loop only, file work in a thread of its own."""

    def __init__(self, path: Path, max_blocks: int = MAX_BLOCKS) -> None:
        self._path = path
        self._max_blocks = max_blocks
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="telemetry")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or create the file; a damaged one is deleted, its blocks are lost. Raises StorageError."""
        await self._run(self._open)

    async def close(self) -> None:
        """Close the file. Calling it again is harmless."""
        await self._run(self._close)
        self._executor.shutdown(wait=False)

    async def append(self, block: TelemetryBlock, stamp: Stamp) -> int:
        """Write a block and return its number; beyond the bound the oldest are thinned."""
        return await self._run(lambda: self._append(block, stamp))

    async def read(self, after: int, limit: int) -> BlocksWaiting:
        """Return up to `limit` blocks behind number `after`."""
        return await self._run(lambda: self._read(after, limit))

    async def omit(self, seq: int) -> None:
        """Empty a block that cannot be sent; its number stays."""
        await self._run(lambda: self._omit(seq))

    async def acknowledge(self, epoch: str, upto: int) -> int:
        """Delete what the coordinator has; returns the number everything up to which is gone now."""
        return await self._run(lambda: self._acknowledge(epoch, upto))

    async def _run(self, work: Callable[[], T]) -> T:
        future = self._executor.submit(self._guarded, work)
        return await asyncio.shield(asyncio.wrap_future(future))

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            raise faults.from_sqlite(error, self._path) from error
        except OSError as error:
            raise faults.from_os(error, self._path) from error

    def _open(self) -> None:
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not faults.is_corruption(error):
                raise
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False
        )
        try:
            connection.row_factory = sqlite3.Row
            # Small pages: a block is 300 bytes, and every commit writes whole pages to the card.
            connection.execute("PRAGMA page_size = 1024")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -256")
            _demand_sound(connection)
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(f"{self._path} is closed")
        return self._connection

    def _append(self, block: TelemetryBlock, stamp: Stamp) -> int:
        db = self._db()
        with _transaction(db):
            cursor = db.execute(
                "INSERT INTO blocks (epoch, t_ms, mono_ms, boot, clk, span_s, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    self._epoch(stamp.boot),
                    block.t_ms,
                    block.mono_ms,
                    stamp.boot,
                    stamp.clk.value,
                    block.span_s,
                    _body(block),
                ),
            )
            seq = int(cursor.lastrowid or 0)
            if db.execute("SELECT count(*) FROM blocks").fetchone()[0] > self._max_blocks:
                self._thin()
        return seq

    def _epoch(self, boot: str) -> str:
        db = self._db()
        row = db.execute("SELECT epoch FROM boots WHERE boot = ?", (boot,)).fetchone()
        if row is not None:
            return str(row["epoch"])
        epoch = f"t{os.urandom(8).hex()}"
        db.execute("INSERT INTO boots (boot, epoch) VALUES (?, ?)", (boot, epoch))
        db.execute("DELETE FROM boots WHERE boot != ? AND epoch NOT IN (SELECT epoch FROM blocks)", (boot,))
        return epoch

    def _read(self, after: int, limit: int) -> BlocksWaiting:
        db = self._db()
        rows = db.execute("SELECT * FROM blocks WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        blocks = tuple(_stored(row) for row in rows)
        held_from = {}
        for epoch in {block.epoch for block in blocks}:
            low = db.execute(
                "SELECT min(coalesce(covers, seq)) FROM blocks WHERE epoch = ?", (epoch,)
            ).fetchone()
            held_from[epoch] = int(low[0])
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'blocks'").fetchone()
        return BlocksWaiting(blocks, 0 if row is None else int(row["seq"]), held_from)

    def _acknowledge(self, epoch: str, upto: int) -> int:
        db = self._db()
        with _transaction(db):
            db.execute("DELETE FROM blocks WHERE epoch = ? AND seq <= ?", (epoch, upto))
        low = db.execute("SELECT min(coalesce(covers, seq)) FROM blocks").fetchone()[0]
        if low is not None:
            return int(low) - 1
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'blocks'").fetchone()
        return 0 if row is None else int(row["seq"])

    def _omit(self, seq: int) -> None:
        self._db().execute("UPDATE blocks SET body = ? WHERE seq = ?", ('{"ch":{},"last":{}}', seq))

    def _thin(self) -> None:
        """Make room: merge short old blocks five to one; when all old ones are long, drop the oldest."""
        db = self._db()
        rows = db.execute("SELECT * FROM blocks ORDER BY seq LIMIT ?", (THIN_ROWS,)).fetchall()
        short = [stored for stored in map(_stored, rows) if stored.block.span_s < LONGEST_BLOCK_S / MERGE]
        if len(short) < MERGE:
            db.execute("DELETE FROM blocks WHERE seq <= ?", (rows[len(rows) // 2]["seq"],))
            return
        for start in range(0, len(short) - MERGE + 1, MERGE):
            group = short[start : start + MERGE]
            if len({(stored.epoch, stored.boot) for stored in group}) == 1:
                self._merge(group)

    def _merge(self, group: list[StoredBlock]) -> None:
        db = self._db()
        whole = merged([stored.block for stored in group])
        first, last = group[0], group[-1]
        covers = first.covers or first.seq
        db.execute("DELETE FROM blocks WHERE seq >= ? AND seq < ?", (first.seq, last.seq))
        db.execute(
            "UPDATE blocks SET covers = ?, t_ms = ?, mono_ms = ?, span_s = ?, body = ? WHERE seq = ?",
            (covers, whole.t_ms, whole.mono_ms, whole.span_s, _body(whole), last.seq),
        )


def _demand_sound(connection: sqlite3.Connection) -> None:
    verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if verdict != "ok":
        damaged = sqlite3.DatabaseError(verdict)
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damaged


class _transaction:  # noqa: N801 - reads as a statement
    """BEGIN IMMEDIATE … COMMIT; ROLLBACK on an error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _body(block: TelemetryBlock) -> str:
    channels = {
        name: [round(span.least, 3), round(span.mean, 3), round(span.greatest, 3), span.n]
        for name, span in block.channels.items()
    }
    return json.dumps({"ch": channels, "last": dict(block.last)}, separators=(",", ":"))


def _stored(row: sqlite3.Row) -> StoredBlock:
    body = json.loads(row["body"])
    channels = {name: Span(*values) for name, values in body["ch"].items()}
    block = TelemetryBlock(row["t_ms"], row["mono_ms"], row["span_s"], channels, body["last"])
    return StoredBlock(row["seq"], row["epoch"], row["covers"], row["boot"], row["clk"], block)
