"""The distributions that are booted: their Python, where their packages come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_UBUNTU = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_KEYS = "ubuntu-archive-keyring.gpg"
# Debian has no package of Ubuntu's keys; on Ubuntu they are here.
_KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True, slots=True)
class Suite:
    """`python` is the distribution's own; `is_supported`: there is a package for it; `slicer` a package of its own."""

    name: str
    title: str
    python: str
    is_ubuntu: bool = False
    is_supported: bool = True
    slicer: str = "cura-engine"

    def sources(self, cache: Path) -> list[str]:
        """Return what mmdebstrap is told about the archive, after the name of the new tree."""
        if not self.is_ubuntu:
            return []
        pockets = (self.name, f"{self.name}-updates", f"{self.name}-security")
        lines = [
            f"deb [signed-by={_found_keys(cache)}] {_UBUNTU} {pocket} main universe" for pocket in pockets
        ]
        # The tree has the same keys, at its own place.
        own = f"s#signed-by=[^]]*#signed-by={_KEYRINGS / _UBUNTU_KEYS}#"
        return [*lines, f"--customize-hook=sed -i '{own}' \"$1/etc/apt/sources.list\""]

    def hindrance(self, cache: Path) -> str:
        """Why this one cannot be had here; "" when it can."""
        if self.is_ubuntu and _found_keys(cache) is None:
            return (
                f"{_UBUNTU_KEYS} is neither in {cache} nor in {_KEYRINGS}: take it from Ubuntu's package "
                "ubuntu-keyring (key F6EC B376 2474 EDA9 D21B 7022 8719 20D1 991B C93C)"
            )
        return ""


SUITES = {
    suite.name: suite
    for suite in (
        Suite("bookworm", "Debian 12 bookworm", "3.11"),
        Suite("trixie", "Debian 13 trixie", "3.13"),
        Suite("noble", "Ubuntu 24.04 noble", "3.12", is_ubuntu=True, slicer="prusa-slicer"),
        Suite("jammy", "Ubuntu 22.04 jammy", "3.10", is_ubuntu=True, is_supported=False),
    )
}


def _found_keys(cache: Path) -> Path | None:
    return next((path for path in (cache / _UBUNTU_KEYS, _KEYRINGS / _UBUNTU_KEYS) if path.exists()), None)
