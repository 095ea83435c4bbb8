"""Logging set-up: structlog in front; a terminal, the journal, a file and the ring for `fabunit logs` behind.

Import this module before anything else that imports structlog: see `_without_rich`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from agent.ops.logring import LogEntry, LogRing, RotatingFile
from agent.ops.systemd import is_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@contextlib.contextmanager
def _without_rich() -> Iterator[None]:
    """Hide rich while structlog is imported.

    structlog.dev and structlog.tracebacks import rich whenever it is installed, for renderers not used here.
    That costs 4.6 MiB of resident memory and 70 to 100 ms. Afterwards rich can be imported as ever.
    """
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment] # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules["rich"]


with _without_rich():
    import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
# syslog priorities, understood by the journal at the start of a line (sd-daemon(3)).
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_COLOUR = {"debug": "2", "info": "36", "warning": "33", "error": "31", "critical": "1;31"}
# One entry must not fill ring, file or journal (which splits at 48 KiB).
TEXT_LIMIT = 8000
# The libraries' start and stop chatter says nothing the daemon does not say itself.
_QUIET = ("asyncio",)


@dataclass(frozen=True, slots=True)
class LogPlan:
    """Where log entries go. `level` is the least one kept; `ring` and `file` are optional."""

    level: str = "info"
    ring: LogRing | None = None
    file: RotatingFile | None = None


def configure_logging(
    plan: LogPlan, *, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Set up structlog and the standard library's logging for this process; call once, at start.

    On a terminal: readable lines. Else: one JSON object per line, under systemd with its priority in front.
    """
    out = sys.stderr if stream is None else stream
    sinks: list[Callable[[LogEntry], None]] = [_stream_sink(out, environ)]
    if plan.ring is not None:
        sinks.append(plan.ring.append)
    if plan.file is not None:
        sinks.append(_file_sink(plan.file))
    number = LEVELS[plan.level]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _as_entry],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_SinkLoggerFactory(sinks),
        cache_logger_on_first_use=True,
    )
    _bridge(sinks, number)


class _SinkLogger:
    """What structlog writes to: hands a finished entry to every sink."""

    def __init__(self, sinks: Sequence[Callable[[LogEntry], None]]) -> None:
        self._sinks = sinks

    def _emit(self, entry: LogEntry) -> None:
        for sink in self._sinks:
            sink(entry)

    debug = info = warning = error = critical = _emit


class _SinkLoggerFactory:
    def __init__(self, sinks: Sequence[Callable[[LogEntry], None]]) -> None:
        self._logger = _SinkLogger(sinks)

    def __call__(self, *_names: Any) -> _SinkLogger:
        return self._logger


def _as_entry(_logger: Any, method: str, fields: Any) -> tuple[tuple[LogEntry], dict[str, Any]]:
    """Give the entry its fixed keys first: t_ms, level, event; then its own fields, `exception` as text."""
    level = "error" if method == "exception" else method
    entry: LogEntry = {
        "t_ms": time.time_ns() // 1_000_000,
        "level": level,
        "event": _short(fields.pop("event", "")),
    }
    failure = fields.pop("exc_info", None)
    for name, value in fields.items():
        entry[name] = _plain(value)
    if failure:
        entry["exception"] = _exception_text(failure)
    return (entry,), {}


def _plain(value: Any) -> Any:
    """Keep JSON's own scalars, write everything else as bounded text."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _short(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def _exception_text(failure: Any) -> str:
    if isinstance(failure, BaseException):
        error: BaseException | None = failure
    elif isinstance(failure, tuple):
        error = failure[1]
    else:
        error = sys.exc_info()[1]
    return "" if error is None else "".join(traceback.format_exception(error))[-TEXT_LIMIT:]


def _stream_sink(stream: TextIO, environ: Mapping[str, str]) -> Callable[[LogEntry], None]:
    if stream.isatty():
        render = _coloured if not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" else _readable
    else:
        render = _journal_line if _is_journal(stream, environ) else _json_line

    def write(entry: LogEntry) -> None:
        try:
            stream.write(render(entry) + "\n")
            stream.flush()
        except (OSError, ValueError):  # the terminal is gone; ring and file still have the entry
            return

    return write


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    try:
        return is_journal(stream.fileno(), environ)
    except (OSError, ValueError):
        return False


def _file_sink(file: RotatingFile) -> Callable[[LogEntry], None]:
    def write(entry: LogEntry) -> None:
        file.write(_json_line(entry))

    return write


def _json_line(entry: LogEntry) -> str:
    return json.dumps(entry, ensure_ascii=False)


def _journal_line(entry: LogEntry) -> str:
    """Put the priority in front; the journal takes it off again and adds its own time."""
    return f"<{_PRIORITY[entry['level']]}>" + _json_line(entry)


def _readable(entry: LogEntry) -> str:
    return _text(entry, entry["level"])


def _coloured(entry: LogEntry) -> str:
    return _text(entry, f"\x1b[{_COLOUR[entry['level']]}m{entry['level']}\x1b[0m")


def _text(entry: LogEntry, level: str) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(entry["t_ms"] / 1000))
    pad = " " * max(0, 8 - len(entry["level"]))
    own = {
        name: value for name, value in entry.items() if name not in ("t_ms", "level", "event", "exception")
    }
    # repr: text from a printer or the network must not move the terminal's cursor.
    fields = " ".join(
        f"{name}={value if isinstance(value, int | float) else repr(value)}" for name, value in own.items()
    )
    line = f"{clock} {level}{pad} {entry['event']!s:<28} {fields}".rstrip()
    return line + ("\n" + entry["exception"].rstrip() if entry.get("exception") else "")


def _bridge(sinks: Sequence[Callable[[LogEntry], None]], number: int) -> None:
    """Send what libraries log through the standard library to the same places."""
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers = [_BridgeHandler(_SinkLogger(sinks))]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class _BridgeHandler(logging.Handler):
    """Turns a standard library record into an entry."""

    def __init__(self, target: _SinkLogger) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        level = next((name for name, number in reversed(LEVELS.items()) if record.levelno >= number), "debug")
        fields = {"event": record.getMessage(), "logger": record.name, "exc_info": record.exc_info}
        (entry,), _ = _as_entry(None, level, fields)
        self._target.info(entry)
