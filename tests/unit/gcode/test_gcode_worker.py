from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.errors import ArtefactError, FabunitError, StorageError
from agent.domain.profile import HeaterLimits, PrinterProfile, Scripts
from agent.gcode.analysis.analyser import analyse_file
from agent.gcode.client import WORKER, run_prepare
from agent.gcode.prepared_json import from_json, profile_from_json, profile_to_json, to_json
from agent.gcode.worker import check_and_analyse
from tests.unit.gcode.gate_runner import Gate

PART = "G28\nM104 S200\nM83\n" + "".join(f"G1 X{n % 200} Y10 E.05\n" for n in range(3000)) + "M104 S0\n"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_the_child_gives_what_the_gate_gives(gate: Gate, tmp_path: Path) -> None:
    gate(PART)
    out_dir = tmp_path / "by-child"
    out_dir.mkdir()
    wanted = check_and_analyse(
        tmp_path / "source.gcode", out_dir, gate.profile, "marlin", lambda _done, _size: None
    )
    seen: list[tuple[int, int]] = []
    found = await run_prepare(
        tmp_path / "source.gcode",
        out_dir,
        gate.profile,
        "marlin",
        on_progress=lambda *sizes: seen.append(sizes),
    )
    assert found.summary["peak_memory_bytes"] > 0
    assert found.summary["estimate_source"] == "model"
    assert from_json(to_json(wanted)) == replace(found, summary=from_json(to_json(wanted)).summary)
    assert (out_dir / f"{found.sha256}.gcode").read_bytes() == gate.output
    assert seen
    assert seen[-1] == (len(PART), len(PART))


def test_what_is_analysed_on_the_way_is_what_stands_in_the_prepared_file(gate: Gate, tmp_path: Path) -> None:
    """Blocks of other sizes, with comments and blank lines between: the same figures."""
    lines = [f"G1 X{n % 200} Y{n % 97} E.05 ; {n}\n\n" for n in range(30_000)]
    lines.insert(20_000, "M203 X20 Y20\nG4 P500\n")
    source = tmp_path / "long.gcode"
    source.write_text(f"G28\nM104 S200\nM83\n{''.join(lines)}M104 S0\n")
    found = check_and_analyse(source, tmp_path, gate.profile, "marlin", lambda _done, _size: None)
    again = analyse_file(tmp_path / f"{found.sha256}.gcode", gate.profile, "marlin", step=found.offset_step)
    assert found.summary["analysis"] == again.summary()
    assert found.times == pytest.approx(again.times, abs=1e-3)
    assert found.metadata.estimate_s == pytest.approx(again.seconds)


@pytest.mark.parametrize(
    ("content", "error", "code"),
    [(b"", ArtefactError, "empty_file"), (b"hello\n", ArtefactError, "not_gcode"),
     (None, StorageError, "storage_failed")],
)  # fmt: skip
async def test_typed_errors_cross_the_process(
    content: bytes | None, error: type[FabunitError], code: str, tmp_path: Path, profile: PrinterProfile
) -> None:
    source = tmp_path / "a.gcode"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(error) as caught:
        await run_prepare(source, tmp_path, profile, "marlin")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "code",
    ["", "print('{}')", "print('[]')", "print('not json')", "raise SystemExit(3)", "import os; os.abort()",
     "import os; os.close(0); os.write(1, b'x' * 1000)", "print('{\"error\": {}}')", "print('{\"prepared\": {}}')",
     "print('{\"prepared\": null}')", "print('[' * 100000)", "print('{\"error\": {\"kind\": 1}}')"],
)  # fmt: skip
async def test_a_broken_child_is_a_gate_crash(code: str, tmp_path: Path, profile: PrinterProfile) -> None:
    with pytest.raises(FabunitError) as caught:
        await run_prepare(tmp_path / "a.gcode", tmp_path, profile, "marlin", worker=python(code))
    assert caught.value.code == "gate_crashed"


async def test_a_result_without_its_file_is_a_gate_crash(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(f'{{"prepared":{to_json(gate(PART))}}}')
    worker = python(f"print(open({str(tmp_path / 'result.json')!r}).read())")
    with pytest.raises(FabunitError, match="no prepared file"):
        await run_prepare(tmp_path / "source.gcode", tmp_path, gate.profile, "marlin", worker=worker)


async def test_what_a_dying_child_says_is_in_the_message(tmp_path: Path, profile: PrinterProfile) -> None:
    worker = python("import sys; sys.stderr.write('progress 1 2\\nMemoryError: no more\\n'); sys.exit(1)")
    with pytest.raises(FabunitError, match="MemoryError: no more"):
        await run_prepare(tmp_path / "a.gcode", tmp_path, profile, "marlin", worker=worker)


def _hanging(tmp_path: Path) -> tuple[tuple[str, ...], Path]:
    """A child that writes its process id, starts a grandchild and never ends."""
    mark = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time, pathlib\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"path = pathlib.Path({str(mark)!r}); tmp = path.with_suffix('.tmp')\n"
        "tmp.write_text(f'{os.getpid()} {p.pid}'); tmp.rename(path)\n"
        "time.sleep(600)\n"
    )
    return python(code), mark


async def _gone(pid: int) -> bool:
    for _ in range(500):
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_timeout_kills_the_whole_group(tmp_path: Path, profile: PrinterProfile) -> None:
    worker, mark = _hanging(tmp_path)
    with pytest.raises(FabunitError) as caught:
        await run_prepare(tmp_path / "a", tmp_path, profile, "marlin", worker=worker, timeout_s=1.5)
    assert caught.value.code == "gate_timeout"
    assert [await _gone(int(pid)) for pid in mark.read_text().split()] == [True, True]


async def test_cancelling_kills_the_whole_group(tmp_path: Path, profile: PrinterProfile) -> None:
    worker, mark = _hanging(tmp_path)
    task = asyncio.create_task(run_prepare(tmp_path / "a", tmp_path, profile, "marlin", worker=worker))
    while not mark.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [await _gone(int(pid)) for pid in mark.read_text().split()] == [True, True]


async def test_memory_does_not_grow_with_the_file(tmp_path: Path, profile: PrinterProfile) -> None:
    """Peak resident memory of the real child for 2 MB and for 20 MB of G-code."""
    peaks: list[int] = []
    line = b"G1 X101.123 Y99.456 E.01234\n"
    for megabytes in (2, 20):
        source = tmp_path / f"{megabytes}.gcode"
        source.write_bytes(b"G28\nM104 S200\nM83\n" + line * (megabytes * 1_000_000 // len(line)))
        request = {"source": str(source), "out_dir": str(tmp_path), "profile": profile_to_json(profile),
                   "dialect": "marlin", "cpu_s": 60}  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *WORKER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode())
        process.stdin.close()
        output = await process.stdout.read()
        await process.wait()
        assert json.loads(output)["prepared"]["lines"] > 30_000 * megabytes
        peaks.append(json.loads(output)["prepared"]["summary"]["peak_memory_bytes"])
    assert peaks[1] < peaks[0] * 1.25
    assert peaks[1] < 64 << 20


async def test_the_child_is_niced_and_limited(tmp_path: Path, profile: PrinterProfile) -> None:
    """The limits that the worker sets on itself, seen by a program that runs under them."""
    source = tmp_path / "a.gcode"
    source.write_bytes(b"x" * 1000)
    code = (
        "from pathlib import Path; import os, resource\n"
        "from agent.gcode.worker import limit_process\n"
        f"limit_process(Path({str(source)!r}), 77)\n"
        "kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)\n"
        "limits = [resource.getrlimit(kind)[0] for kind in kinds]\n"
        "print(os.nice(0), *limits)\n"
    )
    process = await asyncio.create_subprocess_exec(*python(code), stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    nice, memory, cpu, size = (int(part) for part in output.split())
    assert nice >= min(15, os.nice(0) + 15)
    assert memory == 512 << 20
    assert (cpu, size) == (77, 2000 + (1 << 20))
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] != 77


def test_profiles_survive_json(profile: PrinterProfile) -> None:
    full = replace(
        profile, chamber=HeaterLimits(70.0), scripts=Scripts(pause=("G27",)), reach_mm=((0, 230), (-4, 220), (0, 250)),
        allow_commands=("M280",), window_lines=3,
    )  # fmt: skip
    for one in (profile, full):
        assert profile_from_json(profile_to_json(one)) == one


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"lines": 1}', "1"])
def test_other_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)
    with pytest.raises(ValueError, match=r"."):
        profile_from_json(text)
