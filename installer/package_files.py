"""What lies where in the package, besides the virtual environment."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from installer.control import Target
from installer.man_page import man_page

_COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/fabunit",
    "zsh": "usr/share/zsh/vendor-completions/_fabunit",
    "fish": "usr/share/fish/vendor_completions.d/fabunit.fish",
}


def copy_program(root: Path, site: Path) -> None:
    """Copy the package `agent` and its data as the wheel has them."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(root / "agent", site / "agent", ignore=ignored)
    for name in ("slicer_profiles", "systemd"):
        shutil.copytree(root / name, site / "agent/_data" / name, ignore=ignored)


def copy_system_files(root: Path, package: Path, target: Target) -> None:
    """Lay out unit, rules, users, configuration skeleton, completion, man page and documentation."""
    sources = root / "installer/files"
    places = {
        root / "systemd/fabunit@.service": "usr/lib/systemd/system/fabunit@.service",
        sources / "70-fabunit.rules": "usr/lib/udev/rules.d/70-fabunit.rules",
        sources / "95-fabunit-brltty.rules": "usr/lib/udev/rules.d/95-fabunit-brltty.rules",
        sources / "sysusers.conf": "usr/lib/sysusers.d/fabunit.conf",
        sources / "default": "etc/default/fabunit",
        sources / "unit.toml.example": "etc/fabunit/unit.toml.example",
        sources / "copyright": "usr/share/doc/fabunit/copyright",
        root / "docs/install-pi.md": "usr/share/doc/fabunit/install-pi.md",
        root / "systemd/README.md": "usr/share/doc/fabunit/systemd.md",
    }
    for source, place in places.items():
        _copy(source, package / place)
    rollback = package / "usr/sbin/fabunit-rollback"
    _copy(sources / "fabunit-rollback", rollback)
    rollback.chmod(0o755)
    for folder in (
        "etc/fabunit/profiles/printers",
        "etc/fabunit/profiles/materials",
        "etc/fabunit/profiles/qualities",
    ):
        (package / folder).mkdir(parents=True)
    (package / "usr/bin").mkdir(parents=True)
    (package / "usr/bin/fabunit").symlink_to("/opt/fabunit/current/bin/fabunit")
    _documents(root, package, target)


def list_bundled(site: Path, package: Path) -> None:
    """Write which distributions are in the environment, for those who look for an advisory."""
    found = sorted(path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info"))
    lines = [re.sub(r"-(?=\d)", " ", name, count=1) for name in found]
    (package / "usr/share/doc/fabunit/bundled.txt").write_text("\n".join(lines) + "\n")


def _documents(root: Path, package: Path, target: Target) -> None:
    """Write what the program tells about itself: the manual, completion scripts, the changelog."""
    _compressed(package / "usr/share/man/man1/fabunit.1.gz", man_page(target.version))
    _compressed(package / "usr/share/doc/fabunit/changelog.gz", (root / "CHANGELOG.md").read_text())
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FABUNIT")}
    for shell, place in _COMPLETIONS.items():
        command = [sys.executable, "-m", "agent", "completion", shell]
        said = subprocess.run(command, cwd=root, env=environ, check=True, capture_output=True, text=True)
        path = package / place
        path.parent.mkdir(parents=True)
        path.write_text(said.stdout)


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _compressed(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
