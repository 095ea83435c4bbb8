"""Targets of the heaters over the lines of one file: first, highest, last."""

from __future__ import annotations

from typing import Any

from agent.domain.artefact import Finding, Severity

LEAST_MELT_C = (
    150.0  # firmwares refuse to extrude below 170 °C; some materials for crafts melt a little earlier
)
_HEATERS = {"M104": "T", "M109": "T", "M140": "B", "M190": "B", "M141": "C", "M191": "C"}


class HeatLog:
    """Keys are `T0`, `T1`, ..., `B` (bed), `C` (chamber); targets in °C."""

    def __init__(self) -> None:
        self._tool = 0
        self.first: dict[str, float] = {}
        self.highest: dict[str, float] = {}
        self.last: dict[str, float] = {}

    @property
    def nozzle_is_hot(self) -> bool:
        """Some nozzle has a target at which something melts."""
        return any(celsius >= LEAST_MELT_C for heater, celsius in self.last.items() if heater.startswith("T"))

    def take(self, word: str, values: dict[str, float]) -> bool:
        """Take a command; False when it has nothing to do with heaters or tools."""
        if word[0] == "T" and word[1:].isdigit():
            self._tool = int(word[1:])
            return True
        if word == "G10" and "P" in values:
            self._set(f"T{int(values['P'])}", values.get("S", values.get("R")))
            return True
        heater = _HEATERS.get(word)
        if heater is None:
            return False
        if heater == "T":
            heater = f"T{int(values.get('T', self._tool))}"
        self._set(heater, values.get("S", values.get("R")))
        return True

    def left_on(self) -> list[Finding]:
        """Return a warning when the file ends with a heater on; the host cools down in any case."""
        on = sorted(heater for heater, celsius in self.last.items() if celsius > 0)
        if not on:
            return []
        names = ", ".join(f"{heater} {self.last[heater]:g} °C" for heater in on)
        return [
            Finding(
                "heaters_left_on",
                Severity.WARNING,
                0,
                f"the file does not switch off its heaters at the end ({names}); the host will",
                "add M104 S0 and M140 S0 to the slicer's end G-code",
            )
        ]

    def summary(self) -> dict[str, Any]:
        """Return first, highest and last targets by heater."""
        return {"first_c": dict(self.first), "highest_c": dict(self.highest), "last_c": dict(self.last)}

    def _set(self, heater: str, celsius: float | None) -> None:
        if celsius is None:
            return
        if celsius > 0:
            self.first.setdefault(heater, celsius)
        self.highest[heater] = max(celsius, self.highest.get(heater, 0.0))
        self.last[heater] = celsius
