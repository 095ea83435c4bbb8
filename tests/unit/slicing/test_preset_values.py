"""A value in a PrusaSlicer file that cannot be used is named: its key, what stands there, what is expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from agent.domain.errors import ConfigError
from agent.slicing.preset_import import Imported, import_material, import_printer, import_quality
from agent.slicing.preset_values import SETTINGS_ABSENT, PresetValues

Reader = Callable[[Mapping[str, str], str], Imported]

PRINTER = {"bed_shape": "0x0,220x0,220x220,0x220", "max_print_height": "250", "nozzle_diameter": "0.4"}
MATERIAL = {"temperature": "210", "filament_density": "1.24", "extrusion_multiplier": "0.98"}
QUALITY = {"layer_height": "0.2", "perimeters": "3", "perimeter_speed": "60", "fill_density": "15%"}


@pytest.mark.parametrize(
    ("read", "good", "key", "value", "expected"),
    [
        (import_printer, PRINTER, "bed_shape", "banana", "0x0,220x0"),
        (import_printer, PRINTER, "bed_shape", "", "corners in mm"),
        (import_printer, PRINTER, "bed_shape", "0x0,220x,220x220", "corners in mm"),
        (import_printer, PRINTER, "bed_shape", "-110x-110,110x110", "in front of the origin"),
        (import_printer, PRINTER, "bed_shape", "0x0,0x220", "corners in mm"),
        (import_printer, PRINTER, "bed_shape", "0x0," + "9" * 400 + "x5", "corners in mm"),
        (import_printer, PRINTER, "max_print_height", "tall", "a height in mm above 0"),
        (import_printer, PRINTER, "max_print_height", "0", "a height in mm above 0"),
        (import_printer, PRINTER, "max_print_height", "-5", "a height in mm above 0"),
        (import_printer, PRINTER, "max_print_height", "1e999", "a height in mm above 0"),
        (import_printer, PRINTER, "max_print_height", "99999", "less than or equal"),
        (import_printer, PRINTER, "nozzle_diameter", "0", "a diameter in mm above 0"),
        (import_printer, PRINTER, "nozzle_diameter", "40", "less than or equal"),
        (import_printer, PRINTER, "machine_max_feedrate_x", "fast,slow", "a number"),
        (import_printer, PRINTER, "machine_max_jerk_z", "-1", "greater than"),
        (import_printer, PRINTER, "retract_length", "nan", "a number"),
        (import_material, MATERIAL, "temperature", "hot", "°C above 0"),
        (import_material, MATERIAL, "temperature", "9999", "less than or equal"),
        (import_material, MATERIAL, "first_layer_temperature", "0x1F", "°C"),
        (import_material, MATERIAL, "extrusion_multiplier", "98%", "less than or equal"),
        (import_material, MATERIAL, "extrusion_multiplier", "40", "less than or equal"),
        (import_material, MATERIAL, "filament_density", "-3", "greater than"),
        (import_material, MATERIAL, "disable_fan_first_layers", "1.5", "a whole number"),
        (import_material, MATERIAL, "min_fan_speed", "full", "a number"),
        (import_quality, QUALITY, "layer_height", "fine", "a height in mm above 0"),
        (import_quality, QUALITY, "layer_height", "0,2", "a height in mm above 0"),
        (import_quality, QUALITY, "layer_height", "20", "less than or equal"),
        (import_quality, QUALITY, "perimeters", "-1", "greater than or equal"),
        (import_quality, QUALITY, "perimeters", "two", "a whole number"),
        (import_quality, QUALITY, "perimeters", "9" * 400, "a whole number"),
        (import_quality, QUALITY, "fill_density", "115%", "less than or equal"),
        (import_quality, QUALITY, "fill_density", "%", "percent"),
        (import_quality, QUALITY, "external_perimeter_speed", "half", "percent"),
        (import_quality, QUALITY, "external_perimeter_speed", "-50%", "greater than"),
        (import_quality, QUALITY, "support_material", "maybe", "0 or 1"),
        (import_quality, QUALITY, "support_material_threshold", "1e6", "greater than or equal"),
    ],
)
def test_a_bad_value_is_named(
    read: Reader, good: dict[str, str], key: str, value: str, expected: str
) -> None:
    read(good, "x")
    with pytest.raises(ConfigError) as caught:
        read({**good, key: value}, "x")
    assert caught.value.code == "config"
    assert caught.value.message.startswith(f"{key} = '{value[:20]}")
    assert expected in caught.value.message
    assert key.rsplit("_", maxsplit=1)[-1] in caught.value.told
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("value", ["\x1b[2J\x07", "ä" * 500, "'; rm -rf /", "\u202e12"])
def test_what_stands_there_is_shown_printable_and_short(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        import_material({"temperature": value}, "x")
    shown = caught.value.message
    assert shown.replace("°", "").isascii()
    assert shown.isprintable()
    assert len(shown) < 150


@pytest.mark.parametrize(("read", "kind"), [(import_printer, "printer"), (import_material, "material"),
                                            (import_quality, "quality")])  # fmt: skip
def test_settings_of_another_kind_are_told_apart_from_bad_ones(read: Reader, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"no {kind} in these settings") as caught:
        read({"something": "else"}, "x")
    assert caught.value.code == SETTINGS_ABSENT
    assert "Export Config" in caught.value.remedy


def test_half_a_printer_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="max_print_height has no value") as caught:
        import_printer({"bed_shape": PRINTER["bed_shape"]}, "x")
    assert caught.value.code == "config"


def test_an_empty_value_of_what_is_needed_is_named() -> None:
    with pytest.raises(ConfigError, match="temperature has no value") as caught:
        import_material({"temperature": " "}, "x")
    assert caught.value.code == "config"


def test_words_without_a_counterpart_are_told() -> None:
    assert "gcode_flavor: smoothie" in import_printer({**PRINTER, "gcode_flavor": "smoothie"}, "x").left_out
    told = import_quality({**QUALITY, "fill_pattern": "adaptivecubic", "seam_position": "?"}, "x").left_out
    assert {"fill_pattern: adaptivecubic", "seam_position: ?"} <= set(told)


def test_values_as_prusaslicer_writes_them() -> None:
    values = PresetValues({
        "speed": "60,20", "share": "50%", "none": "nil", "empty": "", "on": "1", "quoted": '"0.4";"0.4"', "many": "3",
        "bed_shape": "10x0,230x0,230x210.5,10x210.5",
    })  # fmt: skip
    assert values.number("speed") == 60.0
    assert values.share("share", 80.0) == 40.0
    assert values.share("share", None) is None
    assert values.number("share") == 50.0  # as PrusaSlicer reads it; vendors' presets have such
    assert values.number("none") is None
    assert values.number("empty") is None
    assert values.number("absent") is None
    assert values.flag("on") is True
    assert values.number("quoted") == 0.4
    assert values.count("many") == 3
    assert values.bed() == (230.0, 210.5)
    assert "share" in values.used
    assert "absent" not in values.used
