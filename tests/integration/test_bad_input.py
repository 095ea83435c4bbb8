"""Everything a maker, a cable or a disk can get wrong: each is told with the input, the remedy and the exit code."""

from __future__ import annotations

import os
import pty
import random
import resource
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.domain.errors import UsageError
from tests.integration.cli_runner import Said, fabunit
from tests.integration.rig import Rig, environment

NOBODY = 65534
BIG_FILE_BYTES = 40_000_000
MEMORY_LIMIT_KIB = 90 * 1024
STL = b"\0" * 80 + (2).to_bytes(4, "little") + b"\0" * 100
NOT_GCODE = {
    "part.stl": (STL, "mesh (STL)", "slice it first"),
    "ascii.stl": (b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n", "mesh (STL)", "slice it first"),
    "photo.gcode": (b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(3000), "PNG picture", "G-code file"),
    "page.gcode": (b"<!DOCTYPE html><html><body>404</body></html>", "web page", "download the file itself"),
    "noise.gcode": (random.Random(2).randbytes(5000), "not G-code", "export plain .gcode"),
    "wide.gcode": ("G28\nG1 X10\n".encode("utf-16"), "UTF-16", "save it as UTF-8"),
    "remarks.gcode": (b"; only a comment\n", "no G-code in it", "slicer"),
}


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One daemon without a printer for all tests that leave it as it is."""
    bench = Rig(tmp_path_factory.mktemp("unit"))
    bench.configure(port="/dev/fabunit-no-such-port", baud=115200)
    # A unit that takes only G-code, wherever the tests run; what becomes of bad meshes is in test_mesh_jobs.
    bench.config.write_text(bench.config.read_text() + '[slicing]\nengine = "none"\n')
    bench.start_daemon()
    try:
        yield bench
    finally:
        bench.close()


def assert_refused(said: Said, code: int, *parts: str) -> None:
    """The command failed with this exit code, an error with these parts, and a hint."""
    assert said.code == code, said
    assert said.out == ""
    first, *rest = said.err.splitlines()
    assert first.startswith("error: ")
    assert any(line.startswith("hint: ") for line in rest), said.err
    for part in parts:
        assert part in said.err


@contextmanager
def peer(noise: bytes = b"") -> Iterator[str]:
    """A port where a board never answers, or only ever sends `noise`; yields its path."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = threading.Event()

    def talk() -> None:
        os.set_blocking(master, False)
        while not ended.wait(0.02):
            with suppress(BlockingIOError):
                os.read(master, 4096)
            if noise:
                os.write(master, noise)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        termios.tcflush(slave, termios.TCIOFLUSH)
        os.close(slave)
        os.close(master)


# -- the port ---------------------------------------------------------------------------------------------------------


def test_a_missing_port_is_named_and_the_daemon_goes_on(unit: Rig) -> None:
    said = fabunit("printer", "connect", "/dev/fabunit-missing", socket=unit.socket)
    assert_refused(said, 1, "there is no port /dev/fabunit-missing", "fabunit ports")
    said = fabunit("printer", "home", socket=unit.socket)
    assert_refused(said, 4, "no printer is connected", "/dev/fabunit-missing")
    assert fabunit("printer", "connect", socket=unit.socket).err.count("/dev/fabunit-no-such-port") == 1
    assert fabunit("status", socket=unit.socket).code == 0


def test_a_busy_port_names_the_program_that_holds_it(unit: Rig) -> None:
    hold = "import serial,sys; p=serial.Serial(sys.argv[1], exclusive=True); print(1, flush=True); input()"
    with peer() as port:
        holder = subprocess.Popen(
            [sys.executable, "-c", hold, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"1\n"
            said = fabunit("printer", "connect", port, socket=unit.socket)
            # The number of a pseudo-terminal is given to the next one: who goes on looking for this port would find the
            # printer of another test there, and print on it.
            fabunit("printer", "disconnect", socket=unit.socket)
        finally:
            holder.stdin.close()
            holder.wait()
            holder.stdout.close()
    assert_refused(said, 1, port, "in use", str(holder.pid))


def test_noise_at_a_wrong_baud_rate_is_called_that(unit: Rig) -> None:
    with peer(random.Random(3).randbytes(40)) as port:
        said = fabunit("printer", "connect", port, socket=unit.socket)
        assert_refused(said, 1, port, "115200", "no text at this baud rate")
        fabunit("printer", "disconnect", socket=unit.socket)


def test_a_board_that_never_answers_is_named_with_what_to_check(unit: Rig) -> None:
    with peer() as port:
        said = fabunit("printer", "connect", port, socket=unit.socket)
        assert_refused(said, 1, port, "115200", "does not answer", "switched on")
        fabunit("printer", "disconnect", socket=unit.socket)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_files_that_are_no_gcode_are_rejected_by_what_they_are(unit: Rig, tmp_path: Path) -> None:
    for name, (content, _, _) in NOT_GCODE.items():
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / name) for name in NOT_GCODE]
    said = fabunit("print", *files, "--wait", "--json", socket=unit.socket)
    assert said.code == 4
    jobs = said.document()["jobs"]
    assert [job["name"] for job in jobs] == list(NOT_GCODE)
    for job in jobs:
        _, what, remedy = NOT_GCODE[job["name"]]
        assert job["state"] == "rejected", job
        assert what in job["detail"]
        assert remedy in job["detail"]


def test_files_that_cannot_be_sent_at_all(unit: Rig, tmp_path: Path) -> None:
    empty = tmp_path / "empty.gcode"
    empty.touch()
    assert_refused(fabunit("print", str(empty), socket=unit.socket), 4, f"{empty} is empty", "slice it again")
    gone = tmp_path / "gone.gcode"
    assert_refused(fabunit("print", str(gone), socket=unit.socket), 5, f"{gone}: No such file", "path")
    assert_refused(fabunit("print", str(tmp_path), socket=unit.socket), 4, f"{tmp_path} is not a file")


def test_names_with_path_tricks_stay_names(unit: Rig, tmp_path: Path) -> None:
    for name in ("../../etc/passwd", "a/b.gcode", "..", "a\x1b[31m.gcode", "x" * 300):
        with (tmp_path / "part").open("w+b") as file:
            file.write(b"G28\n")
            file.seek(0)
            with pytest.raises(UsageError, match="no plain file name") as caught:
                unit.client.upload("/v1/jobs", file, 4, name=name)
        assert ascii(name)[1:20] in caught.value.message
        assert caught.value.remedy
    tricky = tmp_path / "..%2f..%2fescape;rm -rf.gcode"
    tricky.write_text("G28\nG1 X5 F600\nM84\n")
    job = fabunit("print", str(tricky), "--hold", "--json", socket=unit.socket).document()["jobs"][0]
    assert job["name"] == "%2f..%2fescape;rm -rf.gcode"
    stored = {path.name for path in unit.state.rglob("*") if path.is_file()}
    assert job["artefact_sha256"] in stored
    assert not [name for name in stored if "escape" in name]
    assert not list(unit.folder.glob("escape*"))


@pytest.mark.timeout(120)
def test_a_large_file_costs_the_daemon_no_memory(unit: Rig, tmp_path: Path) -> None:
    big = tmp_path / "big.gcode"
    head = b"G21\nG90\nM83\nG28\n"
    block = b"".join(
        b"G1 X%.3f Y%.3f F3000\n" % (50 + (i % 977) / 10, 60 + (i % 613) / 10) for i in range(20_000)
    )
    with big.open("wb") as file:
        file.write(head)
        while file.tell() < BIG_FILE_BYTES:
            file.write(block)
    said = fabunit("print", str(big), "--json", socket=unit.socket)
    job_id = said.document()["jobs"][0]["job_id"]
    unit.until(lambda: unit.job(job_id)["state"] not in ("received", "verifying"), "it is checked", 90)
    assert unit.job(job_id)["state"] == "ready", unit.job(job_id)
    assert unit.daemon is not None
    status = Path(f"/proc/{unit.daemon.pid}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    assert peak_kib < MEMORY_LIMIT_KIB
    assert fabunit("job", "cancel", job_id, socket=unit.socket).code == 0


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_too_little_free_space_is_refused_before_anything_is_written(rig: Rig, tmp_path: Path) -> None:
    rig.config.write_text(rig.config.read_text().replace("min_free_bytes = 0", f"min_free_bytes = {1 << 40}"))
    rig.start_daemon()
    part = tmp_path / "part.gcode"
    part.write_text("G28\n" * 1000)
    said = fabunit("print", str(part), "--json", socket=rig.socket)
    assert said.code == 1
    error = said.document()["error"]
    assert error["code"] == "disk_full"
    assert error["remedy"]
    assert not [path for path in (rig.state / "artefacts").rglob("*") if path.is_file()]
    assert fabunit("jobs", "--json", socket=rig.socket).document()["jobs"] == []


def test_a_disk_that_fails_in_the_middle_leaves_nothing_and_the_daemon_lives(
    rig: Rig, tmp_path: Path
) -> None:
    rig.start_daemon()
    assert rig.daemon is not None
    resource.prlimit(rig.daemon.pid, resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
    part = tmp_path / "part.gcode"
    part.write_text("G1 X1 Y1 F600\n" * 500_000)
    said = fabunit("print", str(part), socket=rig.socket)
    assert_refused(said, 1)
    assert not [path for path in (rig.state / "artefacts").rglob("*") if path.is_file()]
    part.write_text("G28\nG1 X5 F600\nM84\n")
    assert fabunit("print", str(part), socket=rig.socket).code == 0


# -- the configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[printer\nport = "auto"\n', ("line 1",)),
        ("[printer]\nbuad = 115200\n", ("line 2", "buad", "baud")),
        ("[prniter]\n", ("line 1", "prniter", "printer")),
        ('[queue]\n\nauto_start = "maybe"\n', ("line 3", "auto_start", "true")),
        ('[printer]\nport = "COM3"\n', ("line 2", "port", "/dev/serial/by-id")),
        ('[printer]\nprofile = "enderr-3"\n', ("enderr-3", "ender-3")),
        ("[limits]\nmax_jobs = 0\n", ("line 2", "max_jobs", "1 to 100000")),
    ],
)
def test_a_broken_configuration_names_line_key_and_what_would_be_right(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    config = tmp_path / "unit.toml"
    config.write_text(f'{text}\n[unit]\nstate_dir = "{tmp_path / "state"}"\n')
    said = fabunit("run", "--config", str(config), "--socket", str(tmp_path / "sock"))
    assert said.code in (2, 5), said
    for part in parts:
        assert part in said.err
    assert not (tmp_path / "sock").exists()


def test_a_wrong_variable_names_itself_and_the_nearest(tmp_path: Path) -> None:
    config = tmp_path / "unit.toml"
    config.write_text(f'[unit]\nstate_dir = "{tmp_path}"\n')
    run = ("run", "--config", str(config), "--socket", str(tmp_path / "sock"))
    assert_refused(
        fabunit(*run, FABUNIT__PRINTER__BUAD="1"), 2, "FABUNIT__PRINTER__BUAD", "FABUNIT__PRINTER__BAUD?"
    )
    assert_refused(fabunit(*run, FABUNIT__PRINTER__BAUD="fast"), 2, "FABUNIT__PRINTER__BAUD", "auto")
    assert_refused(
        fabunit("run", "--config", str(tmp_path / "none.toml")), 2, "none.toml: no such file", "path"
    )


# -- the daemon -------------------------------------------------------------------------------------------------------


def test_a_second_daemon_is_refused_and_names_the_first(unit: Rig, tmp_path: Path) -> None:
    assert unit.daemon is not None
    said = fabunit("run", "--config", str(unit.config), "--socket", str(tmp_path / "sock"))
    assert_refused(said, 4, str(unit.state), f"process {unit.daemon.pid}", "state_dir")
    other = tmp_path / "other.toml"
    other.write_text(unit.config.read_text().replace(str(unit.state), str(tmp_path / "state")))
    said = fabunit("run", "--config", str(other), "--socket", str(unit.socket))
    assert_refused(said, 4, f"another daemon already answers on {unit.socket}", "--socket")
    assert fabunit("status", socket=unit.socket).code == 0


def test_no_daemon(tmp_path: Path) -> None:
    nowhere = tmp_path / "sock"
    assert_refused(fabunit("status", socket=nowhere), 3, f"no daemon is running at {nowhere}", "fabunit run")
    error = fabunit("jobs", "--json", socket=nowhere).document()["error"]
    assert error["code"] == "no_daemon"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_which_group_to_join(unit: Rig) -> None:
    program = (
        "import os, sys, grp, agent.control.client, agent.cli.status, agent.paths\n"
        "from agent.cli.main import main\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "main(['status', '--socket', sys.argv[1]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(unit.socket)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert_refused(Said(done.returncode, done.stdout, done.stderr), 4, "you may not talk", "usermod -aG")


def test_ids_that_fit_nothing_or_too_much(unit: Rig, tmp_path: Path) -> None:
    part = tmp_path / "part.gcode"
    part.write_text("G28\nG1 X5 F600\nM84\n")
    assert fabunit("print", str(part), str(part), "--hold", socket=unit.socket).code == 0
    assert_refused(
        fabunit("job", "show", "j-nosuchjob", socket=unit.socket), 5, "'j-nosuchjob'", "fabunit jobs"
    )
    assert_refused(fabunit("job", "show", "j-", socket=unit.socket), 2, "fits several jobs", "type more")
    assert_refused(fabunit("receipt", "p-nosuch", socket=unit.socket), 5, "'p-nosuch'", "fabunit history")
    assert_refused(fabunit("job", "hold", "../stop", socket=unit.socket), 5, "'../stop'", "fabunit jobs")
