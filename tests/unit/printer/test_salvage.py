"""What is proposed after a reset, and the commands of the return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.domain.artefact import Layer, Severity
from agent.domain.prints import OutcomeState, SalvagePlan
from agent.gcode.modal import ModalState
from agent.gcode.rules import Origin, check_command
from agent.printer import salvage
from agent.printer.dialects import MARLIN_2, by_name
from agent.printer.print_access import Wanted
from agent.printer.salvage import Proposal, Return, propose, read_return
from tests.unit.printer.prepared_files import prepared_of, profile, write
from tests.unit.printer.print_bench import BASE, LINES, Bench, over

START = [b"G28", b"G90", b"M82", b"M140 S60", b"M104 S210", b"M204 P900"]


def tower(layers: int = 5, moves: int = 200, hop: bool = False) -> list[bytes]:
    lines = list(START)
    for layer in range(layers):
        lines.append(b"G1 Z%.1f F600" % (0.2 * (layer + 1)))
        for move in range(moves):
            if hop and move == moves // 2:
                lines += [
                    b"G1 Z%.1f" % (0.2 * (layer + 1) + 0.4),
                    b"G1 X5",
                    b"G1 Z%.1f" % (0.2 * (layer + 1)),
                ]
            lines.append(b"G1 X%d Y%d E%d" % (50 + move % 90, 60, layer * moves + move))
    return lines


def layers_of(lines: list[bytes]) -> tuple[Layer, ...]:
    found = [(number, line) for number, line in enumerate(lines, 1) if line.endswith(b" F600")]
    return tuple(Layer(number, float(line.split()[1][1:])) for number, line in found)


def proposed(folder: Path, lines: list[bytes], line: int, doubt_s: float = 0.0, **changes: Any) -> Proposal:
    prepared = prepared_of(
        lines, 100, times=tuple(range(0, len(lines) // 10 + 10, 10)), layers=layers_of(lines)
    )
    path = write(folder / "part", lines)
    return propose(path, prepared, line, doubt_s, (profile(**changes), MARLIN_2))


def test_in_the_middle_of_a_layer_it_is_certain(tmp_path: Path) -> None:
    found = proposed(tmp_path, tower(), 520)
    assert (found.layer, found.layers, found.height_mm) == (3, 5, 0.6)
    assert (found.certain, found.start_line, found.obstacle) == (True, 481, "")
    assert found.candidates == ((3, 0.6),)


def test_near_a_layer_change_both_layers_are_named_and_nothing_before_the_layer_is_printed_again(
    tmp_path: Path,
) -> None:
    lines = tower()
    change = layers_of(lines)[2].line
    found = proposed(tmp_path, lines, change + 5)
    assert not found.certain
    assert found.candidates == ((2, 0.4), (3, 0.6))
    assert found.start_line == change
    assert [layer for layer, _ in proposed(tmp_path, lines, change - 30).candidates] == [2, 3]


def test_what_was_printed_after_the_last_note_widens_the_doubt(tmp_path: Path) -> None:
    found = proposed(tmp_path, tower(), 250, doubt_s=40.0)
    assert [layer for layer, _ in found.candidates] == [2, 3, 4, 5]
    assert not found.certain
    assert "40 s of printing" in found.cautions[0]


def test_a_hop_and_a_lost_levelling_are_told(tmp_path: Path) -> None:
    hopping = tower(hop=True)
    middle = layers_of(hopping)[2].line + 105
    found = proposed(tmp_path, hopping, middle)
    assert not found.certain
    assert "0.4 mm above its layer" in found.cautions[0]
    levelled = [b"G28", b"G29", *tower()[1:]]
    assert "G29" in proposed(tmp_path, levelled, 520).cautions[0]


@pytest.mark.parametrize(("line", "changes", "words"), [
    (3, {}, "nothing was printed"),
    (520, {"extruders": 2}, "more than one tool"),
    (520, {"volume_mm": (220.0, 220.0, 2.0)}, "no room above"),
])  # fmt: skip
def test_what_cannot_be_salvaged_says_why(tmp_path: Path, line: int, changes: Any, words: str) -> None:
    found = proposed(tmp_path, tower(), line, **changes)
    assert words in found.obstacle
    assert not found.document()["possible"]


@pytest.mark.parametrize("dialect", ["klipper", "reprap", "repetier", "generic"])
def test_a_firmware_without_a_trustworthy_counter_is_an_obstacle(tmp_path: Path, dialect: str) -> None:
    known = by_name(dialect)
    assert known is not None
    lines = tower()
    prepared = prepared_of(lines, 100, layers=layers_of(lines))
    assert propose(write(tmp_path / "p", lines), prepared, 520, 0.0, (profile(), known)).obstacle


def back_of(folder: Path, lines: list[bytes], line: int, stands_mm: float) -> Return:
    prepared = prepared_of(lines, 100, layers=layers_of(lines))
    back = read_return(write(folder / "p", lines), prepared, line, stands_mm, ModalState.start("marlin"))
    assert back is not None
    return back


def test_the_return_never_homes_z_and_passes_the_rules(tmp_path: Path) -> None:
    back = back_of(tmp_path, tower(), 480, 0.6)
    machine = profile()
    way = [
        *salvage.heat(back.modal),
        *salvage.lift(back, machine),
        *salvage.home(),
        *salvage.approach(back, machine),
    ]
    assert way == [
        "M190 S60", "M109 S210",
        "G92 Z0.6", "G91", "G1 Z10 F600", "G90", "M400", "M114",
        "G28 X Y", "M400", "M114",
        "M204 P900", "M83", "G1 E10 F150", "G1 E-2 F2100", "G90", "G1 X120 Y60 F6000", "G1 Z0.6 F600", "G1 E2 F2100",
        "G92 E470", "M82", "G90", "G1 F600", "M400",
    ]  # fmt: skip
    for command in way:
        findings = check_command(command, machine, "marlin", origin=Origin.SCRIPT)
        assert not [finding for finding in findings if finding.severity is Severity.ERROR], command


def test_the_head_travels_above_earlier_objects_that_are_taller(tmp_path: Path) -> None:
    lines = [
        *START,
        b"G1 Z30 F600",
        b"G1 X5 Y5 E1",
        b"G1 Z0.2 F600",
        *[b"G1 X%d Y9 E2" % x for x in range(50)],
    ]
    back = back_of(tmp_path, lines, 40, 0.2)
    assert back.travel_mm(profile()) == 40.0
    assert "G1 Z39.8 F600" in salvage.lift(back, profile())
    assert back.lift_mm(profile(volume_mm=(220.0, 220.0, 31.0))) == 1.0


def test_a_file_that_does_not_tell_the_place_is_not_returned_to(tmp_path: Path) -> None:
    lines = [*START, b"G91", *[b"G1 X1 Y1 E1"] * 50]
    prepared = prepared_of(lines, 100)
    assert read_return(write(tmp_path / "p", lines), prepared, 30, 0.2, ModalState.start("marlin")) is None


def use_tower(bench: Bench) -> list[bytes]:
    """A print of one layer that tells its height."""
    lines = [*LINES[:3], b"G1 Z0.2 F600", *LINES[3:]]
    bench.path = write(bench.folder / "part", lines)
    bench.prepared = prepared_of(lines, 100, layers=(Layer(4, 0.2),))
    return lines


async def test_a_board_that_does_not_stand_where_it_woke_up_was_moved(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    try:
        use_tower(bench)
        with bench.printer.lock:
            bench.printer.firmware.board.motion.set_position((0.0, 0.0, 5.0, 0.0))
        outcome = await over(bench.run(salvage=SalvagePlan("p-0", 100, 0.2)))
        assert (outcome.state, outcome.reason) == (OutcomeState.FAILED, "not_salvaged")
        assert "moved since the reset" in outcome.detail
        assert bench.printer.executed() == []
        assert "M104 S0" in bench.printer.host_commands()
        assert not [cmd for cmd in bench.printer.host_commands() if cmd.startswith(("G1", "G28", "G92"))]
    finally:
        await bench.access.close()
        bench.printer.close()


@pytest.mark.parametrize("wanted", [None, Wanted.CANCEL])
async def test_the_return_goes_on_behind_the_line_or_is_cancelled(
    tmp_path: Path, wanted: Wanted | None
) -> None:
    bench = Bench(tmp_path)
    try:
        lines = use_tower(bench)
        run = bench.run(salvage=SalvagePlan("p-0", 100, 0.2))
        if wanted is not None:
            run.want(wanted)
        outcome = await over(run)
        if wanted is Wanted.CANCEL:
            assert outcome.state is OutcomeState.CANCELLED
            assert bench.printer.executed() == []
        else:
            assert outcome.state is OutcomeState.COMPLETED, outcome
            assert bench.printer.executed() == lines[100:]
            assert outcome.stats["counter"] == BASE + len(lines)
            assert outcome.stats["counted_from_line"] == 100
            assert "G28 X Y" in bench.printer.host_commands()
    finally:
        await bench.access.close()
        bench.printer.close()
