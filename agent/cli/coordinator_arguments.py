"""Values on the command line of `fabunit coordinator`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from agent.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def key_values(pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE; a value that is JSON is one (numbers, true, lists), anything else a text. Raises UsageError."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"{pair!r} is not KEY=VALUE", code="bad_argument")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def json_object(option: str, text: str) -> dict[str, Any]:
    """Read the JSON object an option was given. Raises UsageError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option} is no JSON: {error}", code="bad_argument") from None
    if not isinstance(value, dict):
        raise UsageError(f"{option} wants a JSON object", code="bad_argument")
    return value


def later_ms(now_ms: int, seconds: int | None) -> int | None:
    """Return the moment so many seconds behind `now_ms`, None for none."""
    return None if seconds is None else now_ms + seconds * 1000


def unix_ms() -> int:
    """Return the present moment in Unix milliseconds."""
    return time.time_ns() // 1_000_000
