"""What is left on the spools: one row in table `meta`. Functions run inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from agent.domain.errors import NotFoundError
from agent.domain.job import JobState
from agent.domain.spool import Need, Spent, Spool, weighed
from agent.storage import meta
from agent.storage.database import Connection

_KEY = "spools"
_DECLARED = "declared"
_WAITING = tuple(state.value for state in JobState if not state.is_terminal)
_ACTIVE = tuple(state.value for state in JobState if state.is_active)
_NEEDS = f"""
SELECT job_id, jobs.material, filament_mm, copies, copies_done,
    json_extract(document, '$.require.material') AS ordered_material,
    json_extract(document, '$.require.color') AS color,
    json_extract(document, '$.require.material_g') AS stated_g
FROM jobs LEFT JOIN inbox USING (job_id, rev)
WHERE state IN ({", ".join("?" * len(_WAITING))})
ORDER BY state IN ({", ".join("?" * len(_ACTIVE))}) DESC, priority DESC, position, job_id
"""  # noqa: S608 - question marks


def loaded(connection: Connection) -> tuple[Spool, ...]:
    """Return what is loaded, in the order it was declared; nothing before the first declaration."""
    return tuple(Spool(**_without_mark(row)) for row in _rows(connection))


def needs(connection: Connection) -> tuple[Need, ...]:
    """Return what the unfinished jobs will still take, the next to be printed first; a running print counts whole."""
    found = []
    for row in connection.execute(_NEEDS, (*_WAITING, *_ACTIVE)):
        left = max(1, row["copies"] - row["copies_done"])
        length_mm, stated_g = row["filament_mm"], row["stated_g"]
        found.append(
            Need(
                row["job_id"],
                row["ordered_material"] or row["material"],
                row["color"],
                None if length_mm is None else length_mm * left,
                None if stated_g is None else stated_g * left / row["copies"],
            )
        )
    return tuple(found)


def declare(connection: Connection, spools: Sequence[Spool]) -> tuple[Spool, ...]:
    """Take what the maker's configuration says is loaded.

    A slot whose entry has not changed keeps its count; a changed one is another spool, which begins with what it says.
    """
    known = {str(row["slot"]): row for row in _rows(connection)}
    rows = []
    for spool in spools:
        mark = [spool.material, spool.color, spool.brand, spool.left_g]
        before = known.get(spool.slot)
        is_same = before is not None and before[_DECLARED] == mark
        left_g = before["left_g"] if before is not None and is_same else spool.left_g
        rows.append({**asdict(replace(spool, left_g=left_g)), _DECLARED: mark})
    if rows != list(known.values()):
        _write(connection, rows)
    return loaded(connection)


def refill(connection: Connection, slot: str, left_g: float) -> Spool:
    """Take a person's word for what is in a slot now. Raises NotFoundError."""
    rows = _rows(connection)
    row = next((row for row in rows if row["slot"] == slot), None)
    if row is None:
        known = ", ".join(str(row["slot"]) for row in rows) or "none"
        raise NotFoundError(
            f"nothing is said to be loaded in {slot!r}",
            code="no_slot",
            remedy=f"known slots: {known}; `materials` in [coordinator] names them",
        )
    row["left_g"] = left_g
    _write(connection, rows)
    return Spool(**_without_mark(row))


def use(connection: Connection, filament_mm: Mapping[str, float]) -> tuple[Spent, ...]:
    """Count down what a print took, in millimetres by tool."""
    rows = _rows(connection)
    grams = weighed(filament_mm, [Spool(**_without_mark(row)) for row in rows])
    spent = []
    for row in rows:
        used_g = grams.get(str(row["slot"]), 0.0)
        if used_g <= 0:
            continue
        if row["left_g"] is not None:
            row["left_g"] = round(max(0.0, row["left_g"] - used_g), 3)
        spent.append(Spent(str(row["slot"]), round(used_g, 3), row["left_g"]))
    if spent:
        _write(connection, rows)
    return tuple(spent)


def _rows(connection: Connection) -> list[dict[str, Any]]:
    text = meta.get(connection, _KEY)
    return [] if text is None else list(json.loads(text))


def _write(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    meta.put(connection, _KEY, json.dumps(list(rows), allow_nan=False))


def _without_mark(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != _DECLARED}
