"""Line numbers and checksums as they go over the wire."""

from __future__ import annotations

from functools import reduce
from operator import xor

from hypothesis import given
from hypothesis import strategies as st

from agent.printer import framing
from agent.printer.dialects import PROBE_COMMAND
from agent.sim.lines import xor_checksum

COMMANDS = st.lists(st.binary(min_size=1, max_size=60).filter(lambda text: b"\n" not in text), max_size=20)


def test_known_checksums() -> None:
    """Accepted by real Marlin firmware."""
    assert framing.frame(3, b"M105") == b"N3 M105*36\n"
    assert framing.frame(13, b"G1 X26 F600") == b"N13 G1 X26 F600*54\n"
    assert framing.frame(100, b"M110") == b"N100 M110*34\n"


def test_the_question_is_the_one_of_the_handshake() -> None:
    assert framing.probe() == b"\n" + PROBE_COMMAND + b"\n"
    assert framing.probe(5) == b"\n" + framing.frame(5, b"M105")


def test_setting_the_number_names_it_twice() -> None:
    assert framing.set_number(41) == framing.frame(41, b"M110 N41")


def test_plain_lines_carry_nothing() -> None:
    assert framing.frame_plain(b"G28") == b"G28\n"
    assert framing.build_chunk(1, None, [b"G28", b"G1 X1"]).data == b"G28\nG1 X1\n"


@given(st.binary(max_size=600))
def test_the_checksum_is_the_one_the_firmware_model_computes(data: bytes) -> None:
    assert framing.checksum(data) == xor_checksum(data) == reduce(xor, data, 0)


@given(COMMANDS, st.integers(1, 1_000_000), st.integers(0, 9_000_000))
def test_a_chunk_is_its_lines_one_after_the_other(commands: list[bytes], first: int, base: int) -> None:
    chunk = framing.build_chunk(first, base, commands)
    lines = [chunk.data[chunk.ends[i] : chunk.ends[i + 1]] for i in range(chunk.count)]
    assert lines == [framing.frame(base + first + i, command) for i, command in enumerate(commands)]
    assert b"".join(lines) == chunk.data


def test_a_token_changes_nothing_else() -> None:
    chunk = framing.build_chunk(1, 5, [b"M114"], barrier=True)
    marked = framing.with_token(chunk, 9)
    assert (marked.token, marked.data, marked.barrier, chunk.token) == (9, chunk.data, True, None)
