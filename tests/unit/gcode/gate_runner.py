"""Runs the gate over text that a test writes down."""

from __future__ import annotations

from pathlib import Path

from agent.domain.artefact import Prepared
from agent.domain.profile import PrinterProfile
from agent.gcode.prepare import prepare


class Gate:
    """Runs the gate over text; the prepared bytes are in `output` (None when refused)."""

    def __init__(self, directory: Path, profile: PrinterProfile) -> None:
        self.directory = directory
        self.profile = profile
        self.output: bytes | None = None

    def __call__(self, text: str | bytes, dialect: str = "marlin") -> Prepared:
        source = self.directory / "source.gcode"
        source.write_bytes(text.encode() if isinstance(text, str) else text)
        out_dir = self.directory / "prepared"
        out_dir.mkdir(exist_ok=True)
        result = prepare(source, out_dir, self.profile, dialect)
        path = out_dir / f"{result.sha256}.gcode"
        self.output = path.read_bytes() if result.sha256 else None
        return result


def ids(prepared: Prepared) -> set[str]:
    return {finding.id for finding in prepared.findings}
