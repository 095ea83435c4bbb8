"""A file that comes as a form: streamed into the store, never held in memory, never on a path of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.control.body import TooLargeError, read_chunks
from agent.control.unit import JobRequest
from agent.control.web.multipart import Item, MultipartReader, PartBegin, PartData, PartEnd, boundary_of
from agent.domain.errors import UsageError
from agent.storage.names import display_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent.control.unit import UnitFacade
    from agent.domain.job import Job
    from agent.http.request import Request

# Everything in a form that is no file.
FIELD_BYTES = 64 * 1024
OVERHEAD_BYTES = 256 * 1024
"""Delimiters, headers and fields around the file."""
SLOWEST_BYTES_S = 2 * 1024
"""A client slower than this over its first minute keeps a place from others: a 1 Mbit/s line is 60 times as fast."""
GRACE_S = 60.0
_FILE = "file"


@dataclass(slots=True)
class Form:
    """The fields of an upload, as they come; those behind the file are there only at the end."""

    fields: dict[str, str] = field(default_factory=dict)
    kept_bytes: int = 0

    def flag(self, name: str) -> bool:
        """Tell whether a field says yes."""
        return self.fields.get(name, "").strip().lower() in ("true", "1", "yes", "on")

    def keep(self, name: str, data: bytes) -> None:
        """Take a field's bytes. Raises TooLargeError."""
        self.kept_bytes += len(data)
        if self.kept_bytes > FIELD_BYTES:
            raise TooLargeError(f"the form's fields are larger than {FIELD_BYTES} bytes")
        self.fields[name] = self.fields.get(name, "") + data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Upload:
    """What came of it: the job, and whether it is to print."""

    job: Job
    is_print: bool


async def receive(request: Request, unit: UnitFacade) -> Upload:
    """Take one file of a form as a job.

    Without `print` it waits, held, until a person releases it; with `print` it takes its turn in the queue, behind gate
    and bed latch like every other job. Cura sends `print` behind the file: a job is held until the form is over.
    Raises UsageError, TooLargeError and whatever `JobIntake.submit` raises.
    """
    items = _items(request, unit.max_upload_bytes + OVERHEAD_BYTES)
    form = Form()
    begin = await _until_file(items, form)
    is_print = form.flag("print")
    order = JobRequest(
        name=display_name(begin.filename or ""),
        hold=not is_print,
        expected_bytes=_announced_bytes(request),
    )
    job = await unit.intake.submit(order, _file_bytes(items))
    await _rest(items, form)
    if form.flag("print") and not is_print:
        job = await unit.queue.release(job.job_id)
    return Upload(job, form.flag("print"))


async def _until_file(items: AsyncIterator[Item], form: Form) -> PartBegin:
    """Read fields up to the file. Raises UsageError `no_file`."""
    name = ""
    async for item in items:
        if isinstance(item, PartBegin):
            if item.filename is not None or item.name == _FILE:
                return item
            name = item.name
        elif isinstance(item, PartData):
            form.keep(name, item.data)
    raise UsageError("the form has no file", code="no_file", remedy="put the file into the field `file`")


async def _file_bytes(items: AsyncIterator[Item]) -> AsyncIterator[bytes]:
    async for item in items:
        if isinstance(item, PartData):
            yield item.data
        elif isinstance(item, PartEnd):
            return


async def _rest(items: AsyncIterator[Item], form: Form) -> None:
    """Read the fields behind the file; a second file is not taken."""
    name: str | None = None
    async for item in items:
        if isinstance(item, PartBegin):
            name = None if item.filename is not None else item.name
        elif isinstance(item, PartData) and name is not None:
            form.keep(name, item.data)


async def _items(request: Request, limit_bytes: int) -> AsyncIterator[Item]:
    """Yield the items of the body. Raises UsageError for one that ends too early or comes too slowly."""
    reader = MultipartReader(boundary_of(request.headers.get("content-type", "")))
    loop = asyncio.get_running_loop()
    began_s, received = loop.time(), 0
    async for chunk in read_chunks(request, limit_bytes):
        received += len(chunk)
        elapsed_s = loop.time() - began_s
        if elapsed_s > GRACE_S and received < elapsed_s * SLOWEST_BYTES_S:
            raise UsageError("the upload is too slow", code="too_slow", remedy="check the network")
        for item in reader.feed(chunk):
            yield item
    if not reader.is_done:
        raise UsageError("the upload ended in the middle", code="cut_off", remedy="send it again")


def _announced_bytes(request: Request) -> int | None:
    """Return what is to be expected of the file; the form around it is small."""
    declared = request.headers.get("content-length", "")
    return max(0, int(declared) - OVERHEAD_BYTES) if declared.isascii() and declared.isdigit() else None
