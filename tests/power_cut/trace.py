"""From what strace saw of a process to the file operations below one directory, in the order they were completed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = "openat,open,close,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
STRACE = ("strace", "-f", "-qq", "-xx", "-s", "4000000", "-e", f"trace={CALLS}", "-e", "signal=none")


@dataclass(frozen=True, slots=True)
class Created:
    """A file was made."""

    path: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """Bytes went into a file, as far as the kernel."""

    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    """A file's length was set."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file, or the directory itself, was flushed to the disk."""

    path: str
    is_directory: bool


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file got another name."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Removed:
    """A name was taken away."""

    path: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The process reported everything up to this event as done."""

    seq: int


Operation = Created | Wrote | Truncated | Synced | Renamed | Removed | Acknowledged
_LINE = re.compile(r"(?P<pid>\d+) +(?P<text>.*)")
_UNFINISHED = re.compile(r"(?P<text>.*) ?<unfinished \.\.\.>$")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>,? ?(?P<text>.*)$")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")


class TraceReader:
    """Keeps what the descriptors stand for. Paths below `root` are named relative to it."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._paths: dict[int, tuple[str, bool]] = {}
        self._offsets: dict[int, int] = {}
        self._known: set[str] = set()

    def read(self, trace: Path) -> list[Operation]:
        """Return all operations of a trace."""
        return [operation for line in _whole_lines(trace) for operation in self._operation(line)]

    def _operation(self, line: str) -> Iterator[Operation]:
        call = _CALL.match(line)
        if call is None or int(call["result"]) < 0:
            return
        name, arguments, result = call["name"], _split(call["arguments"]), int(call["result"])
        if name in ("open", "openat"):
            yield from self._opened(arguments[1] if name == "openat" else arguments[0], line, result)
        elif name == "close":
            self._paths.pop(int(arguments[0]), None)
        elif name in ("rename", "renameat", "renameat2", "unlink", "unlinkat"):
            yield from self._names(name, arguments)
        elif name != "mkdir":
            yield from self._written(name, arguments, result)

    def _opened(self, path: str, line: str, descriptor: int) -> Iterator[Operation]:
        found = self._below(_text(path))
        self._paths.pop(descriptor, None)
        if found is None:
            return
        is_new = "O_CREAT" in line and found not in self._known
        # SQLite opens directories like files, only to flush them.
        is_directory = not is_new and found not in self._known
        self._paths[descriptor] = (found, is_directory)
        self._offsets[descriptor] = 0
        if is_new:
            self._known.add(found)
            yield Created(found)
        if "O_TRUNC" in line:
            yield Truncated(found, 0)

    def _names(self, name: str, arguments: list[str]) -> Iterator[Operation]:
        paths = [self._below(_text(argument)) for argument in arguments if argument.startswith('"')]
        if paths[0] is None:
            return
        self._known.discard(paths[0])
        if name.startswith("unlink"):
            yield Removed(paths[0])
        else:
            assert paths[1] is not None
            self._known.add(paths[1])
            yield Renamed(paths[0], paths[1])
            for descriptor, (path, is_directory) in self._paths.items():
                if path == paths[0]:
                    self._paths[descriptor] = (paths[1], is_directory)

    def _written(self, name: str, arguments: list[str], result: int) -> Iterator[Operation]:
        descriptor = int(arguments[0])
        if name == "write" and descriptor == 1:
            yield Acknowledged(int(_bytes(arguments[1]).split()[1]))
            return
        if descriptor not in self._paths:
            return
        path, is_directory = self._paths[descriptor]
        if name in ("fsync", "fdatasync"):
            yield Synced(path, is_directory)
        elif name == "pwrite64":
            yield Wrote(path, int(arguments[3]), _bytes(arguments[1])[:result])
        elif name == "write":
            yield Wrote(path, self._offsets[descriptor], _bytes(arguments[1])[:result])
            self._offsets[descriptor] += result
        elif name == "ftruncate":
            yield Truncated(path, int(arguments[1]))

    def _below(self, path: str) -> str | None:
        if path == self._root:
            return "."
        return path.removeprefix(self._root + "/") if path.startswith(self._root + "/") else None


def _whole_lines(trace: Path) -> Iterator[str]:
    """Put calls that other threads interrupted in the trace together again, where they were completed."""
    begun: dict[str, str] = {}
    with trace.open(encoding="ascii", errors="replace") as file:
        for line in file:
            found = _LINE.match(line.rstrip("\n"))
            if found is None:
                continue
            pid, text = found["pid"], found["text"]
            if unfinished := _UNFINISHED.match(text):
                begun[pid] = unfinished["text"].rstrip()
            elif resumed := _RESUMED.match(text):
                before = begun.pop(pid, "")
                joint = "" if before.endswith("(") or resumed["text"].startswith(")") else ", "
                yield before.rstrip(", ") + joint + resumed["text"]
            else:
                yield text


def _split(arguments: str) -> list[str]:
    """Split at commas outside of strings; strings hold only hexadecimal escapes here."""
    return [part.strip() for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", arguments)]


def _bytes(argument: str) -> bytes:
    quoted = argument[: argument.rindex('"') + 1]
    return bytes.fromhex(quoted.strip('"').replace("\\x", ""))


def _text(argument: str) -> str:
    return _bytes(argument).decode()
