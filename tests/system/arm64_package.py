"""The arm64 package, installed by apt and run on an emulated processor: `make test-arm64-package`.

The tree is made by debootstrap, its second half under qemu-user. Nothing in it is for the machine that runs this: dpkg,
apt, the package's scripts, Python and every compiled library are those of a Pi with 64-bit Debian. What qemu-user
cannot do is told in docs/system-test.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from installer.build_deb import Plan, build, version
from installer.control import Target
from tests.system.aarch64 import PYTHONS, SHIM
from tests.system.emulator import hindrance, run_inside
from tests.system.report import write_table

ROOT = Path(__file__).resolve().parents[2]
_MIRROR = "http://deb.debian.org/debian"
_INCLUDED = "ca-certificates,mosquitto"
_DEMO_LIMIT_S = 1800
"""The print lasts 4 minutes at this speed; qemu-user sometimes hangs when a program with threads ends."""


def main() -> int:
    """Build, install, run; returns 0 when all of it, or nothing, could be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--suite", default="bookworm", choices=sorted(PYTHONS))
    parser.add_argument("--cache", type=Path, default=ROOT / "build/arm64-package")
    parser.add_argument("--write", action="store_true", help="write the summary into docs/system-test.md")
    given = parser.parse_args()
    missing = "" if shutil.which("debootstrap") else "missing: debootstrap (apt-get install debootstrap)"
    why_not = missing or hindrance()
    if why_not:
        print(f"skipped: {why_not}")
        return 0
    python = PYTHONS[given.suite]
    root = _fresh_tree(given.suite, given.cache)
    out = given.cache / "dist"
    package = build(Plan(Target(version(), "1", python, "arm64"), out, given.cache / "work", "xz"))
    lines = list(_trial(root, package, python))
    shutil.rmtree(root)
    if given.write:
        title = f"The arm64 package on Debian {given.suite}, emulated"
        write_table(f"arm64 package {given.suite}", title, ("step", "result"), lines)
    return 0


def _trial(root: Path, package: Path, python: str) -> list[tuple[str, str]]:
    """Install the package with install.sh and use it; returns the lines of the summary."""
    shelf = root / "root/dist"
    shelf.mkdir()
    shutil.copy(package, shelf)
    shutil.copy(ROOT / "install.sh", root / "root")
    shutil.copy(ROOT / f"tests/system/scripts/{SHIM}.py", root / "root")
    lines: list[tuple[str, str]] = []

    def note(step: str, what: str) -> None:
        lines.append((step, what))
        print(f"{step}: {what}", flush=True)

    began = time.monotonic()
    _inside(root, "apt-get update -qq && sh /root/install.sh /root/dist 2>&1")
    megabytes = package.stat().st_size / 1e6
    note(
        "install",
        f"{package.name} ({megabytes:.1f} MB) by `install.sh`, {time.monotonic() - began:.0f} s emulated",
    )
    note("version", _inside(root, "fabunit --version && uname -m").replace("\n", ", ").strip(", "))
    user = _inside(root, "id fabunit && readlink /opt/fabunit/current")
    note("user, version folder", user.replace("\n", "; ").strip("; "))
    compiled = "import numpy, trimesh, PIL._imaging, nacl.bindings, pydantic_core; print(trimesh.creation.box().volume)"
    volume = _inside(root, f"/opt/fabunit/current/bin/python -c {shlex.quote(compiled)}").strip()
    note("compiled libraries", f"numpy, Pillow, PyNaCl and pydantic-core load; a box has the volume {volume}")
    site = f"/opt/fabunit/current/lib/python{python}/site-packages"
    _inside(root, f"cp /root/{SHIM}.py {site} && echo 'import {SHIM}' > {site}/{SHIM}.pth")
    began = time.monotonic()
    verdict = json.loads(
        _inside(root, f"timeout -k 10 {_DEMO_LIMIT_S} fabunit demo --json --speed 4 2>/root/demo.log")
    )
    exact = "exact" if verdict["exact"] else f"NOT exact: {verdict}"
    note("demo", f"{verdict['lines_executed']} lines, {exact}, {time.monotonic() - began:.0f} s emulated")
    _inside(root, f"rm {site}/{SHIM}.py {site}/{SHIM}.pth; apt-get purge -y -qq fabunit 2>&1")
    left = _inside(
        root,
        "find / -xdev -path '*fabunit*' -not -path '/root/*' -not -path '/var/cache/*' -not -path '/tmp/*'",
    )
    note("purge", "no file left" if not left.strip() else f"left: {left}")
    return lines


def _fresh_tree(suite: str, cache: Path) -> Path:
    """Return a freshly unpacked minimal Debian for arm64; the archive of it is made once, some minutes."""
    cache = cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    image, root = cache / f"{suite}-arm64.tar", cache / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    if not image.exists():
        command = ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", f"--include={_INCLUDED}"]
        subprocess.run([*command, suite, str(root), _MIRROR], check=True, stdout=subprocess.DEVNULL)
        # A namespace may not make devices, and debootstrap tries one only to see whether it could: a file will do.
        device = root / "usr/local/sbin/mknod"
        device.parent.mkdir(parents=True, exist_ok=True)
        device.write_text('#!/bin/sh\nfor word; do case "$word" in /*) exec touch "$word" ;; esac; done\n')
        device.chmod(0o755)
        _inside(root, "/debootstrap/debootstrap --second-stage")
        device.unlink()
        (root / "etc/apt/sources.list").write_text(f"deb {_MIRROR} {suite} main\n")
        fresh = image.with_suffix(".new")
        subprocess.run(
            ["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./dev/*", "-cf", str(fresh), "."],
            check=True,
        )
        fresh.rename(image)
    else:
        subprocess.run(["tar", "-C", str(root), "-xf", str(image)], check=True)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    return root


def _inside(root: Path, line: str) -> str:
    """Run a shell line in the tree; returns what it wrote. Ends everything when it fails."""
    code, said = run_inside(root, line)
    if code != 0:
        raise SystemExit(f"{line}: ended with {code}\n{said}")
    return said


if __name__ == "__main__":
    sys.exit(main())
