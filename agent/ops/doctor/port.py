"""The printer's port: there, free, named so that the name lasts, fast, and left alone by other programs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent.domain.errors import PortError
from agent.ops.doctor import programs
from agent.ops.doctor.finding import Finding, Level, ok
from agent.printer.discovery import list_ports, resolve
from agent.printer.port.holders import Holder, holders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Longer than this, and each answer of an FTDI adapter waits for its timer: 50 lines a second at most.
SLOW_LATENCY_MS = 2
_LASTING = ("/dev/serial/by-id/", "/dev/serial/by-path/", "/dev/fabunit/")


@dataclass(frozen=True, slots=True)
class PortFacts:
    """`spec` is `[printer] port`, `device` what it leads to ("" for none), `identity` its lasting name.

    `holders` are programs that have it open, the daemon left out; `is_ours`: the daemon is seen to have it open.
    `latency_ms` only where the adapter has a timer; `is_suspending`: the kernel may switch the USB device off.
    `found` are the ports this machine has.
    """

    spec: str
    device: str = ""
    identity: str = ""
    missing: str = ""
    holders: tuple[Holder, ...] = ()
    latency_ms: int | None = None
    is_suspending: bool = False
    is_network: bool = False
    found: tuple[str, ...] = ()
    is_pseudo: bool = False
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class ThiefFacts:
    """Programs known to grab printer ports; `is_ignored`: udev tells ModemManager to leave this port alone."""

    has_modem_manager: bool
    is_ignored: bool
    has_brltty: bool
    device: str = ""


def look(spec: str, daemon_pid: int | None, root: Path) -> PortFacts:
    """Read the facts; `daemon_pid` may hold the port."""
    found = tuple(port.identity for port in list_ports())
    if "://" in spec:
        return PortFacts(spec, spec, spec, is_network=True, found=found)
    try:
        port = resolve(spec)[0]
    except PortError as error:
        return PortFacts(spec, missing=error.message, found=found)
    device = os.path.realpath(port.device)
    name = os.path.basename(device)  # noqa: PTH119 - a string
    facts = look_device(device, port.identity, name, daemon_pid, root)
    return replace(facts, spec=spec, found=found)


def look_device(device: str, identity: str, tty_name: str, daemon_pid: int | None, root: Path) -> PortFacts:
    """Read the facts about one device; `root` holds `proc` and `sys`."""
    tty = root / "sys" / "class" / "tty" / tty_name / "device"
    open_in = holders(Path(device), root / "proc")
    return PortFacts(
        spec=device,
        device=device,
        identity=identity,
        holders=tuple(holder for holder in open_in if holder.pid != daemon_pid),
        latency_ms=_latency_ms(tty),
        is_suspending=_is_suspending(tty),
        is_pseudo=device.startswith("/dev/pts/"),
        is_ours=any(holder.pid == daemon_pid for holder in open_in),
    )


def look_for_thieves(device: str, run: Callable[[Sequence[str]], str | None] = programs.ask) -> ThiefFacts:
    """Ask the service manager and udev."""
    properties = run(["udevadm", "info", "--query=property", f"--name={device}"]) if device else None
    return ThiefFacts(
        has_modem_manager=programs.is_active("ModemManager.service", run),
        is_ignored="ID_MM_DEVICE_IGNORE=1" in (properties or ""),
        has_brltty=programs.is_active("brltty.service", run)
        or programs.is_active("brltty-udev.service", run),
        device=device,
    )


def judge(facts: PortFacts) -> list[Finding]:
    """Return what is wrong with the port."""
    if facts.is_network:
        return [ok("port", f"{facts.spec} (over the network; not tried here)")]
    if facts.missing:
        return [
            Finding(
                "port",
                Level.ERROR,
                facts.missing,
                "switch the printer on, use a data cable, then: fabunit ports",
            )
        ]
    found = [ok("port", f"{facts.spec} is {facts.device}")]
    if facts.holders:
        who = ", ".join(f"{holder.program} (pid {holder.pid})" for holder in facts.holders)
        found.append(
            Finding(
                "port-busy",
                Level.ERROR,
                f"{facts.device} is in use by {who}",
                f"sudo kill {facts.holders[0].pid}   (or stop the service it belongs to)",
            )
        )
    found += [*_judge_name(facts), *_judge_speed(facts)]
    return found


def judge_thieves(facts: ThiefFacts) -> list[Finding]:
    """Return which programs may grab the port."""
    found = []
    if facts.has_modem_manager and not facts.is_ignored:
        found.append(
            Finding(
                "modem-manager",
                Level.WARNING,
                "ModemManager runs and probes new serial ports: it sends modem commands to printers",
                "sudo systemctl disable --now ModemManager",
            )
        )
    if facts.has_brltty:
        found.append(
            Finding(
                "brltty",
                Level.WARNING,
                "brltty runs: it takes printer boards with CH340 and CP210x chips for braille displays",
                "sudo systemctl mask --now brltty.service brltty-udev.service",
            )
        )
    return found or [ok("port-thieves", "nothing here grabs serial ports")]


def _judge_name(facts: PortFacts) -> list[Finding]:
    if facts.spec == "auto" or facts.is_pseudo or facts.spec.startswith(_LASTING):
        many = facts.spec == "auto" and len(facts.found) > 1
        if many:
            return [
                Finding(
                    "port-name",
                    Level.WARNING,
                    f'port = "auto" and this machine has {len(facts.found)} serial ports',
                    f'set port = "{facts.identity}" in [printer]',
                )
            ]
        return []
    if facts.identity == facts.spec:
        return []
    return [
        Finding(
            "port-name",
            Level.WARNING,
            f"{facts.spec} may be another device after the next start",
            f'set port = "{facts.identity}" in [printer]',
        )
    ]


def _judge_speed(facts: PortFacts) -> list[Finding]:
    found = []
    tty = os.path.basename(facts.device)  # noqa: PTH119 - a string
    if facts.latency_ms is not None and facts.latency_ms > SLOW_LATENCY_MS:
        found.append(
            Finding(
                "latency-timer",
                Level.WARNING,
                f"the adapter's latency timer is {facts.latency_ms} ms: every answer waits that long",
                f"echo 1 | sudo tee /sys/class/tty/{tty}/device/latency_timer   (the package's udev rule keeps it)",
            )
        )
    if facts.is_suspending:
        found.append(
            Finding(
                "usb-suspend",
                Level.WARNING,
                "the kernel may suspend the printer's USB device: prints stop in the middle",
                f"echo on | sudo tee $(readlink -f /sys/class/tty/{tty}/device)/../../power/control",
            )
        )
    return found


def _latency_ms(tty: Path) -> int | None:
    try:
        return int((tty / "latency_timer").read_text("ascii"))
    except (OSError, ValueError):
        return None


def _is_suspending(tty: Path) -> bool:
    """Look at the USB device above the tty: the first parent with a `power/control` and an `idVendor`."""
    for parent in (tty.resolve(), *tty.resolve().parents):
        if (parent / "idVendor").exists():
            try:
                return (parent / "power" / "control").read_text("ascii").strip() == "auto"
            except OSError:
                return False
    return False
