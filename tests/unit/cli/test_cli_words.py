"""Wording, sparklines and the live view: pure functions of a document."""

from __future__ import annotations

import io
import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.cli import wording
from agent.cli.follow import outcome_code
from agent.cli.sparkline import sparkline
from agent.cli.summary import one_line, summary
from agent.cli.view import render, render_absence
from agent.control.status import StatusParts, status_document
from agent.control.unit import UnitIdentity
from agent.domain.printer import PrinterSnapshot, PrinterState
from tests.unit.control.fake_unit import FakeUnit, make_job, printing_unit, with_prompt

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"), (-3, "0 s"), (0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3569, "59 min"), (3599, "1 h 00 min"),
        (3900, "1 h 05 min"), (172_799, "2 d 0 h"), (200_000, "2 d 7 h"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, words: str) -> None:
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5e9, "5.0 GB"),
        (5e13, "50000.0 GB"),
    ],
)
def test_size(size: float, words: str) -> None:
    assert wording.size(size) == words


@pytest.mark.parametrize(
    ("fraction", "words"), [(0, "0 %"), (0.999, "99 %"), (1, "100 %"), (7, "100 %"), (-1, "0 %")]
)
def test_percent_is_100_only_at_the_end(fraction: float, words: str) -> None:
    assert wording.percent(fraction) == words


@given(st.text())
def test_printable_text_stays_on_its_line(text: str) -> None:
    assert wording.printable(text).isprintable()
    assert len(wording.printable(text)) == len(text)


def test_heaters_have_names() -> None:
    assert [wording.heater_name(key) for key in ("T0", "T1", "B", "C", "X")] == [
        "nozzle",
        "nozzle 1",
        "bed",
        "chamber",
        "X",
    ]


def test_a_moment_is_local_time() -> None:
    assert wording.moment(None) == "-"
    assert wording.moment(0) == time.strftime("%Y-%m-%d %H:%M", time.localtime(0))


def test_the_worst_outcome_counts() -> None:
    assert outcome_code([]) == 0
    assert outcome_code([{"state": "completed"}, {"state": "failed"}]) == 1
    assert outcome_code([{"state": "rejected"}, {"state": "failed"}]) == 4


point = st.tuples(st.floats(0, 600), st.floats(-20, 400), st.floats(0, 300)).map(list)


@given(points=st.lists(point, max_size=150), columns=st.integers(0, 80), is_ascii=st.booleans())
def test_a_sparkline_is_as_wide_as_asked(points: list[list[float]], columns: int, is_ascii: bool) -> None:
    line = sparkline(points, columns, is_ascii=is_ascii)
    assert len(line) == (columns if points else 0)
    assert set(line) <= set(" _.-:=+*#" if is_ascii else " ▁▂▃▄▅▆▇█")


def test_a_sparkline_rises_as_the_nozzle_heats() -> None:
    line = sparkline([[10.0 - age, 20.0 + 20.0 * age, 220.0] for age in range(11)], 11)
    assert line == "▁▂▂▃▄▅▅▆▇▇█" or list(line) == sorted(line)
    assert (line[0], line[-1]) == ("▁", "█")


def test_a_steady_nozzle_is_a_steady_line() -> None:
    noise = itertools.cycle([-0.4, 0.3, 0.0, 0.5])
    line = sparkline([[float(age), 215.0 + next(noise), 215.0] for age in range(100, -1, -1)], 40)
    assert len(set(line)) == 1


def document(unit: FakeUnit, **changes: Any) -> dict[str, Any]:
    """The stream's document for a unit."""
    jobs = [job for job in unit.queue.jobs if not job.state.is_terminal]
    status = status_document(
        StatusParts(
            identity=UnitIdentity("unit-1", "Workshop MK3S", "0.1.0", 1, 0.0),
            printer=unit.printer.view, jobs=jobs, bed=unit.queue.bed_state, link=None, warnings=(),
            now_s=600.0, now_ms=1_790_000_000_000, samples=unit.printer.telemetry,
        )
    )  # fmt: skip
    return {**status, **changes}


def drawn(status: dict[str, Any], width: int, **options: Any) -> list[str]:
    """Draw and return lines."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, **options).print(render(status))
    return [line.rstrip() for line in out.getvalue().splitlines()]


SITUATIONS: dict[str, Callable[[], FakeUnit]] = {
    "printing": lambda: printing_unit(now_s=600.0),
    "prompt": lambda: with_prompt(printing_unit(now_s=600.0)),
    "empty": FakeUnit,
}


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 200])
@pytest.mark.parametrize("situation", sorted(SITUATIONS))
def test_the_view_fits_every_width(situation: str, width: int) -> None:
    lines = drawn(document(SITUATIONS[situation]()), width)
    assert max(len(line) for line in lines) <= min(width, 100)
    assert lines


def test_the_view_shows_what_matters() -> None:
    text = "\n".join(drawn(document(printing_unit(now_s=600.0)), 90))
    for part in (
        "● printing", "Workshop MK3S", "bracket.gcode  copy 1 of 2  PETG", "42 %", "52 min left · done about",
        "layer 45/120 · 9.20 mm high · line 12345/29876", "nozzle  214.8  of 215 °C", "bed      60.1", "█████",
        "gear.gcode  0/3", "ready  22 min", "held", "bed occupied", "stand-alone", "3 resends · 1 garbled",
    ):  # fmt: skip
        assert part in text, part


def test_a_narrow_view_breaks_between_facts_not_inside() -> None:
    lines = [line.strip() for line in drawn(document(printing_unit(now_s=600.0)), 40)]
    assert "layer 45/120 · 9.20 mm high" in lines
    assert "line 12345/29876" in lines


def test_a_question_comes_before_everything_else() -> None:
    lines = drawn(document(with_prompt(printing_unit(now_s=600.0))), 70)
    question = next(index for index, line in enumerate(lines) if "Filament runout" in line)
    assert question < next(index for index, line in enumerate(lines) if "bracket.gcode" in line)
    assert any("fabunit answer NUMBER" in line for line in lines)


def test_a_long_queue_ends_with_a_count() -> None:
    unit = printing_unit(now_s=600.0)
    unit.queue.jobs += [make_job(f"k-{number}") for number in range(20)]
    assert "and 16 more" in "\n".join(drawn(document(unit), 80))


def test_a_terminal_without_unicode_gets_ascii_curves() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    Console(file=out, width=80, color_system=None).print(render(document(printing_unit(now_s=600.0))))
    out.flush()
    raw = out.buffer.getvalue()
    assert b"####" in raw


def test_foreign_text_is_not_markup_and_no_escape() -> None:
    unit = printing_unit(now_s=600.0)
    unit.queue.jobs[0] = replace(unit.queue.jobs[0], name="[bold]x[/bold]\x1b[2J.gcode")
    text = "\n".join(drawn(document(unit), 90))
    assert "[bold]x[/bold]?[2J.gcode" in text


def test_warnings_and_absence_are_said() -> None:
    text = "\n".join(drawn(document(FakeUnit(), warnings=["disk nearly full"]), 60))
    assert "! disk nearly full" in text
    out = io.StringIO()
    Console(file=out, width=60).print(render_absence())
    assert "no daemon" in out.getvalue()


def test_plain_forms_never_contain_styles() -> None:
    status = document(with_prompt(printing_unit(now_s=600.0)))
    assert "\x1b" not in summary(status) + one_line(status)


@given(state=st.sampled_from(list(PrinterState)), detail=st.text(max_size=30), name=st.text(max_size=300))
def test_any_state_can_be_drawn_and_written(state: PrinterState, detail: str, name: str) -> None:
    unit = FakeUnit()
    unit.printer.view = PrinterSnapshot(state=state, detail=detail, message=name, port=name)
    unit.queue.jobs = [make_job("j-1", name=name)]
    status = document(unit)
    assert drawn(status, 40)
    assert state.value in summary(status)
