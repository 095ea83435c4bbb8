"""One attempt to bring a file here: redirects, ranges, sizes, digest. Blocking; runs in the worker process."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import NoReturn

from agent import __version__
from agent.coordinator.fetch.connection import Clock, Connection, Dialler
from agent.coordinator.fetch.order import FetchOrder
from agent.coordinator.fetch.pace import Pace
from agent.coordinator.fetch.part_file import PartFile
from agent.coordinator.fetch.targets import Target, parse_target, redirected
from agent.domain.fetching import FetchError

MAX_REDIRECTS = 3
_BLOCK_BYTES = 1 << 18
# A server may ask for patience, not for an unlimited amount of it.
_MAX_RETRY_AFTER_S = 3600.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")

Report = Callable[[int, int], None]


class _StartOverError(Exception):
    """What was kept of an earlier attempt does not fit what the server offers now."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer with its header read; `connection` must be closed by whoever got it."""

    connection: Connection
    response: http.client.HTTPResponse
    target: Target


def download(order: FetchOrder, dialler: Dialler, report: Report, *, clock: Clock = time.monotonic) -> int:
    """Complete `order.part` and return how many bytes came over the wire. The file is flushed and proven.

    `report(done_bytes, size_bytes)` is called often. Raises FetchError, StorageError `disk_full`, OSError of
    the disk. After a transient error the part is kept for the next attempt, after any other it is deleted.
    """
    # An encrypted file needs its room twice: it is on the disk in both forms until the plain one is proven.
    spare_bytes = order.limits.min_free_bytes + (order.size_bytes if order.encryption else 0)
    with PartFile(order.part, order.wire_size_bytes, spare_bytes) as part:
        try:
            received = _Attempt(order, dialler, part, report, clock).complete()
        except FetchError as error:
            if error.is_transient:
                part.sync()
                error.received_bytes = part.size_bytes
            else:
                order.part.unlink()
            raise
        part.sync()
        return received


class _Attempt:
    """One attempt at one file; `complete` is called once."""

    def __init__(
        self, order: FetchOrder, dialler: Dialler, part: PartFile, report: Report, clock: Clock
    ) -> None:
        self._order = order
        self._dialler = dialler
        self._part = part
        self._report = report
        self._clock = clock
        self._pace = Pace(order.limits, clock())

    def complete(self) -> int:
        """Fetch what is missing, or everything when what was there proves useless; prove the whole."""
        is_resumed = self._part.size_bytes > 0
        try:
            received = self._transfer()
        except _StartOverError:
            received = self._from_start()
        else:
            if is_resumed and not self._is_proven():
                # The beginning may be of another file, or a power cut has eaten some of it.
                received += self._from_start()
        if not self._is_proven():
            raise FetchError(
                f"the file has SHA-256 {self._part.sha256}, the job says {self._order.wire_sha256}",
                code="hash_mismatch",
                remedy="the coordinator must order the file that the URL leads to",
            )
        return received

    def _is_proven(self) -> bool:
        return self._order.wire_sha256 in (None, self._part.sha256)

    def _from_start(self) -> int:
        self._part.restart()
        return self._transfer()

    def _transfer(self) -> int:
        """Ask for what is missing and append it; returns the bytes received."""
        if not self._part.missing_bytes:
            return 0
        try:
            answer = self._ask()
            with closing(answer.connection), closing(answer.response):
                _check_header(answer, self._part)
                self._pace.begin_body(self._clock())
                return self._read_body(answer.response)
        except http.client.IncompleteRead:
            raise self._stopped() from None
        except ConnectionError as error:
            # Only sockets raise this here (see connection.py); a disk's OSError goes up as it is.
            raise _interrupted(f"the connection broke: {error}") from None
        except http.client.HTTPException as error:
            raise FetchError(
                f"the server does not speak HTTP as it should: {type(error).__name__}: {str(error)[:200]}",
                code="bad_response",
                is_transient=True,
                remedy="try the URL with another program; report it to the coordinator's operator",
            ) from None

    def _ask(self) -> _Answer:
        """Send the request, following redirects; each place is checked like the first."""
        first = target = parse_target(self._order.url)
        for _ in range(MAX_REDIRECTS + 1):
            connection = self._dialler.open(target, self._pace)
            try:
                self._pace.begin_header(self._clock())
                credentials = self._order.authorization if target.origin == first.origin else ""
                headers = _headers(self._part.size_bytes, credentials)
                connection.request("GET", target.path, headers=headers)
                response = connection.getresponse()
            except BaseException:
                connection.close()
                raise
            if response.status not in _REDIRECTS:
                return _Answer(connection, response, target)
            location = response.getheader("Location", "")
            response.close()
            connection.close()
            target = redirected(target, location)
        raise FetchError(
            f"{first.shown} redirects more than {MAX_REDIRECTS} times",
            code="too_many_redirects",
            remedy="the coordinator must give the URL of the file itself",
        )

    def _read_body(self, response: http.client.HTTPResponse) -> int:
        """Append the missing bytes and not one more; what a server sends after them is never read."""
        part = self._part
        size = part.size_bytes + part.missing_bytes
        received = 0
        while part.missing_bytes:
            block = response.read1(min(_BLOCK_BYTES, part.missing_bytes))
            if not block:
                raise self._stopped()
            part.append(block)
            received += len(block)
            self._report(part.size_bytes, size)
        return received

    def _stopped(self) -> FetchError:
        return _interrupted(f"the server stopped {self._part.missing_bytes} bytes before the end")


def _headers(offset: int, credentials: str) -> dict[str, str]:
    headers = {
        "User-Agent": f"fabunit/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    if offset:
        headers["Range"] = f"bytes={offset}-"
    if credentials:
        headers["Authorization"] = credentials
    return headers


def _check_header(answer: _Answer, part: PartFile) -> None:
    """Accept an answer that brings exactly the missing bytes. Raises FetchError or _StartOverError."""
    response = answer.response
    if response.status == 200:
        if part.size_bytes:
            part.restart()  # the server cannot resume: this is the whole file again
    elif response.status == 206 and part.size_bytes:
        _check_range(response, part)
    elif response.status == 416 and part.size_bytes:
        raise _StartOverError
    else:
        _refuse_status(answer)
    encoding = response.getheader("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise FetchError(
            f"{answer.target.shown} sends the file encoded as {encoding[:20]!r}",
            code="content_encoded",
            remedy="the server must send the file as it is",
        )
    if response.length is not None and response.length != part.missing_bytes:
        if part.size_bytes:
            raise _StartOverError
        raise FetchError(
            f"{answer.target.shown} has {response.length} bytes, the job says {part.missing_bytes}",
            code="wrong_length",
            remedy="the coordinator must order the file that the URL leads to",
        )


def _check_range(response: http.client.HTTPResponse, part: PartFile) -> None:
    """Believe a partial answer only when it is the rest of a file of the right size."""
    found = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range", "").strip())
    wanted = part.size_bytes + part.missing_bytes
    if (
        found is None
        or int(found[1]) != part.size_bytes
        or int(found[2]) != wanted - 1
        or found[3] not in ("*", str(wanted))
    ):
        raise _StartOverError


def _refuse_status(answer: _Answer) -> NoReturn:
    response = answer.response
    what = f"{answer.target.shown} answers {response.status} {response.reason[:60]!r}"
    if response.status in _BUSY:
        raise FetchError(
            what,
            code="http_busy",
            is_transient=True,
            retry_after_s=_retry_after_s(response.getheader("Retry-After", "")),
            remedy="it is tried again later",
        )
    raise FetchError(
        what,
        code="http_refused",
        remedy="the coordinator must give a URL that works, and order the job again",
    )


def _retry_after_s(text: str) -> float | None:
    """Read the seconds form only: the date form needs two clocks that agree."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return None
    return min(float(text), _MAX_RETRY_AFTER_S)


def _interrupted(message: str) -> FetchError:
    return FetchError(
        message, code="interrupted", is_transient=True, remedy="it goes on by itself where it stopped"
    )
