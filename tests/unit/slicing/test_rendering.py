"""What engines are told: complete, forced where it matters, and read back from what they write."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from agent.slicing import curaengine_base, curaengine_settings, prusaslicer_ini
from agent.slicing.curaengine import CuraEngine
from agent.slicing.engine import OUTPUT_NAME, FoundEngine
from agent.slicing.evidence import check_complete
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.process import Ended
from agent.slicing.prusaslicer import PrusaSlicer
from agent.slicing.setup import PrintSetup, load_setup
from agent.slicing.sliced_scripts import END_MARK
from tests.unit.slicing.fake_engine import BUNDLED, setup_for


def installed(name: str, version: tuple[int, int, int]) -> FoundEngine:
    return FoundEngine(name, Path("/x/slicer"), version, is_supported=True)


FOUND = installed("prusaslicer", (2, 5, 0))


def with_raw(tmp_path: Path, lines: str) -> PrintSetup:
    (tmp_path / "qualities").mkdir()
    text = (BUNDLED / "qualities" / "standard.toml").read_text() + lines
    (tmp_path / "qualities" / "raw.toml").write_text(text)
    return load_setup("generic-220", "pla", "raw", [tmp_path, BUNDLED])


def test_nothing_a_model_could_fill_is_left_open() -> None:
    settings = prusaslicer_ini.render(setup_for())
    assert settings["post_process"] == ""
    assert settings["binary_gcode"] == "0"
    assert settings["layer_gcode"] == ""
    assert all(settings[key] == value for key, value in prusaslicer_ini.FORCED.items())
    text = prusaslicer_ini.ini_text(settings)
    assert "\npost_process = \n" in text
    assert text.count("\n") == len(settings)


def test_raw_settings_come_last_but_never_over_forced_ones(tmp_path: Path) -> None:
    setup = with_raw(
        tmp_path,
        '\n[engine.prusaslicer]\nfill_pattern = "cubic"\nthick_bridges = true\nfill_angle = 30\n'
        '[engine.curaengine]\ninfill_pattern = "cross"\n',
    )
    settings = prusaslicer_ini.render(setup)
    assert (settings["fill_pattern"], settings["thick_bridges"], settings["fill_angle"]) == (
        "cubic",
        "1",
        "30",
    )
    assert curaengine_settings.render(setup)["infill_pattern"] == "cross"


def test_base_settings_are_named_once() -> None:
    names: list[str] = []
    for group in (
        "_OFF",
        "_ON",
        "_ZERO",
        "_FULL",
        "_FIRST_EXTRUDER",
        "_ANY_EXTRUDER",
        "_EMPTY_LISTS",
        "_EMPTY",
    ):
        names += getattr(curaengine_base, group).split()
    names += list(curaengine_base._FIGURES)
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("printer", ["generic-220", "prusa-mk3s", "corexy-300", "mini-120", "ender-3"])
def test_curaengine_gets_plain_values(printer: str) -> None:
    settings = curaengine_settings.render(setup_for(printer, supports=True, brim_mm=5.0))
    assert settings["adhesion_type"] == "brim"
    assert settings["support_enable"] == "true"
    assert settings["material_print_temp_prepend"] == "false"
    for key, value in settings.items():
        if not key.endswith("gcode"):
            assert "\n" not in value
            assert value not in ("inf", "nan", "None")


def test_line_distances_follow_density_and_pattern() -> None:
    distance = float(curaengine_settings.render(setup_for())["infill_line_distance"])
    assert distance == pytest.approx(0.44 * 100 / 15 * 2, rel=1e-4)
    assert curaengine_settings.render(setup_for(infill_percent=0.0))["infill_line_distance"] == "0"


def tail_of(setup: PrintSetup, **changed: str) -> str:
    settings = prusaslicer_ini.render(setup) | changed
    lines = [f"; {key} = {value}" for key, value in settings.items()]
    return "\n".join(["G1 X1", END_MARK, "M73 P100 R0", "; prusaslicer_config = begin", *lines,
                      "; prusaslicer_config = end", ""])  # fmt: skip


def test_settings_that_prusaslicer_did_not_take_are_noticed() -> None:
    engine, setup = PrusaSlicer(), setup_for()
    check_complete(engine, FOUND, setup, tail_of(setup))
    check_complete(engine, FOUND, setup, tail_of(setup, first_layer_height="0.20"))
    for key, value in (("layer_height", "0.3"), ("temperature", "900"), ("start_gcode", "M112"),
                       ("fill_pattern", "stars")):  # fmt: skip
        with pytest.raises(SliceError) as caught:
            check_complete(engine, FOUND, setup, tail_of(setup, **{key: value}))
        assert caught.value.failure is SliceFailure.PROFILE_INVALID
        assert key in caught.value.message


@pytest.mark.parametrize("cut", ["; prusaslicer_config = end", "; temperature = 205\n"])
def test_a_cut_configuration_is_noticed(cut: str) -> None:
    setup = setup_for()
    assert cut in tail_of(setup)
    with pytest.raises(SliceError):
        check_complete(PrusaSlicer(), FOUND, setup, tail_of(setup).replace(cut, ""))


@pytest.mark.parametrize("text", ["", "\n", END_MARK, f"{END_MARK}\nG1 X1\n", f"x{END_MARK}\n"])
def test_the_end_mark_must_stand_alone(text: str) -> None:
    with pytest.raises(SliceError) as caught:
        check_complete(CuraEngine(), FOUND, setup_for(), text)
    assert caught.value.failure in (SliceFailure.OUTPUT_TRUNCATED, SliceFailure.GCODE_FORBIDDEN)


def test_what_curaengine_writes_behind_the_end_is_harmless() -> None:
    tail = f"G1 X1\n{END_MARK}\nM82 ;absolute extrusion mode\nM104 S0\n;End of Gcode\n"
    check_complete(CuraEngine(), FOUND, setup_for(), tail)


@pytest.mark.parametrize(
    ("output", "version"),
    [("[trace] x\nPrusaSlicer-2.5.0+UNKNOWN based on Slic3r (with GUI)\n", (2, 5, 0)),
     ("PrusaSlicer-2.9.2+dfsg based on Slic3r\n", (2, 9, 2)), ("Slic3r 1.3\n", None), ("", None),
     ("PrusaSlicer-x", None)],
)  # fmt: skip
def test_versions_of_prusaslicer(output: str, version: tuple[int, int, int] | None) -> None:
    engine = PrusaSlicer()
    assert engine.read_version(output) == version
    assert version is None or engine.is_supported(version)


def test_versions_out_of_range_are_not_supported() -> None:
    assert not PrusaSlicer().is_supported((2, 4, 9))
    assert not PrusaSlicer().is_supported((3, 0, 0))
    assert CuraEngine().read_version("Cura_SteamEngine version 5.0.0\n") == (5, 0, 0)
    assert CuraEngine().is_supported((5, 0, 0))
    assert not CuraEngine().is_supported((4, 4, 0))


@pytest.mark.parametrize(
    ("line", "fraction"),
    [("10 => Processing triangulated mesh", 0.1), ("90 => Exporting G-code to part.gcode", 0.9),
     ("Slicing result exported to part.gcode", None), ("999 => x", 0.99), ("", None)],
)  # fmt: skip
def test_progress_of_prusaslicer(line: str, fraction: float | None) -> None:
    assert PrusaSlicer().progress(line) == fraction


@pytest.mark.parametrize(
    ("line", "fraction"),
    [("Progress:inset+skin:12:198\t0.0123%", 0.0123), ("Progress:export:198:198 \t1%", 0.99),
     ("Progress: inset+skin accomplished in 0.175s", None), ("Layer count: 198", None), ("Progress:x:1:2 9%", None)],
)  # fmt: skip
def test_progress_of_curaengine(line: str, fraction: float | None) -> None:
    assert CuraEngine().progress(line) == fraction


@pytest.mark.parametrize(
    ("status", "output", "wanted"),
    [(-6, "terminate called\n  what():  Objects could not fit on the bed\n", SliceFailure.DOES_NOT_FIT),
     (1, "error: No layers were detected. You might want to repair your STL file", SliceFailure.EMPTY_RESULT),
     (1, "G-code export failed due to invalid custom G-code sections:\nstart_gcode", SliceFailure.PROFILE_INVALID),
     (1, "There is an object with no extrusions in the first layer.", SliceFailure.EMPTY_RESULT),
     (1, "part.stl: Loading of a model file failed.", SliceFailure.MESH_REJECTED),
     (-6, "terminate called after throwing an instance of 'std::bad_alloc'", SliceFailure.OUT_OF_MEMORY),
     (0, "10 => Processing triangulated mesh\n20 => Generating perimeters", None), (-11, "", None)],
)  # fmt: skip
def test_complaints_of_prusaslicer(status: int, output: str, wanted: SliceFailure | None) -> None:
    told = PrusaSlicer().failure(Ended(status, output))
    assert (told[0] if told else None) is wanted
    assert told is None or len(told[1]) <= 200


def test_complaints_of_curaengine() -> None:
    told = CuraEngine().failure(Ended(2, "[ERROR] Trying to retrieve setting with no value given: 'x'\n"))
    assert told is not None
    assert told[0] is SliceFailure.PROFILE_INVALID
    assert "'x'" in told[1]


HEADER = (
    "Gcode header after slicing:\n;FLAVOR:Marlin\n;TIME:1369\n;Filament used: 1.2m\n;bad\x07 line\n"
    "End of gcode header.\n"
)


def test_the_head_of_curaengines_file_is_mended(tmp_path: Path) -> None:
    path = tmp_path / OUTPUT_NAME
    path.write_text(";FLAVOR:Marlin\n;TIME:6666\n;Filament used: 0m\n\n;Generated with x\nG28\n")
    CuraEngine().finish(tmp_path, f"noise\n{HEADER}more")
    assert path.read_text() == ";FLAVOR:Marlin\n;TIME:1369\n;Filament used: 1.2m\n\n;Generated with x\nG28\n"
    assert [entry.name for entry in tmp_path.iterdir()] == [OUTPUT_NAME]


@pytest.mark.parametrize("output", ["", "Gcode header after slicing:\nEnd of gcode header.\n", HEADER[:40]])
def test_without_a_printed_head_the_file_stays(output: str, tmp_path: Path) -> None:
    path = tmp_path / OUTPUT_NAME
    path.write_text(";TIME:6666\n\nG28\n")
    CuraEngine().finish(tmp_path, output)
    assert path.read_text() == ";TIME:6666\n\nG28\n"
    CuraEngine().finish(tmp_path / "absent", HEADER)


def test_command_lines_have_no_surprises(tmp_path: Path) -> None:
    setup = setup_for()
    prusa = PrusaSlicer()
    found = installed("prusaslicer", (2, 5, 0))
    prusa.write_inputs(found, setup, tmp_path)
    arguments = prusa.arguments(found, setup, tmp_path)
    assert "/x/slicer" in arguments
    assert arguments[-1] == "part.stl"
    assert "--datadir" in arguments
    assert prusa.arguments(installed("prusaslicer", (2, 9, 2)), setup, tmp_path)[0] == "/x/slicer"
    cura = CuraEngine().arguments(installed("curaengine", (5, 0, 0)), setup, tmp_path)
    assert cura[:5] == ["/x/slicer", "slice", "-v", "-p", "-m1"]
    assert cura.count("-s") == 2 * len(curaengine_settings.render(setup))
    assert sum(map(len, cura)) < 100_000  # Linux takes 128 KiB in one argument and far more in all


def test_prusaslicer_is_told_a_jerk_that_comes_near_the_printers_own_rule() -> None:
    """Junction deviation d at acceleration a: between 1.55 and 2.83 sqrt(a d); classic jerk goes through as it is."""
    setup = setup_for("corexy-300")
    deviation = setup.machine.motion.junction_deviation_mm
    assert deviation is not None
    for version in (2, 5, 0), (2, 9, 2):
        told = float(prusaslicer_ini.render(setup, version)["machine_max_jerk_x"].split(",")[0])
        assert 1.55 < told / math.sqrt(setup.speeds.acceleration * deviation) < 2.83
    assert float(prusaslicer_ini.render(setup_for("ender-3"))["machine_max_jerk_x"].split(",")[0]) == 10
