"""A service manager in miniature: takes sd_notify messages, keeps descriptors, hands them to the next process."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

# Moves the kept descriptors to 3, 4, … as sd_listen_fds(3) wants them, then becomes the daemon under the same pid.
_LAUNCH = """
import os, sys
kept = [int(fd) for fd in sys.argv[1].split(",") if fd]
high = [os.dup2(fd, 200 + i) for i, fd in enumerate(kept)]
for fd in kept:
    os.close(fd)
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class ServiceManager:
    """Keeps what `FDSTORE=1` hands over until `FDSTOREREMOVE=1`, over any number of daemons."""

    def __init__(self, folder: Path) -> None:
        self.kept: dict[str, list[int]] = {}
        self.messages: list[str] = []
        self.lock = threading.Lock()
        self.address = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._thread = threading.Thread(target=self._serve, name="service manager", daemon=True)
        self._thread.start()

    def names(self) -> list[str]:
        """What is kept now."""
        with self.lock:
            return sorted(name for name, found in self.kept.items() for _ in found)

    def seen(self, text: str) -> int:
        """How many messages had this text."""
        with self.lock:
            return sum(text in message for message in self.messages)

    def adopt(self, name: str, descriptor: int) -> None:
        """Keep a descriptor of the test's own."""
        with self.lock:
            self.kept.setdefault(name, []).append(descriptor)

    def launch(self, command: list[str]) -> tuple[list[str], dict[str, str], tuple[int, ...]]:
        """The command line, environment and descriptors of a daemon that gets everything that is kept."""
        with self.lock:
            pairs = [(name, fd) for name, found in self.kept.items() for fd in found]
        descriptors = tuple(fd for _, fd in pairs)
        environ = {**os.environ, "NOTIFY_SOCKET": str(self.address)}
        if pairs:
            environ["LISTEN_FDS"] = str(len(pairs))
            environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in pairs)
        launcher = [sys.executable, "-c", _LAUNCH, ",".join(map(str, descriptors)), *command[1:]]
        return launcher, environ, descriptors

    def close(self) -> None:
        """End; whatever is kept is closed. May be called again."""
        if not self._thread.is_alive():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"END=1", str(self.address))
        self._thread.join(5)
        self._socket.close()
        for found in self.kept.values():
            for descriptor in found:
                os.close(descriptor)

    def _serve(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 4)
            fields = dict(line.partition("=")[::2] for line in message.decode().splitlines())
            if "END" in fields:
                return
            with self.lock:
                name = fields.get("FDNAME", "stored")
                if "FDSTORE" in fields:
                    self.kept.setdefault(name, []).extend(descriptors)
                elif "FDSTOREREMOVE" in fields:
                    for descriptor in self.kept.pop(name, []):
                        os.close(descriptor)
                self.messages.append(message.decode())
