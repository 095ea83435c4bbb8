"""The line engine against the virtual printer's firmware model: every dialect, clean and noisy, in virtual time."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from agent.printer.dialects import Dialect, by_name
from agent.printer.engine import LineEngine
from agent.printer.engine_events import Drained, Failed, Reported, SessionOpened, StreamDone, Verdict
from agent.printer.feeder import split_at_blocking
from agent.printer.framing import build_chunk
from agent.printer.window import WindowSize
from agent.sim.firmware import Firmware, FirmwareConfig
from tests.sim_conversation import SimConversation

COUNTING = {
    "marlin-2.1": "marlin",
    "marlin-2.0": "marlin_20",
    "marlin-1.1": "marlin_1",
    "prusa-mk3": "prusa",
    "repetier": "repetier",
    "smoothieware": "smoothie",
}
Settings = dict[str, Any]
NOISE: dict[str, Settings] = {
    "damaged": {"flip_in": 0.02, "flip_out": 0.02},
    "oks": {"drop_ok": 0.02, "double_ok": 0.02},
    "bytes": {"drop_bytes": 0.01, "drop_bytes_out": 0.01},
    "all": {"flip_in": 0.01, "flip_out": 0.01, "drop_ok": 0.01, "double_ok": 0.01, "drop_bytes": 0.01},
}
AVR: Settings = {"baud": 115200, "rx_buffer": 128, "slots": 4}


def part(moves: int, seed: int = 1) -> list[bytes]:
    """A small print: home, heat, short moves, cool."""
    rng = random.Random(seed)
    lines = [b"G28", b"M104 S200", b"M140 S60", b"M190 S60", b"M109 S200", b"G92 E0", b"G90", b"M83"]
    for index in range(moves):
        x, y = 100 + rng.uniform(-3, 3), 100 + rng.uniform(-3, 3)
        lines.append(b"G1 X%.3f Y%.3f E%.4f F3000" % (x, y, 0.01 + index % 9 / 1000))
    return [*lines, b"M104 S0", b"M140 S0", b"M84"]


@dataclass
class Run:
    """A print between the engine and one model."""

    conversation: SimConversation
    engine: LineEngine
    firmware: Firmware
    lines: list[bytes]

    def executed(self) -> list[bytes]:
        return [e.cmd.encode("latin-1") for e in self.firmware.executed if e.src == "job"]

    def end(self) -> object:
        return self.conversation.run_until(StreamDone, Failed)

    def lost_bytes(self) -> int:
        return int(str(self.firmware.summary(self.conversation.now)["bytes_lost"]))


def dialect_of(name: str) -> Dialect:
    dialect = by_name(name)
    assert dialect is not None
    return dialect


def start(
    board: str,
    dialect: str,
    lines: list[bytes],
    size: WindowSize | None = None,
    base: int = 21_000,
    **settings: Any,
) -> Run:
    """Open a session and hand over all lines; the window is watched at every write."""
    known = dialect_of(dialect)
    limit = size or WindowSize(known.window_lines, known.window_bytes)
    firmware = Firmware(FirmwareConfig(dialect=board, **{"speed": 50.0, **settings}))
    engine = LineEngine(known, limit)
    window = engine.window

    def watch() -> None:
        assert window.in_flight <= limit.lines
        flying = sum(sizes[window.acked : window.sent])
        assert window.in_flight <= 1 or flying <= limit.bytes

    conversation = SimConversation.booted(engine, firmware, watch)
    number = base if known.numbered else None
    sizes: list[int] = []
    engine.open(base, 0, conversation.now)
    conversation.run_until(SessionOpened)
    first = 1
    for run, barrier in split_at_blocking(lines):
        chunk = build_chunk(first, number, run, barrier=barrier)
        sizes += [chunk.ends[i + 1] - chunk.ends[i] for i in range(chunk.count)]
        engine.push(chunk)
        first += len(run)
    engine.finish()
    return Run(conversation, engine, firmware, lines)


@pytest.mark.parametrize("board", COUNTING)
def test_a_clean_print_is_exact_and_nothing_overflows(board: str) -> None:
    run = start(board, COUNTING[board], part(400), **AVR)
    done = run.end()
    assert isinstance(done, StreamDone), done
    assert done.counter == 21_000 + len(run.lines)
    assert run.executed() == run.lines
    assert run.lost_bytes() == 0
    assert run.engine.resends == 0


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("board", COUNTING)
def test_a_noisy_print_is_exact(board: str, noise: str) -> None:
    for seed in (1, 2):
        run = start(
            board, COUNTING[board], part(250, seed), seed=seed, latency_s=0.001, **AVR, **NOISE[noise]
        )
        done = run.end()
        assert isinstance(done, StreamDone), done
        assert run.executed() == run.lines
        assert run.lost_bytes() == 0


@pytest.mark.parametrize(
    "settings", [{"advanced_ok": True}, {"no_timeouts": True}, {"slots": 16}, {"baud": 250000}]
)
def test_builds_of_marlin(settings: dict[str, Any]) -> None:
    run = start("marlin-2.1", "marlin", part(300), **{**AVR, **settings}, **NOISE["all"])
    assert isinstance(run.end(), StreamDone)
    assert run.executed() == run.lines
    assert run.lost_bytes() == 0


@pytest.mark.parametrize(("lines", "size"), [(1, 96), (2, 120), (8, 500), (16, 1000)])
def test_windows_of_all_sizes_on_a_native_usb_board(lines: int, size: int) -> None:
    run = start("marlin-2.1", "marlin", part(300), WindowSize(lines, size), **NOISE["all"])
    assert isinstance(run.end(), StreamDone)
    assert run.executed() == run.lines


@pytest.mark.parametrize("board", ["marlin-2.1", "marlin-1.1"])
def test_slow_moves_overflow_nothing(board: str) -> None:
    """Moves of many seconds: every slot is taken, questions wait in the receive ring."""
    lines = [b"G1 X%d Y50.123 E0.12345 F180" % (100 + index % 2 * 30) for index in range(40)]
    run = start(board, COUNTING[board], lines, speed=1.0, **AVR)
    assert isinstance(run.end(), StreamDone)
    assert run.executed() == lines
    assert run.lost_bytes() == 0
    assert run.engine.timeouts < 10


@pytest.mark.parametrize("board", COUNTING)
def test_long_blocking_commands_are_waited_for(board: str) -> None:
    run = start(
        board, COUNTING[board], [b"G28", b"M109 S200", b"G4 P20000", b"G1 X1 F3000"], speed=1.0, **AVR
    )
    assert isinstance(run.end(), StreamDone)
    if board == "repetier":  # its ok says received, not executed
        for _ in range(1000):
            run.conversation.step()
    assert run.executed() == run.lines
    assert run.engine.resends == 0


def test_the_lost_ok_of_a_heat_up_is_found_out_without_keepalive() -> None:
    for seed in range(1, 8):
        lines = [b"G28", b"M109 S200", b"M190 S60", b"G4 P5000", b"G1 X1 F3000"]
        run = start("marlin-1.1", "marlin_1", lines, seed=seed, speed=5.0, drop_ok=0.3)
        assert isinstance(run.end(), StreamDone)
        assert run.executed() == run.lines
        assert run.conversation.now < 100 + 120


def test_a_wrapping_counter_gets_every_line_and_no_question_is_executed() -> None:
    """Repetier counts modulo 65,536: 999,999,999 would be 51,711 there and could be the very line expected."""
    run = start("repetier", "repetier", part(500), base=51_500, **AVR)
    done = run.end()
    assert isinstance(done, StreamDone)
    assert done.counter == 51_500 + len(run.lines)
    assert run.executed() == run.lines
    wrapped = start("repetier", "repetier", part(500), base=65_300, **AVR, **NOISE["all"])
    assert isinstance(wrapped.end(), StreamDone)
    assert wrapped.executed() == wrapped.lines


@pytest.mark.parametrize("board", COUNTING)
@pytest.mark.parametrize("after", [40, 700])
def test_a_reset_board_is_never_continued(board: str, after: int) -> None:
    run = start(board, COUNTING[board], part(600), **AVR)
    for _ in range(after):
        run.conversation.step()
    run.firmware.reset(run.conversation.now)
    before = len(run.executed())
    end = run.end()
    assert isinstance(end, Failed)
    assert end.verdict is Verdict.RESET
    assert len(run.executed()) == before


@pytest.mark.parametrize("board", COUNTING)
def test_a_dead_processor_is_given_up(board: str) -> None:
    run = start(board, COUNTING[board], part(600), **AVR)
    for _ in range(500):
        run.conversation.step()
    run.firmware.die(run.conversation.now)
    end = run.end()
    assert isinstance(end, Failed)
    assert end.verdict is Verdict.SILENT


@pytest.mark.parametrize("board", COUNTING)
def test_a_hold_stops_at_an_exact_line_and_another_engine_goes_on(board: str) -> None:
    run = start(board, COUNTING[board], part(400), **AVR)
    for _ in range(600):
        run.conversation.step()
    run.engine.hold()
    drained = run.conversation.run_until(Drained, Failed)
    assert isinstance(drained, Drained)
    other = LineEngine(run.engine.dialect, WindowSize(4, 120))
    conversation = SimConversation(other, run.firmware)
    conversation.now = run.conversation.now
    other.adopt(21_000, drained.line, conversation.now)
    other.push(build_chunk(drained.line + 1, 21_000, run.lines[drained.line :]))
    other.finish()
    assert isinstance(conversation.run_until(StreamDone, Failed), StreamDone)
    assert run.executed() == run.lines


@pytest.mark.parametrize(("board", "dialect"), [("reprapfirmware", "reprap"), ("klipper", "klipper")])
def test_firmware_without_a_counter_gets_one_line_at_a_time(board: str, dialect: str) -> None:
    run = start(board, dialect, part(150))
    for _ in range(2000):
        run.engine.poll()
        run.conversation.step()
    done = run.end()
    assert done == StreamDone(len(run.lines), None)
    executed = [e.cmd.encode() for e in run.firmware.executed if e.cmd != "M105"]
    assert executed == run.lines


def test_a_line_lost_without_a_counter_stops_the_print_and_is_never_repeated() -> None:
    """RepRapFirmware drops a damaged line without a word."""
    for seed in range(1, 6):
        run = start("reprapfirmware", "reprap", part(300), seed=seed, flip_in=0.01)
        end = run.end()
        executed = [e.cmd.encode() for e in run.firmware.executed if e.n is not None]
        assert executed == run.lines[: len(executed)]
        assert isinstance(end, Failed)
        assert end.verdict is Verdict.UNCERTAIN
        assert end.detail.startswith(f"line {len(executed) + 1} ")


def test_a_lost_ok_without_a_counter_stops_the_print_too() -> None:
    run = start("reprapfirmware", "reprap", part(300), drop_ok=0.02)
    end = run.end()
    assert isinstance(end, Failed)
    assert end.verdict is Verdict.UNCERTAIN
    executed = [e.cmd.encode() for e in run.firmware.executed if e.n is not None]
    assert executed == run.lines[: len(executed)]


def test_a_late_poll_answer_is_no_ok_without_a_counter() -> None:
    """A poll that was given up and answered later must not acknowledge a line: its loss would go unnoticed."""
    engine = LineEngine(dialect_of("klipper"), WindowSize(1, 256))
    engine.open(0, 0, 100.0)
    engine.poll()
    assert engine.outgoing(100.0) == b"M105\n"
    engine.on_deadline(104.0)
    engine.push(build_chunk(1, None, [b"G1 X1", b"G1 X2"]))
    assert engine.outgoing(104.0) == b"G1 X1\n"
    engine.feed(b"ok B:23.0 /0.0 T0:24.0 /0.0\n", 104.1)
    assert engine.window.acked == 0
    engine.feed(b"ok\n", 104.2)
    assert engine.window.acked == 1
    assert any(isinstance(event, Reported) for event in engine.take_events())


def test_a_long_command_without_a_counter_is_not_flooded_with_questions() -> None:
    engine = LineEngine(dialect_of("klipper"), WindowSize(1, 256))
    engine.open(0, 0, 100.0)
    engine.push(build_chunk(1, None, [b"G28"], barrier=True))
    engine.outgoing(100.0)
    questions = 0
    for second in range(101, 160):
        engine.on_deadline(float(second))
        questions += engine.outgoing(float(second)).count(b"M105\n")
    assert 1 <= questions <= 3
    engine.feed(b"ok\n" + b"ok B:23.0 /0.0 T0:24.0 /0.0\n" * questions, 160.0)
    assert engine.window.acked == 1
    assert not [event for event in engine.take_events() if isinstance(event, Failed)]


def test_m105_in_a_job_is_acknowledged_by_its_answer() -> None:
    engine = LineEngine(dialect_of("klipper"), WindowSize(1, 256))
    engine.open(0, 0, 100.0)
    engine.push(build_chunk(1, None, [b"M105", b"G1 X2"]))
    engine.outgoing(100.0)
    engine.feed(b"ok B:23.0 /0.0 T0:24.0 /0.0\n", 100.1)
    assert engine.window.acked == 1


def test_a_restart_of_a_firmware_without_a_counter_is_final() -> None:
    engine = LineEngine(dialect_of("reprap"), WindowSize(1, 96))
    engine.open(20_000, 0, 100.0)
    engine.push(build_chunk(1, 20_000, [b"G1 X1"]))
    engine.outgoing(100.0)
    engine.feed(b"RepRapFirmware for Duet 2 WiFi/Ethernet is up and running.\n", 100.1)
    (failed,) = [event for event in engine.take_events() if isinstance(event, Failed)]
    assert failed.verdict is Verdict.RESET
