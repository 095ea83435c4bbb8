"""Where a print stands: the table over counter, record and checkpoint."""

from __future__ import annotations

import pytest

from agent.domain.prints import LastContact, PrintRecord, PrintState
from agent.printer.dialects import by_name
from agent.printer.procedures import STAGES, PauseSnapshot
from agent.printer.takeover import HOST_BASES, Stand, Where, gap_of, stand_of
from tests.unit.printer.prepared_files import answered

BASE, LINES = 21_000, 500
HOST = HOST_BASES.start + 12_345


def record(lines: int = LINES, base: int = BASE) -> PrintRecord:
    return PrintRecord("p", "j", 1, PrintState.PRINTING, "", lines, base, "", None, "", 0, None)


@pytest.mark.parametrize("line", [0, 1, 499, 500])
def test_a_counter_among_the_jobs_lines_is_the_line(line: int) -> None:
    assert stand_of(answered(BASE + line), record(), None) == Stand(Where.JOB, line)


@pytest.mark.parametrize("counter", [0, 1, BASE - 1, BASE + LINES + 1, 999_999, 9_000_000, 2**31 - 1, -5])
def test_any_other_counter_is_a_board_that_does_not_remember(counter: int) -> None:
    for snapshot in (None, PauseSnapshot("paused", 40, {"X": 1.0})):
        assert stand_of(answered(counter), record(), snapshot) == Stand(Where.RESET)


def test_a_board_that_has_just_greeted_was_reset_whatever_it_counts() -> None:
    assert stand_of(answered(BASE + 5, restarted=True), record(), None) == Stand(Where.RESET)


@pytest.mark.parametrize("stage", ["pausing", "paused", "cancelling", "finishing"])
def test_a_counter_of_the_hosts_own_lines_means_the_checkpoint(stage: str) -> None:
    snapshot = PauseSnapshot(stage, 40)
    assert stand_of(answered(HOST), record(), snapshot) == Stand(Where.CHECKPOINT, 40, snapshot)


def test_without_a_checkpoint_the_print_had_not_begun() -> None:
    assert stand_of(answered(HOST), record(), None) == Stand(Where.BEGINNING)
    assert stand_of(answered(HOST), record(), PauseSnapshot("starting", 0)) == Stand(Where.BEGINNING)


def test_a_checkpoint_counts_among_the_jobs_lines_only_for_its_own_line() -> None:
    here, elsewhere = PauseSnapshot("paused", 40), PauseSnapshot("paused", 39)
    assert stand_of(answered(BASE + 40), record(), here) == Stand(Where.JOB, 40, here)
    assert stand_of(answered(BASE + 40), record(), elsewhere) == Stand(Where.JOB, 40)


@pytest.mark.parametrize("name", ["klipper", "generic", "cbd", "reprap"])
def test_a_firmware_whose_counter_proves_nothing_is_unknown(name: str) -> None:
    dialect = by_name(name)
    assert dialect is not None
    for counter in (None, BASE + 40, 0):
        assert stand_of(answered(counter, dialect), record(), None) == Stand(Where.UNKNOWN)


def test_no_counter_is_unknown() -> None:
    assert stand_of(answered(None), record(), None) == Stand(Where.UNKNOWN)


class TestWrapping:
    """Repetier counts modulo 65,536."""

    def stand(
        self,
        counter: int,
        snapshot: PauseSnapshot | None = None,
        known: int = 0,
        lines: int = LINES,
        base: int = BASE,
    ) -> Stand:
        dialect = by_name("repetier")
        assert dialect is not None
        return stand_of(answered(counter, dialect), record(lines, base), snapshot, known)

    def test_a_short_print_stands_where_the_counter_says(self) -> None:
        assert self.stand(BASE + 40) == Stand(Where.JOB, 40)
        assert self.stand((60_000 + 6000) % 65536, base=60_000, lines=9000) == Stand(Where.JOB, 6000)
        assert self.stand(BASE - 1) == Stand(Where.RESET)
        assert self.stand(0) == Stand(Where.RESET)

    @pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "starting"])
    def test_a_checkpoint_goes_before_a_counter_that_may_be_the_hosts(self, stage: str) -> None:
        snapshot = PauseSnapshot(stage, 40)
        assert self.stand(BASE + 300, snapshot) == Stand(Where.CHECKPOINT, 40, snapshot)

    def test_a_session_that_was_not_opened_is_the_beginning(self) -> None:
        assert self.stand(BASE + 300, PauseSnapshot("starting", 0)) == Stand(Where.BEGINNING)

    def test_a_long_print_needs_a_line_known_to_this_process(self) -> None:
        counter = (BASE + 100_000) % 65536
        assert self.stand(counter, lines=200_000) == Stand(Where.UNKNOWN)
        assert self.stand(counter, known=99_998, lines=200_000) == Stand(Where.JOB, 100_000)
        assert self.stand(counter, known=100_010, lines=200_000) == Stand(Where.JOB, 100_000)
        assert self.stand(counter, known=34_464, lines=200_000) == Stand(Where.JOB, 34_464)
        assert self.stand(counter, known=80_000, lines=200_000) == Stand(Where.RESET)


@pytest.mark.parametrize(("contact", "is_long", "words"), [
    (None, True, "an unknown time"),
    (LastContact(7, None, 90.0), True, "an unknown time"),
    (LastContact(7, 49.0, 90.0), False, "59 s"),
    (LastContact(7, 51.0, 90.0), True, "61 s"),
    (LastContact(7, 0.0, 200.0), False, "0 s"),
    (LastContact(7, 7190.0, 90.0), True, "120 minutes"),
])  # fmt: skip
def test_a_gap_is_long_when_it_is_or_when_nobody_knows(
    contact: LastContact | None, is_long: bool, words: str
) -> None:
    gap = gap_of(contact, 100.0)
    assert gap.is_longer_than(60.0) is is_long
    assert words in gap.sentence(7)
    assert "behind line 7" in gap.sentence(7)
