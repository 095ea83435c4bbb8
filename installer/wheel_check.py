"""Whether every runtime dependency has a wheel for every supported machine: `make wheels` (downloads some 150 MB)."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from installer.build_deb import requirements, wheel_options

MACHINES = [(arch, python) for arch in ("arm64", "amd64") for python in ("3.11", "3.13")]
_NAME = re.compile(r"([A-Za-z0-9_.]+)-([0-9][A-Za-z0-9_.+]*)-.*-(any|[a-z0-9_.]+)\.whl")


def main() -> int:
    """Print one table per machine; returns 1 when a wheel is missing."""
    is_complete = True
    for arch, python in MACHINES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder]
            command += [*wheel_options(arch, python), *requirements()]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            missing = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            found = list(_wheels(Path(folder)))
            size_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        verdict = f"{len(found)} wheels, {size_mb:.0f} MB" if done.returncode == 0 else "; ".join(missing)
        is_complete = is_complete and done.returncode == 0
        print(f"Python {python}, {arch}: {verdict}")
        print(f"  compiled: {', '.join(name for name, is_compiled in found if is_compiled)}")
        print(f"  pure: {', '.join(name for name, is_compiled in found if not is_compiled)}")
    return 0 if is_complete else 1


def _wheels(folder: Path) -> Iterator[tuple[str, bool]]:
    """Name and version of each wheel, and whether it is for one architecture."""
    for path in sorted(folder.glob("*.whl")):
        match = _NAME.fullmatch(path.name)
        if match:
            yield f"{match[1]} {match[2]}", match[3] != "any"


if __name__ == "__main__":
    sys.exit(main())
