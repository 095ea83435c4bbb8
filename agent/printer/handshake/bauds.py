"""The order in which baud rates are tried."""

from __future__ import annotations

from collections.abc import Iterable

COMMON_BAUDS = (115200, 250000, 230400, 500000, 1000000, 57600)


def baud_candidates(
    setting: str | int, profile_bauds: Iterable[int] = (), remembered: int | None = None
) -> tuple[int, ...]:
    """List the rates to try, best first.

    A set rate stands alone; `auto` tries the remembered one, the profile's, then the usual ones.
    """
    if setting != "auto":
        return (int(setting),)
    first = () if remembered is None else (remembered,)
    return tuple(dict.fromkeys((*first, *profile_bauds, *COMMON_BAUDS)))
