"""One connection: request after request, each read no faster than its handler takes it."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from agent.http.request import BodyBrokenError, Request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from agent.http.response import Response

READ_BYTES = 64 * 1024
HEADER_LIMIT_BYTES = 16 * 1024
"""Request line and headers of our client are under 1 KiB, a browser's under 4 KiB."""
IDLE_TIMEOUT_S = 5.0
"""A connection that asks nothing for this long is closed; a client opens a new one at no cost."""
HEAD_TIMEOUT_S = 10.0
"""From the first byte of a request to the end of its headers; they fit one packet."""
SEND_TIMEOUT_S = 60.0
"""A client that takes nothing for this long is gone or hostile."""
LINGER_S = 2.0
LINGER_BYTES = 8 * 1024 * 1024
"""Read away when the answer is out: closing on bytes that still come would destroy the answer (RFC 9112, 9.6)."""


class Connection:
    """Serves one client. Errors of the wire end it silently; a handler never raises."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_LIMIT_BYTES)
        self.is_idle = True
        """Between two requests: may be cut at any time."""

    async def serve(self) -> None:
        """Answer until either side ends. Raises OSError when the client is gone."""
        while (head := await self._head()) is not None:
            self.is_idle = False
            request = self._request(head)
            try:
                await self._send(await self._handler(request), is_head=request.method == "HEAD")
            finally:
                request.end()
            if not self._skip_body() or self._http.our_state is not h11.DONE:
                break
            self._http.start_next_cycle()
            self.is_idle = True
        await self._linger()

    async def _head(self) -> h11.Request | None:
        """Wait for the next request; None when there is none, or when it is not HTTP."""
        try:
            if not self._http.trailing_data[0]:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    self._http.receive_data(await self._reader.read(READ_BYTES))
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                event = await self._event()
        except TimeoutError:
            return None
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
            return None
        return event if isinstance(event, h11.Request) else None

    async def _event(self) -> h11.Event | None:
        """Return the next event; None behind a request that has not been answered."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(READ_BYTES))
        return event if isinstance(event, h11.Event) else None

    def _request(self, head: h11.Request) -> Request:
        peer = self._writer.get_extra_info("peername")
        return Request(
            head.method.decode("ascii"),
            head.target.decode("latin-1"),
            head.headers,
            body=self._body,
            socket=self._writer.get_extra_info("socket"),
            client=str(peer[0]) if isinstance(peer, tuple) else None,
        )

    async def _body(self) -> AsyncIterator[bytes]:
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))
        while self._http.their_state is h11.SEND_BODY:
            try:
                event = await self._event()
            except (h11.RemoteProtocolError, OSError) as error:
                raise BodyBrokenError(str(error)) from error
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    def _skip_body(self) -> bool:
        """Pass over what has already come of a body nobody read; true when that was all of it."""
        try:
            while self._http.their_state is h11.SEND_BODY:
                if self._http.next_event() is h11.NEED_DATA:
                    return False
        except h11.RemoteProtocolError:
            return False
        return self._http.their_state is h11.DONE

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """Say what is wrong to whoever speaks something else."""
        text = f"this is not HTTP/1.1 as it is spoken here: {error}\n".encode("latin-1", "replace")
        headers = [("content-type", "text/plain; charset=iso-8859-1"), ("connection", "close")]
        headers.append(("content-length", str(len(text))))
        self._write(h11.Response(status_code=error.error_status_hint, headers=headers))
        self._write(h11.Data(data=text))
        self._write(h11.EndOfMessage())
        await self._drain()

    async def _send(self, response: Response, *, is_head: bool) -> None:
        headers = list(response.headers.items())
        if response.media_type is not None:
            headers.append(("content-type", response.media_type))
        if response.chunks is None and response.status != HTTPStatus.NO_CONTENT:
            headers.append(("content-length", str(len(response.body))))
        reason = HTTPStatus(response.status).phrase.encode("ascii")
        self._write(h11.Response(status_code=response.status, headers=headers, reason=reason))
        if response.chunks is not None:
            await self._stream(response.chunks, is_head=is_head)
        elif response.body and not is_head:
            self._write(h11.Data(data=response.body))
        self._write(h11.EndOfMessage())
        await self._drain()

    async def _stream(self, chunks: AsyncGenerator[bytes, None], *, is_head: bool) -> None:
        """Send until the source ends. Raises ConnectionResetError when the client goes before that."""
        self._skip_body()  # so that `_until_gone` sees what is behind the request, not in it
        try:
            if is_head:
                return
            pump = asyncio.create_task(self._pump(chunks), name="http-stream")
            gone = asyncio.create_task(self._until_gone(), name="http-client")
            try:
                await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (pump, gone):
                    task.cancel()
                await asyncio.gather(pump, gone, return_exceptions=True)
        finally:
            await chunks.aclose()
        if pump.cancelled():
            raise ConnectionResetError
        pump.result()

    async def _pump(self, chunks: AsyncGenerator[bytes, None]) -> None:
        async for chunk in chunks:
            self._write(h11.Data(data=chunk))
            await self._drain()

    async def _until_gone(self) -> None:
        """Return when the client hangs up, or asks more behind a stream than one request's head."""
        while len(self._http.trailing_data[0]) <= HEADER_LIMIT_BYTES:
            data = await self._reader.read(READ_BYTES)
            if not data:
                return
            self._http.receive_data(data)

    def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)

    async def _drain(self) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()

    async def _linger(self) -> None:
        if self._http.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED) or self._reader.at_eof():
            return
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                while left > 0 and (data := await self._reader.read(READ_BYTES)):
                    left -= len(data)
