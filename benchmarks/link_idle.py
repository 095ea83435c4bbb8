"""What a daemon takes of the memory: idle, with a coordinator link (plain MQTT) and without one, and at its highest
while it prints the demo's part for a coordinator (signed order, file over HTTP).

python -m benchmarks.link_idle
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from agent.paths import demo_part
from benchmarks.bench_unit import EchoProcess
from benchmarks.link_world import LinkWorld

SETTLE_S = 8.0
"""Longer than anything a start still has to do."""
PART = demo_part()
PRINT_SPEED = 60.0
"""Of the virtual printer: some twenty seconds for the part."""
PRINT_LIMIT_S = 120.0


def idle_mib(*, is_linked: bool) -> tuple[float, float]:
    """Resident memory and its private part, MiB, of a daemon that has run before on the same state."""
    echo = EchoProcess()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            LinkWorld(Path(folder), port=echo.port, is_linked=is_linked) as world,
        ):
            world.until(lambda: _is_as_wished(world, is_linked=is_linked), "the link is as wished")
            world.stop_daemon()
            world.start_daemon()
            world.until(lambda: world.status()["printer"]["state"] == "idle", "the printer is idle")
            world.until(lambda: _is_as_wished(world, is_linked=is_linked), "the link is as wished")
            time.sleep(SETTLE_S)
            if world.daemon is None:
                raise RuntimeError("the daemon is gone")
            memory = _memory_mib(world.daemon.pid)
            return memory["VmRSS"], memory["RssAnon"]
    finally:
        echo.end()


def printing_mib() -> float:
    """Highest resident memory, MiB, of a daemon with the link from its start to the end of an order of 25,079 lines."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LinkWorld(Path(folder), speed=PRINT_SPEED) as world,
    ):
        world.until(lambda: _is_as_wished(world, is_linked=True), "the link is as wished")
        job_id = world.push(PART)
        world.until(lambda: world.order_state(job_id) == "completed", "the part is printed", PRINT_LIMIT_S)
        if world.daemon is None:
            raise RuntimeError("the daemon is gone")
        return _memory_mib(world.daemon.pid)["VmHWM"]


def _is_as_wished(world: LinkWorld, *, is_linked: bool) -> bool:
    link = world.status()["link"]
    return (link is not None and link["state"] == "online") if is_linked else link is None


def _memory_mib(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {
        line.split(":")[0]: int(line.split()[1]) / 1024
        for line in lines
        if line.startswith(("VmRSS", "VmHWM", "RssAnon"))
    }


def main() -> None:
    """Print them, and what the link adds."""
    linked, alone = idle_mib(is_linked=True), idle_mib(is_linked=False)
    print("resident memory (private part) in MiB")
    print(f"idle with the link: {linked[0]:.2f} ({linked[1]:.2f})")
    print(f"idle without a link: {alone[0]:.2f} ({alone[1]:.2f})")
    print(f"highest while printing with the link: {printing_mib():.2f}")
    print(f"what the link adds: {linked[0] - alone[0]:.2f} ({linked[1] - alone[1]:.2f})")


if __name__ == "__main__":
    main()
