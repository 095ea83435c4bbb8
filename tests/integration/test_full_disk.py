"""A disk that fills up under a running print: the print goes on, new jobs are refused, room brings everything back."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.domain.errors import FabunitError
from tests.integration.rig import Rig, commands, spiral

DISK_BYTES = 40 << 20
MIN_FREE_BYTES = 4 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own for the state directory; root only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)],
            capture_output=True,
            check=False,
        )
        if os.geteuid() == 0 and shutil.which("mount")
        else None
    )
    if done is None or done.returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Use up every byte that is left."""
    filler = disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * (1 << 20))
            file.flush()
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return filler


def free_bytes(disk: Path) -> int:
    figures = os.statvfs(disk)
    return figures.f_bavail * figures.f_frsize


def test_a_full_disk_ends_no_print(small_disk: Path, rig: Rig) -> None:
    rig.state = small_disk / "state"
    rig.configure()
    rig.config.write_text(
        rig.config.read_text().replace("min_free_bytes = 0", f"min_free_bytes = {MIN_FREE_BYTES}")
    )
    rig.start_printer(speed=30.0)
    rig.start_daemon()
    rig.until_state("idle")
    rig.until((rig.state / "reserve").exists, "the reserve is taken")
    part = spiral(6000)
    job_id = rig.submit(part)
    rig.until_executed(100)
    filler = fill(small_disk)
    assert free_bytes(small_disk) < 4096
    with pytest.raises(FabunitError) as caught:
        rig.submit(spiral(10), "second.gcode")
    assert caught.value.code == "disk_full"
    assert caught.value.remedy
    rig.client.post("/v1/print/pause")  # a change of state that must reach the disk
    rig.until_state("paused")
    rig.client.post("/v1/print/resume")
    job = rig.until_ended(job_id, 60)
    assert job["state"] == "completed", job
    assert rig.executed() == commands(part)
    assert rig.daemon is not None
    assert rig.daemon.poll() is None, "the daemon of the beginning is still there"
    assert not (rig.state / "reserve").exists(), "the reserve was given up for the record"
    rig.stop_daemon()
    rig.start_daemon()  # also a start finds room
    assert rig.job(job_id)["state"] == "completed"
    filler.unlink()
    rig.client.post("/v1/bed/clear")
    second = rig.submit(spiral(10, heat=False), "third.gcode")
    assert rig.until_ended(second)["state"] == "completed"


def test_files_of_old_jobs_go_before_a_new_job_is_refused(small_disk: Path, rig: Rig) -> None:
    rig.state = small_disk / "state"
    rig.config.write_text("")
    rig.configure()
    rig.config.write_text(
        rig.config.read_text().replace("min_free_bytes = 0", f"min_free_bytes = {MIN_FREE_BYTES}")
        + "[queue]\nauto_start = false\n"
    )
    rig.start_daemon()
    padding = "\n".join("; padding that makes the file large " + "x" * 60 for _ in range(60_000))
    for number in range(12):  # 6 MB each, 72 MB in all on a disk of 40
        job_id = rig.submit(
            f"{spiral(5, heat=False, seed=number)}\n{padding}\n; {number}\n", f"part{number}.gcode"
        )
        rig.client.post(f"/v1/jobs/{job_id}/cancel")
    assert len(rig.client.get("/v1/jobs", all=True)["jobs"]) == 12
    assert free_bytes(small_disk) >= MIN_FREE_BYTES
