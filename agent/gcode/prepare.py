"""The gate: from a G-code file as it came to the prepared file that is streamed, or to findings that forbid it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from agent.domain.artefact import Finding, Metadata, Prepared, Severity
from agent.domain.errors import ArtefactError, StorageError
from agent.domain.profile import PrinterProfile
from agent.gcode.blocks import BlockReader
from agent.gcode.durations import Timeline, TimeSource
from agent.gcode.metadata import EDGE_BYTES, read_metadata
from agent.gcode.move_model import CornerModel, MoveModel, ShapeModel
from agent.gcode.objects import read_objects
from agent.gcode.prepared_file import GATE_VERSION, PreparedWriter
from agent.gcode.scan import OFFSET_STEP, Scanner, too_many_errors
from agent.gcode.sniff import HEAD_BYTES, check_is_text_gcode
from agent.gcode.thumbnails import read_thumbnails

Progress = Callable[[int, int], None]
Sink = Callable[[bytes], None]


def prepare(
    source: Path,
    out_dir: Path,
    profile: PrinterProfile,
    dialect: str,
    on_progress: Progress | None = None,
    *,
    model: MoveModel | None = None,
    on_lines: Sink | None = None,
) -> Prepared:
    """Check `source` against the rules and this printer's limits, in one pass and constant memory.

    When printable, `out_dir/<sha256>.gcode` holds exactly the lines to stream, synced to disk; else `sha256` is
    empty and no file is left. `on_progress(done_bytes, size_bytes)` is called now and then. `model` times the moves
    where the slicer left no marks (default: a rough one; nothing need be timed when an analysis follows).
    `on_lines` gets what is written, whole lines in order, up to the first error. ArtefactError when the file is no
    G-code (empty_file, not_gcode, mesh_unsupported), StorageError when it cannot be read or written.
    """
    try:
        with source.open("rb") as file:
            return _prepare(
                file,
                out_dir,
                profile,
                dialect,
                on_progress or (lambda _done, _size: None),
                model=model,
                on_lines=on_lines,
            )
    except OSError as error:
        code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "storage_failed"
        raise StorageError(
            f"cannot prepare {source.name}: {error.strerror or error}",
            code=code,
            remedy="check disk space and permissions",
        ) from error


def _prepare(
    file: BinaryIO,
    out_dir: Path,
    profile: PrinterProfile,
    dialect: str,
    on_progress: Progress,
    *,
    model: MoveModel | None,
    on_lines: Sink | None,
) -> Prepared:
    size_bytes = os.fstat(file.fileno()).st_size
    head = file.read(EDGE_BYTES)
    file.seek(max(len(head), size_bytes - EDGE_BYTES))
    tail = file.read(EDGE_BYTES)
    file.seek(0)
    check_is_text_gcode(head[:HEAD_BYTES], size_bytes, tail or head[HEAD_BYTES:])
    metadata = read_metadata(head, tail)
    if model is None:
        model = ShapeModel(profile) if metadata.estimate_s else CornerModel(profile)
    timeline = Timeline(_time_source(head, tail), model)
    reader = BlockReader(file)
    with PreparedWriter(out_dir) as writer:
        scanner = Scanner(profile, dialect, timeline, _both(writer.write, on_lines))
        for block in reader:
            scanner.feed(block)
            on_progress(reader.size_bytes, size_bytes)
            if scanner.is_stopped:
                scanner.log.add(too_many_errors(scanner.log), scanner.source_lines)
                break
        scanner.finish()
        if scanner.lines == 0 and scanner.commands == 0:
            raise ArtefactError(
                "the file has no G-code in it",
                code="not_gcode",
                remedy="queue a file that a slicer has written",
            )
        _compare(metadata, profile, scanner)
        facts = _facts(head, tail or head)
        is_printable = not scanner.log.errors
        sha256 = writer.commit() if is_printable else ""
    return _result((reader.sha256, sha256), profile, metadata, scanner, facts)


def _both(write: Sink, on_lines: Sink | None) -> Sink:
    if on_lines is None:
        return write

    def sink(lines: bytes) -> None:
        write(lines)
        on_lines(lines)

    return sink


def _facts(head: bytes, tail: bytes) -> dict[str, Any]:
    """Return what the ends of the file tell about objects and pictures."""
    return {
        "objects": list(read_objects(head, tail)),
        "thumbnails": [
            {"width_px": picture.width_px, "height_px": picture.height_px, "format": picture.format}
            for picture in read_thumbnails(head)
        ],
    }


def _time_source(head: bytes, tail: bytes) -> TimeSource:
    """Choose before the first line: marks must go through the whole file, so both ends must have them."""
    ends = (head, tail or head)
    if all(b"\nM73 P" in end and b" R" in end for end in ends):
        return TimeSource.M73
    if any(b"\n;TIME_ELAPSED:" in end for end in ends):
        return TimeSource.ELAPSED
    return TimeSource.MODEL


def _compare(metadata: Metadata, profile: PrinterProfile, scanner: Scanner) -> None:
    """Compare what the slicer assumed with this printer."""
    if scanner.lines == 0:
        scanner.log.add(Finding("nothing_to_print", Severity.ERROR, 0, "no line of the file can be sent"), 0)
    try:
        nozzle_mm = float(metadata.extra.get("nozzle_mm", "0"))
    except ValueError:
        return
    if nozzle_mm and abs(nozzle_mm - profile.nozzle_mm) > 0.01:
        message = f"sliced for a {nozzle_mm:g} mm nozzle, {profile.name} has {profile.nozzle_mm:g} mm"
        scanner.log.add(Finding("nozzle_mismatch", Severity.WARNING, 0, message, "slice for this printer"), 0)


def _result(
    digests: tuple[str, str],
    profile: PrinterProfile,
    metadata: Metadata,
    scanner: Scanner,
    facts: dict[str, Any],
) -> Prepared:
    total_s = scanner.timeline.total_s(metadata.estimate_s)
    grid = [index * OFFSET_STEP + 1 for index in range(len(scanner.offsets))]
    summary: dict[str, Any] = {
        **facts,
        "temperatures": scanner.heat.summary(),
        "homes": scanner.motion.was_homed,
        "extrudes": scanner.motion.extruded,
        "source_lines": scanner.source_lines,
        "time_source": scanner.timeline.source.value,
        "estimate_source": "slicer" if metadata.estimate_s else scanner.timeline.source.value,
    }
    layers = scanner.layers.layers
    if layers:
        summary["height_mm"] = max(layer.z_mm for layer in layers)
    if metadata.estimate_s is None:
        metadata = _with_estimate(metadata, total_s)
    return Prepared(
        source_sha256=digests[0],
        profile_digest=profile.digest,
        gate_version=GATE_VERSION,
        sha256=digests[1],
        lines=scanner.lines,
        size=scanner.size_bytes,
        offset_step=OFFSET_STEP,
        offsets=tuple(scanner.offsets),
        times=scanner.timeline.times(grid, scanner.lines, total_s or 0.0),
        layers=layers,
        metadata=metadata,
        findings=scanner.log.findings,
        summary=summary,
    )


def _with_estimate(metadata: Metadata, estimate_s: float | None) -> Metadata:
    """Give progress something to count down when the slicer wrote no estimate; the summary tells the source."""
    return Metadata(
        slicer=metadata.slicer,
        estimate_s=estimate_s,
        filament_mm=metadata.filament_mm,
        filament_g=metadata.filament_g,
        layer_height_mm=metadata.layer_height_mm,
        material=metadata.material,
        printer=metadata.printer,
        extra=metadata.extra,
    )
