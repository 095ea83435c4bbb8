from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import paths
from agent.domain.artefact import Severity
from agent.domain.errors import ArtefactError, FabunitError, StorageError
from agent.domain.profile import PrinterProfile
from agent.gcode.blocks import BLOCK_BYTES, MAX_LINE_BYTES, BlockReader
from agent.gcode.finding_ids import LOWERABLE, SEVERITIES, check_severity
from agent.gcode.plain import plain_run
from agent.gcode.prepare import prepare
from agent.gcode.prepared_file import remove_leftovers
from agent.gcode.rules import MAX_COMMAND_BYTES
from agent.gcode.scan import OFFSET_STEP
from agent.slicing.profiles import load_profile
from tests.unit.gcode.gate_runner import Gate, ids

START = "M140 S60\nM104 S200\nG28\nG90\nM83\nM190 S60\nM109 S200\n"
END = "M104 S0\nM140 S0\nM84\n"


def numbers(low: float, high: float, places: int) -> st.SearchStrategy[str]:
    return st.floats(low, high, allow_nan=False).map(lambda value: f"{value:.{places}f}")


@st.composite
def slicer_lines(draw: st.DrawFn) -> str:
    """A motion line as slicers write them, in one of their orders."""
    x, y = draw(numbers(0, 219, 3)), draw(numbers(0, 219, 3))
    e, f, z = draw(numbers(0, 40, 5)), draw(st.integers(1, 30000)), draw(numbers(0, 249, 3))
    return draw(
        st.sampled_from([
            f"G1 X{x} Y{y} E{e}", f"G1 X{x} Y{y} E{e.removeprefix('0')}", f"G1 X{x} Y{y} F{f}",
            f"G0 F{f} X{x} Y{y} Z{z}",
            f"G1 F{f} X{x} Y{y} E{e}", f"G1 Z{z} F{f}", f"G1 E-{e} F{f}", f"G1 F{f}", f"G0 X{x} Y{y}", f"G1 X{x} E{e}",
            "G92 E0", "M107", "M106 S127.5", f"G3 X{x} Y{y} I0.1 J0.1 E{e}", "M204 S1000", "M73 P10 R5",
        ])
    )  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(slicer_lines(), min_size=1, max_size=60),
    comment=st.sampled_from(["", " ; note", ";x", "  "]),
)
def test_slicer_lines_pass_byte_for_byte(lines: list[str], comment: str, gate: Gate) -> None:
    body = "".join(f"{line}{comment}\n" for line in lines)
    result = gate(START + body + END)
    arcs_out = ids(result) & {"outside_volume"}  # an arc beside the edge may really leave the volume
    if not arcs_out:
        assert result.is_printable, result.findings
        assert gate.output == (START + "".join(f"{line}\n" for line in lines) + END).encode()


def test_output_is_what_the_result_says(gate: Gate) -> None:
    text = START + "".join(f"G1 X{n % 200}.5 Y10 E.01\n;c\n" for n in range(5000)) + END
    result = gate(text)
    assert gate.output is not None
    lines = gate.output.splitlines(keepends=True)
    assert result.source_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert result.sha256 == hashlib.sha256(gate.output).hexdigest()
    assert (result.lines, result.size) == (len(lines), len(gate.output))
    assert result.offsets == tuple(sum(map(len, lines[:k])) for k in range(0, len(lines), OFFSET_STEP))
    assert len(result.times) == len(result.offsets)
    assert list(result.times) == sorted(result.times)
    assert result.profile_digest == gate.profile.digest


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n\r\n"])
def test_line_ends_become_unix(ending: str, gate: Gate) -> None:
    text = (START + "G1 X1 Y1 E1\n;a\nG1 X2 Y2 E1\n" + END).replace("\n", ending)
    assert gate(text).is_printable
    assert gate.output == (START + "G1 X1 Y1 E1\nG1 X2 Y2 E1\n" + END).encode()


def test_bom_latin1_comments_and_a_missing_last_line_end(gate: Gate) -> None:
    body = (
        b"\xef\xbb\xbf; H\xf6he \xff\n"
        + START.encode()
        + b"G1 X1 Y1 E1 ; gr\xf6\xdfer\n"
        + END.strip().encode()
    )
    assert gate(body).is_printable
    assert gate.output == (START + "G1 X1 Y1 E1\n" + END).encode()


@pytest.mark.parametrize(
    ("written", "sent"),
    [("g1 x10 y20 e1", "G1 X10 Y20 E1"), ("G1X10Y20 E.5", "G1 X10 Y20 E.5"), ("G01 X 10 Y+20", "G1 X10 Y20"),
     ("  G1   X10\tY20", "G1 X10 Y20"), ("M0104 S200", "M104 S200"), ("m106 s128", "M106 S128"),
     ("g28xy", "G28 X Y"), ("G28 X Y", "G28 X Y"), ("M117 Größe (1/3) *", "M117 Gr??e 1/3 x"),
     ('M862.3 P "MK3S"', 'M862.3 P"MK3S"'),
     ("M84 X Y E", "M84 X Y E"), ("M486 S-1", "M486 S-1"), ("M600", "M600"),
     ("M0 Change filament", "M0 Change filament"),
     ("M0 M112", "M0"), ("M201 X9000 Y100", "M201 X3000 Y100"), ("M204 P500 T9999", "M204 P500 T3000")],
)  # fmt: skip
def test_other_spellings_become_canonical(written: str, sent: str, gate: Gate) -> None:
    result = gate(f"{START}{written}\n")
    assert result.is_printable, result.findings
    assert gate.output == f"{START}{sent}\n".encode()


@pytest.mark.parametrize("line", ["M105", "M110 N5", "M155 S1", "M154 S1", "M113 S2", "M85 S60", "M31", "M115", "M114",
                                  "M300 S440 P100", "M117 M112", "M117 hello M110 N7", "M117 //action:cancel",
                                  "EXCLUDE_OBJECT_START NAME=a", "M141 S0", "M191 S60"])  # fmt: skip
def test_host_commands_are_left_out_with_a_note(line: str, gate: Gate) -> None:
    result = gate(f"{START}{line}\n{line}\n{line}\nG1 X1 Y1 E1\n{END}")
    assert result.is_printable
    assert gate.output == f"{START}G1 X1 Y1 E1\n{END}".encode()
    (note,) = (finding for finding in result.findings if finding.line == START.count("\n") + 1)
    assert note.severity is not Severity.ERROR
    assert "(3 times)" in note.message


def test_findings_name_the_source_line(gate: Gate) -> None:
    text = ";first\n\nG28\nM104 S200 ; warm\n;LAYER_CHANGE\n;Z:0.2\nG1 X1 Y1 E1\n\n;c\nG1 X2 Y1 E1\nM112\n"
    (error,) = [finding for finding in gate(text).findings if finding.severity is Severity.ERROR]
    assert (error.id, error.line) == ("forbidden_command", 11)
    assert "M112" in error.message


@pytest.mark.parametrize(
    ("body", "finding", "severity"),
    [("G28\nM104 S200\nG1 X230 Y10 E5\n", "outside_volume", Severity.ERROR),
     ("G28\nM104 S200\nG1 X10 Y-20 E5\n", "outside_volume", Severity.ERROR),
     ("G28\nM104 S200\nM83\nG1 Z260\nG1 X10 Y10 E1\n", "outside_volume", Severity.ERROR),
     ("G28\nM104 S200\nM83\nG1 X215 Y100\nG2 X205 Y100 I-5 J40 E1\n", "outside_volume", None),
     ("G28\nM104 S200\nM83\nG1 X215 Y100\nG3 X215 Y140 I0 J20 E1\n", "outside_volume", Severity.ERROR),
     ("G28\nM104 S200\nM83\nG1 X215 Y100\nG2 X215 Y140 I0 J20 E1\n", "outside_volume", None),
     ("G28\nM104 S200\nM83\nG1 X200 Y100\nG91\nG1 X40 E1\n", "outside_volume", Severity.ERROR),
     ("G28\nM104 S200\nG1 X230 Y10\n", "travel_outside_volume", Severity.WARNING),
     ("G28\nM104 S200\nG1 X10 Y-3 E5\nG1 X100 Y-3 E9\n", "outside_volume", None),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nG1 Z260\nG1 X5 Y5\n", "outside_volume", None),
     ("G28\nG1 Z-2\n", "below_bed", Severity.ERROR),
     ("M104 S200\nG1 X10 Y10 E5\n", "not_homed", Severity.ERROR),
     ("M104 S200\nG1 X10 Y10\nG28\n", "moves_before_homing", Severity.WARNING),
     ("M104 S200\nG91\nG1 Z5\nG90\nG28\n", "moves_before_homing", None),
     ("G28\nG1 X10 Y10 E5\n", "not_heated", Severity.ERROR),
     ("G28\nM104 S60\nG1 X10 Y10 E5\n", "not_heated", Severity.ERROR),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nM104 S0\nG1 X20 Y10 E9\n", "not_heated", Severity.ERROR),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nM104 S0\nG1 E2\nG1 X20 Y10\n", "not_heated", None),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nM104 S0\nM109 S210\nG1 X20 Y10 E9\n", "not_heated", None),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nG28\n", "homes_over_part", Severity.ERROR),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nG28 X Y\n", "homes_over_part", None),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nG29\n", "probes_over_part", Severity.ERROR),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nM84\nG1 X20 Y10 E6\n", "motors_off", Severity.ERROR),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nM84 S60\nG1 X20 Y10 E6\n", "motors_off", None),
     ("G28\nM104 S200\nG1 X10 Y10 E5\n", "heaters_left_on", Severity.WARNING),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nM104 S0\n", "heaters_left_on", None),
     ("; nozzle_diameter = 0.6\nG28\n", "nozzle_mismatch", Severity.WARNING),
     ("G28\nG1 X10." + "1" * 80 + "\n", "malformed_line", Severity.ERROR),
     ("G28\nG1 " + " ".join(f"{a}123.{'1' * 9}" for a in "XYZE") + " F1000." + "1" * 9 + " \nG1 X1\nM900 K1 L1." +
      "1" * 9 + " T1." + "1" * 9 + " D123456789." + "1" * 9 + "\n", "line_too_long", None)],
)  # fmt: skip
def test_state_of_the_print(body: str, finding: str, severity: Severity | None, gate: Gate) -> None:
    found = [f.severity for f in gate(body).findings if f.id == finding]
    assert found == ([] if severity is None else [severity])


def test_lines_that_never_get_through_are_refused(gate: Gate) -> None:
    line = "G1 " + " ".join(f"{axis}123.{'1' * 12}" for axis in "XYZEF")
    short = "M572 D0 S1." + "0" * 9
    assert "malformed_line" in ids(gate(f"G28\n{line}\n"))  # more decimals than any firmware reads
    long = "G2 X100.123456789 Y100.123456789 I10.123456789 J10.123456789 E1.123456789 F1000.123456789"
    assert len(long) > MAX_COMMAND_BYTES
    assert "line_too_long" in ids(gate(f"G28\n{long}\n"))
    assert gate(f"G28\n{short}\n").is_printable


def test_the_plain_pattern_never_exceeds_the_line_limit(profile: PrinterProfile) -> None:
    longest = "G1 F99999.12345 X219.12345 Y219.12345 Z249.12345 E-123456.123456 F99999.12345"
    run = plain_run(profile)
    found = run.match(f"{longest}\n".encode())
    assert found is not None
    assert found.end() == len(longest) + 1 <= MAX_COMMAND_BYTES + 1
    for refused in ("G1 X221", "G1 X-1", "G1 X1000", "G1 X01", "G1 X1 X2", "G1 Y1 X1", "g1 X1", "G1  X1", "G1 X1 ",
                    "G1 X1e2",
                    "G1 F100001", "G1 F1000000", "G1 X1;", "G4 S1", "G10", "G1 Z251", "G92 E1", "G92 X0"):  # fmt: skip
        found = run.match(f"{refused}\n".encode())
        assert found is not None
        assert found.end() == 0, refused


@given(value=st.integers(0, 1500))
def test_the_plain_pattern_knows_the_volume(value: int) -> None:
    for size in (9, 10, 99, 120, 219, 220, 250, 300, 999, 1000):
        pattern = plain_run(replace(_ANY, volume_mm=(float(size), 5.0, 5.0)))
        found = pattern.match(f"G1 X{value}.25\n".encode())
        assert found is not None
        assert bool(found.end()) == (value <= size)


_ANY = load_profile("generic-220", [paths.data_dir() / "slicer_profiles"])


def test_reach_of_the_profile_counts(gate: Gate) -> None:
    gate.profile = load_profile("prusa-mk3s", [paths.data_dir() / "slicer_profiles"])
    intro = (
        "G28 W\nG80\nM109 S215\nG1 Y-3.0 F1000.0\nG92 E0.0\nG1 X60.0 E9.0 F1000.0\nG1 X100.0 E12.5 F1000.0\n"
    )
    assert ids(gate(intro)) <= {"heaters_left_on"}
    assert "outside_volume" in ids(gate("G28\nM109 S215\nG1 X10 Y230 E5\n"))


def test_a_profile_can_allow_more(gate: Gate) -> None:
    text = "START_PRINT BED=60\nM280 P0 S10\nG1 X5 Y5 E1\nM104 S300\n"
    assert {"unknown_command", "forbidden_command"} <= ids(gate(text, "klipper"))
    gate.profile = replace(gate.profile, allow_commands=("START_PRINT", "M280", "M104"))
    assert {f.id for f in gate(text, "klipper").findings if f.severity is Severity.ERROR} == {
        "temperature_over_limit"
    }


def test_hostile_repetition_stays_bounded(gate: Gate) -> None:
    result = gate("G28\n" + "".join(f"M{n}\n" for n in range(5000, 30000)))
    assert not result.is_printable
    assert len(result.findings) < 500
    assert "scan_stopped" in ids(result)


def test_an_endless_comment_is_skipped_and_an_endless_command_refused(gate: Gate) -> None:
    assert gate(START + ";" + "x" * (3 * MAX_LINE_BYTES) + "\nG1 X1 Y1 E1\n" + END).is_printable
    assert gate.output == (START + "G1 X1 Y1 E1\n" + END).encode()
    with pytest.raises(ArtefactError) as caught:
        gate(START + "G1 X" + "1" * (3 * MAX_LINE_BYTES))
    assert caught.value.code == "not_gcode"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.one_of(
    st.binary(max_size=300),
    st.text(alphabet='GMTNXYZEFS0123456789 .-+*;()\r\n\t{}[]"eE', max_size=300).map(str.encode),
    st.lists(st.sampled_from([b"G1 X1", b" ", b"\n", b"M104 S", b"2", b"\r", b"\0", b";", b"M112", b"G91",
                              b"G92 E", b"G2 I1 J"]),
             max_size=40).map(b"".join),
))  # fmt: skip
def test_random_bytes_give_typed_errors_or_a_harmless_file(data: bytes, gate: Gate) -> None:
    try:
        result = gate(data)
    except FabunitError:
        return
    if gate.output is not None:
        assert result.is_printable
        for line in gate.output.splitlines():
            assert re.fullmatch(rb"[GMT]\d+(\.\d+)?( [ -~]+)?", line), line
            assert b"*" not in line
            assert not re.match(rb"M(112|108|410|997|999|302|500)\b", line)
            for target in re.findall(rb"^M10[49].*? [SR](-?[\d.]+)", line):
                assert 0 <= float(target) <= 260


@given(
    parts=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"bc;d", b""]), max_size=60),
    size=st.integers(1, 9),
)
def test_blocks_are_whole_lines_whatever_the_block_size(parts: list[bytes], size: int) -> None:
    import io

    data = b"".join(parts)
    blocks = list(BlockReader(io.BytesIO(data), block_bytes=size))
    wanted = re.sub(rb"\r\n|\r", b"\n", data)
    if wanted and not wanted.endswith(b"\n"):
        wanted += b"\n"
    assert b"".join(blocks) == wanted
    assert all(block.endswith(b"\n") for block in blocks)


def test_disk_and_file_errors_are_typed(tmp_path: Path, profile: PrinterProfile) -> None:
    with pytest.raises(StorageError):
        prepare(tmp_path / "missing.gcode", tmp_path, profile, "marlin")
    source = tmp_path / "a.gcode"
    source.write_text("G28\n")
    with pytest.raises(StorageError):
        prepare(source, tmp_path / "nowhere", profile, "marlin")


def test_nothing_is_left_behind_when_refused(gate: Gate) -> None:
    gate("G28\nM112\n")
    with pytest.raises(ArtefactError):
        gate("nothing here\n")
    assert list((gate.directory / "prepared").iterdir()) == []


def test_leftovers_of_killed_gates_are_removed(gate: Gate) -> None:
    gate("G28\n")
    prepared = gate.directory / "prepared"
    (prepared / ".preparing-abc.tmp").write_bytes(b"x")
    assert remove_leftovers(prepared) == 1
    assert len(list(prepared.iterdir())) == 1


def test_a_file_larger_than_a_block_keeps_its_lines(gate: Gate) -> None:
    lines = [f"G1 X{n % 219}.{n % 1000:03d} Y{n % 200} E.{n % 100 + 100}" for n in range(40_000)]
    text = START + "\n".join(lines) + "\n" + END
    assert len(text) > 3 * BLOCK_BYTES
    assert gate(text).is_printable
    assert gate.output == text.encode()


def test_the_demo_part_passes_without_errors_or_warnings(tmp_path: Path) -> None:
    result = prepare(paths.demo_part(), tmp_path, _ANY, "marlin")
    assert {f.severity for f in result.findings} <= {Severity.INFO}
    assert 900 < (result.metadata.estimate_s or 0) < 1500
    assert len(result.layers) > 100
    text = (tmp_path / f"{result.sha256}.gcode").read_bytes()
    assert all(
        part in text for part in (b"\nG28\n", b"\nM190 S60\n", b"\nM109 S210\n", b"\nM106 S", b" E-1.5 ")
    )


@pytest.mark.parametrize(
    ("text", "own", "printable"),
    [("G28\nM104 S200\nG1 X10 Y10 E5\n", {}, True),
     ("G28\nM104 S200\nG1 X10 Y10 E5\n", {"heaters_left_on": "error"}, False),
     ("G28\nG1 X10 Y10 E5\n", {"not_heated": "warning"}, True),
     ("G28\nM104 S200\nG1 X10 Y10 E5\nG29\nM104 S0\n", {"probes_over_part": "info"}, True),
     ("G28\nM104 S200\nM300\nG1 X10 Y10 E5\nM104 S0\n", {"left_out": "error"}, False)],
)  # fmt: skip
def test_the_owner_decides_how_bad_a_finding_is(
    text: str, own: dict[str, str], printable: bool, tmp_path: Path, profile: PrinterProfile
) -> None:
    gate = Gate(tmp_path, replace(profile, severities=own))
    assert gate(text).is_printable is printable


@pytest.mark.parametrize("identity", sorted(SEVERITIES))
def test_what_must_not_be_sent_stays_an_error(identity: str) -> None:
    check_severity(identity, "error")
    if SEVERITIES[identity] is Severity.ERROR and identity not in LOWERABLE:
        with pytest.raises(ValueError, match="always an error"):
            check_severity(identity, "warning")
    else:
        check_severity(identity, "info")
    with pytest.raises(ValueError, match="no finding"):
        check_severity(identity + "x", "error")


def test_every_finding_has_its_place_in_the_table() -> None:
    source = "".join(
        path.read_text() for path in Path("agent/gcode").glob("*.py") if path.name != "finding_ids.py"
    )
    missing = {identity for identity in SEVERITIES if f'"{identity}"' not in source}
    assert not missing
