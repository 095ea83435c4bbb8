"""What the printer's replies say about it: temperatures, position, prompts, last message. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from agent.domain.printer import Prompt, Temperature
from agent.printer.replies import (
    Action,
    Busy,
    BusyKind,
    ErrorSeverity,
    Halted,
    PositionReport,
    PrinterError,
    Reply,
    TemperatureReport,
)

HALT_CAUSE_S = 10.0
"""A firmware says why and halts within a moment; an older error is another story."""
_WATCHED = frozenset("BC")
"""Heaters by letter; other letters of a report (P probe, A ambient, X heatbreak) are sensors."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """The state that replies have built up."""

    temperatures: dict[str, Temperature] = field(default_factory=dict)
    temperatures_at: float | None = None
    position: dict[str, float] = field(default_factory=dict)
    prompt: Prompt | None = None
    message: str = ""
    waiting_for_user: bool = False
    trouble: str = ""
    trouble_at: float = 0.0


def track(state: Tracked, reply: Reply, now: float) -> Tracked:
    """Fold one reply into the state."""
    match reply:
        case TemperatureReport(heaters=heaters):
            merged = {**state.temperatures, **{k: v for k, v in heaters.items() if math.isfinite(v.actual)}}
            return replace(state, temperatures=merged, temperatures_at=now)
        case PositionReport(axes=axes):
            return replace(state, position=dict(axes))
        case Action(name=name, argument=argument):
            return _action(state, name, argument)
        case Busy(kind=BusyKind.PAUSED):
            prompt = state.prompt or Prompt("The printer waits for you.", ("Continue",))
            return replace(state, waiting_for_user=True, prompt=prompt)
        case Busy():
            return replace(state, waiting_for_user=False) if state.waiting_for_user else state
        case PrinterError(text=text, severity=severity) if severity is not ErrorSeverity.HARMLESS:
            return replace(state, message=text, trouble=text, trouble_at=now)
        case PrinterError(text=text) | Halted(text=text):
            return replace(state, message=text)
        case _:
            return state


def answered(state: Tracked) -> Tracked:
    """The prompt was answered or has become meaningless."""
    return replace(state, prompt=None, waiting_for_user=False)


def halt_words(state: Tracked, halt: str, now: float) -> str:
    """Why the firmware halted, in its own words: the error it named just before, then the halt itself."""
    words = _bare(halt)
    if not state.trouble or now - state.trouble_at > HALT_CAUSE_S or _bare(state.trouble) in words:
        return words
    return f"{_bare(state.trouble)}; {words}"


def is_heater(key: str) -> bool:
    """Whether a key of a temperature report names a heater (`T0`, `T1`, `B`, `C`)."""
    return key in _WATCHED or (key.startswith("T") and key[1:].isdigit())


def _action(state: Tracked, name: str, argument: str) -> Tracked:
    """Host prompts (Marlin HOST_PROMPT_SUPPORT): prompt_begin, prompt_button…, prompt_show, prompt_end."""
    if name == "prompt_begin":
        return replace(state, prompt=Prompt(argument))
    if name in ("prompt_button", "prompt_choice") and state.prompt is not None:
        return replace(state, prompt=Prompt(state.prompt.text, (*state.prompt.choices, argument)))
    if name == "prompt_end":
        return answered(state)
    if name == "notification":
        return replace(state, message=argument)
    return state


def _bare(text: str) -> str:
    return text.removeprefix("Error:").strip()
