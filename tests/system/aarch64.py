"""The tests that need no hardware, on an emulated 64-bit ARM processor: `make test-aarch64`.

A Debian for arm64 is unpacked without running anything of it, the dependencies come as wheels for aarch64, and
qemu-user runs it. The kernel learns about the emulator in a user namespace of this run alone. Where that cannot be done
it says why and ends with 0. It proves that the code runs on the Pi's architecture; the time it takes says nothing.

Every folder of tests is a run of pytest of its own; the summary says what each has passed, failed and skipped, and why.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from installer.build_deb import requirements, wheel_options
from tests.system.emulated import STRETCH
from tests.system.emulator import CPU, hindrance, run_inside
from tests.system.report import write_table

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
# Programs that tests start: a shell, a broker, a slicer. libc-bin has the locale C.UTF-8.
_INCLUDED = (
    "libstdc++6,libgcc-s1,libc-bin,dash,bash,coreutils,procps,curl,openssl,util-linux,mosquitto,cura-engine"
)
_TOOLS = ("pytest", "hypothesis", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "pytest-randomly")
_DEFAULT_TESTS = ("tests/unit",)
_TEST_LIMIT_S = 60 * STRETCH
"""The limit of pyproject.toml, stretched like all others."""
_END_LIMIT_S = 20.0
SHIM = "older_termios"
_RESULT = "result.xml"
_LONGEST_REASON = 160


@dataclass(frozen=True, slots=True)
class PartResult:
    """What one run of pytest counted. `notes`: failed tests by name, then reasons of skips with their number."""

    part: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    notes: tuple[str, ...] = ()

    def row(self) -> list[str]:
        """The line of the summary."""
        numbers = [str(number) for number in (self.passed, self.failed, self.skipped)]
        return [self.part, *numbers, f"{self.seconds:.0f} s", "; ".join(self.notes)]


def main() -> int:
    """Prepare the tree and run the tests; returns 0 when none failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--suite", default="bookworm", choices=sorted(PYTHONS))
    parser.add_argument("--cache", type=Path, default=ROOT / "build/aarch64")
    parser.add_argument("--write", action="store_true", help="write the summary into docs/system-test.md")
    parser.add_argument(
        "--resume", action="store_true", help="take what an earlier run of this cache has of a part"
    )
    parser.add_argument("tests", nargs="*", help=f"folders or files (default: {' '.join(_DEFAULT_TESTS)})")
    given, options = parser.parse_known_args()
    why_not = hindrance()
    if why_not:
        print(f"skipped: {why_not}")
        return 0
    root = tree(given.suite, given.cache)
    _copy_project(root)
    results = []
    for part in _parts(given.tests or _DEFAULT_TESTS):
        kept = root / "results" / f"{part.replace('/', '-')}.json"
        if given.resume and kept.exists():
            result = PartResult(**json.loads(kept.read_text()))
        else:
            result = run_part(root, PYTHONS[given.suite], part, options)
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(json.dumps(asdict(result)))
        results.append(result)
        print(" | ".join(result.row()), flush=True)
    total = _total(results)
    print(" | ".join(total.row()))
    if given.write:
        columns = ("tests", "passed", "failed", "skipped", "took", "what was skipped or failed")
        title = f"64-bit ARM, Debian {given.suite}, Python {PYTHONS[given.suite]}, emulated {CPU}"
        write_table(f"aarch64 {given.suite}", title, columns, [result.row() for result in [*results, total]])
    return 1 if total.failed else 0


def tree(suite: str, cache: Path) -> Path:
    """Return a Debian for arm64 with Python and all wheels; made once."""
    root = cache / suite
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    python = PYTHONS[suite]
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64", "--format=directory"]
    command += [f"--include=python{python},{_INCLUDED}", suite, str(root)]
    subprocess.run(command, check=True)
    for name in ("proc", "dev", "sys", "tmp", "work"):
        (root / name).mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\ndialout:x:20:\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--target",
        str(root / "wheels"),
    ]
    subprocess.run([*pip, *wheel_options("arm64", python), *requirements(), *_TOOLS], check=True)
    (root / "complete").touch()
    return root


def run_part(root: Path, python: str, part: str, options: list[str]) -> PartResult:
    """Run pytest for one folder or file in the tree, and read what it counted."""
    report = root / "tmp" / _RESULT
    report.unlink(missing_ok=True)
    line = (
        f"cd /work && exec /usr/bin/python{python} -m pytest -q -p no:cacheprovider -p tests.system.emulated "
        f"--tb=native --timeout {_TEST_LIMIT_S} --junitxml=/tmp/{_RESULT} {shlex.join([part, *options])}"
    )
    began = time.monotonic()

    def is_over() -> bool:
        """The result is there and pytest is not gone: qemu-user sometimes hangs when a program with threads ends."""
        return report.exists() and time.time() - report.stat().st_mtime > _END_LIMIT_S

    ended, _ = run_inside(root, line, is_shown=True, is_over=is_over)
    seconds = time.monotonic() - began
    if not report.exists():
        return PartResult(part, 0, 1, 0, seconds, (f"pytest ended with {ended} and left no result",))
    return _read(part, report, seconds)


def _parts(tests: list[str] | tuple[str, ...]) -> Iterator[str]:
    """Split folders of folders: a part that hangs or crashes takes no other with it."""
    for name in tests:
        inner = sorted(
            path for path in (ROOT / name).glob("*") if path.is_dir() and any(path.glob("test_*.py"))
        )
        files = sorted((ROOT / name).glob("test_*.py")) if inner or name == "tests/integration" else []
        parts = [str(path.relative_to(ROOT)) for path in [*inner, *files]]
        yield from parts or [name]


def _read(part: str, report: Path, seconds: float) -> PartResult:
    passed, failed, reasons = 0, [], Counter[str]()
    for case in ET.parse(report).iter("testcase"):  # written by this run's own pytest
        skip = case.find("skipped")
        if skip is not None:
            reasons[skip.get("message", "")[:_LONGEST_REASON]] += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}")
        else:
            passed += 1
    skips = [f"{count} times: {reason}" for reason, count in reasons.most_common()]
    notes = (*(f"failed: {name}" for name in failed), *skips)
    return PartResult(part, passed, len(failed), reasons.total(), seconds, notes)


def _total(results: list[PartResult]) -> PartResult:
    return PartResult(
        "all",
        sum(result.passed for result in results),
        sum(result.failed for result in results),
        sum(result.skipped for result in results),
        sum(result.seconds for result in results),
    )


def _copy_project(root: Path) -> None:
    """Put the checkout's own files into the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    work = root / "work"
    shutil.rmtree(work, ignore_errors=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, work / name)
    shutil.copy2(ROOT / f"tests/system/scripts/{SHIM}.py", root / "wheels")
    # A worker starts with a clean environment and without its folder: as if all were installed.
    for site in root.glob("usr/lib/python3.*"):
        place = root / "usr/local/lib" / site.name / "dist-packages"
        place.mkdir(parents=True, exist_ok=True)
        (place / "wheels.pth").write_text(f"/wheels\n/work\nimport {SHIM}\n")
    with (work / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["name"] == "fabunit"


if __name__ == "__main__":
    sys.exit(main())
