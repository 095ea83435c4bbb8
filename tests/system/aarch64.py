"""The tests that need no hardware, on an emulated 64-bit ARM processor: `make test-aarch64`.

A Debian for arm64 is unpacked without running anything of it, the dependencies come as wheels for aarch64, and
qemu-user runs it. The kernel learns about the emulator in a user namespace of this run alone. Where that cannot be done
it says why and ends with 0. It proves that the code runs on the Pi's architecture; the time it takes says nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from installer.build_deb import requirements, wheel_options

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
NEEDED = ("mmdebstrap", "unshare", "qemu-aarch64-static")
_TOOLS = ("pytest", "hypothesis", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "pytest-randomly")
# The core of a Pi 3 and Zero 2 W; qemu's default has pointer authentication, which takes ten times as long to emulate.
_CPU = "cortex-a53"
# ELF header of a 64-bit little-endian ARM program, as in qemu's own registration; F: the emulator is opened now.
_BINFMT = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
    r"/usr/bin/qemu-aarch64-static:F"
)
_DEFAULT_TESTS = ("tests/unit",)


def main() -> int:
    """Prepare the tree and run the tests; returns pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--suite", default="bookworm", choices=sorted(PYTHONS))
    parser.add_argument("--cache", type=Path, default=ROOT / "build/aarch64")
    parser.add_argument("tests", nargs="*", help=f"for pytest (default: {' '.join(_DEFAULT_TESTS)})")
    given, options = parser.parse_known_args()
    why_not = hindrance()
    if why_not:
        print(f"skipped: {why_not}")
        return 0
    root = tree(given.suite, given.cache)
    _copy_project(root)
    return run(root, PYTHONS[given.suite], [*(given.tests or _DEFAULT_TESTS), *options])


def hindrance() -> str:
    """Why it cannot be done here; "" when it can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"missing: {', '.join(missing)} (apt-get install mmdebstrap qemu-user-static util-linux)"
    if os.geteuid() != 0:
        return "it needs root"
    tried = _in_namespace("true")
    return "" if tried.returncode == 0 else f"no emulator can be registered here: {tried.stderr.strip()}"


def tree(suite: str, cache: Path) -> Path:
    """Return a Debian for arm64 with Python and all wheels; made once."""
    root = cache / suite
    if (root / "complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    python = PYTHONS[suite]
    command = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64", "--format=directory"]
    command += [f"--include=python{python},libstdc++6,libgcc-s1,bash,coreutils,procps", suite, str(root)]
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


def run(root: Path, python: str, arguments: list[str]) -> int:
    """Run pytest in the tree."""
    words = " ".join(arguments)
    inside = (
        f"cd /work && PYTHONPATH=/wheels HOME=/root LC_ALL=C.UTF-8 exec /usr/bin/python{python} -m pytest -q "
        f"-p no:cacheprovider --timeout 900 {words}"
    )
    script = (
        f"mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc && "
        f"QEMU_CPU={_CPU} exec chroot {root} /bin/bash -c '{inside}'"
    )
    return _in_namespace(script, is_shown=True).returncode


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
    with (work / "pyproject.toml").open("rb") as file:
        assert tomllib.load(file)["project"]["name"] == "fabunit"


def _in_namespace(script: str, *, is_shown: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a shell line in a mount and user namespace in which programs for aarch64 run."""
    prepared = (
        "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && "
        f"printf '%s' '{_BINFMT}' > /proc/sys/fs/binfmt_misc/register && {script}"
    )
    command = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "bash", "-c", prepared]
    return subprocess.run(command, capture_output=not is_shown, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
