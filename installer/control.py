"""The control part of the Debian package: what it is called, what it needs, and its scripts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

# Debian names of what the thin package takes from Trixie; the floors are those of pyproject.toml.
_THIN_DEPENDS = (
    "python3-serial (>= 3.5)", "python3-pydantic (>= 2.7)", "python3-structlog (>= 24.1)",
    "python3-click (>= 8.1)", "python3-h11 (>= 0.14)", "python3-nacl (>= 1.5)",
    "python3-paho-mqtt (>= 2.1)", "python3-numpy (>= 1:1.26)",
    "python3-trimesh (>= 4.0)", "python3-pil (>= 10.1)", "python3-rich (>= 13.7)",
    "python3-prometheus-client (>= 0.20)",
)  # fmt: skip
_DESCRIPTION = """\
Description: print host for 3D printers: durable queue, safe streaming
 A daemon that takes jobs, checks them and streams them to a printer over its
 serial line, made for machines that nobody watches. One service per printer.
 .
 `fabunit demo` needs no printer; `sudo fabunit setup` joins one."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which package. `python` is a minor version such as 3.11, `arch` a Debian architecture or "all"."""

    version: str
    revision: str
    python: str
    arch: str
    is_thin: bool = False

    @property
    def full_version(self) -> str:
        """The Debian version: a package for a newer Python counts as newer, so that a new release takes over."""
        kind = "thin" if self.is_thin else ""
        return f"{self.version}-{self.revision}+py{self.python.replace('.', '')}{kind}"

    @property
    def home(self) -> str:
        """Where this version lives on the target."""
        return f"/opt/fabunit/{self.full_version}"

    @property
    def file_name(self) -> str:
        """What the package file is called."""
        return f"fabunit_{self.full_version}_{self.arch}.deb"


def control_files(target: Target, root: Path, package: Path) -> None:
    """Write DEBIAN/: control, conffiles, md5sums and the scripts."""
    folder = package / "DEBIAN"
    folder.mkdir()
    size_kib = sum(f.stat().st_size for f in package.rglob("*") if f.is_file() and not f.is_symlink()) >> 10
    (folder / "control").write_text(
        f"Package: fabunit\nVersion: {target.full_version}\nArchitecture: {target.arch}\n"
        "Maintainer: The fabunit authors <fabunit@localhost.invalid>\n"
        f"Installed-Size: {size_kib}\nDepends: {', '.join(_depends(target))}\n"
        "Suggests: cura-engine | prusa-slicer, mosquitto\n"
        f"Section: electronics\nPriority: optional\n{_DESCRIPTION}\n"
    )
    conffiles = sorted(
        f"/{path.relative_to(package)}" for path in (package / "etc").rglob("*") if path.is_file()
    )
    (folder / "conffiles").write_text("".join(f"{path}\n" for path in conffiles))
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(package)}\n"
        for path in sorted(package.rglob("*"))
        if path.is_file() and not path.is_symlink() and folder not in path.parents
        and f"/{path.relative_to(package)}" not in conffiles
    ]  # fmt: skip
    (folder / "md5sums").write_text("".join(sums))
    for name in ("postinst", "prerm", "postrm"):
        script = folder / name
        text = (root / "installer/debian" / name).read_text()
        script.write_text(text.replace("@VERSION@", target.full_version).replace("@PYTHON@", target.python))
        script.chmod(0o755)


def _depends(target: Target) -> list[str]:
    """The interpreter of exactly this minor version: the environment is bound to it."""
    major, minor = target.python.split(".")
    system = ["systemd (>= 247) | systemd-standalone-sysusers", "passwd"]
    if target.is_thin:
        return [
            f"python3 (>= {target.python})",
            f"python3 (<< {major}.{int(minor) + 1})",
            *_THIN_DEPENDS,
            *system,
        ]
    return [f"python{target.python}", "libc6 (>= 2.34)", *system]
