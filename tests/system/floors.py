"""The tests with the oldest libraries that pyproject.toml allows, each at exactly its floor: `make test-floors`.

They go into an environment of their own, build/floors, made anew when a floor changes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from installer.build_deb import requirements

ROOT = Path(__file__).resolve().parents[2]
_PLACE = ROOT / "build/floors"
_TOOLS = ("pytest", "hypothesis", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "pytest-randomly")
_DEFAULT = ("tests/unit", "-n", "2", "-m", "not slow and not corpus")
# Whether generated files are current is asked with the libraries that generate them: older ones write them otherwise.
# The link's memory is bounded with today's libraries: with the oldest it is 12.6 MiB.
_NOT_ASKED = (
    "tests/unit/mesh/test_published.py::test_the_schema_is_fresh",
    "tests/unit/cli/test_cli_reference.py::test_the_reference_is_fresh",
    "tests/unit/coordinator/test_asyncapi.py::test_the_file_is_current",
    "tests/unit/coordinator/test_footprint.py::test_the_link_adds_few_megabytes_to_a_daemon",
)


def main() -> int:
    """Make the environment and run pytest in it; returns its exit code."""
    floors = [line.replace(">=", "==") for line in requirements()]
    mark = _PLACE / "floors.txt"
    if not mark.exists() or mark.read_text() != "\n".join(floors):
        shutil.rmtree(_PLACE, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(_PLACE)], check=True)
        pip = [str(_PLACE / "bin/python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *floors, *_TOOLS], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
        mark.write_text("\n".join(floors))
    print("with", ", ".join(floors), flush=True)
    wanted = sys.argv[1:] or _DEFAULT
    return subprocess.run(
        [str(_PLACE / "bin/python"), "-m", "pytest", "-q", *map("--deselect={}".format, _NOT_ASKED), *wanted],
        cwd=ROOT,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
