"""Files the worker writes: complete or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def dump(document: dict[str, Any], path: Path) -> None:
    """Write a JSON document."""
    write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name first, so that nobody ever reads half of it."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
