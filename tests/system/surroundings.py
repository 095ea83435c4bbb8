"""What an installed unit has around it: udev, the shell's completion, the demo, a broker with a secret."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

from tests.system.fake_usb import FTDI, NAMELESS_CH340, PRUSA, STRANGER, FakeAdapter, lay_out
from tests.system.machine import Machine, StepError
from tests.system.trial import PORT, UNIT, Trial

_SCRIPTS = Path(__file__).with_name("scripts")
_RULES = "/usr/lib/udev/rules.d/70-fabunit.rules /usr/lib/udev/rules.d/95-fabunit-brltty.rules"
_SETUP = f"fabunit setup --yes --replace --port {PORT} --id mk3s --name Bench"
_CREDENTIAL = "/etc/credstore/fabunit.mk3s.mqtt-password"


def step_udev(trial: Trial) -> None:
    """The rules by udev's own check, and what it makes of four adapters in a file tree in place of /sys."""
    machine = trial.machine
    verified = "this systemd has no `udevadm verify`"
    if "verify" in machine.run("udevadm --help"):
        said = machine.run(f"udevadm verify {_RULES} 2>&1", code=None)
        if not {"Success: 2", "Fail: 0"} <= {" ".join(line.split()) for line in said.splitlines()}:
            raise StepError(f"udevadm verify: {said}")
        verified = "`udevadm verify`: 2 files, no complaint"
    for adapter in (FTDI, PRUSA, NAMELESS_CH340):
        _demand_rules(machine, adapter)
    said = _test_device(machine, STRANGER, STRANGER.tty_path)
    if "ID_MM_PORT_IGNORE=" in said or "fabunit/" in _links(said):
        raise StepError(f"a keyboard's serial port was taken for a printer's: {said}")
    trial.note(
        "udev",
        f"{verified}; FTDI, Prusa and a CH340 without a number get name and marks, another device none",
    )


def step_completion(trial: Trial) -> None:
    """Bash finds the completion where the package has put it, and completes."""
    machine = trial.machine
    for typed, wanted in (("fabunit sta", "status"), ("fabunit printer test-", "test-stop")):
        said = machine.run(f"bash {_script(machine, 'completion.bash')} {typed}").split()
        if said != [wanted]:
            raise StepError(f"`{typed}` is completed to {said}")
    trial.note("completion", "bash-completion loads it by itself: “sta” becomes “status”")


def step_demo(trial: Trial) -> None:
    """`fabunit demo` of the installed program, by a user without any right."""
    machine = trial.machine
    versions = machine.run(_TELL_VERSIONS).strip()
    machine.run("useradd --create-home --shell /bin/sh maker")
    said = machine.run(
        "systemd-run --quiet --pipe --wait --uid=maker -p WorkingDirectory=/home/maker -p Environment=HOME=/home/maker "
        "fabunit demo --json --speed 100",
        limit_s=300,
    )
    document = json.loads(said)
    machine.run("userdel --remove maker 2>/dev/null", code=None)
    if not document["exact"]:
        raise StepError(f"the demo is not exact: {said}")
    if not document["link"]["pushed"]:
        raise StepError(f"the demo's part was not ordered by a coordinator: {said}")
    lines = document["lines_executed"]
    trial.note("demo", f"as an ordinary user: ordered over MQTT, {lines} lines, exact; {versions}")


def step_credentials(trial: Trial) -> None:
    """A unit joins a coordinator by an invitation; its password is a systemd credential that only root can read."""
    machine = trial.machine
    port = _free_port()
    machine.run(f"sh {_script(machine, 'broker.sh')} {port} 2>&1")
    machine.run(
        "systemd-run --quiet --unit=coordinator -p WorkingDirectory=/root/desk fabunit coordinator serve --db desk.db "
        f"--broker mqtts://localhost:{port} --ca-file ca.pem --username desk --password-file desk.password"
    )
    invitation = ""

    def is_invited() -> bool:
        nonlocal invitation
        invitation = machine.ask(
            f"cd /root/desk && fabunit coordinator invite mk3s --db desk.db --broker mqtts://localhost:{port} "
            "--ca-file ca.pem --broker-passwords passwords | grep -o 'fabunit-join,[^ ]*'"
        )
        return invitation.startswith("fabunit-join,")

    machine.until(is_invited, "the coordinator invites", 30)
    busy = machine.run(f"{_SETUP} --join '{invitation}' 2>&1", code=None)
    if "sudo systemctl stop" not in busy:
        raise StepError(f"setup does not say that the unit has the port: {busy}")
    machine.run(f"systemctl stop {UNIT} && {_SETUP} --join '{invitation}' --json")
    machine.run("systemctl kill --signal=HUP broker")
    machine.run(f"systemctl restart {UNIT}")
    _until_online(machine)
    _demand_secret(machine)
    _demand_refusal(machine)
    machine.run("systemctl stop coordinator broker; rm -rf /root/desk")
    machine.run(f"rm -f {_CREDENTIAL} /etc/fabunit/mk3s.ca.pem")
    machine.run(f"systemctl stop {UNIT} && {_SETUP} --json")
    trial.note(
        "credentials",
        "joined by an invitation over TLS with the password as a systemd credential; nobody but root reads the file, "
        "it is in no configuration, journal or bundle; another password is refused and told",
    )


_TELL_VERSIONS = (
    "/opt/fabunit/current/bin/python -c 'import importlib.metadata as m; "
    'print(", ".join(f"{n} {m.version(n)}" for n in ("click", "pydantic", "h11", "numpy", "trimesh")))\''
)


def _demand_rules(machine: Machine, adapter: FakeAdapter) -> None:
    """Have udev look at a printer's adapter and its port."""
    device = _test_device(machine, adapter, adapter.usb_path)
    port = _test_device(machine, adapter, adapter.tty_path)
    for wanted, said in (
        ("ID_MM_DEVICE_IGNORE=1", device),
        ("ID_FABUNIT=1", device),
        ("power/control", device),
        ("ID_MM_PORT_IGNORE=1", port),
        (adapter.link, _links(port)),
    ):
        if wanted not in said:
            raise StepError(f"{adapter.name}: udev does not say {wanted}:\n{said[-3000:]}")
    if adapter.driver == "ftdi_sio" and "latency_timer" not in _test_device(
        machine, adapter, adapter.serial_path
    ):
        raise StepError(f"{adapter.name}: the latency timer is not set")


def _links(said: str) -> str:
    """Return the names that a port has got."""
    return next((line for line in said.splitlines() if line.strip().startswith("DEVLINKS=")), "")


def _test_device(machine: Machine, adapter: FakeAdapter, path: str) -> str:
    """Return what `udevadm test` says of a device in a tree of files that stands for /sys."""
    tree = machine.root / "root/fakesys"
    shutil.rmtree(tree, ignore_errors=True)
    lay_out(adapter, tree)
    return machine.run(
        "unshare --mount sh -c 'mount --rbind /root/fakesys /sys && "
        f"SYSTEMD_DEVICE_VERIFY_SYSFS=0 SYSTEMD_LOG_LEVEL=debug udevadm test --action=add /sys{path} 2>&1'",
        code=None,
    )


def _script(machine: Machine, name: str) -> str:
    """Put a script of this folder into the machine; returns its path there."""
    shutil.copy(_SCRIPTS / name, machine.root / "root" / name)
    return f"/root/{name}"


def _demand_secret(machine: Machine) -> None:
    """The password is in its file, for root alone, and nowhere else."""
    if machine.ask(f"stat -c '%a %U' {_CREDENTIAL}") != "600 root":
        raise StepError(f"{_CREDENTIAL}: {machine.ask(f'ls -l {_CREDENTIAL}')}")
    password = machine.run(f"cat {_CREDENTIAL}").strip()
    readable = machine.ask(
        f"setpriv --reuid=fabunit --regid=fabunit --clear-groups cat {_CREDENTIAL} 2>/dev/null"
    )
    machine.run("rm -rf /root/bundle && mkdir /root/bundle && cd /root/bundle && fabunit support-bundle >/dev/null && "
                "for f in *; do tar -xf $f 2>/dev/null || true; done", code=None)  # fmt: skip
    places = "/etc/fabunit /var/lib/fabunit /run/fabunit /root/bundle"
    found = machine.ask(f"grep -rlF '{password}' {places}; journalctl --no-pager | grep -cF '{password}'")
    if readable or found != "0" or not password:
        raise StepError(f"the broker's password is readable: {readable!r} {found!r}")
    if not list((machine.root / "root/bundle").iterdir()):
        raise StepError("there is no support bundle to look into")
    seen = machine.ask("fabunit doctor --json")
    secrets = [finding for finding in json.loads(seen)["findings"] if finding["check"] == "secrets"]
    if [finding["level"] for finding in secrets] != ["ok"]:
        raise StepError(f"doctor says of the password: {secrets}")


def _demand_refusal(machine: Machine) -> None:
    """It is really this password that opens the broker."""
    machine.run(f"cp {_CREDENTIAL} /root/right && printf wrong > {_CREDENTIAL} && systemctl restart {UNIT}")
    machine.until(
        lambda: "the broker refuses this unit" in _problem(machine),
        "a wrong password is refused, and told",
        60,
    )
    machine.run(f"cat /root/right > {_CREDENTIAL} && rm /root/right && systemctl restart {UNIT}")
    _until_online(machine)


def _until_online(machine: Machine) -> None:
    """Wait for the unit's link; tells why it does not come."""
    try:
        machine.until(lambda: _problem(machine).startswith("online"), "the unit is connected", 60)
    except StepError as failure:
        broker = machine.ask("journalctl --no-pager -n 10 -u broker -o cat")
        raise StepError(f"{failure}: {_problem(machine)}\n{broker}") from None


def _problem(machine: Machine) -> str:
    said = machine.ask("fabunit status --json")
    try:
        link = json.loads(said)["link"] or {}
    except (ValueError, KeyError):
        return ""
    return f"{link.get('state')} {link.get('problem')}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
