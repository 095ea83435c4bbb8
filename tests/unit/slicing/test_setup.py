"""Printer, material and quality come together; what a printer cannot do is refused before slicing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import ConfigError, FabunitError, NotFoundError, RefusedError, UsageError
from agent.slicing.engine_keys import PRUSASLICER_KEYS, check_curaengine, check_prusaslicer
from agent.slicing.material import MaterialDocument
from agent.slicing.profile_files import ProfileKind, list_files
from agent.slicing.quality import LayersTable, QualityDocument
from agent.slicing.setup import SliceChoices, load_setup, read_layer
from agent.slicing.sliced_scripts import END_MARK, end_lines, start_lines
from tests.unit.slicing.fake_engine import BUNDLED, setup_for

PRINTERS = ["corexy-300", "ender-3", "generic-220", "mini-120", "prusa-mk3s"]
MATERIALS = ["abs", "pa", "petg", "pla", "tpu"]
QUALITIES = ["draft", "fine", "standard", "strong"]


def test_the_bundle_is_complete() -> None:
    assert sorted(list_files(ProfileKind.PRINTER, [BUNDLED])) == PRINTERS
    assert sorted(list_files(ProfileKind.MATERIAL, [BUNDLED])) == MATERIALS
    assert sorted(list_files(ProfileKind.QUALITY, [BUNDLED])) == QUALITIES


@pytest.mark.parametrize(("printer", "material"), list(itertools.product(PRINTERS, MATERIALS)))
def test_every_combination_resolves_within_the_printers_limits(printer: str, material: str) -> None:
    for quality in QUALITIES:
        if printer == "mini-120" and material not in ("pla", "tpu"):
            with pytest.raises(RefusedError) as caught:
                load_setup(printer, material, quality, [BUNDLED])
            assert caught.value.code == "material_unsuitable"
            continue
        setup = load_setup(printer, material, quality, [BUNDLED])
        profile, speeds, targets = setup.profile, setup.speeds, setup.targets
        assert 150 <= targets.nozzle_c <= profile.hotend.max_c
        assert targets.bed_c <= (profile.bed.max_c if profile.bed else 0)
        assert targets.chamber_c <= (profile.chamber.max_c if profile.chamber else 0)
        assert 0 < setup.layer_mm <= 0.8 * profile.nozzle_mm
        melted = setup.line_mm * setup.layer_mm
        for part in (
            "outer_wall",
            "inner_wall",
            "infill",
            "solid",
            "top",
            "bridge",
            "support",
            "first_layer",
        ):
            speed = getattr(speeds, part)
            assert 0 < speed <= profile.max_speed_mm_s["x"]
            assert speed * melted <= setup.max_flow_mm3_s * 1.01
        assert speeds.acceleration <= profile.max_acceleration_mm_s2["x"]
        assert all(room > 50 for room in setup.usable_mm)


def test_a_digest_tells_every_difference_and_no_other() -> None:
    base = setup_for()
    assert base.digest == setup_for().digest
    others = [setup_for(printer="ender-3"), setup_for(material="tpu"), setup_for(quality="fine"), setup_for(walls=5),
              setup_for(infill_percent=16.0), setup_for(supports=True), setup_for(brim_mm=3.0)]  # fmt: skip
    assert len({setup.digest for setup in [base, *others]}) == len(others) + 1


def test_a_makers_own_layer_hides_the_bundled_one(tmp_path: Path) -> None:
    (tmp_path / "materials").mkdir()
    text = (BUNDLED / "materials" / "pla.toml").read_text().replace("nozzle_c = 205", "nozzle_c = 199")
    (tmp_path / "materials" / "pla.toml").write_text(text)
    assert load_setup("generic-220", "pla", "draft", [tmp_path, BUNDLED]).targets.nozzle_c == 199
    assert load_setup("generic-220", "pla", "draft", [BUNDLED]).targets.nozzle_c == 205


def test_the_printers_own_word_on_a_material_counts(tmp_path: Path) -> None:
    (tmp_path / "printers").mkdir()
    text = (BUNDLED / "printers" / "generic-220.toml").read_text()
    text += "\n[materials.pla]\nnozzle_c = 215\nbed_c = 0\nmax_flow_mm3_s = 2\nretract_mm = 0.3\nflow_percent = 97\n"
    (tmp_path / "printers" / "mine.toml").write_text(text)
    setup = load_setup("mine", "pla", "standard", [tmp_path, BUNDLED])
    assert (setup.targets.nozzle_c, setup.targets.first_nozzle_c, setup.targets.bed_c) == (215, 215, 0)
    assert (setup.max_flow_mm3_s, setup.retract_mm, setup.flow_percent) == (2, 0.3, 97)
    assert load_setup("mine", "petg", "standard", [tmp_path, BUNDLED]).targets.nozzle_c == 240


def test_temperatures_are_held_to_the_ceiling_of_the_printer() -> None:
    assert setup_for("ender-3", "pa").targets.nozzle_c == 255


def test_a_material_too_hot_for_the_printer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "materials").mkdir()
    text = (BUNDLED / "materials" / "pa.toml").read_text().replace("nozzle_min_c = 240", "nozzle_min_c = 259")
    (tmp_path / "materials" / "pa.toml").write_text(text)
    with pytest.raises(RefusedError, match="goes to 255") as caught:
        load_setup("ender-3", "pa", "standard", [tmp_path, BUNDLED])
    assert caught.value.code == "material_unsuitable"


@pytest.mark.parametrize("names", [("nope", "pla", "draft"), ("generic-220", "nope", "draft"),
                                   ("generic-220", "pla", "nope"), ("../x", "pla", "draft"),
                                   ("generic-220", "PLA", "draft")])  # fmt: skip
def test_unknown_names_are_not_found(names: tuple[str, str, str]) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_setup(*names, [BUNDLED])
    assert caught.value.code == "profile_not_found"
    assert "known:" in caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [("materials", "nozzle_c = 205", "nozzle_c = 300", "nozzle_min_c"),
     ("materials", "nozzle_c = 205", "nozle_c = 205", "nozzle_c"),
     ("materials", 'type = "PLA"', 'type = "pla; M112"', "type"),
     ("materials", "density_g_cm3 = 1.24", "density_g_cm3 = 0", "density_g_cm3"),
     ("materials", "fan_min_percent = 80", "fan_min_percent = 101", "fan_min_percent"),
     ("materials", "fan_max_percent = 100", "fan_max_percent = 10", "must not be above"),
     ("qualities", "height_mm = 0.2", "height_mm = 0", "height_mm"),
     ("qualities", "height_mm = 0.2", "height_mm = nan", "height_mm"),
     ("qualities", '"0.6" = 0.3', '"x" = 0.3', "no nozzle diameter"),
     ("qualities", 'pattern = "grid"', 'pattern = "maze"', "gyroid"),
     ("qualities", "[speeds]", "[engine.prusaslicer]\npost_process = 'rm'\n[speeds]", "cannot be set"),
     ("qualities", "[speeds]", "[engine.prusaslicer]\nstart_gcode = 'M112'\n[speeds]", "cannot be set"),
     ("qualities", "[speeds]", "[engine.prusaslicer]\nfuzzy_skn = '1'\n[speeds]", "fuzzy_skin"),
     ("qualities", "[speeds]", "[engine.curaengine]\nmachine_start_gcode = 'M112'\n[speeds]", "cannot be set"),
     ("qualities", "[speeds]", "[engine.curaengine]\nmaterial_print_temperature = 400\n[speeds]", "cannot be set")],
)  # fmt: skip
def test_mistakes_are_named(kind: str, old: str, new: str, said: str, tmp_path: Path) -> None:
    name = "pla" if kind == "materials" else "standard"
    text = (BUNDLED / kind / f"{name}.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    model: type[MaterialDocument | QualityDocument] = (
        MaterialDocument if kind == "materials" else QualityDocument
    )
    with pytest.raises(ConfigError) as caught:
        read_layer(path, model)
    assert said in f"{caught.value.message} {caught.value.remedy}"
    assert "mine.toml, line" in caught.value.message


@pytest.mark.parametrize(
    "choices", [{"infill_percent": 101.0}, {"infill_percent": -1.0}, {"walls": 0}, {"walls": 99}, {"brim_mm": 999.0},
                {"infill_percent": float("nan")}])  # fmt: skip
def test_choices_out_of_range_are_refused(choices: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        SliceChoices(**choices)  # type: ignore[arg-type]


def test_choices_come_before_the_quality() -> None:
    setup = setup_for(infill_percent=0.0, walls=7, supports=True, brim_mm=4.0)
    assert (setup.infill_percent, setup.walls, setup.supports, setup.brim_mm) == (0.0, 7, True, 4.0)
    plain = setup_for()
    assert (plain.infill_percent, plain.walls, plain.supports, plain.brim_mm) == (15, 2, False, 0)


@given(nozzle=st.floats(0.1, 2.0))
def test_layers_go_with_every_nozzle(nozzle: float) -> None:
    layers = LayersTable(height_mm=0.2, by_nozzle_mm={"0.6": 0.3})
    assert 0 < layers.height_for(nozzle) <= 0.81 * nozzle + 0.02
    assert 0 < layers.first_for(nozzle) <= 0.75 * nozzle + 0.01
    assert layers.height_for(0.6) == 0.3


@pytest.mark.parametrize("printer", PRINTERS)
def test_scripts_heat_home_and_cool(printer: str) -> None:
    setup = setup_for(printer)
    start, end = start_lines(setup), end_lines(setup)
    assert any(line.startswith("G28") for line in start)
    assert f"M109 S{setup.targets.first_nozzle_c:g}" in start
    assert (f"M190 S{setup.targets.first_bed_c:g}" in start) == (setup.profile.bed is not None)
    assert start[-2:] == ("M83", "G92 E0")
    assert {"M104 S0", "M84"} <= set(end)
    assert ("M140 S0" in end) == (setup.profile.bed is not None)
    # CuraEngine leaves the extruder in absolute mode: a relative retraction would pull the whole spool back.
    assert end[0] == "M83"
    assert end[-1] == END_MARK
    assert not any("{" in line for line in (*start, *end))


def test_a_bed_that_stays_cold_has_no_lines() -> None:
    setup = setup_for()
    cold = replace(setup, targets=replace(setup.targets, bed_c=0.0, first_bed_c=0.0))
    assert not any(line.startswith(("M140", "M190")) for line in start_lines(cold))


@pytest.mark.parametrize("key", ["post_process", "start_gcode", "output_filename_format", "temperature", "print_host",
                                 "machine_max_feedrate_x", "nozzle_diameter", "gcode_substitutions",
                                 "x; y"])  # fmt: skip
def test_dangerous_keys_are_on_no_list(key: str) -> None:
    assert key not in PRUSASLICER_KEYS
    with pytest.raises(ValueError, match="cannot be set"):
        check_prusaslicer(key, "1")
    with pytest.raises(ValueError, match="cannot be set"):
        check_curaengine(key, "1")


@pytest.mark.parametrize("value", ["a\nb", "{x}", "[0]", "x" * 201, "ü", "\\n", "\x00"])
def test_values_are_one_plain_line(value: str) -> None:
    with pytest.raises(ValueError, match="one short plain line"):
        check_prusaslicer("fill_pattern", value)


def test_errors_are_of_the_tree() -> None:
    with pytest.raises(FabunitError):
        load_setup("", "", "", [])
