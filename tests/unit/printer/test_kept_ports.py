"""Descriptors that come from the daemon before and go to the next one."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

import pytest

from agent.printer.discovery import PortInfo
from agent.printer.port import KeptPorts, TtyPort, open_port
from agent.printer.port.kept import kept_name
from tests.unit.printer.port_peers import Terminal, connected, read_all

LONGEST_NAME = 255  # fdname_is_valid of systemd


class Store:
    """The service manager's side."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.kept: dict[str, int] = {}
        self.removed: list[str] = []

    def store(self, descriptor: int, name: str) -> bool:
        if self.takes:
            self.kept[name] = os.dup(descriptor)
        return self.takes

    def remove(self, name: str) -> bool:
        self.removed.append(name)
        descriptor = self.kept.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)
        return True

    def inherit(self) -> dict[str, int]:
        """What the next process gets: copies, as over an exec."""
        return {name: os.dup(descriptor) for name, descriptor in self.kept.items()}

    def ports(self) -> KeptPorts:
        return KeptPorts(self.inherit(), self.store, self.remove)


def is_free(path: str) -> bool:
    """Whether another program could open the port and take its lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:  # TIOCEXCL: only root of the machine is let past it
        if error.errno != errno.EBUSY:
            raise
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "identity",
    ["/dev/serial/by-path/platform-usb-0:1.2:1.0-port0", "socket://host:23", "x" * 4096, "Gerät\udcff"],
)
def test_names_are_what_the_service_manager_takes(identity: str) -> None:
    name = kept_name(identity, 250000)
    assert ":" not in name
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= LONGEST_NAME
    assert name != kept_name(identity, 115200)


def test_a_port_goes_from_one_daemon_to_the_next_with_unread_bytes() -> None:
    terminal, store = Terminal(), Store()
    first = open_port(terminal.path, 115200)
    assert store.ports().keep(first)
    name = kept_name(first.identity, 115200)
    assert list(store.kept) == [name]
    terminal.say(b"ok\n")
    first.close()  # the process has died

    ports = store.ports()
    assert ports.has(first.identity)
    second = ports.adopt(PortInfo(terminal.path, first.identity))
    assert second is not None
    assert (second.baud, second.identity) == (115200, first.identity)
    assert read_all(second, 3) == b"ok\n"
    assert ports.is_kept(second)
    assert not ports.has(first.identity)
    ports.forget(second)
    assert store.removed == [name]
    second.close()
    terminal.hang_up()


def test_a_kept_port_stays_locked_and_one_let_go_is_free_at_once() -> None:
    terminal, store = Terminal(), Store()
    ports = store.ports()
    port = open_port(terminal.path, 115200)
    ports.keep(port)
    port.close()
    assert not is_free(terminal.path)

    again = store.ports()
    adopted = again.adopt(PortInfo(terminal.path, port.identity))
    assert adopted is not None
    copies = store.inherit()  # the manager is slow: its copy is still open
    again.forget(adopted)
    adopted.close()
    assert is_free(terminal.path)
    reopened = open_port(terminal.path, 115200)
    reopened.close()
    for descriptor in copies.values():
        os.close(descriptor)
    terminal.hang_up()


def test_without_a_service_manager_nothing_is_kept() -> None:
    terminal = Terminal()
    for ports in (KeptPorts(), Store(takes=False).ports()):
        port = open_port(terminal.path, 115200)
        assert not ports.keep(port)
        assert not ports.is_kept(port)
        port.close()
        assert is_free(terminal.path)
    terminal.hang_up()


def test_a_dead_descriptor_is_released_and_not_adopted() -> None:
    terminal, store = Terminal(), Store()
    port = open_port(terminal.path, 115200)
    store.ports().keep(port)
    port.close()
    terminal.hang_up()
    ports = store.ports()
    assert ports.adopt(PortInfo(terminal.path, port.identity)) is None
    assert store.removed == [kept_name(port.identity, 115200)]


def test_a_rate_the_maker_has_changed_is_not_adopted() -> None:
    terminal, store = Terminal(), Store()
    port = open_port(terminal.path, 115200)
    store.ports().keep(port)
    port.close()
    ports = store.ports()
    assert ports.adopt(PortInfo(terminal.path, port.identity), 250000) is None
    assert store.kept == {}
    assert is_free(terminal.path)
    terminal.hang_up()


def test_a_link_that_leads_to_another_device_now_is_not_adopted(tmp_path: Path) -> None:
    old, new, store = Terminal(), Terminal(), Store()
    link = tmp_path / "printer"
    link.symlink_to(old.path)
    port = open_port(str(link), 115200)
    store.ports().keep(port)
    port.close()
    link.unlink()
    link.symlink_to(new.path)
    assert store.ports().adopt(PortInfo(str(link), port.identity)) is None
    assert store.kept == {}
    old.hang_up()
    new.hang_up()


def test_descriptors_of_other_ports_and_of_strangers_are_closed(tmp_path: Path) -> None:
    terminal, store = Terminal(), Store()
    mine = open_port(terminal.path, 115200)
    store.ports().keep(mine)
    mine.close()
    for name in ("stored", "", "port-115200-abc", f"port-0-{'0' * 32}", kept_name("elsewhere", 115200)):
        store.kept[name] = os.open(tmp_path, os.O_RDONLY)
    inherited = store.inherit()
    ports = KeptPorts(inherited, store.store, store.remove)
    ports.keep_only([PortInfo(terminal.path, mine.identity)])
    name = kept_name(mine.identity, 115200)
    assert list(store.kept) == [name]
    assert [other for other, descriptor in inherited.items() if is_open(descriptor)] == [name]
    ports.discard()
    assert store.kept == {}
    assert not is_open(inherited[name])
    terminal.hang_up()


@pytest.mark.parametrize("target", ["/dev/null", "."])
def test_what_is_no_connection_is_closed(target: str) -> None:
    store = Store()
    store.kept[kept_name("it", 115200)] = os.open(target, os.O_RDONLY)
    inherited = store.inherit()
    ports = KeptPorts(inherited, store.store, store.remove)
    assert ports.adopt(PortInfo(target, "it")) is None
    assert not any(is_open(descriptor) for descriptor in inherited.values())
    assert store.kept == {}


def test_a_tcp_connection_is_adopted_while_its_far_end_is_there() -> None:
    server, client = connected()
    store = Store()
    store.kept[kept_name("socket://there:23", 115200)] = client.detach()
    port = store.ports().adopt(PortInfo("socket://there:23", "socket://there:23"))
    assert port is not None
    server.sendall(b"ok\n")
    assert read_all(port, 3) == b"ok\n"
    port.close()
    server.shutdown(socket.SHUT_WR)
    assert store.ports().adopt(PortInfo("socket://there:23", "socket://there:23")) is None
    assert store.kept == {}
    server.close()


def test_forgetting_a_port_that_was_never_kept_changes_nothing() -> None:
    terminal, store = Terminal(), Store()
    ports = store.ports()
    port = open_port(terminal.path, 115200)
    ports.forget(port)
    assert store.removed == []
    assert isinstance(port, TtyPort)
    port.close()
    terminal.hang_up()
