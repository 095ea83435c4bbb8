"""Heaters that somebody forgot."""

from __future__ import annotations

from collections.abc import Mapping

from agent.domain.printer import Temperature


class IdleHeat:
    """Tells when heaters have been on for `timeout_s` with nothing printing."""

    def __init__(self, timeout_s: float) -> None:
        """Take the profile's `idle_timeout_s`; 0 or less switches the rule off."""
        self._timeout_s = timeout_s
        self._targets: dict[str, float] = {}
        self._since_s: float | None = None
        self._told = False

    def observe(
        self, temperatures: Mapping[str, Temperature], now: float, *, in_use: bool
    ) -> tuple[str, ...]:
        """Return the heaters to switch off, once per period of idleness.

        `in_use`: a print, a pause or a command of a person is under way. A changed target starts the time
        anew: somebody is preheating. If the heaters are still on a full period later, they are named again.
        """
        targets = {key: heater.target for key, heater in temperatures.items() if heater.target > 0}
        if in_use or not targets or targets != self._targets or self._since_s is None:
            self._targets = targets
            self._since_s = now
            return ()
        if self._timeout_s <= 0 or now - self._since_s < self._timeout_s:
            return ()
        self._since_s = now
        return tuple(sorted(targets))
