"""The whole examination: every subject looked at and judged, in the order in which a person would ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent import __version__, paths
from agent.ops.doctor import (
    access,
    broker,
    configuration,
    daemon,
    disk,
    exposure,
    filesystem,
    hangup,
    installation,
    machine,
    port,
    programs,
    records,
    secrets,
    service,
    slicers,
    trust,
    watchdog,
)
from agent.ops.doctor.accounts import daemon_uid, user_name
from agent.ops.doctor.finding import Finding, Report
from agent.ops.host import read_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from agent.domain.errors import FabunitError


@dataclass(frozen=True, slots=True)
class Configured:
    """What the examination needs of the configuration; `secrets` are the files of secrets it names."""

    unit_id: str
    state_dir: Path
    port: str
    profile: str
    min_free_bytes: int
    secrets: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined. `defaults` stands in for the configuration where that could not be read (`config_failure`).

    `brokers`: those that were tried, none where the daemon's link is up or no coordinator is configured.
    """

    config: Path | None
    configured: Configured | None
    defaults: Configured
    config_failure: FabunitError | None
    socket: Path
    status: Mapping[str, Any] | None
    learned: Mapping[str, Any] | None
    failure: FabunitError | None
    root: Path
    brokers: tuple[broker.BrokerFacts, ...] = ()


def examine(
    subject: Subject, run: Callable[[Sequence[str]], str | None] = programs.ask, *, with_slicers: bool = True
) -> Report:
    """Look at everything and judge it; blocking, some seconds where a slicer is installed."""
    status = subject.status
    unit = subject.configured or subject.defaults
    name = subject.config.stem if subject.config is not None else unit.unit_id
    pid = status["unit"]["pid"] if status is not None else None
    found: list[Finding] = []
    version = status["unit"]["version"] if status is not None else None
    found += installation.judge(installation.look(__version__, version, subject.root))
    found += configuration.judge(configuration.look(subject.config, subject.config_failure))
    found += _judge_files(subject, unit)
    if subject.configured is not None:
        found += configuration.judge_profile(
            configuration.look_at_profile(unit.profile, paths.profiles_dirs())
        )
    unit_file = service.look(name, subject.config, subject.root, run)
    found += service.judge(unit_file)
    start = unit_file.start_command
    found += daemon.judge(daemon.DaemonFacts(name, start, status, subject.learned, subject.failure))
    found += broker.judge(subject.brokers)
    seen = port.look(_spec(unit, status), pid, subject.root)
    found += port.judge(seen)
    found += hangup.judge(hangup.look(seen.device, is_held=seen.is_ours and not seen.is_pseudo))
    found += port.judge_thieves(port.look_for_thieves("" if seen.is_network else seen.device, run))
    found += access.judge(
        access.look(unit.state_dir, None if seen.is_network else seen.device, subject.socket)
    )
    found += disk.judge(disk.look(unit.state_dir, unit.min_free_bytes))
    found += filesystem.judge(filesystem.look(unit.state_dir, subject.root))
    found += machine.judge(machine.with_vcgencmd(read_host(unit.state_dir, subject.root), run))
    found += watchdog.judge(watchdog.look(subject.root, run))
    found += exposure.judge(exposure.look(unit_file, run))
    found += records.judge(records.look(name, unit.state_dir, subject.root, run))
    if with_slicers:
        found += slicers.judge(slicers.look())
    return Report(tuple(found))


def _judge_files(subject: Subject, unit: Configured) -> list[Finding]:
    """Judge who may read the secrets, and who may change what the daemon obeys."""
    folder = subject.config.parent if subject.config is not None else None
    obeyed = [subject.config, folder, *paths.profiles_dirs()]
    user = user_name(daemon_uid(unit.state_dir))
    return [*secrets.judge(secrets.look(unit.secrets, user)), *trust.judge(trust.look(obeyed))]


def _spec(unit: Configured, status: Mapping[str, Any] | None) -> str:
    """Return the configured port; for `auto` the one the daemon has found."""
    if unit.port == "auto" and status is not None and status["printer"]["port"]:
        return str(status["printer"]["port"])
    return unit.port
