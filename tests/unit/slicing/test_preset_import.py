"""A maker's PrusaSlicer files become profiles; nothing dangerous comes along."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.errors import ConfigError, FabunitError, NotFoundError
from agent.slicing import prusaslicer_ini
from agent.slicing.material import MaterialDocument
from agent.slicing.preset_file import PresetFile, vendor_file
from agent.slicing.preset_import import import_material, import_printer, import_quality
from agent.slicing.printer_document import ProfileDocument
from agent.slicing.quality import QualityDocument
from agent.slicing.setup import SliceChoices, resolve
from agent.slicing.toml_text import toml_text
from agent.toml_document import TomlDocument
from agent.toml_validation import validate
from tests.unit.slicing.fake_engine import setup_for

BUNDLE = """
# a comment
[vendor]
name = Test
[printer:*common*]
bed_shape = 0x0,235x0,235x225,0x225
max_print_height = 250
machine_max_feedrate_x = 500,200
start_gcode = START
end_gcode = M104 S0\\nM140 S0\\nM500
post_process = rm -rf /
[printer:Big One]
inherits = *common*; *height*
nozzle_diameter = 0.6
gcode_flavor = marlin
[printer:*height*]
max_print_height = 300
[printer:Loop]
inherits = Loop
[filament:Generic PLA]
temperature = 207
first_layer_temperature = 212
bed_temperature = 55
filament_type = PLA
filament_density = 1.24
start_filament_gcode = "M112"
min_fan_speed = 50
max_fan_speed = 100
[print:0.20mm]
layer_height = 0.2
first_layer_height = 75%
perimeters = 3
perimeter_speed = 60
external_perimeter_speed = 50%
solid_infill_speed = 80%
infill_speed = 50
fill_density = 20%
fill_pattern = gyroid
post_process = curl evil
fuzzy_skin = external
brim_width = 4
support_material = 1
support_material_threshold = 40
""".replace(
    "START",
    r'"G28 ; home\nM104 S[first_layer_temperature]\nM190 S{first_layer_bed_temperature[0]}\nM112\n'
    r'{if x}M5{endif}\nG1 X60 E9\nG1 X100 E12.5"',
)


@pytest.fixture
def bundle() -> PresetFile:
    return PresetFile.parse(BUNDLE, "Test.ini")


def test_presets_inherit(bundle: PresetFile) -> None:
    assert bundle.names("printer") == ["Big One", "Loop"]
    settings = bundle.resolved("printer", "Big One")
    assert settings["max_print_height"] == "300"
    assert settings["machine_max_feedrate_x"] == "500,200"
    assert "inherits" not in settings
    with pytest.raises(ConfigError, match="inherits from itself"):
        bundle.resolved("printer", "Loop")
    with pytest.raises(NotFoundError, match="Big One"):
        bundle.resolved("printer", "Big On")


def test_a_printer_is_taken_over_without_its_dangers(bundle: PresetFile) -> None:
    found = import_printer(bundle.resolved("printer", "Big One"), "Big One")
    document = found.document
    assert document["geometry"] == {"volume_mm": [235.0, 225.0, 300.0], "nozzle_mm": 0.6}
    assert document["motion"]["max_speed_mm_s"]["x"] == 500
    assert document["slicing"]["flavour"] == "marlin"
    # The maker's firmware counted absolutely: that is said, because our prints begin in relative mode.
    assert document["scripts"]["start"] == ["M82", "G28", "M104 S{first_nozzle}", "M190 S{first_bed}", "G1 X60 E9",
                                            "G1 X100 E12.5"]  # fmt: skip
    assert document["scripts"]["end"] == ["M104 S0", "M140 S0"]
    told = " ".join(found.left_out)
    assert "M112" in told
    assert "M500" in told
    assert "{if x}M5{endif}" in told
    assert "post_process" not in str(document)


def test_material_and_quality_are_taken_over(bundle: PresetFile) -> None:
    material = import_material(bundle.resolved("filament", "Generic PLA"), "Generic PLA").document
    assert material["temperatures"]["nozzle_c"] == 207
    assert material["cooling"]["fan_min_percent"] == 50
    quality = import_quality(bundle.resolved("print", "0.20mm"), "0.20mm")
    assert quality.document["layers"] == {"height_mm": 0.2, "first_mm": pytest.approx(0.15)}
    assert quality.document["speeds"]["outer_wall_mm_s"] == 30
    assert quality.document["speeds"]["solid_mm_s"] == 40
    assert quality.document["infill"] == {"percent": 20, "pattern": "gyroid"}
    assert quality.document["adhesion"]["kind"] == "brim"
    assert quality.document["support"]["overhang_deg"] == 50
    assert quality.document["engine"]["prusaslicer"]["fuzzy_skin"] == "external"
    assert "post_process" in quality.left_out


def test_what_is_written_can_be_read_again(bundle: PresetFile) -> None:
    pairs = [(import_printer(bundle.resolved("printer", "Big One"), 'Big "One"\n'), ProfileDocument),
             (import_material(bundle.resolved("filament", "Generic PLA"), "PLA \\ x"), MaterialDocument),
             (import_quality(bundle.resolved("print", "0.20mm"), "0.2"), QualityDocument)]  # fmt: skip
    for found, model in pairs:
        text = toml_text(found.document, "Imported.\nCheck it.")
        document = TomlDocument.parse(text.encode(), "x.toml")
        assert text.startswith("# Imported.\n# Check it.\n")
        if model is ProfileDocument:
            assert (
                validate(document, ProfileDocument).digest
                == validate(TomlDocument("x", found.document, {}), ProfileDocument).digest
            )
        assert tomllib.loads(text) == found.document


def test_our_own_rendering_comes_back_as_the_same_print() -> None:
    """A flat export of what we render gives a setup that renders to the same figures."""
    setup = setup_for()
    flat = PresetFile.parse(prusaslicer_ini.ini_text(prusaslicer_ini.render(setup)), "mine.ini").flat
    machine = validate(TomlDocument("x", import_printer(flat, "x").document, {}), ProfileDocument)
    filament = validate(TomlDocument("x", import_material(flat, "x").document, {}), MaterialDocument)
    style = validate(TomlDocument("x", import_quality(flat, "x").document, {}), QualityDocument)
    again = prusaslicer_ini.render(resolve(("x", "x", "x"), machine, filament, style, SliceChoices()))
    wanted = prusaslicer_ini.render(setup)
    for key in ("layer_height", "perimeters", "fill_density", "external_perimeter_speed", "temperature",
                "bed_temperature", "retract_length", "bed_shape", "machine_max_jerk_x", "min_fan_speed"):  # fmt: skip
        assert again[key] == wanted[key], key


@pytest.mark.parametrize("text", ["", "hello", "\n\n", "# only a comment"])
def test_files_without_settings_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        PresetFile.parse(text, "x.ini")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        PresetFile.read(tmp_path / "absent.ini")
    (tmp_path / "binary.ini").write_bytes(b"a = 1\n\0")
    with pytest.raises(ConfigError):
        PresetFile.read(tmp_path / "binary.ini")


def test_vendors_are_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "Acme.ini").write_text(BUNDLE)
    assert vendor_file("acme", (tmp_path, tmp_path / "absent")).name == "Acme.ini"
    with pytest.raises(NotFoundError, match="no presets") as caught:
        vendor_file("../etc/passwd", (tmp_path,))
    assert "Acme" in caught.value.remedy


@given(
    st.dictionaries(
        st.sampled_from([
            "bed_shape", "max_print_height", "nozzle_diameter", "temperature", "layer_height", "perimeters",
            "fill_density", "start_gcode", "machine_max_feedrate_x", "filament_type", "first_layer_height",
            "external_perimeter_speed", "support_material_threshold", "brim_width", "min_fan_speed",
        ]),
        st.one_of(st.text(max_size=30), st.sampled_from(["0", "-1", "nan", "1e999", "50%", "0x0,200x200", "nil"])),
    )
)  # fmt: skip
def test_hostile_settings_end_typed(settings: dict[str, str]) -> None:
    for read in (import_printer, import_material, import_quality):
        try:
            found = read(settings, "x")
        except FabunitError:
            continue
        assert tomllib.loads(toml_text(found.document, "x"))
