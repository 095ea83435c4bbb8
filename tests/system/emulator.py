"""Programs for 64-bit ARM under qemu-user, in namespaces of their own: nothing of it stays in the machine's kernel."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

CPU = "cortex-a53"
"""The core of a Pi 3 and Zero 2 W; qemu's default has pointer authentication, which takes ten times as long."""
NEEDED = ("mmdebstrap", "unshare", "qemu-aarch64-static")
# ELF header of a 64-bit little-endian ARM program, as in qemu's own registration; F: the emulator is opened now.
_BINFMT = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
    r"/usr/bin/qemu-aarch64-static:F"
)
_REGISTER = (
    "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && "
    f"printf '%s' '{_BINFMT}' > /proc/sys/fs/binfmt_misc/register"
)
_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRON = f"env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH={_PATH}"
_IDS = 65536
"""Users and groups in the namespace: dpkg, apt and some tests change owners and become others."""
_NAMESPACE_LIMIT_S = 10.0
_LOOK_EVERY_S = 0.5


def hindrance() -> str:
    """Why nothing can be emulated here; "" when it can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"missing: {', '.join(missing)} (apt-get install mmdebstrap qemu-user-static util-linux)"
    if os.geteuid() != 0:
        return "it needs root"
    code, said = _in_namespace(_REGISTER, is_shown=False)
    return "" if code == 0 else f"no emulator can be registered here: {said.strip()}"


def run_inside(
    root: Path, line: str, *, is_shown: bool = False, is_over: Callable[[], bool] = lambda: False
) -> tuple[int, str]:
    """Run a shell line in the tree `root`, as its root; returns the exit code and what it wrote, unless that is shown.

    It is ended with all its children when it ends, and as soon as `is_over`.
    """
    script = (
        f"{_REGISTER} && mount --rbind /dev {root}/dev && mount -t proc proc {root}/proc && "
        f"mount -t tmpfs tmpfs {root}/dev/shm && "
        f"QEMU_CPU={CPU} exec chroot {root} {_ENVIRON} QEMU_CPU={CPU} /bin/sh -c {shlex.quote(line)}"
    )
    return _in_namespace(script, is_shown=is_shown, is_over=is_over)


def _in_namespace(
    script: str, *, is_shown: bool, is_over: Callable[[], bool] = lambda: False
) -> tuple[int, str]:
    command = ["unshare", "--user", "--mount", "--pid", "--fork", "--kill-child"]
    # The second bash is the one with rights: the first was started before its user had a number.
    command += ["bash", "-c", 'read -r && exec bash -c "$1" </dev/null', "bash", script]
    streams = None if is_shown else subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=streams,
        stderr=None if is_shown else subprocess.STDOUT,
        text=True,
    ) as process:
        _map_users(process.pid)
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
        said = "" if process.stdout is None else process.stdout.read()
        while process.poll() is None:
            if is_over():
                process.kill()
            time.sleep(_LOOK_EVERY_S)
    return process.returncode, said


def _map_users(pid: int) -> None:
    """Give the new namespace all users and groups, as soon as it is there."""
    ours = Path("/proc/self/ns/user").readlink()
    deadline = time.monotonic() + _NAMESPACE_LIMIT_S
    while Path(f"/proc/{pid}/ns/user").readlink() == ours:
        if time.monotonic() > deadline:
            raise SystemExit("no namespace of users could be made")
        time.sleep(0.01)
    for kind in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{kind}").write_text(f"0 0 {_IDS}\n")
