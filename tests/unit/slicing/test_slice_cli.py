"""`fabunit profile`, `fabunit slice` and `fabunit analyse` without a daemon."""

from __future__ import annotations

import base64
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli.analyse import analyse
from agent.cli.profile import profile
from agent.cli.slice import slice_model
from agent.domain.errors import FabunitError
from tests.unit.slicing.solids import box, save
from tests.unit.slicing.test_preset_import import BUNDLE
from tests.unit.slicing.test_real_engines import NAMES


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "conf"))
    monkeypatch.setenv("FABUNIT__UNIT__STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("FABUNIT__UNIT__ID", "unit-test")
    config = tmp_path / "conf" / "fabunit.toml"
    config.parent.mkdir()
    config.write_text("")
    return tmp_path


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def test_profiles_are_listed_with_their_mistakes(home: Path) -> None:
    folder = home / "conf" / "profiles" / "materials"
    folder.mkdir(parents=True)
    (folder / "odd.toml").write_text("title = 3\n")
    rows = json.loads(call(profile, "list", "--json").output)["profiles"]
    by_name = {(row["kind"], row["name"]): row for row in rows}
    assert by_name["printers", "prusa-mk3s"]["title"].startswith("Prusa")
    assert "odd.toml, line 1" in by_name["materials", "odd"]["error"]
    assert len(rows) == 15
    assert "strong" in call(profile, "list").output


def test_a_setup_is_shown_with_its_scripts_and_settings() -> None:
    document = json.loads(
        call(profile, "show", "--printer", "mini-120", "--engine", "curaengine", "--json").output
    )
    assert document["targets"]["bed_c"] == 0
    assert document["settings"]["machine_width"] == "120"
    assert len(document["digest"]) == 64
    text = call(profile, "show", "--engine", "prusaslicer").output
    assert "post_process = \n" in text
    assert "G28" in text


def test_a_vendors_presets_are_listed_then_imported(home: Path) -> None:
    source = home / "Test.ini"
    source.write_text(BUNDLE)
    assert '--printer "Big One"' in call(profile, "import", source).output
    done = call(profile, "import", source, "--printer", "Big One", "--material", "Generic PLA", "--json")
    written = {item["kind"]: Path(item["path"]) for item in json.loads(done.output)["imported"]}
    assert written["printers"] == home / "conf" / "profiles" / "printers" / "big-one.toml"
    assert tomllib.loads(written["printers"].read_text())["title"] == "Big One"
    assert "generic-pla" in call(profile, "list").output
    shown = call(profile, "show", "--printer", "big-one", "--material", "generic-pla", "--json")
    assert json.loads(shown.output)["targets"]["nozzle_c"] == 207
    again = call(profile, "import", source, "--printer", "Big One")
    assert isinstance(again.exception, FabunitError)
    assert again.exception.exit_code == 4
    assert call(profile, "import", source, "--printer", "Big One", "--force").exception is None


@pytest.mark.parametrize("arguments", [("nowhere.ini",), ("--printer", "x", "Nobody")])
def test_unknown_sources_are_not_found(arguments: tuple[str, ...]) -> None:
    found = call(profile, "import", *arguments)
    assert isinstance(found.exception, FabunitError)
    assert found.exception.exit_code == 5


def test_a_dry_run_writes_nothing(home: Path) -> None:
    source = home / "Test.ini"
    source.write_text(BUNDLE)
    text = call(profile, "import", source, "--printer", "Big One", "--dry-run").output
    assert "[geometry]" in text
    assert "not taken over" in text
    assert not (home / "conf" / "profiles").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("absent.stl",), 5), (("MESH", "--material", "gold"), 5), (("MESH", "--quality", "best"), 5),
     (("MESH", "--printer", "mini-120", "--material", "abs"), 4)],
)  # fmt: skip
def test_orders_that_cannot_be_met_are_refused(arguments: tuple[str, ...], code: int, home: Path) -> None:
    mesh = save(home / "mesh.stl", box(10, 10, 5))
    given = [str(mesh) if argument == "MESH" else argument for argument in arguments]
    found = call(slice_model, *given, "-o", home / "out.gcode")
    assert isinstance(found.exception, FabunitError)
    assert found.exception.exit_code == code
    assert not (home / "out.gcode").exists()


@pytest.mark.skipif(not NAMES, reason="no slicer is installed here")
def test_a_mesh_becomes_gcode_that_can_be_analysed(home: Path) -> None:
    mesh = save(home / "mesh.stl", box(20, 20, 3))
    out = home / "out.gcode"
    done = call(slice_model, mesh, "-o", out, "--quality", "draft", "--engine", NAMES[-1], "--json")
    assert done.exception is None, done.exception
    document = json.loads(done.output)
    assert document["sha256"]
    assert document["engine"] == NAMES[-1]
    assert out.stat().st_size == document["size_bytes"]
    text = call(analyse, out)
    assert "printable" in text.output
    assert "size" in text.output


def test_the_largest_picture_can_be_taken_out(home: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(64)
    source = home / "a.gcode"
    source.write_text(
        f"; thumbnail begin 16x16 96\n; {base64.b64encode(picture).decode()}\n; thumbnail end\n"
        "G28\nM104 S200\nG1 X10 Y10 E1 F600\nM104 S0\n"
    )
    target = home / "a.png"
    document = json.loads(call(analyse, source, "--thumbnail", target, "--json").output)
    assert target.read_bytes() == picture
    assert document["summary"]["thumbnails"] == [{"width_px": 16, "height_px": 16, "format": "png"}]
    assert document["summary"]["estimate_source"] == "model"
    source.write_text("G28\n")
    none = call(analyse, source, "--thumbnail", target)
    assert isinstance(none.exception, FabunitError)
    assert none.exception.code == "no_thumbnail"


FLAT = {
    "bed_shape": "0x0,220x0,220x220,0x220", "max_print_height": "250", "temperature": "210", "layer_height": "0.2",
}  # fmt: skip


def flat(home: Path, **changed: str | None) -> Path:
    source = home / "mine.ini"
    settings = {**FLAT, **changed}
    source.write_text("".join(f"{key} = {value}\n" for key, value in settings.items() if value is not None))
    return source


@pytest.mark.parametrize("key", sorted(FLAT))
def test_an_export_with_a_bad_value_is_refused_as_a_whole(key: str, home: Path) -> None:
    found = call(profile, "import", flat(home, **{key: "gar bage"}))
    assert isinstance(found.exception, FabunitError)
    assert found.exception.exit_code == 2
    assert found.exception.message.startswith(f"{home / 'mine.ini'}: {key} = 'gar bage'")
    assert key in found.exception.remedy
    assert not (home / "conf" / "profiles").exists()


def test_an_export_of_one_kind_gives_that_kind(home: Path) -> None:
    source = flat(home, bed_shape=None, max_print_height=None, layer_height=None)
    done = call(profile, "import", source, "--json")
    assert [item["kind"] for item in json.loads(done.output)["imported"]] == ["materials"]


def test_an_export_of_something_else_says_what_is_missing(home: Path) -> None:
    source = home / "odd.ini"
    source.write_text("colour = blue\n")
    found = call(profile, "import", source)
    assert isinstance(found.exception, FabunitError)
    assert found.exception.exit_code == 2
    assert found.exception.message.startswith(f"{source}: no printer in these settings")
    assert "Export Config" in found.exception.remedy


def test_nothing_is_written_when_one_of_them_is_there_already(home: Path) -> None:
    taken = home / "conf" / "profiles" / "qualities" / "mine.toml"
    taken.parent.mkdir(parents=True)
    taken.write_text("title = 'mine'\n")
    found = call(profile, "import", flat(home))
    assert isinstance(found.exception, FabunitError)
    assert found.exception.exit_code == 4
    assert "--force" in found.exception.remedy
    assert taken.read_text() == "title = 'mine'\n"
    assert not (home / "conf" / "profiles" / "printers").exists()
