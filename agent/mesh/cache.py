"""Reports on disk, by mesh, limits and checker: the same question is answered once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.mesh.checker_version import CHECKER_VERSION
from agent.mesh.limits import Limits
from agent.mesh.request import Request

MAX_REPORTS = 500  # about 10 kB each; the oldest go first
_MAX_BYTES = 4 << 20


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where a person's own checks are kept: `$XDG_CACHE_HOME`, else `~/.cache`, below it `fabunit/checks`."""
    home = environ.get("XDG_CACHE_HOME", "")
    root = Path(home) if home.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".cache"
    return root / "fabunit" / "checks"


def is_cacheable(request: Request) -> bool:
    """Whether the answer is the report alone, and depends on nothing but file, name's ending, limits and checker."""
    has_extras = request.report_dir or request.repair_to or request.is_oriented or request.fills_holes
    return not has_extras and request.unit is None


def _is_called_so(name: str, format_name: str) -> bool:
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    return not extension or {"stp": "step"}.get(extension, extension) == format_name.partition("-")[0]


class ReportCache:
    """Reports in `directory`, which need not exist. Blocking file access: call it in a thread.

    A report that cannot be read counts as missing; one that cannot be written is lost without harm.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, sha256: str, limits: Limits) -> Path:
        """Return where the report on a mesh under these limits is kept."""
        return self._directory / f"{sha256}.{limits.digest[:16]}.{CHECKER_VERSION}.json"

    def load(self, sha256: str, limits: Limits, name: str = "") -> dict[str, Any] | None:
        """Return the kept report, None when there is none, or when `name` now says that the file is something else."""
        path = self.path(sha256, limits)
        try:
            if path.stat().st_size > _MAX_BYTES:
                return None
            report = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        is_ours = (
            isinstance(report, dict)
            and report.get("limits_digest") == limits.digest
            and report.get("checker") == CHECKER_VERSION
            and isinstance(report.get("file"), dict)
            and report["file"].get("sha256") == sha256
            and _is_called_so(name, str(report["file"].get("format")))
        )
        return report if is_ours else None

    def load_for(self, source: Path, limits: Limits) -> dict[str, Any] | None:
        """Return the kept report on the file at `source`, whatever it is called; None without one."""
        try:
            with source.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None
        return self.load(sha256, limits, source.name)

    def save(self, report: dict[str, Any], limits: Limits) -> Path | None:
        """Keep a report that came to its end; return where, None when it was not kept."""
        if (
            any(run["status"] == "failed" and run["id"] != "load" for run in report["checks"])
            or not report["mesh"]
        ):
            return None
        path = self.path(report["file"]["sha256"], limits)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(report, separators=(",", ":")), encoding="utf-8")
            part.replace(path)
            self._trim()
        except OSError:
            return None
        return path

    def _trim(self) -> None:
        kept = sorted(self._directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[: max(0, len(kept) - MAX_REPORTS)]:
            path.unlink(missing_ok=True)
