"""Builds the Debian package: `make deb`.

The package holds one ready virtual environment under /usr/lib/fabunit/tree. Its own scripts link that tree into
/opt/fabunit/VERSION when it is installed, so that two versions can be there at once (docs/decisions/0012-package.md).

Nothing of the target is run: a package for another architecture or another Python is made from wheels alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from installer import package_files
from installer.control import Target, control_files

ROOT = Path(__file__).resolve().parents[1]
# glibc 2.36 (Bookworm) and newer run all of these; pip wants every one named.
_GLIBC = ("2_36", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# What no unit imports: tests, C headers, picture formats but PNG and JPEG, colours for the source of 500 languages.
_NOT_NEEDED = (
    "**/tests", "**/__pycache__", "bin", "**/*.pyi", "**/*.pxd",
    "numpy/_core/lib", "numpy/_core/include", "numpy/f2py", "numpy/_core/_simd*.so", "numpy/_core/_*_tests*.so",
    "numpy/random/lib", "numpy/random/_examples", "trimesh/resources/helpers", "trimesh/resources/templates/viewer.zip",
    "PIL/_avif*.so", "PIL/_webp*.so", "PIL/_imagingcms*.so", "PIL/_imagingtk*.so",
    "pillow.libs/libavif*", "pillow.libs/libwebp*", "pillow.libs/libsharpyuv*", "pillow.libs/liblcms2*",
    "pygments/lexers/[!_]*", "pygments/lexers/_*_builtins.py",
)  # fmt: skip


# Not loaded by the daemon: their byte code is made when the package is installed, and need not be carried along.
_COMPILED_LATE = frozenset({"numpy", "trimesh", "PIL", "pygments", "rich", "markdown_it", "mdurl"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build and where. `compression` as of `dpkg-deb -Z`."""

    target: Target
    out: Path
    work: Path
    compression: str


def main(arguments: list[str] | None = None) -> int:
    """Build the package that was asked for and print its path."""
    plan = _plan(arguments)
    print(build(plan))
    return 0


def build(plan: Plan) -> Path:
    """Assemble the tree, then have dpkg-deb pack it. Raises CalledProcessError, OSError."""
    shutil.rmtree(plan.work, ignore_errors=True)
    package = plan.work / "package"
    tree = package / "usr/lib/fabunit/tree"
    site = tree / "lib" / f"python{plan.target.python}" / "site-packages"
    site.mkdir(parents=True)
    if not plan.target.is_thin:
        _install_wheels(plan.target, site)
    package_files.copy_program(ROOT, site)
    _make_environment(plan.target, tree)
    _compile(plan.target, tree)
    package_files.copy_system_files(ROOT, package, plan.target)
    if not plan.target.is_thin:
        package_files.list_bundled(site, package)
    control_files(plan.target, ROOT, package)
    _normalise(package)
    plan.out.mkdir(parents=True, exist_ok=True)
    made = plan.out / plan.target.file_name
    command = ["dpkg-deb", "--root-owner-group", f"-Z{plan.compression}", "--build", str(package), str(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(plan.work)
    list_sums(plan.out)
    return made


def list_sums(folder: Path) -> None:
    """Write SHA256SUMS of the packages in a folder: with it the folder can be put on a web server (install.sh)."""
    sums = []
    for package in sorted(folder.glob("*.deb")):
        with package.open("rb") as file:
            sums.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {package.name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums))


def version() -> str:
    """The version of the program, from pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def requirements() -> list[str]:
    """The runtime dependencies, from pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return [str(line) for line in tomllib.load(file)["project"]["dependencies"]]


def wheel_options(arch: str, python: str) -> list[str]:
    """What makes pip choose wheels for a Debian machine of this architecture and Python, and nothing else."""
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    short = python.replace(".", "")
    options += [f"--abi={abi}" for abi in (f"cp{short}", "abi3", "none")]
    return options + [f"--platform=manylinux_{glibc}_{_MACHINES[arch]}" for glibc in _GLIBC]


def _install_wheels(target: Target, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-input"]
    command += ["--target", str(site), *wheel_options(target.arch, target.python), *requirements()]
    subprocess.run(command, check=True)
    for pattern in _NOT_NEEDED:
        for path in sorted(site.glob(pattern)):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _make_environment(target: Target, tree: Path) -> None:
    """What `python -m venv` would make at the place where the tree will be."""
    python = f"python{target.python}"
    (tree / "bin").mkdir()
    for name in ("python", "python3", python):
        (tree / "bin" / name).symlink_to(f"/usr/bin/{python}")
    (tree / "pyvenv.cfg").write_text(
        "home = /usr/bin\n"
        f"include-system-site-packages = {'true' if target.is_thin else 'false'}\n"
        f"version = {target.python}\n"
    )
    # The interpreter is named with its version: a running daemon never gets modules of the next one.
    script = tree / "bin/fabunit"
    # Nothing of the caller counts; no columns for tracebacks, 0.2 MiB of a daemon. Linux passes one word only.
    first = f"#!{target.home}/bin/python -IXno_debug_ranges"
    script.write_text(f"{first}\nimport sys\n\nfrom agent.cli.start import main\n\nsys.exit(main())\n")
    script.chmod(0o755)


def _compile(target: Target, tree: Path) -> None:
    """Byte code, where an interpreter of the target's version is here; what is left the package's script does."""
    python = _interpreter(target.python)
    if python is None:
        return
    site = tree / "lib" / f"python{target.python}" / "site-packages"
    early = [str(path) for path in sorted(site.iterdir()) if path.name not in _COMPILED_LATE]
    command = [python, "-m", "compileall", "-q", "-s", str(tree), "-p", target.home]
    command += ["--invalidation-mode", "unchecked-hash", *early]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def _interpreter(wanted: str) -> str | None:
    """Return a working interpreter of exactly this minor version."""
    if wanted == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    named = shutil.which(f"python{wanted}")
    if named is None:
        return None
    asked = subprocess.run([named, "-c", "import compileall"], capture_output=True, check=False)
    return named if asked.returncode == 0 else None


def _normalise(package: Path) -> None:
    """Modes as on any Debian system, whatever the builder's umask was."""
    for path in package.rglob("*"):
        if path.is_symlink():
            continue
        is_program = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if is_program else 0o644)
    package.chmod(0o755)


def _plan(arguments: list[str] | None) -> Plan:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument(
        "--python", default=here, help="3.11 for Bookworm, 3.13 for Trixie (default: this one's)"
    )
    parser.add_argument("--arch", choices=sorted(_MACHINES), default=_own_arch())
    parser.add_argument("--thin", action="store_true", help="on the distribution's own Python packages")
    parser.add_argument("--revision", default="1", help="the Debian revision (default: 1)")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=ROOT / "build/deb")
    parser.add_argument("--compression", default="xz", choices=["xz", "gzip", "none"])
    given = parser.parse_args(arguments)
    arch = "all" if given.thin else given.arch
    target = Target(version(), given.revision, given.python, arch, is_thin=given.thin)
    return Plan(target, given.out.resolve(), given.work.resolve(), given.compression)


def _own_arch() -> str:
    machine = os.uname().machine
    return next((arch for arch, name in _MACHINES.items() if name == machine), "amd64")


if __name__ == "__main__":
    sys.exit(main())
