"""The report for a terminal: one line of verdict, one line per finding with number, limit and place. Pure."""

from __future__ import annotations

from typing import Any

_WORDS = {
    "printable": "printable",
    "printable_with_warnings": "printable, with warnings",
    "not_printable": "not printable",
    "undetermined": "undetermined",
}


def verdict_line(document: dict[str, Any]) -> str:
    """Return the verdict in words, with the number of findings of each kind."""
    counts = document["counts"]
    parts = [
        _count(counts["error"], "error"),
        _count(counts["warning"], "warning"),
        _count(counts["info"], "remark"),
    ]
    told = ", ".join(part for part in parts if part)
    return f"{_WORDS.get(document['verdict'], document['verdict'])}{f': {told}' if told else ''}"


def finding_line(finding: dict[str, Any]) -> str:
    """Return id, message, limit and first place of a finding."""
    limit = f" ({told})" if (told := limit_of(finding)) else ""
    where = place(finding["places"][0]) if finding["places"] else ""
    more = len(finding["places"]) - 1
    also = f" and {more} more" if more > 0 else ""
    return f"{finding['id']}: {finding['message']}{limit}{f' at {where}{also}' if where else ''}"


def limit_of(finding: dict[str, Any]) -> str:
    """Return `limit 0.8 mm`, nothing where a limit of nothing goes without saying."""
    if not finding["limit"] or not finding["unit"]:
        return ""
    return f"limit {finding['limit']:g} {finding['unit']}"


def place(where: dict[str, Any]) -> str:
    """Return a place as `x12.0 y30.0 z5.0-9.0`."""
    x, y, _ = where["at_mm"]
    low, high = where["low_mm"][2], where["high_mm"][2]
    height = f"z{low:.1f}" if high - low < 0.05 else f"z{low:.1f} to {high:.1f}"
    return f"x{x:.1f} y{y:.1f} {height}"


def open_checks(document: dict[str, Any]) -> list[str]:
    """Return one line for each check that did not look at everything."""
    return [
        f"{run['id']}: {run['status']}, {run['detail']}" if run["detail"] else f"{run['id']}: {run['status']}"
        for run in document["checks"]
        if run["status"] in ("failed", "skipped")
    ]


def facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Return name and value pairs about the part."""
    mesh, estimate = document["mesh"], document["estimate"]
    if mesh is None:
        return []
    size = " x ".join(f"{side:.1f}" for side in mesh["size_mm"])
    rows = [
        ("size", f"{size} mm"),
        ("triangles", f"{mesh['triangles']}"),
        ("volume", f"{mesh['volume_mm3'] / 1000:.2f} cm³"),
    ]
    if estimate:
        low, high = _time(estimate["time_low_s"]), _time(estimate["time_high_s"])
        rows += [
            ("material", f"about {estimate['mass_g']:.0f} g, {estimate['filament_m']:.1f} m of filament"),
            ("time", f"{low} to {high}"),
        ]
        if estimate["support_volume_mm3"] > 50:
            rows.append(
                ("supports", f"about {estimate['support_volume_mm3'] / 1000:.1f} cm³ of space to fill")
            )
    return rows


def _count(number: int, word: str) -> str:
    return "" if number == 0 else f"{number} {word}{'s' if number > 1 else ''}"


def _time(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def extras(document: dict[str, Any]) -> list[str]:
    """Return lines about what was asked for besides: a better pose, a repair, files."""
    lines: list[str] = []
    if pose := document.get("orientation"):
        lines += pose["words"]
    if repair := document.get("repair"):
        lines += repair["words"]
    files = document.get("run", {}).get("files", [])
    return [*lines, *(f"wrote {path}" for path in files)]
