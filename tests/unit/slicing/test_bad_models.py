"""What a maker may give to `slice`, `check` and `analyse` by mistake: each error names the file and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli.analyse import analyse
from agent.cli.check import check
from agent.cli.profile import profile
from agent.cli.slice import slice_model
from agent.domain.errors import FabunitError
from tests.unit.mesh import shapes
from tests.unit.slicing.test_real_engines import NAMES

CUBE = shapes.box(10, 10, 10)
SLICED = {"Metadata/plate_1.gcode": b"G28\n"}
MODELS: dict[str, tuple[bytes, str, str]] = {
    "empty.stl": (b"", "empty", "export it again"),
    "rubbish.stl": (b"\x93\x01" * 900, "header promises", "export it again"),
    "half.stl": (shapes.stl(CUBE)[:400], "ends after", "export it again"),
    "huge.stl": (shapes.stl(shapes.box(900, 10, 3)), "does not fit", "scale it down"),
    "other.3mf": (b"PK\x03\x04" + b"\0" * 100, "damaged", "export it again"),
    "plate.gcode.3mf": (
        shapes.package(shapes.model_xml(CUBE), more=SLICED),
        "sliced already",
        "plain .gcode",
    ),
    "part.bgcode": (b"GCDE\x01\0\0\0" + b"\0" * 50, "binary G-code", "switch off binary G-code"),
    "part.gcode": (b"G28\nG1 X10 Y10\n", "sliced already", "fabunit print"),
    "part.docx": (b"some words", "no mesh file", "3MF or binary STL"),
}
engines = pytest.mark.parametrize(
    "engine", NAMES or [pytest.param("none", marks=pytest.mark.skip("no slicer here"))]
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "conf"))
    monkeypatch.setenv("FABUNIT__UNIT__ID", "unit-test")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def failure(found: Result) -> FabunitError:
    assert isinstance(found.exception, FabunitError), (found.exception, found.output)
    return found.exception


def given(home: Path, name: str) -> Path:
    path = home / "models" / name
    path.write_bytes(MODELS[name][0])
    return path


@engines
@pytest.mark.parametrize("name", MODELS)
def test_what_cannot_be_sliced_is_named_with_its_remedy(engine: str, name: str, home: Path) -> None:
    _, message, remedy = MODELS[name]
    error = failure(
        call(slice_model, given(home, name), "-o", home / "out" / "out.gcode", "--engine", engine)
    )
    assert error.exit_code == 4
    assert error.message.startswith(f"{name}: ")
    assert message in error.message
    assert remedy in error.remedy
    assert not list((home / "out").iterdir())
    assert not list((home / "scratch").iterdir())


@pytest.mark.parametrize("name", MODELS)
def test_what_cannot_be_checked_is_told_in_its_report(name: str, home: Path) -> None:
    _, message, remedy = MODELS[name]
    found = call(check, given(home, name))
    assert found.return_value == 4
    assert found.output.startswith(f"{name}: not printable")
    assert message in found.output
    assert remedy in found.output
    assert not list((home / "scratch").iterdir())


@pytest.mark.parametrize("name", ["empty.stl", "part.bgcode", "plate.gcode.3mf", "half.stl"])
def test_what_is_no_gcode_is_named(name: str, home: Path) -> None:
    error = failure(call(analyse, given(home, name)))
    assert error.exit_code == 4
    assert error.message.startswith(f"{name}: ")
    assert error.remedy


@pytest.mark.parametrize("command", [slice_model, check, analyse])
def test_a_path_with_nothing_or_a_folder_at_its_end(command: Any, home: Path) -> None:
    more = ("-o", home / "out" / "out.gcode") if command is slice_model else ()
    absent = failure(call(command, home / "absent.stl", *more))
    assert absent.exit_code == 5
    assert absent.message == f"{home / 'absent.stl'}: No such file or directory"
    folder = failure(call(command, home / "models", *more))
    assert folder.exit_code == 4
    assert folder.message == f"{home / 'models'} is not a file"
    assert folder.remedy


@pytest.mark.parametrize(
    ("target", "told"), [("out", "is a directory"), ("nowhere/out.gcode", "is no directory")]
)
def test_a_place_where_no_gcode_can_be_written(target: str, told: str, home: Path) -> None:
    error = failure(call(slice_model, shapes.write(home, "a.stl", shapes.stl(CUBE)), "-o", home / target))
    assert error.exit_code == 2
    assert told in error.message
    assert "-o" in error.remedy


@pytest.mark.parametrize("source", ["absent.ini", "folder/absent"])
def test_settings_that_are_not_there_are_no_vendor(source: str) -> None:
    error = failure(call(profile, "import", source))
    assert error.exit_code == 5
    assert error.message == f"{source}: No such file or directory"
