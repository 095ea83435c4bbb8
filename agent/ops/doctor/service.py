"""The unit of the service manager: whether it starts with the machine, by hand, and again after a hang."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PROPERTIES = "LoadState,UnitFileState,WatchdogUSec,NeedDaemonReload,FragmentPath,DropInPaths"
_OFF = ("", "0", "infinity")
# `enabled-runtime` is gone with the next start of the machine; `static`: somebody has written a unit of their own.
_STARTS_WITH_MACHINE = ("enabled", "static")
# Where a person's own changes lie; what comes with packages lies under /usr/lib.
_PERSONS_OWN = ("/etc/systemd/", "/run/systemd/")
# `fabunit setup` writes it where the port is of an unusual kind: without it the service cannot open the port.
_SETUPS_OWN = "/port.conf"


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """`load`, `enabled`, `watchdog` are systemd's own words; "" where it does not answer, or the unit is not its.

    `added`: files that change what is shipped. `is_stale`: systemd has not read the newest ones.
    """

    unit: str
    load: str = ""
    enabled: str = ""
    watchdog: str = ""
    is_stale: bool = False
    added: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What systemctl is given."""
        return f"fabunit@{self.unit}"

    @property
    def start_command(self) -> str:
        """What starts it now and with the machine; `enable` alone is refused for a masked unit."""
        start = f"sudo systemctl enable --now {self.name}"
        return f"sudo systemctl unmask {self.name} && {start}" if self.load == "masked" else start

    @property
    def restoring_command(self) -> str:
        """What takes the added files away; `systemctl revert` would take setup's own, too, and leave the template's."""
        reload = (
            f"sudo systemctl daemon-reload && sudo systemctl restart {self.name}   (a running print goes on)"
        )
        return f"sudo rm {' '.join(self.added)} && {reload}" if self.added else reload


def look(
    unit: str, config: Path | None, root: Path, run: Callable[[Sequence[str]], str | None]
) -> ServiceFacts:
    """Ask systemd; only for the configuration that the service reads, /etc/fabunit/NAME.toml."""
    if config is None or config.resolve() != (root / "etc" / "fabunit" / f"{unit}.toml").resolve():
        return ServiceFacts(unit)
    said = run(["systemctl", "show", f"fabunit@{unit}.service", f"--property={_PROPERTIES}"]) or ""
    values = dict(line.partition("=")[::2] for line in said.splitlines())
    files = [values.get("FragmentPath", ""), *values.get("DropInPaths", "").split()]
    load = values.get("LoadState", "")
    return ServiceFacts(
        unit,
        load=load,
        enabled=values.get("UnitFileState", ""),
        watchdog=values.get("WatchdogUSec", ""),
        is_stale=values.get("NeedDaemonReload") == "yes",
        added=tuple(
            path for path in files if path.startswith(_PERSONS_OWN) and not path.endswith(_SETUPS_OWN)
        )
        if load == "loaded"
        else (),
    )


def judge(facts: ServiceFacts) -> list[Finding]:
    """Return what is wrong; nothing where no such unit is installed."""
    if facts.load in ("", "not-found"):
        return []
    found = [*_judge_start(facts), *_judge_definition(facts)]
    return found or [ok("service", f"{facts.name} starts with this machine, and again when it hangs")]


def _judge_start(facts: ServiceFacts) -> list[Finding]:
    if facts.load == "masked":
        message = f"{facts.name} is masked: it starts neither with this machine nor by hand"
        return [Finding("service", Level.ERROR, message, facts.start_command)]
    if facts.enabled in _STARTS_WITH_MACHINE:
        return []
    message = f"{facts.name} is {facts.enabled or 'not enabled'}: after a power cut nothing starts it"
    return [Finding("service", Level.WARNING, message, facts.start_command)]


def _judge_definition(facts: ServiceFacts) -> list[Finding]:
    """Judge what systemd has read: a drop-in can take away what the shipped unit has."""
    if facts.load == "masked":
        return []
    if facts.is_stale:
        message = f"the files of {facts.name} were changed, systemd still goes by the old ones"
        reread = (
            f"sudo systemctl daemon-reload && sudo systemctl restart {facts.name}   (a running print goes on)"
        )
        return [Finding("service", Level.WARNING, message, reread)]
    if facts.watchdog in _OFF:
        message = f"systemd does not watch {facts.name}: a daemon that hangs stays hanging, with its printer at heat"
        return [Finding("service", Level.WARNING, message, facts.restoring_command)]
    return []
