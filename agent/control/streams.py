"""Open streams: how many there may be, and how all of them end when the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from agent.domain.errors import FabunitError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

# People watching one printer at the same time; each costs some CPU per document.
MAX_STREAMS = 16

ItemT = TypeVar("ItemT")


class TooManyStreamsError(FabunitError):
    """Enough people are watching already."""

    code = "too_many_streams"
    http_status = 503


class StreamSlots:
    """Counts open streams and tells them to end. Event loop only."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._limit = limit
        self._open = 0
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every stream at its next opportunity; new ones end at once."""
        self._closing.set()

    async def closed_within(self, wait_s: float) -> bool:
        """Wait that long; true as soon as the server stops."""
        try:
            async with asyncio.timeout(wait_s):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True

    def hold(
        self, documents: AsyncGenerator[Mapping[str, Any], None]
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Take a slot for as long as the stream lives. Raises TooManyStreamsError."""
        if self._open >= self._limit:
            raise TooManyStreamsError(
                f"{self._limit} streams are open already",
                remedy="close another `--watch`, `logs -f` or console",
            )
        return self._held(documents)

    async def _held(
        self, documents: AsyncGenerator[Mapping[str, Any], None]
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        self._open += 1
        try:
            async for document in documents:
                yield document
        finally:
            self._open -= 1
            await documents.aclose()

    async def until_closed(self, items: AsyncIterator[ItemT]) -> AsyncGenerator[ItemT, None]:
        """Pass on what a subscription yields until it ends or the server stops."""
        closing = asyncio.create_task(self._closing.wait(), name="stream-closing")
        try:
            while True:
                step: asyncio.Future[Any] = asyncio.ensure_future(anext(items))
                try:
                    waiting: set[asyncio.Future[Any]] = {step, closing}
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not step.done():
                        step.cancel()
                        await asyncio.gather(step, return_exceptions=True)
                if step.cancelled() or isinstance(step.exception(), StopAsyncIteration):
                    return
                item: ItemT = step.result()
                yield item
        finally:
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
