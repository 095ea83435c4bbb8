"""What `fabunit doctor` says of the installed unit, and that the commands it shows mend what it has found."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.system.machine import Machine, StepError
from tests.system.trial import UNIT, Trial

_DROP_INS = "/etc/systemd/system"
# What a maker might have put there to try something, and forgotten.
_OPENED = "[Service]\\nPrivateUsers=no\\nProtectSystem=no\\nRestrictAddressFamilies=\\nSystemCallFilter=\\n"


@dataclass(frozen=True, slots=True)
class _Fault:
    """`breaking` is done to the sound unit; `check` must then be of this level and say `words`."""

    title: str
    breaking: str
    check: str
    level: str
    words: str


def _drop_in(unit: str, content: str) -> str:
    folder = f"{_DROP_INS}/{unit}.service.d"
    return (
        f"mkdir -p {folder} && printf '{content}' > {folder}/override.conf && systemctl daemon-reload && "
        f"systemctl restart {UNIT}"
    )


_FAULTS = (
    _Fault(
        "disabled", f"systemctl disable {UNIT}", "service", "warning", "after a power cut nothing starts it"
    ),
    _Fault("disabled and stopped", f"systemctl disable --now {UNIT}", "daemon", "error", "no daemon"),
    _Fault("masked", f"systemctl mask {UNIT}", "service", "error", "is masked"),
    _Fault("masked and stopped", f"systemctl mask --now {UNIT}", "daemon", "error", "no daemon"),
    _Fault(
        "no watchdog",
        _drop_in(UNIT, "[Service]\\nWatchdogSec=0\\n"),
        "service",
        "warning",
        "systemd does not watch",
    ),
    _Fault("opened", _drop_in(UNIT, _OPENED), "exposure", "warning", "reaches more of the system"),
    _Fault(
        "all units opened", _drop_in("fabunit@", _OPENED), "exposure", "warning", "reaches more of the system"
    ),
    _Fault(
        "changed and not read again",
        f"mkdir -p {_DROP_INS}/{UNIT}.service.d && printf '[Service]\\nNice=0\\n' > "
        f"{_DROP_INS}/{UNIT}.service.d/override.conf",
        "service",
        "warning",
        "systemd still goes by the old ones",
    ),
    _Fault(
        "journal in memory only",
        "rm -rf /var/log/journal && systemctl restart systemd-journald",
        "journal",
        "note",
        "is gone after each start",
    ),
    _Fault(
        "board's watchdog off",
        "touch /dev/watchdog0",  # the container's own /dev
        "watchdog",
        "note",
        "a board that hangs stays hanging",
    ),
)


def step_doctor(trial: Trial) -> None:
    """A sound unit is found sound; each fault is found, and mended by the command that is shown, as it is shown."""
    machine = trial.machine
    sound = _findings(machine)
    for check in ("service", "exposure", "daemon", "printer", "stop-path"):
        if [finding["level"] for finding in sound.get(check, [])] != ["ok"]:
            raise StepError(f"doctor says of the sound unit: {check}: {sound.get(check)}")
    if machine.ask(f"systemctl show -P NFileDescriptorStore {UNIT}") == "0":
        raise StepError("systemd keeps no copy of the port: that doctor leaves it out is not shown")
    _demand_no_error(sound, "the sound unit")
    for fault in _FAULTS:
        _demand_mending(trial, fault)
    machine.run(
        f"rm -f /dev/watchdog0 /etc/systemd/system.conf.d/50-watchdog.conf && systemctl daemon-reexec && "
        f"rm -f {_DROP_INS}/{UNIT}.service.d/override.conf && systemctl daemon-reload"
    )
    titles = ", ".join(fault.title for fault in _FAULTS)
    trial.note("doctor", f"the unit is found sound ({sound['exposure'][0]['message']}); found, and mended by the "
                         f"command shown: {titles}")  # fmt: skip


def _demand_mending(trial: Trial, fault: _Fault) -> None:
    machine = trial.machine
    machine.run(fault.breaking)
    found = _findings(machine).get(fault.check, [])
    wrong = [finding for finding in found if finding["level"] == fault.level]
    if len(wrong) != 1 or fault.words not in wrong[0]["message"]:
        raise StepError(f"{fault.title}: doctor says {found}")
    machine.run(_command(wrong[0]["remedy"]))
    machine.until(lambda: trial.state() == "idle", f"{fault.title}: the unit is there after the remedy")
    after = _findings(machine)
    _demand_no_error(after, f"{fault.title}, mended")
    for check in {fault.check, "service", "daemon", "exposure"}:
        bad = [finding for finding in after.get(check, []) if finding["level"] != "ok"]
        if bad:
            raise StepError(f"{fault.title}: after `{wrong[0]['remedy']}` doctor says {bad}")


def _demand_no_error(found: dict[str, list[dict[str, str]]], title: str) -> None:
    errors = [finding for findings in found.values() for finding in findings if finding["level"] == "error"]
    if errors:
        raise StepError(f"{title}: doctor says {errors}")


def _findings(machine: Machine) -> dict[str, list[dict[str, str]]]:
    """Return what doctor has found, by check."""
    document = json.loads(machine.run("fabunit doctor --quick --json", code=None))
    found: dict[str, list[dict[str, str]]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def _command(remedy: str) -> str:
    """Return what a person copies: behind three blanks is what it does."""
    return remedy.partition("   ")[0]
