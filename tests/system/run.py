"""The life of an installed unit, on a clean Debian or Ubuntu with a real systemd: `make test-system`.

install → setup → joining a coordinator → print → restart and kill -9 in the middle → hang → upgrade in the middle →
going back → purge. Every print must come out exactly: what the printer executed is compared with the file, command by
command. Where no such machine can be booted it says why and ends with 0.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from installer.build_deb import Plan, build, version
from installer.control import Target
from tests.system.diagnosis import step_doctor
from tests.system.life import (
    step_exposure,
    step_hang,
    step_install,
    step_purge,
    step_refusal,
    step_restart_and_kill,
    step_rollback,
    step_sandbox,
    step_setup,
    step_upgrade,
)
from tests.system.machine import Machine, StepError, base_image, hindrance
from tests.system.report import DOCUMENT, write_table
from tests.system.suites import SUITES, Suite
from tests.system.surroundings import step_completion, step_credentials, step_demo, step_udev
from tests.system.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
Step = Callable[[Trial], None]
STEPS: dict[str, Step] = {
    "install": step_install,
    "udev": step_udev,
    "completion": step_completion,
    "demo": step_demo,
    "setup": step_setup,
    "exposure": step_exposure,
    "doctor": step_doctor,
    "sandbox": step_sandbox,
    "credentials": step_credentials,
    "restart": step_restart_and_kill,
    "hang-printer": lambda trial: step_hang(trial, "printer"),
    "hang-db": lambda trial: step_hang(trial, "db"),
    "upgrade": step_upgrade,
    "rollback": step_rollback,
    "purge": step_purge,
}
REFUSED: dict[str, Step] = {"refusal": step_refusal}


def main() -> int:
    """Run all steps; returns 0 when all of them, or none, could be done."""
    given = _arguments()
    suite = SUITES[given.suite]
    why_not = hindrance() or suite.hindrance(given.cache)
    if why_not:
        print(f"skipped: no container can be booted here: {why_not}")
        return 0
    image = base_image(suite, given.cache)
    first, second = _packages(suite, given.cache, is_reused=given.reuse, is_thin=given.thin)
    trial = Trial(Machine(image, given.cache), first, second, suite.slicer)
    steps = STEPS if suite.is_supported else REFUSED
    try:
        trial.note("boot", f"{suite.title}, systemd is up after {trial.machine.boot():.1f} s")
        for name, step in steps.items():
            if name not in given.without:
                step(trial)
    except StepError as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        trial.machine.close()
        if not given.keep:
            shutil.rmtree(trial.machine.root, ignore_errors=True)
    if given.write:
        kind = ", the thin package" if given.thin else ""
        mark = f"{suite.name} thin" if given.thin else suite.name
        write_table(mark, f"{suite.title}, {platform.machine()}{kind}", ("step", "result"), trial.lines)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--suite", default="bookworm", choices=sorted(SUITES))
    parser.add_argument("--cache", type=Path, default=ROOT / "build/system")
    parser.add_argument("--thin", action="store_true", help="the package on the distribution's own libraries")
    parser.add_argument("--without", nargs="*", default=[], choices=sorted(STEPS), help="leave steps out")
    parser.add_argument("--reuse", action="store_true", help="take the packages of the last run")
    parser.add_argument("--keep", action="store_true", help="leave the tree for a look")
    parser.add_argument("--write", action="store_true", help=f"write the summary into {DOCUMENT.name}")
    return parser.parse_args()


def _packages(suite: Suite, cache: Path, *, is_reused: bool, is_thin: bool) -> tuple[Path, Path]:
    """Build the package twice, as two versions."""
    arch = "all" if is_thin else _architecture()
    # Where there is none for this Python, that of the oldest one is offered.
    python = suite.python if suite.is_supported else "3.11"
    made = []
    for revision in ("1", "2") if suite.is_supported else ("1",):
        target = Target(version(), revision, python, arch, is_thin=is_thin)
        out = cache / "dist"
        ready = out / target.file_name
        made.append(
            ready if is_reused and ready.exists() else build(Plan(target, out, cache / "work", "gzip"))
        )
    return made[0], made[-1]


def _architecture() -> str:
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
