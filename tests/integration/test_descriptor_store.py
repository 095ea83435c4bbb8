"""The open port outlives the daemon: its descriptor waits with the service manager for the next one."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.rig import Rig, commands, spiral
from tests.integration.service_manager import ServiceManager
from tests.integration.test_learning import is_on_disk


class ManagedRig(Rig):
    """A unit whose daemon is run by a service manager with a descriptor store."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.manager = ServiceManager(folder)

    def start_daemon(self, *, wait: bool = True) -> None:
        command = [sys.executable, "-m", "agent", "run"]
        command += ["--config", str(self.config), "--socket", str(self.socket)]
        launcher, environ, descriptors = self.manager.launch(command)
        with (self.folder / "daemon.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                launcher, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, pass_fds=descriptors
            )
        if wait:
            self.until(lambda: self.status() is not None, "the daemon answers")

    def close(self) -> None:
        super().close()
        self.manager.close()

    def until_kept(self, count: int = 1) -> None:
        self.until(
            lambda: len(self.manager.names()) == count,
            f"{count} descriptors are kept, not {self.manager.names()}",
        )

    def open_descriptors(self) -> list[str]:
        """What the daemon has open."""
        assert self.daemon is not None
        folder = Path(f"/proc/{self.daemon.pid}/fd")
        return [str(link.readlink()) for link in folder.iterdir() if link.is_symlink()]

    def detail(self) -> str:
        """Why the printer is in its state."""
        status = self.status()
        return "" if status is None else str(status["printer"]["detail"])

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text(errors="replace")


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[ManagedRig]:
    rig = ManagedRig(tmp_path)
    try:
        yield rig
    finally:
        rig.close()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the advisory lock that pyserial takes."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_killed_daemons_port_is_adopted_and_the_print_is_exact(managed: ManagedRig) -> None:
    part = spiral(3500)
    managed.start_printer(speed=60)
    managed.start_daemon()
    job_id = managed.submit(part)
    for lines in (300, 1500):
        managed.until_executed(lines)
        managed.kill_daemon()
        # The manager's copy holds the lock: who opens the port anew is refused.
        assert is_locked(managed.port)
        managed.start_daemon()
    assert managed.until_ended(job_id)["state"] == "completed"
    assert managed.executed() == commands(part)
    assert managed.manager.seen("FDSTORE=1") == 1, "an adopted descriptor is with the manager already"
    assert "in use by" not in managed.log()


def test_an_orderly_stop_leaves_the_port_open_too(managed: ManagedRig) -> None:
    part = spiral(2500)
    managed.start_printer(speed=60)
    managed.start_daemon()
    job_id = managed.submit(part)
    managed.until_executed(300)
    assert managed.stop_daemon() == 0
    assert len(managed.manager.names()) == 1
    assert is_locked(managed.port)
    managed.start_daemon()
    assert managed.until_ended(job_id)["state"] == "completed"
    assert managed.executed() == commands(part)


def test_a_descriptor_that_has_hung_up_is_no_hindrance(managed: ManagedRig) -> None:
    part = spiral(2500)
    managed.start_printer(speed=60)
    managed.start_daemon()
    job_id = managed.submit(part)
    managed.until_executed(300)
    managed.kill_daemon()
    managed.tell_printer("unplug")
    managed.tell_printer("replug")
    managed.start_daemon()
    assert managed.until_ended(job_id)["state"] == "completed"
    assert managed.executed() == commands(part)
    assert managed.manager.seen("FDSTOREREMOVE=1") == 1
    managed.until_kept()


def test_descriptors_of_no_use_are_closed_and_removed(managed: ManagedRig) -> None:
    managed.start_printer()
    master, slave = pty.openpty()
    stranger = os.ttyname(slave)
    managed.manager.adopt("port-115200-" + "0" * 32, slave)
    managed.manager.adopt("stored", os.open(managed.folder, os.O_RDONLY | os.O_DIRECTORY))
    managed.start_daemon()
    managed.until_state("idle")
    managed.until_kept(1)
    assert stranger not in managed.open_descriptors()
    assert str(managed.folder) not in managed.open_descriptors()
    os.close(master)


def test_a_port_that_was_let_go_is_free_at_once(managed: ManagedRig) -> None:
    managed.start_printer()
    managed.start_daemon()
    managed.until_state("idle")
    managed.until_kept()
    managed.client.post("/v1/printer/disconnect")
    managed.until_state("offline")
    managed.until_kept(0)
    managed.until(lambda: not is_locked(managed.port), "the port is free")
    managed.client.post("/v1/printer/connect")
    managed.until_state("idle")
    managed.until_kept()
    assert is_locked(managed.port)


def test_a_pulled_cable_removes_the_descriptor(managed: ManagedRig) -> None:
    managed.start_printer()
    managed.start_daemon()
    managed.until_state("idle")
    managed.until_kept()
    managed.tell_printer("unplug")
    managed.until_kept(0)
    managed.tell_printer("replug")
    managed.until_state("idle")
    managed.until_kept()
    assert managed.manager.seen("FDSTORE=1") == 2


def test_another_configured_port_is_not_confused_with_the_kept_one(managed: ManagedRig) -> None:
    managed.start_printer()
    managed.start_daemon()
    managed.until_state("idle")
    managed.until(lambda: is_on_disk(managed), "what was learned is on disk")
    managed.kill_daemon()
    managed.configure(port=str(managed.folder / "elsewhere"))
    managed.start_daemon()
    managed.until(lambda: "there is no port" in managed.detail(), "the port is missed")
    managed.until_kept(0)
    assert managed.printer_state() != "idle", "the printer of another port is none of ours"
    assert not is_locked(managed.port)


class Relay:
    """A serial device server: one TCP connection at a time to the printer's port."""

    def __init__(self, device: Path) -> None:
        self.accepted = 0
        self._device = device
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.spec = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The daemon has gone by now, so its connection ends by itself."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        descriptor = os.open(self._device, os.O_RDWR | os.O_NOCTTY)
        try:
            while True:
                stream, _ = self._listener.accept()
                self.accepted += 1
                outwards = threading.Thread(target=self._outwards, args=(descriptor, stream), daemon=True)
                outwards.start()
                with stream:
                    while data := stream.recv(4096):
                        os.write(descriptor, data)
        except OSError:
            return  # the test is over

    def _outwards(self, descriptor: int, stream: socket.socket) -> None:
        try:
            while data := os.read(descriptor, 4096):
                stream.sendall(data)
        except OSError:
            return


def test_a_tcp_connection_outlives_the_daemon(managed: ManagedRig) -> None:
    part = spiral(2000)
    managed.start_printer(speed=60)
    relay = Relay(managed.port)
    managed.configure(port=relay.spec)
    managed.start_daemon()
    job_id = managed.submit(part)
    managed.until_executed(300)
    assert managed.daemon is not None
    managed.daemon.send_signal(signal.SIGKILL)
    managed.daemon.wait()
    managed.start_daemon()
    assert managed.until_ended(job_id)["state"] == "completed"
    assert managed.executed() == commands(part)
    assert relay.accepted == 1
    managed.kill_daemon()
    managed.manager.close()
    relay.close()
