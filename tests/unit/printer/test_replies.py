"""Every known reply line of every firmware, and bytes that no firmware sends."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.domain import printer
from agent.printer import replies
from agent.printer.replies import (
    MAX_LINE_BYTES,
    Action,
    Greeting,
    Info,
    LastLine,
    LineFault,
    Ok,
    PrinterError,
    Reply,
    Resend,
    TemperatureReport,
    Unknown,
    parse_line,
)

SAMPLES = Path(__file__).parent / "samples"
VOCABULARY = {
    **{name: getattr(replies, name) for name in replies.__all__},
    "Temperature": printer.Temperature,
    "inf": math.inf,
}


def samples() -> list[tuple[str, bytes, str]]:
    """Read `line => reply, reply` from all files; lines carry Python's escapes."""
    cases = []
    for path in sorted(SAMPLES.glob("*.txt")):
        for row in path.read_text(encoding="utf-8").splitlines():
            if not row.startswith("#"):
                line, _, expected = row.partition(" =>")
                cases.append(
                    (path.stem, line.encode("latin-1").decode("unicode_escape").encode("latin-1"), expected)
                )
    return cases


@pytest.mark.parametrize(("firmware", "line", "expected"), samples())
def test_samples(firmware: str, line: bytes, expected: str) -> None:
    wanted = eval(f"({expected},)", dict(VOCABULARY)) if expected.strip() else ()
    assert rounded(parse_line(line)) == wanted


def rounded(found: tuple[Reply, ...]) -> tuple[Reply, ...]:
    """Round heater powers as the sample files do."""
    result: list[Reply] = []
    for reply in found:
        if isinstance(reply, TemperatureReport):
            heaters = {
                key: printer.Temperature(
                    heater.actual, heater.target, None if heater.power is None else round(heater.power, 6)
                )
                for key, heater in reply.heaters.items()
            }
            result.append(TemperatureReport(heaters, reply.waiting, reply.wait_s, reply.has_targets))
        else:
            result.append(reply)
    return tuple(result)


def test_every_kind_of_reply_has_a_sample() -> None:
    seen = {type(reply) for _, line, _ in samples() for reply in parse_line(line)}
    kinds = {kind for name, kind in VOCABULARY.items() if isinstance(kind, type) and name[0].isupper()}
    values = {kind for kind in kinds if not hasattr(kind, "__members__") and kind is not printer.Temperature}
    assert values == seen


@given(st.binary(max_size=300))
@example(b"")
@example(b"NAME")
@example(b"FIRMWARE_NAME:")
@example(b"{" * 5000 + b"}")
@example(b"T:" * 3000)
@example(b"X: Y:" * 1000)
@example(b"Cap:" * 1000)
def test_no_bytes_raise(line: bytes) -> None:
    assert isinstance(parse_line(line), tuple)


@given(
    st.sampled_from([line for _, line, _ in samples() if line]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 60),
)
def test_damaged_samples_do_not_raise(line: bytes, damage: list[tuple[int, int]], cut: int) -> None:
    broken = bytearray(line)
    for place, byte in damage:
        broken[place % len(broken)] = byte
    assert isinstance(parse_line(bytes(broken)), tuple)
    assert isinstance(parse_line(bytes(broken[:cut])), tuple)
    assert isinstance(parse_line(bytes(broken[cut:])), tuple)


@given(st.text(st.characters(codec="latin-1"), max_size=40), st.integers(-999, 10**9))
def test_an_ok_is_never_made_of_something_else(text: str, number: int) -> None:
    line = f"{text}{number}".encode("latin-1")
    if not line.strip(b" \t\r\n\x00").startswith(b"ok"):
        count = sum(isinstance(reply, Ok) for reply in parse_line(line))
        assert count == 0


@pytest.mark.parametrize("size", [MAX_LINE_BYTES + 1, 100_000])
@pytest.mark.parametrize("byte", [b"x", b"T:1 ", b"\xff", b"ok ", b"Cap:A:1 ", b" ", b"X:1 Y:2 ", b"=", b"/"])
def test_endless_lines_are_cut(size: int, byte: bytes) -> None:
    line = (byte * size)[:size]
    for reply in parse_line(line):
        if isinstance(reply, Unknown | Info):
            assert len(reply.text) <= MAX_LINE_BYTES


@given(st.integers(-(10**6), 10**9))
def test_resend_forms(number: int) -> None:
    forms = [f"Resend: {number}", f"Resend:{number}", f"  Resend: {number} \r"]
    if number >= 0:
        forms += [
            f"rs {number}",
            f"rs N{number}",
            f"Resend: N:{number}",
            f"rs N{number} expected checksum 109",
        ]
    for form in forms:
        assert parse_line(form.encode()) == (Resend(number),)


def test_numbers_of_any_length_are_no_trap() -> None:
    assert parse_line(b"Resend: " + b"9" * 4000) == (Unknown("Resend: " + "9" * 4000),)
    assert not any(isinstance(reply, LastLine) for reply in parse_line(b"Error:x, Last Line: " + b"9" * 4000))
    assert parse_line(b"ok N" + b"9" * 30)[0] == Ok()


def test_line_ends_blanks_and_zeros_around_a_line_do_not_matter() -> None:
    for line in (b"ok", b"ok\r", b" ok ", b"\x00ok\x00", b"\tok\r\n"):
        assert parse_line(line) == (Ok(),)
    assert parse_line(b" \r\x00 ") == ()


def test_a_greeting_is_found_behind_the_noise_of_a_boot_loader() -> None:
    assert parse_line(b"\x00\xfe\x80\xf8start") == (Greeting("start"),)
    assert parse_line(b"restart") == (Unknown("restart"),)


def test_a_garbled_temperature_is_dropped_not_guessed() -> None:
    assert parse_line(b"T:2x1.97 /0.00") == (Unknown("T:2x1.97 /0.00"),)
    (reply,) = parse_line(b"T:21.97 /0.00 B\xd3:21.97 /0.00")
    assert isinstance(reply, Unknown)
    assert reply.garbled


def test_a_refused_line_with_noise_in_its_reason_still_names_the_number() -> None:
    assert parse_line(b"Error:chXcksum misXatch, Last Line: 41") == (LastLine(41, LineFault.OTHER),)


def test_actions_are_lower_case_names_with_their_text() -> None:
    assert parse_line(b"//action:Prompt_Begin  Nozzle: clean?") == (Action("prompt_begin", "Nozzle: clean?"),)


@pytest.mark.parametrize(
    "line",
    [
        b"Error:Line Number is not Last Line Number+1, La{t Line: 35752",
        b"Error:Lin` Number is not Last Line Number+1, Last Line: 357q2",
        b"Error:Line Number is not Last LineNumber+1, Last Line; 12",
        b"Error:Line Number is not La",
        b"Error:expected lime 17 got 12",
    ],
)
def test_a_damaged_refusal_is_noise_and_no_trouble_of_the_job(line: bytes) -> None:
    assert [type(reply) for reply in parse_line(line)] == [Unknown]


@pytest.mark.parametrize(
    "line", [b"Error:cold extrusion", b"Error:Probe failed at last point", b"Error:Line too long"]
)
def test_other_errors_are_believed(line: bytes) -> None:
    assert isinstance(parse_line(line)[0], PrinterError)
