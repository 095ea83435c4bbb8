"""The life of an installed unit: installing, setting up, printing through restarts and hangs, upgrading, purging."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.integration.rig import commands
from tests.integration.thread_freezer import frozen, threads
from tests.system.machine import Machine, StepError
from tests.system.shelf import served
from tests.system.trial import LONG_MOVES, MOVES, PORT, SPEED, UNIT, Trial

ROOT = Path(__file__).resolve().parents[2]
MOST_EXPOSURE = 1.6
WATCHDOG_S = 30.0
# What the steps use besides the package and a slicer: a broker with its certificates, completion, sudo (in remedies).
_PROGRAMS = "python3 curl mosquitto openssl bash-completion sudo"


_NETWORK = """import socket
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), 5).sendall(b"x")
assert server.accept()[0].recv(1) == b"x"
"""


def step_install(trial: Trial) -> None:
    """`install.sh` with the address of a folder on a web server, on a machine that has never seen a package."""
    machine = trial.machine
    machine.run(
        f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {_PROGRAMS} {trial.slicer}",
        limit_s=900,
    )
    trial.before = machine.files()
    shutil.copy(ROOT / "install.sh", machine.root / "root/install.sh")
    with served(trial.first) as url:
        began = time.monotonic()
        machine.run(f"sh /root/install.sh {url}", limit_s=300)
        took = time.monotonic() - began
    size = machine.ask("du -sm /opt/fabunit /usr/lib/fabunit | head -n 1 | cut -f1")
    megabytes = trial.first.stat().st_size / 1e6
    trial.note(
        "install",
        f"{trial.first.name} ({megabytes:.1f} MB) by its address in {took:.1f} s, {size} MB; "
        f"{machine.ask('fabunit --version')}",
    )
    if "dialout" not in machine.ask("id -nG fabunit"):
        raise StepError("the user fabunit is not in dialout")


def step_refusal(trial: Trial) -> None:
    """A system whose Python is too old is told so, and nothing is changed."""
    machine = trial.machine
    machine.run("apt-get update -qq && apt-get install -y -qq --no-install-recommends python3", limit_s=900)
    before = machine.files()
    shutil.copy(ROOT / "install.sh", machine.root / "root/install.sh")
    shutil.copy(trial.first, machine.root / "root" / trial.first.name)
    said = machine.run("sh /root/install.sh /root 2>&1", code=1).strip()
    if "this system has Python 3.10; 3.11" not in said or machine.files() != before:
        raise StepError(f"install.sh said: {said}")
    trial.note("install", f"refused, nothing changed: `{said.splitlines()[-1]}`")


def step_setup(trial: Trial) -> None:
    """A virtual printer on a port, and `fabunit setup --yes`."""
    machine = trial.machine
    machine.run(
        "systemd-run --quiet --unit=printer --uid=fabunit -p RuntimeDirectory=printer -p RuntimeDirectoryMode=0755 "
        f"fabunit simulate --link {PORT} --ledger /run/printer/ledger.jsonl --control /run/printer/ctl --speed {SPEED}"
    )
    machine.until(
        lambda: machine.ask(f"test -e {PORT} && echo yes") == "yes", "the virtual printer has a port"
    )
    began = time.monotonic()
    document = machine.json(f"fabunit setup --yes --port {PORT} --id mk3s --name 'Bench' --json")
    took = time.monotonic() - began
    service = document["service"]
    if service is None or service["printer"] != "idle":
        raise StepError(f"setup left {service}")
    parser = document["printer"]["stop"]["parser"]
    trial.note(
        "setup", f"{took:.1f} s: {service['name']} runs, printer {service['printer']}, stop path {parser}"
    )


def step_exposure(trial: Trial) -> None:
    """systemd's own opinion of the unit, while it runs."""
    machine = trial.machine
    failed = machine.ask("systemctl --failed --no-legend --plain | grep -c fabunit")
    said = machine.run(f"systemd-analyze security --no-pager {UNIT}.service | tail -n 1")
    score = float(said.partition(".service: ")[2].split()[0])
    if score > MOST_EXPOSURE or failed != "0":
        raise StepError(f"exposure {score}, {failed} failed units")
    verified = machine.run(f"systemd-analyze verify --man=no {UNIT}.service 2>&1", code=None)
    if "fabunit" in verified:
        raise StepError(f"systemd-analyze verify: {verified}")
    trial.note("exposure", f"{score} of 10 by {machine.ask('systemctl --version | head -n 1')}")


def step_sandbox(trial: Trial) -> None:
    """Mesh check, slicing and the network under exactly the unit's restrictions."""
    machine = trial.machine
    (machine.root / "root/box.stl").write_text(_box_stl(20.0))
    (machine.root / "root/box.py").write_text(_NETWORK)
    machine.run("cp /root/box.* /var/lib/fabunit/mk3s/ && chmod 644 /var/lib/fabunit/mk3s/box.*")
    for name, command, codes in (
        ("check", "fabunit check /var/lib/fabunit/mk3s/box.stl", (0,)),
        ("slice", "fabunit slice /var/lib/fabunit/mk3s/box.stl -o /var/lib/fabunit/mk3s/box.gcode", (0,)),
        ("network", "python /var/lib/fabunit/mk3s/box.py", (0,)),
    ):
        script = (
            f"sed -e 's#^ExecStart=.*#ExecStart=/opt/fabunit/current/bin/{command}#' -e 's/^Type=.*/Type=oneshot/' "
            "-e '/^Restart=/d; /^WatchdogSec=/d; /^NotifyAccess=/d; /^RuntimeDirectory/d; /^LoadCredential=/d' "
            f"-e 's/%i/mk3s/g' /usr/lib/systemd/system/fabunit@.service > /run/systemd/system/probe-{name}.service; "
            f"systemctl daemon-reload; systemctl start probe-{name}.service; "
            f"systemctl show -P ExecMainStatus probe-{name}.service; rm /run/systemd/system/probe-{name}.service"
        )
        status = machine.run(script, code=None, limit_s=300).strip().splitlines()[-1]
        if int(status) not in codes:
            log = machine.ask(f"journalctl -n 20 --no-pager -u probe-{name}.service")
            raise StepError(f"{name} in the sandbox ended with {status}\n{log}")
    machine.run(
        "systemctl daemon-reload; test -s /var/lib/fabunit/mk3s/box.gcode; rm /var/lib/fabunit/mk3s/box.*"
    )
    trial.note(
        "sandbox", f"mesh check, slicing ({trial.slicer}) and network work under the unit's restrictions"
    )


def step_restart_and_kill(trial: Trial) -> None:
    """`systemctl restart` and `kill -9` in the middle of a print."""
    machine = trial.machine
    job, part = trial.start_print(1)
    trial.until_executed(MOVES // 5)
    began = time.monotonic()
    machine.run(f"systemctl restart {UNIT}")
    machine.until(lambda: trial.state() == "printing", "it prints again after the restart")
    restart_s = time.monotonic() - began
    count = len(trial.executed())
    trial.until_executed(count + MOVES // 5)
    began = time.monotonic()
    machine.run(f"kill -9 {trial.pid()}")
    machine.until(lambda: trial.state() == "printing", "it prints again after kill -9")
    kill_s = time.monotonic() - began
    exact = trial.demand_exact(job, part)
    trial.note("restart, kill -9", f"printing again after {restart_s:.1f} s and {kill_s:.1f} s; {exact}")


def step_hang(trial: Trial, part_name: str) -> None:
    """A thread that hangs in the middle of a print: the watchdog ends the process, the next one goes on."""
    machine = trial.machine
    job, part = trial.start_print(2)
    trial.until_executed(MOVES // 5)
    pid = trial.pid()
    restarts = int(machine.ask(f"systemctl show -P NRestarts {UNIT}"))
    began = time.monotonic()
    timeouts = _watchdog_timeouts(machine)
    with frozen(threads(machine.outer_pid(pid))[part_name]):
        # A traced thread that was killed is only gone when its tracer lets go of it: not a matter of the daemon's.
        machine.until(
            lambda: _watchdog_timeouts(machine) > timeouts, "systemd misses the beats", WATCHDOG_S + 30
        )
    machine.until(lambda: trial.pid() not in (0, pid), "systemd has started another process")
    took = time.monotonic() - began
    if int(machine.ask(f"systemctl show -P NRestarts {UNIT}")) != restarts + 1:
        raise StepError("it was not systemd that restarted it")
    journal = machine.run(f"journalctl -b --no-pager -u {UNIT}")
    if "Watchdog timeout" not in journal or "most recent call first" not in journal:
        raise StepError(f"the journal does not tell of the hang:\n{journal[-2000:]}")
    exact = trial.demand_exact(job, part)
    trial.note(
        f"hang of thread {part_name}", f"ended by the watchdog and started again within {took:.0f} s; {exact}"
    )


def _watchdog_timeouts(machine: Machine) -> int:
    return machine.run(f"journalctl -b --no-pager -u {UNIT}").count("Watchdog timeout")


def step_upgrade(trial: Trial) -> None:
    """A new version in the middle of a print: the print goes on with the old one, then the new one takes over."""
    machine = trial.machine
    shelf = machine.root / "root/dist"
    shelf.mkdir()
    for package in (trial.first, trial.second):
        shutil.copy(package, shelf / package.name)
    job, part = trial.start_print(3, LONG_MOVES)
    trial.until_executed(MOVES // 10)
    pid = trial.pid()
    machine.run("sh /root/install.sh /root/dist", limit_s=300)
    if trial.pid() != pid:
        raise StepError("the upgrade has restarted a printing unit")
    at = len(trial.executed())
    exact = trial.demand_exact(job, part)
    if at >= len(commands(part)):
        raise StepError("the print was over before the upgrade was")
    took = machine.until(
        lambda: trial.pid() not in (0, pid) and trial.state() == "idle", "the new version runs"
    )
    used = machine.ask(f"tr '\\0' ' ' < /proc/{trial.pid()}/cmdline")
    if trial.second.name.split("_")[1] not in used:
        raise StepError(f"the running version is {used}")
    trial.note(
        "upgrade",
        f"in the middle of a print, same process to its end; {exact}; new version {took:.1f} s after it",
    )


def step_rollback(trial: Trial) -> None:
    """The version before, on an idle unit."""
    machine = trial.machine
    pid = trial.pid()
    machine.run("fabunit-rollback")
    took = machine.until(
        lambda: trial.pid() not in (0, pid) and trial.state() == "idle", "the old version runs"
    )
    if trial.first.name.split("_")[1] not in machine.ask(f"tr '\\0' ' ' < /proc/{trial.pid()}/cmdline"):
        raise StepError("fabunit-rollback did not go back")
    trial.note("rollback", f"the version before runs after {took:.1f} s")


def step_purge(trial: Trial) -> None:
    """Refused while it prints; then nothing is left."""
    machine = trial.machine
    trial.start_print(4, LONG_MOVES)
    trial.until_executed(50)
    refused = machine.run("apt-get remove -y -qq fabunit 2>&1", code=None)
    if "is printing; end that first" not in refused or trial.state() != "printing":
        raise StepError(f"a printing unit was removed: {refused[-500:]}")
    machine.run("fabunit cancel")
    machine.until(lambda: trial.state() == "idle", "the print is cancelled")
    machine.run("systemctl stop printer; rm -rf /run/printer")
    machine.run("apt-get purge -y -qq fabunit", limit_s=300)
    left = machine.files() - trial.before
    if trial.first.name.endswith("_all.deb"):
        # The libraries it has brought stay until `apt autoremove`.
        left = {name for name in left if "fabunit" in name}
    gone = trial.before - machine.files()
    processes = machine.ask("pgrep -fa '[/]opt/fabunit'")  # not the shell that asks
    users = machine.ask("getent passwd fabunit; getent group fabunit")
    running = machine.ask("ls -d /run/fabunit 2>/dev/null")
    if left or gone or users or running or processes:
        raise StepError(
            f"left: {sorted(left)[:40]}, gone: {sorted(gone)}, {users} {running}, running: {processes}"
        )
    trial.note("purge", "refused while it prints; afterwards 0 files, no user, no process left")


def _box_stl(size: float) -> str:
    corners = [(x, y, z) for x in (0.0, size) for y in (0.0, size) for z in (0.0, size)]
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
             (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]  # fmt: skip
    lines = ["solid box"]
    for face in faces:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += [f"vertex {corners[i][0]} {corners[i][1]} {corners[i][2]}" for i in face]
        lines += ["endloop", "endfacet"]
    return "\n".join([*lines, "endsolid box", ""])
