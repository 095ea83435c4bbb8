"""What the benchmarks compute from what the board reports."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.bare_loop import framed, with_checksum
from benchmarks.board import Figures, figures_of, moves_crc
from benchmarks.hosts import CAREFUL, WIDE
from benchmarks.report import Table, cell
from benchmarks.throughput import Scale, board_for

FIGURES = Figures(
    moves=1001,
    seconds=2.0,
    cpu_s=0.5,
    bytes=50_000,
    crc=1,
    refused=0,
    lost=0,
    other_lines=0,
    starved=0,
    starved_ms=0.0,
    gaps=0,
    gap_ms={},
)


def test_rates_are_those_of_the_intervals_between_the_first_and_the_last_move() -> None:
    assert FIGURES.lines_per_s == 500.0
    assert FIGURES.cpu_per_10k_s == pytest.approx(0.5 / 1001 * 10_000)


def test_a_full_wire_carries_ten_bits_a_byte() -> None:
    assert FIGURES.wire_share(250_000) == 1.0
    assert FIGURES.wire_share(500_000) == 0.5


def test_nothing_measured_divides_by_nothing() -> None:
    none = Figures(**(asdict(FIGURES) | {"seconds": 0.0, "moves": 1}))
    assert (none.lines_per_s, none.wire_share(115_200)) == (0.0, 0.0)


def test_a_report_without_a_figure_is_an_error() -> None:
    document = asdict(FIGURES) | {"event": "done"}
    assert figures_of(document) == FIGURES
    del document["crc"]
    with pytest.raises(KeyError, match="crc"):
        figures_of(document)


def test_only_moves_count_and_comments_do_not(tmp_path: Path) -> None:
    part = tmp_path / "a.gcode"
    part.write_bytes(b"G28\nG1 X1 ; one\nM84\nG0 Y2\nG10 X9\n")
    assert moves_crc(part) == (2, zlib.crc32(b"G1 X1\nG0 Y2\n"))


def test_the_bare_loop_numbers_commands_and_leaves_comments_out(tmp_path: Path) -> None:
    part = tmp_path / "a.gcode"
    part.write_bytes(b"; title\nM105\n\nG1 X2 ; two\n")
    lines = list(framed(part))
    assert lines == [with_checksum(1, b"M105"), with_checksum(2, b"G1 X2")]
    assert with_checksum(2, b"M105") == b"N2 M105*37\n"  # as a real Marlin accepted it


def test_a_table_writes_missing_values_as_a_hyphen() -> None:
    table = Table("T", [("a", "A", ",d"), ("b", "B", ".1%"), ("c", "C", "")], "Note.")
    table.add(a=12345, b=0.997, c="text")
    table.add(a=None, b=None, c=None)
    assert table.markdown().splitlines() == [
        "## T",
        "",
        "Note.",
        "",
        "| A | B | C |",
        "|---|---|---|",
        "| 12,345 | 99.7% | text |",
        "| - | - | - |",
    ]
    assert cell(True, "") == "yes"


def test_a_quick_run_is_shorter_and_never_empty() -> None:
    assert Scale().moves(60_000) == 60_000
    assert Scale(quick=True).moves(60_000) == 6000
    assert Scale(quick=True).moves(500) == 300


def test_only_the_careful_window_meets_the_small_board() -> None:
    assert board_for(CAREFUL) == {"ring": 128, "slots": 4}
    assert board_for(WIDE) == {}
