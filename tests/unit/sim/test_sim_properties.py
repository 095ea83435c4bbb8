"""Whatever arrives, the firmware lives, and numbered lines are executed strictly one after the other."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sim.dialects import DIALECTS
from agent.sim.firmware import Firmware, FirmwareConfig
from tests.unit.sim.firmware_rig import Rig, framed

COMMANDS = [
    "G1 X10 Y10 E1 F3000",
    "G1 X0",
    "G1 E-5",
    "G2 X5 Y5 I2 J1",
    "G2 X1 R-3",
    "G28",
    "G29",
    "G92 E0",
    "G91",
    "G20",
    "G4 P100",
    "M104 S200",
    "M109 S60",
    "M190 R40",
    "M105",
    "M155 S1",
    "M154 S1",
    "M114",
    "M115",
    "M503",
    "M400",
    "M410",
    "M108",
    "M876 S0",
    "M0 P10",
    "M113 S1",
    "M85 S1",
    "M118 A1 x",
    "M220 S0",
    "M221 S-5",
    "M203 X0 E-1",
    "M204 S0",
    "M205 J9 B0",
    "M92 E0",
    "M302 P1",
    "M999",
    "T1",
    "M600",
    "M112",
]
NO_COUNTER_TRICKS = [text for text in COMMANDS if text not in ("M112", "M85 S1", "M0 P10", "M600")]

wild_line = st.one_of(
    st.binary(max_size=120).map(lambda data: data + b"\n"),
    st.sampled_from(COMMANDS).map(lambda text: text.encode() + b"\n"),
    st.builds(framed, st.integers(-3, 20), st.sampled_from(COMMANDS)),
    st.builds(framed, st.integers(-3, 20), st.text(max_size=40)),
    st.text(alphabet="GMNTXYZEFSPIJR*0123456789.- ;\\\x08\x00\r", max_size=60).map(
        lambda t: t.encode() + b"\n"
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(DIALECTS)),
    st.sampled_from([0, 115200]),
    st.booleans(),
    st.lists(st.tuples(wild_line, st.floats(0, 5)), max_size=25),
)
def test_no_bytes_kill_the_model(
    dialect: str, baud: int, parser: bool, script: list[tuple[bytes, float]]
) -> None:
    rig = Rig(dialect=dialect, baud=baud, emergency_parser=parser, speed=20.0, rx_buffer=64)
    for data, pause_s in script:
        rig.send(data)
        rig.wait(pause_s)
    rig.firmware.press_button(rig.now)
    rig.wait(5)
    summary = rig.firmware.summary(rig.now)
    assert summary["lines_executed"] == len(rig.firmware.executed)
    rig.firmware.reset(rig.now)
    assert rig.firmware.power == "running"


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(
        st.tuples(
            st.integers(-3, 3),  # distance from the number the host should send
            st.sampled_from(NO_COUNTER_TRICKS),
            st.sampled_from(["whole", "whole", "whole", "flipped", "unnumbered", "half"]),
        ),
        max_size=60,
    ),
    st.sampled_from([0, 115200]),
)
def test_numbered_lines_are_executed_in_strict_order(
    base: int, script: list[tuple[int, str, str]], baud: int
) -> None:
    rig = Rig(baud=baud, speed=100.0)
    rig.send(f"M110 N{base}")
    rig.wait(0.1)
    for offset, text, shape in script:
        line = framed(rig.firmware.board.counter.last + 1 + offset, text)
        if shape == "flipped":
            line = line[:3] + bytes((line[3] ^ 4,)) + line[4:]
        elif shape == "unnumbered":
            line = text.encode() + b"\n"
        elif shape == "half":
            line = line[: len(line) // 2]
        rig.send(line)
        rig.wait(0.05)
    rig.wait(120)
    numbers = [entry.n for entry in rig.firmware.executed if entry.n is not None]
    assert numbers == list(range(base + 1, base + 1 + len(numbers)))
    assert rig.firmware.board.counter.last == base + len(numbers)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["marlin-2.1", "marlin-2.0", "marlin-1.1"]),
    st.floats(0.0, 0.08),
    st.floats(0.0, 0.08),
)
def test_a_careful_host_delivers_exactly_once_through_a_bad_line(
    seed: int, dialect: str, flip_in: float, drop_ok: float
) -> None:
    """The model itself must let a host that obeys `Resend` succeed; silence is cured by a probe."""
    rig = Rig(dialect=dialect, seed=seed, flip_in=flip_in, drop_ok=drop_ok)
    job = [f"M73 P{k}" for k in range(60)]
    n = 1
    for _ in range(2000):
        if n > len(job):
            break
        heard = rig.send(framed(n, job[n - 1]))
        asked = [line for line in heard if line.startswith("Resend")]
        if not heard or asked:
            probe = [line for _ in range(20) for line in rig.send("\n" + framed(999999, "M105").decode())]
            n = int(next(line for line in reversed(probe) if line.startswith("Resend")).split(":")[1])
        else:
            n = rig.firmware.board.counter.last + 1  # an ok alone proves nothing: a line can lose its number
    assert [entry.cmd for entry in rig.firmware.executed if entry.src == "job"] == job


@given(st.lists(st.integers(1, 40), max_size=60))
@settings(max_examples=60, deadline=None)
def test_how_bytes_are_cut_into_writes_does_not_matter(cuts: list[int]) -> None:
    data = b"".join(framed(k + 1, f"G1 X{k} E{k}") for k in range(20)) + b"M105\nN5 G1*3\n"
    whole, cut = Firmware(FirmwareConfig()), Firmware(FirmwareConfig())
    answers = []
    for firmware, sizes in ((whole, [len(data)]), (cut, [*cuts, len(data)])):
        firmware.boot(0.0)
        at = 0
        for size in sizes:
            firmware.receive(data[at : at + size], 1.0)
            at += size
        firmware.advance(500.0)
        answers.append([entry[1:] for entry in firmware.executed if entry.cmd != "M105"])
    assert [(n, cmd) for _, n, cmd, _ in answers[0]] == [(n, cmd) for _, n, cmd, _ in answers[1]]


def test_checksums_of_the_tests_are_their_own() -> None:
    assert framed(3, "T0") == b"N3 T0*57\n"
    assert reduce(xor, b"N3 T0") == 57


@pytest.mark.parametrize("window", [1, 4])
def test_a_long_print_is_executed_byte_for_byte(window: int) -> None:
    rig = Rig(speed=1e6)
    rig.send("M302 P1")
    job = [f"G1 X{k % 200}.{k % 1000:03d} Y{k % 97} E.0{k % 10}" for k in range(2000)]
    sent = done = 0
    while done < len(job):
        while sent < len(job) and sent - done < window:
            sent += 1
            rig.firmware.receive(framed(sent, job[sent - 1]), rig.now)
        done += rig.until_ok().count("ok")
    assert [entry.cmd for entry in rig.firmware.executed if entry.src == "job"] == job
    assert [entry.n for entry in rig.firmware.executed if entry.src == "job"] == list(range(1, 2001))
