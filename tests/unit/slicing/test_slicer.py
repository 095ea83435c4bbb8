"""What engines do wrong ends in a typed failure, and nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from pathlib import Path

import pytest

from agent.domain.artefact import Prepared
from agent.domain.errors import StorageError
from agent.slicing.evidence import MeshFacts
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.process import ProcessLimits
from agent.slicing.slicer import SliceOrder, SliceResult, check_stl, remove_leftovers, slice_key, slice_mesh
from tests.unit.slicing.fake_engine import FakeEngine, setup_for, write_stl

GOOD = "shutil.copy('good', OUT)"
LIMITS = ProcessLimits(cpu_s=20, file_bytes=1 << 20, wall_s=20.0, silence_s=20.0)


class Rig:
    def __init__(self, directory: Path) -> None:
        self.work = directory / "work"
        self.prepared = directory / "prepared"
        self.out = directory / "out.gcode"
        for folder in (self.work, self.prepared):
            folder.mkdir()
        self.mesh = write_stl(directory / "mesh.stl")
        self.progress: list[float] = []

    async def run(
        self, engine: FakeEngine, *, limits: ProcessLimits = LIMITS, facts: MeshFacts | None = None
    ) -> SliceResult:
        order = SliceOrder(self.mesh, setup_for(), self.out, self.work, self.prepared, facts=facts)
        return await slice_mesh(
            order, engine, engine.found(), limits=limits, on_progress=self.progress.append
        )

    async def failure(self, code: str, **options: object) -> SliceError:
        engine = FakeEngine(code)
        with pytest.raises(SliceError) as caught:
            await self.run(engine, **options)  # type: ignore[arg-type]
        assert list(self.work.iterdir()) == []
        assert not self.out.exists()
        return caught.value


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_a_good_slice_is_accepted(rig: Rig) -> None:
    engine = FakeEngine(f"print('@0.1'); print('@0.5'); print('@0.2')\n{GOOD}")
    result = await rig.run(engine)
    assert result.gcode == rig.out
    assert result.sha256 == hashlib.sha256(rig.out.read_bytes()).hexdigest()
    assert result.size_bytes == rig.out.stat().st_size
    assert result.mesh_sha256 == hashlib.sha256(rig.mesh.read_bytes()).hexdigest()
    assert result.prepared.is_printable
    assert (rig.prepared / f"{result.prepared.sha256}.gcode").is_file()
    assert (result.engine, result.engine_version) == ("fake", "1.0.0")
    assert result.setup_digest == setup_for().digest
    assert rig.progress == sorted(rig.progress)
    assert rig.progress[-1] == 1.0
    assert list(rig.work.iterdir()) == []
    assert rig.out.stat().st_mode & 0o777 == 0o640


BODY_CASES: dict[str, tuple[str, SliceFailure]] = {
    "no file": ("", SliceFailure.EMPTY_RESULT),
    "empty file": ("open(OUT, 'w')", SliceFailure.EMPTY_RESULT),
    "garbage": ("open(OUT, 'w').write('hello world' * 99)", SliceFailure.OUTPUT_TRUNCATED),
    "no end mark": ("t = open('good').read(); open(OUT, 'w').write(t[:len(t) // 2])", SliceFailure.OUTPUT_TRUNCATED),
    "cut in the mark": ("t = open('good').read(); open(OUT, 'w').write(t[:-5])", SliceFailure.OUTPUT_TRUNCATED),
    "moves behind the end": ("open(OUT, 'w').write(open('good').read() + 'G1 X5\\n')", SliceFailure.GCODE_FORBIDDEN),
    "heat behind the end": (
        "open(OUT, 'w').write(open('good').read() + 'M104 S200\\n')", SliceFailure.GCODE_FORBIDDEN),
    "other setting echoed": (
        "open(OUT, 'w').write(open('good').read() + '; layer_height = 9\\n')", SliceFailure.PROFILE_INVALID),
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", SliceFailure.ENGINE_CRASHED),
    "abort": ("os.abort()", SliceFailure.ENGINE_CRASHED),
    "killed by the system": ("os.kill(os.getpid(), signal.SIGKILL)", SliceFailure.OUT_OF_MEMORY),
    "exit 1 in silence": ("sys.exit(1)", SliceFailure.ENGINE_CRASHED),
    "exit 1 with a good file": ("shutil.copy('good', OUT); sys.exit(1)", SliceFailure.ENGINE_CRASHED),
    "does not fit": ("print('Objects could not fit on the bed'); sys.exit(1)", SliceFailure.DOES_NOT_FIT),
    "does not fit, exit 0": ("print('An object is outside of the print volume')", SliceFailure.DOES_NOT_FIT),
    "no layers": ("print('No layers were detected.'); sys.exit(1)", SliceFailure.EMPTY_RESULT),
    "bad script": ("print('failed due to invalid custom G-code sections'); sys.exit(1)", SliceFailure.PROFILE_INVALID),
    "unreadable mesh": ("print('Loading of a model file failed.'); sys.exit(1)", SliceFailure.MESH_REJECTED),
    "bad_alloc": ("print('std::bad_alloc', file=sys.stderr); os.abort()", SliceFailure.OUT_OF_MEMORY),
    "disk full told": ("print('No space left on device'); sys.exit(1)", SliceFailure.DISK_FULL),
    "too much memory": (
        "import resource; x = bytearray(resource.getrlimit(resource.RLIMIT_AS)[0])", SliceFailure.ENGINE_CRASHED),
    "binary output": ("open(OUT, 'wb').write(b'GCDE' + bytes(500))", SliceFailure.OUTPUT_TRUNCATED),
    "a directory": ("os.mkdir(OUT)", SliceFailure.EMPTY_RESULT),
    "not UTF-8 on the console": ("sys.stdout.buffer.write(b'\\xff\\xfe\\n' * 99); sys.exit(3)",
                                 SliceFailure.ENGINE_CRASHED),
}  # fmt: skip


@pytest.mark.parametrize("case", BODY_CASES)
async def test_failures_are_typed(case: str, rig: Rig) -> None:
    code, wanted = BODY_CASES[case]
    error = await rig.failure(code)
    assert error.failure is wanted, error.message
    assert error.remedy
    assert error.message


GCODE_CASES: dict[str, tuple[list[str], SliceFailure]] = {
    "nothing extruded": (["G1 X10 Y10"], SliceFailure.EMPTY_RESULT),
    "off the bed": (["G1 Z0.2", "G1 X100 Y100", "G1 X260 Y100 E5"], SliceFailure.OUT_OF_VOLUME),
    "too high": (["G1 Z0.2", "G1 X100 Y100", "G1 X120 Y100 E5", "G1 Z300", "G1 X100 Y100 E5"],
                 SliceFailure.OUT_OF_VOLUME),
    "below the bed": (["G1 Z-5", "G1 X100 Y100 E5"], SliceFailure.OUT_OF_VOLUME),
    "emergency stop": (["G1 X100 Y100 E5", "M112"], SliceFailure.GCODE_FORBIDDEN),
    "too hot": (["M104 S400", "G1 X100 Y100 E5"], SliceFailure.GCODE_FORBIDDEN),
    "placeholder": (["G1 X{width} Y100 E5"], SliceFailure.GCODE_FORBIDDEN),
    "settings stored": (["M500", "G1 X100 Y100 E5"], SliceFailure.GCODE_FORBIDDEN),
    "homes over the part": (["G1 X100 Y100 E5", "G28"], SliceFailure.GCODE_FORBIDDEN),
}  # fmt: skip


@pytest.mark.parametrize("case", GCODE_CASES)
async def test_what_the_gate_refuses_is_no_slice(case: str, rig: Rig) -> None:
    body, wanted = GCODE_CASES[case]
    with pytest.raises(SliceError) as caught:
        await rig.run(FakeEngine(GOOD, body=body))
    assert caught.value.failure is wanted, caught.value.message
    assert list(rig.work.iterdir()) == []
    assert not rig.out.exists()


@pytest.mark.parametrize(
    ("facts", "ok"),
    [(MeshFacts((20.0, 20.0, 0.5), 40.0, 12), True), (MeshFacts((20.0, 20.0, 20.0), 40.0, 12), False),
     (MeshFacts((20.0, 20.0, 0.5), 80_000.0, 12), False), (MeshFacts((20.0, 20.0, 0.5), None, 12), True)],
)  # fmt: skip
async def test_height_and_plastic_must_go_with_the_mesh(facts: MeshFacts, ok: bool, rig: Rig) -> None:
    if ok:
        assert (await rig.run(FakeEngine(GOOD), facts=facts)).prepared.is_printable
    else:
        with pytest.raises(SliceError) as caught:
            await rig.run(FakeEngine(GOOD), facts=facts)
        assert caught.value.failure is SliceFailure.EMPTY_RESULT


@pytest.mark.parametrize("size", [(400.0, 20.0, 20.0), (20.0, 219.0, 20.0), (20.0, 20.0, 251.0)])
async def test_what_cannot_fit_is_not_even_tried(size: tuple[float, float, float], rig: Rig) -> None:
    error = await rig.failure("open('../ran', 'w')", facts=MeshFacts(size, None, 12))
    assert error.failure is SliceFailure.DOES_NOT_FIT
    assert "has room for" in error.message


async def test_a_hanging_engine_is_ended(rig: Rig) -> None:
    quick = ProcessLimits(cpu_s=20, file_bytes=1 << 20, wall_s=0.5, silence_s=20.0)
    assert (await rig.failure("time.sleep(600)", limits=quick)).failure is SliceFailure.TIMEOUT


async def test_a_silent_engine_is_ended(rig: Rig) -> None:
    quick = ProcessLimits(cpu_s=20, file_bytes=1 << 20, wall_s=20.0, silence_s=0.5)
    assert (await rig.failure("time.sleep(600)", limits=quick)).failure is SliceFailure.TIMEOUT


async def test_processor_time_is_limited(rig: Rig) -> None:
    quick = ProcessLimits(cpu_s=1, file_bytes=1 << 20, wall_s=30.0, silence_s=30.0)
    error = await rig.failure("while True: pass", limits=quick)
    assert error.failure in (SliceFailure.TIMEOUT, SliceFailure.OUT_OF_MEMORY)


async def test_a_file_that_grows_without_end_is_cut(rig: Rig) -> None:
    error = await rig.failure("f = open(OUT, 'w')\nwhile True: f.write('G1 X1\\n' * 9999)")
    assert error.failure in (SliceFailure.OUTPUT_TRUNCATED, SliceFailure.ENGINE_CRASHED)


async def test_an_engine_that_floods_its_console_is_ended(rig: Rig) -> None:
    error = await rig.failure("while True: print('x' * 4000)")
    assert error.failure is SliceFailure.TIMEOUT


async def test_cancelling_ends_the_engine_and_its_children_within_a_second(rig: Rig) -> None:
    code = (
        "import subprocess\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('../pids', 'w').write(f'{os.getpid()} {p.pid}'); print('@0.5', flush=True); time.sleep(600)"
    )
    running = asyncio.create_task(rig.run(FakeEngine(code)))
    deadline = time.monotonic() + 20
    while not rig.progress and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    pids = [int(pid) for pid in (rig.work / "pids").read_text().split()]
    (rig.work / "pids").unlink()
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 1.0
    assert list(rig.work.iterdir()) == []
    while any(_is_running(pid) for pid in pids) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert not any(_is_running(pid) for pid in pids)


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_children_of_a_finished_engine_do_not_stay(rig: Rig) -> None:
    code = (
        "import subprocess\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        f"open('../pid', 'w').write(str(p.pid))\n{GOOD}"
    )
    await rig.run(FakeEngine(code))
    pid = int((rig.work / "pid").read_text())
    deadline = time.monotonic() + 5
    while _is_running(pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert not _is_running(pid)


async def test_the_engine_sees_nothing_of_the_daemon(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABUNIT_SECRET", "hunter2")
    code = (
        "import resource\nlines = [str(os.environ), str(sys.stdin.read()), str(os.nice(0)), "
        "str(resource.getrlimit(resource.RLIMIT_CORE)), str(os.getsid(0) == os.getpid()), os.getcwd(),"
        f" str(oct(os.stat('.').st_mode))]\nopen('../seen', 'w').write(chr(10).join(lines))\n{GOOD}"
    )
    await rig.run(FakeEngine(code))
    environ, stdin, nice, core, leads, cwd, mode = (rig.work / "seen").read_text().split("\n")
    assert "hunter2" not in environ
    assert "DISPLAY" not in environ
    assert stdin == ""
    assert int(nice) >= min(19, os.nice(0) + 15)
    assert core == "(0, 0)"
    assert leads == "True"
    assert Path(cwd).parent == rig.work
    assert mode == "0o40700"


@pytest.mark.parametrize(
    "content",
    [b"", b"solid x\nendsolid x\n", b"\0" * 84, b"\0" * 80 + b"\xff\xff\xff\xff", b"\0" * 83],
)  # fmt: skip
async def test_only_complete_binary_stl_goes_in(content: bytes, rig: Rig) -> None:
    rig.mesh.write_bytes(content)
    assert (await rig.failure(GOOD)).failure is SliceFailure.MESH_REJECTED


async def test_a_truncated_or_missing_mesh_is_refused(rig: Rig) -> None:
    rig.mesh.write_bytes(rig.mesh.read_bytes()[:-1])
    assert (await rig.failure(GOOD)).failure is SliceFailure.MESH_REJECTED
    rig.mesh.unlink()
    assert (await rig.failure(GOOD)).failure is SliceFailure.MESH_REJECTED


async def test_too_little_memory_is_said_before_the_start(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine("open('../ran', 'w')")
    monkeypatch.setattr(engine, "memory_need_bytes", lambda _facets: 1 << 60)
    with pytest.raises(SliceError) as caught:
        await rig.run(engine)
    assert caught.value.failure is SliceFailure.OUT_OF_MEMORY
    assert not (rig.work / "ran").exists()


async def test_a_gate_that_cannot_run_is_no_verdict_on_the_mesh(rig: Rig) -> None:
    async def broken(_path: Path) -> Prepared:
        raise OSError("no such thing")

    engine = FakeEngine(GOOD)
    order = SliceOrder(rig.mesh, setup_for(), rig.out, rig.work, rig.prepared)
    with pytest.raises(StorageError, match="no such thing"):
        await slice_mesh(order, engine, engine.found(), limits=LIMITS, gate=broken)
    assert not rig.out.exists()
    assert list(rig.work.iterdir()) == []


async def test_a_place_that_cannot_be_written_is_said(rig: Rig) -> None:
    rig.out = rig.work.parent / "absent" / "out.gcode"
    with pytest.raises(StorageError, match=r"absent.*No such file"):
        await rig.run(FakeEngine(GOOD))
    assert list(rig.work.iterdir()) == []


async def test_a_disk_that_runs_full_is_told_apart(rig: Rig) -> None:
    async def full(_path: Path) -> Prepared:
        raise OSError(errno.ENOSPC, "No space left on device")

    engine = FakeEngine(GOOD)
    order = SliceOrder(rig.mesh, setup_for(), rig.out, rig.work, rig.prepared)
    with pytest.raises(SliceError) as caught:
        await slice_mesh(order, engine, engine.found(), limits=LIMITS, gate=full)
    assert caught.value.failure is SliceFailure.DISK_FULL


def test_equal_inputs_have_equal_keys(tmp_path: Path) -> None:
    found = FakeEngine("").found()
    sha256, facets = check_stl(write_stl(tmp_path / "a.stl", 40))
    assert facets == 40
    key = slice_key(sha256, setup_for(), found)
    assert key == slice_key(sha256, setup_for(), found)
    others = {
        slice_key("0" * 64, setup_for(), found),
        slice_key(sha256, setup_for(quality="fine"), found),
        slice_key(sha256, setup_for(walls=5), found),
        slice_key(sha256, setup_for(material="tpu"), found),
    }
    assert len(others | {key}) == 5


def test_directories_of_killed_slicers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "slice-abc" / "data").mkdir(parents=True)
    (tmp_path / "keep").mkdir()
    assert remove_leftovers(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]
