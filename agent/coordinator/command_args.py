"""The arguments of commands as models: `Command.args` is checked against the one of its name."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from agent.coordinator.documents.base import Count, Document, Epoch, JobId, Revision, validated

# What a coordinator may ask for as telemetry block, in seconds: a day of one-second blocks would fill the card.
MIN_BLOCK_S = 30.0
MAX_BLOCK_S = 900.0


class NoArgs(Document):
    """A command without arguments."""


class CancelArgs(Document):
    """Which order; without one the job on the printer. Without `rev` all its revisions."""

    job_id: JobId | None = None
    rev: Revision | None = None


class JobArgs(Document):
    """Which order."""

    job_id: JobId


class MoveArgs(Document):
    """Where to: place `to` (1 is next, -1 the end), or directly before another order."""

    job_id: JobId
    to: Annotated[int, Field(ge=-1, le=100_000)] | None = None
    before: JobId | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.to is None) == (self.before is None):
            raise ValueError("exactly one of to and before is wanted")
        return self


class WatchArgs(Document):
    """How many seconds of live samples, at most 600; 0 ends them."""

    seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0


class ResendArgs(Document):
    """Everything behind number `after` of an epoch again, as far as the unit still has it."""

    epoch: Epoch
    after: Count


class ConfigureArgs(Document):
    """How long a telemetry block is, in seconds; `batch` how many records a message carries at most."""

    block_s: Annotated[float, Field(ge=MIN_BLOCK_S, le=MAX_BLOCK_S)] | None = None
    batch: Annotated[int, Field(ge=1, le=200)] | None = None


class HomeArgs(Document):
    """Which axes, such as `XY`; all without."""

    axes: Annotated[str, Field(pattern=r"^[XYZ]{0,3}$")] = ""


class HeatArgs(Document):
    """Which heater (`T0`, `B`, `C`) to which temperature in °C."""

    heater: Annotated[str, Field(pattern=r"^(T[0-9]|B|C)$")]
    celsius: Annotated[float, Field(ge=0, le=500)]


ARGS: dict[str, type[Document]] = {
    "cancel": CancelArgs,
    "hold": JobArgs,
    "release": JobArgs,
    "retry": JobArgs,
    "start": JobArgs,
    "move": MoveArgs,
    "watch": WatchArgs,
    "resend": ResendArgs,
    "configure": ConfigureArgs,
    "home": HomeArgs,
    "heat": HeatArgs,
}


def parse_args(command: str, args: dict[str, Any]) -> Document:
    """Return the arguments of a command. Raises DocumentError with paths below `args`."""
    return validated(f"args of {command}", ARGS.get(command, NoArgs), args)
