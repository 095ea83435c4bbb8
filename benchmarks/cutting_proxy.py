"""A network that misbehaves on demand: a TCP proxy on loopback that delays, stalls, half-closes and cuts."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from typing import Self

_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: close() sends RST."""


class CuttingProxy:
    """Forwards `127.0.0.1:port` to `127.0.0.1:target`; `delay_s` holds every byte, each way.

    The delay is a line, not a throttle: what was sent together arrives together, later.
    """

    def __init__(self, target: int, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.sent_bytes = 0
        """What clients have sent."""
        self.returned_bytes = 0
        """What came back to them."""
        self.sent_packets = 0
        self.returned_packets = 0
        self._target = target
        self._open = threading.Event()
        self._open.set()
        self._is_down = False
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it with all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._open.set()
        self.cut()

    def down(self) -> None:
        """Cut, and refuse until `up`."""
        self._is_down = True
        self.cut()

    def up(self) -> None:
        """Take connections again."""
        self._is_down = False

    def cut(self) -> None:
        """Reset every connection, both ends."""
        for pair in self._take_pairs():
            for end in pair:
                _reset(end)

    def half_close(self, hold_s: float) -> None:
        """Tell the far end that nothing more comes, leave the near end hanging for `hold_s`, then reset it."""
        pairs = self._take_pairs()
        for _near, far in pairs:
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_WR)

        def end() -> None:
            for pair in pairs:
                for socket_ in pair:
                    _reset(socket_)

        timer = threading.Timer(hold_s, end)
        timer.daemon = True
        timer.start()

    def stall(self, hold_s: float) -> None:
        """Let nothing through for `hold_s`; the connections stay."""
        self._open.clear()
        timer = threading.Timer(hold_s, self._open.set)
        timer.daemon = True
        timer.start()

    def _take_pairs(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return pairs

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down:
                _reset(near)
                continue
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 5.0)
        except OSError:
            _reset(near)
            return
        far.settimeout(None)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._pairs.append((near, far))
        for source, sink, is_up in ((near, far, True), (far, near, False)):
            line: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
            threading.Thread(target=self._read, args=(source, line, is_up), daemon=True).start()
            threading.Thread(target=self._write, args=(sink, line), daemon=True).start()

    def _read(self, source: socket.socket, line: queue.SimpleQueue[tuple[float, bytes]], is_up: bool) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(_CHUNK_BYTES)
            except OSError:
                data = b""
            if is_up:
                self.sent_bytes += len(data)
                self.sent_packets += 1
            else:
                self.returned_bytes += len(data)
                self.returned_packets += 1
            line.put((time.monotonic() + self.delay_s, data))

    def _write(self, sink: socket.socket, line: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        while True:
            due_s, data = line.get()
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._open.wait()
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except OSError:
                return


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # close() alone would wait for a thread in recv().
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()
