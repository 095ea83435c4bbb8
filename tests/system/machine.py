"""A clean Debian with a real systemd as process 1, in a container of systemd-nspawn; commands run inside it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.suites import Suite

LIMIT_S = 120.0
NEEDED = ("mmdebstrap", "systemd-nspawn", "nsenter", "dpkg-deb")
# A minimal Debian that boots; everything else comes with the package.
_INCLUDED = "apt,systemd,systemd-sysv,dbus,udev,ca-certificates"
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")


class StepError(Exception):
    """What was expected did not come."""


def hindrance() -> str:
    """Why a container cannot be booted on this machine; "" when it can."""
    if os.geteuid() != 0:
        return "it needs root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"missing: {', '.join(missing)} (apt-get install mmdebstrap systemd-container util-linux)"
    return ""


def base_image(suite: Suite, cache: Path) -> Path:
    """Return a tar file of a minimal system; made once, some minutes."""
    image = cache / f"{suite.name}.tar"
    if not image.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = image.with_suffix(".new.tar")
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={_INCLUDED}",
            suite.name,
            str(fresh),
        ]
        subprocess.run([*command, *suite.sources(cache)], check=True)
        fresh.rename(image)
    return image


class Machine:
    """One boot of one tree; `close` powers it off."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.root = folder / "root"
        self.log = folder / "console.log"
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        subprocess.run(["tar", "-C", str(self.root), "-xf", str(image)], check=True)
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)  # Ubuntu has a link to nowhere there
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        (self.root / "etc/hostname").write_text("bench\n")
        # Debian's installer writes it; who answers for `localhost` without it depends on the resolver.
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost bench\n")
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self) -> float:
        """Start it; returns the seconds until systemd is up."""
        command = ["systemd-nspawn", "--quiet", "--directory", str(self.root), "--boot", "--register=no"]
        command += [
            "--keep-unit",
            "--console=read-only",
            f"--machine=fabunit-{os.getpid()}",
            "--resolv-conf=off",
            "--timezone=off",  # it would be a mount, in the way of the package tzdata
        ]
        began = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.until(self._find_leader, "the container's first process runs")
        self.until(
            lambda: self.ask("systemctl is-system-running") in ("running", "degraded"), "systemd has started"
        )
        return time.monotonic() - began

    def close(self) -> None:
        """Power off; after some seconds by force."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader, signal.SIGRTMIN + 4)  # poweroff.target, as of systemd(1)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run(self, command: str, *, code: int | None = 0, limit_s: float = LIMIT_S) -> str:
        """Run a shell line inside; returns what it wrote. Raises StepError for another exit code (None: any)."""
        enter = ["nsenter", "--target", str(self._leader), *_NAMESPACES, "--root", "--wdns=/"]
        environ = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            [*enter, "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            env={**environ, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
        )
        if code is not None and done.returncode != code:
            raise StepError(f"{command}: ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ask(self, command: str) -> str:
        """Return the one line a command writes, whatever its exit code."""
        return self.run(command, code=None).strip()

    def json(self, command: str) -> Any:
        """Return the JSON document a command writes."""
        return json.loads(self.run(command))

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> float:
        """Poll a condition; returns how long it took."""
        began = time.monotonic()
        pause = threading.Event()
        while time.monotonic() - began < limit_s:
            if condition():
                return time.monotonic() - began
            pause.wait(0.1)
        raise StepError(f"not within {limit_s:.0f} s: {what}")

    def outer_pid(self, pid: int) -> int:
        """Return the number that a process of the container has outside."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
            except OSError:
                continue
            numbers = next((line.split()[1:] for line in text.splitlines() if line.startswith("NSpid:")), [])
            if len(numbers) > 1 and numbers[-1] == str(pid) and self._is_inside(status.parent):
                return int(status.parent.name)
        raise StepError(f"process {pid} of the container was not found")

    def files(self) -> set[str]:
        """Every file and link of the tree that is not this run's own doing (logs, package lists)."""
        found = set()
        for folder, _, names in os.walk(self.root):
            relative = os.path.relpath(folder, self.root)
            if relative.startswith(_PASSING):
                continue
            found |= {os.path.normpath(f"{relative}/{name}") for name in names}
        return {name for name in found if not name.startswith(_PASSING)}

    def _is_inside(self, process: Path) -> bool:
        try:
            return (process / "ns/pid").readlink() == Path(f"/proc/{self._leader}/ns/pid").readlink()
        except OSError:
            return False

    def _find_leader(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StepError(f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-500:]}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        # For a moment there is a child that only makes the name spaces.
        self._leader = next((int(child) for child in children if _is_first(child)), 0)
        return bool(self._leader)


def _is_first(pid: str) -> bool:
    """Whether it is process 1 of a name space of its own; a process that ends meanwhile is not."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    numbers = next((line.split()[1:] for line in text.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1"


# What comes and goes on any running machine.
_PASSING = ("run/", "tmp/", "proc/", "sys/", "dev/", "var/log/", "var/tmp/", "var/cache/", "var/lib/apt/",
            "var/lib/dpkg/", "var/lib/systemd/", "root/", "etc/passwd-", "etc/group-", "etc/shadow-",
            "etc/gshadow-", "etc/subuid-", "etc/subgid-", "etc/.pwd.lock",
            "etc/.updated", "var/.updated", "etc/ld.so.cache")  # fmt: skip
