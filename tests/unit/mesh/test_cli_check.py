"""`fabunit check` as a maker runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.mesh import shapes
from tests.unit.mesh.shapes import write


def fabunit(*arguments: str | Path, cache: str = "/dev/null/none") -> subprocess.CompletedProcess[str]:
    """Run `fabunit check`; without a cache of its own every run checks anew."""
    environment = {**os.environ, "NO_COLOR": "1", "FABUNIT_CONFIG": os.devnull, "XDG_CACHE_HOME": cache}
    command = [sys.executable, "-m", "agent", "check", *(str(part) for part in arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_a_good_part(tmp_path: Path) -> None:
    done = fabunit(write(tmp_path, "cube.stl", shapes.stl(shapes.box(20, 20, 20))))
    assert done.returncode == 0
    assert done.stdout.startswith("cube.stl: printable\n")
    assert "20.0 x 20.0 x 20.0 mm" in done.stdout


def test_what_was_checked_before_is_answered_at_once(tmp_path: Path) -> None:
    part = write(tmp_path, "cube.stl", shapes.stl(shapes.box(20, 20, 20)))
    cache = str(tmp_path / "cache")
    first = fabunit(part, cache=cache)
    (kept,) = (tmp_path / "cache" / "fabunit" / "checks").glob("*.json")
    report = json.loads(kept.read_text())
    assert first.stdout.startswith("cube.stl: printable\n")
    # A mark that only the kept report has.
    kept.write_text(json.dumps({**report, "verdict": "undetermined"}))
    assert fabunit(part, cache=cache).stdout.startswith("cube.stl: undetermined")
    other = fabunit(part, "--material", "petg", cache=cache)
    assert other.stdout.startswith("cube.stl: printable\n"), "other limits are another question"
    wrong = part.rename(tmp_path / "cube.obj")
    assert fabunit(wrong, cache=cache).returncode == 4, "what it is called is part of the question"


def test_several_parts_and_the_worst_exit_code(tmp_path: Path) -> None:
    good = write(tmp_path, "good.stl", shapes.stl(shapes.box(20, 20, 20)))
    thin = write(tmp_path, "thin.stl", shapes.stl(shapes.hollow_box(0.3)))
    done = fabunit(good, thin, "--json")
    assert done.returncode == 4
    reports = json.loads(done.stdout)["reports"]
    assert [one["verdict"] for one in reports] == ["printable", "not_printable"]


def test_a_question_is_exit_code_1(tmp_path: Path) -> None:
    points, faces = shapes.box(20, 20, 20)
    inch = write(tmp_path, "inch.stl", shapes.stl((points / 25.4, faces)))
    done = fabunit(inch)
    assert done.returncode == 1
    assert "--unit inch" in done.stdout
    assert fabunit(inch, "--unit", "inch").returncode == 0


def test_a_report_folder(tmp_path: Path) -> None:
    part = write(tmp_path, "part.stl", shapes.stl(shapes.bridge(40)))
    done = fabunit(part, "--report", tmp_path / "out", "--orient")
    assert done.returncode == 0
    assert "a better pose" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.json",
        "report.html",
        "overview.png",
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nothing.stl",), 5), ((), 2), (("x.stl", "--fill-holes"), 2), (("x.stl", "--unit", "mile"), 2)],
)
def test_wrong_use(arguments: tuple[str, ...], code: int) -> None:
    assert fabunit(*arguments).returncode == code


def test_unknown_material_and_profile(tmp_path: Path) -> None:
    part = write(tmp_path, "part.stl", shapes.stl(shapes.box(20, 20, 20)))
    assert fabunit(part, "--material", "adamant").returncode == 5
    assert fabunit(part, "--profile", "nobody-has-it").returncode == 5


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    part = write(tmp_path, "a\x1b[2Jb.stl", shapes.stl(shapes.box(20, 20, 20)))
    assert "\x1b" not in fabunit(part).stdout
