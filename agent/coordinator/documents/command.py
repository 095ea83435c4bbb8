"""`down/commands`, `down/ack` and `up/results`: what is asked of a unit, and how it answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from agent.coordinator.documents.base import (
    Count,
    Document,
    Epoch,
    JobId,
    Name,
    Revision,
    Text,
    TimeMs,
    UnitId,
    json_object,
    validated,
)
from agent.coordinator.documents.job import SignedEnvelope, WantedJob

# A hundred may wait at once; the longest sensible one, signed, has 1 kB.
MAX_COMMAND_BYTES = 16 * 1024

CommandId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]


class CommandName(StrEnum):
    """What a coordinator can ask for; a unit's owner allows or denies each."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    START = "start"
    MOVE = "move"
    BED_CLEAR = "bed_clear"
    IDENTIFY = "identify"
    WATCH = "watch"
    REBIRTH = "rebirth"
    RESEND = "resend"
    CONFIGURE = "configure"
    HOME = "home"
    HEAT = "heat"
    COOL = "cool"


class Command(Document):
    """One command. `cmd_id` makes it idempotent; after `expires` (Unix ms) it is refused.

    It is carried out only if the printer is in one of `if_state` and `if_job` is the job on the printer. `args`
    depend on the command, see docs/coordinator.md. `command` is a plain text here: an unknown one is answered.
    """

    v: Literal[1]
    cmd_id: CommandId
    command: Name
    args: dict[str, Any] = Field(default_factory=dict)
    expires: TimeMs | None = None
    if_state: Annotated[list[Name], Field(max_length=20)] | None = None
    if_job: JobId | None = None
    unit: UnitId | None = None
    sent: TimeMs | None = None

    @field_validator("if_state", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class Ack(Document):
    """`down/ack`: every record of `epoch` up to and including `upto` is on the coordinator's own disk."""

    epoch: Epoch
    upto: Count
    v: Literal[1] = 1
    sent: TimeMs | None = None


class AnswerKind(StrEnum):
    """What an answer is about."""

    COMMAND = "command"
    JOB = "job"
    WANT = "want"
    ACK = "ack"


class AnswerStatus(StrEnum):
    """How it stands.

    Commands: `accepted`, then `done` or `failed`. Jobs: `accepted`, `duplicate` (known, `state` says how it stands)
    or `failed`. Wants: `missing` (`jobs` should be sent again).
    """

    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    MISSING = "missing"


class AnswerProblem(Document):
    """One wrong field of a document: where and what."""

    path: str
    message: str


class Answer(Document):
    """`up/results`: `code` is machine-readable, `detail` a sentence; `t` is Unix milliseconds."""

    v: Literal[1] = 1
    unit: UnitId
    kind: AnswerKind
    status: AnswerStatus
    cmd_id: str | None = None
    job_id: str | None = None
    rev: Revision | None = None
    code: str | None = None
    detail: Text = ""
    state: str | None = None
    problems: list[AnswerProblem] | None = None
    jobs: list[WantedJob] | None = None
    data: dict[str, Any] | None = None
    t: TimeMs

    @field_validator("kind", mode="before")
    @classmethod
    def _kind(cls, value: object) -> object:
        return AnswerKind(value) if isinstance(value, str) else value

    @field_validator("status", mode="before")
    @classmethod
    def _status(cls, value: object) -> object:
        return AnswerStatus(value) if isinstance(value, str) else value


def parse_command(payload: bytes, content_type: str | None = None) -> Command:
    """Return a plain command. Raises DocumentError."""
    return command_from(json_object("command", payload, content_type))


def command_from(content: dict[str, Any]) -> Command:
    """Return the command in a JSON object. Raises DocumentError."""
    return validated("command", Command, content)


def parse_command_message(payload: bytes, content_type: str | None = None) -> Command | SignedEnvelope:
    """Return what came on `down/commands`: an object with `sig` is a signed one. Raises DocumentError."""
    content = json_object("command", payload, content_type, most_bytes=MAX_COMMAND_BYTES)
    return validated("signed command", SignedEnvelope, content) if "sig" in content else command_from(content)


def parse_ack(payload: bytes, content_type: str | None = None) -> Ack:
    """Return what came on `down/ack`. Raises DocumentError."""
    return validated("ack", Ack, json_object("ack", payload, content_type))


def parse_answer(payload: bytes, content_type: str | None = None) -> Answer:
    """Return what came on `up/results`. Raises DocumentError."""
    return validated("answer", Answer, json_object("answer", payload, content_type))
