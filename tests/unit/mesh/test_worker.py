"""The child process: limits, typed endings, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.errors import NotFoundError
from agent.domain.profile import PrinterProfile
from agent.mesh.cache import ReportCache
from agent.mesh.client import run_check
from agent.mesh.limits import Limits, derive, from_dict, to_dict
from agent.mesh.report.document import SCHEMA_VERSION, summary
from agent.mesh.request import Request, memory_limit_bytes
from tests.unit.mesh import shapes
from tests.unit.mesh.shapes import write


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def run(request: Request, **options: Any) -> dict[str, Any]:
    return asyncio.run(run_check(request, **options))


@pytest.fixture
def request_(tmp_path: Path, limits: Limits) -> Request:
    return Request(write(tmp_path, "part.stl", shapes.stl(shapes.hollow_box(0.5))), "part.stl", limits)


def test_a_report_comes_back(request_: Request) -> None:
    seen: list[tuple[str, float]] = []
    report = run(request_, on_progress=lambda *step: seen.append(step))
    assert report["verdict"] == "printable_with_warnings"
    assert report["schema"] == SCHEMA_VERSION
    assert report["run"]["peak_memory_bytes"] > 0
    assert seen
    assert all(0 <= share <= 1 for _, share in seen)


def test_findings_are_the_same_bytes_each_time(request_: Request) -> None:
    one, two = run(request_), run(request_)
    del one["run"], two["run"]
    assert json.dumps(one) == json.dumps(two)


def test_the_summary_fits_an_event(request_: Request) -> None:
    assert len(json.dumps(summary(run(request_)))) < 1000


@pytest.mark.parametrize(
    "code",
    ["", "print('{}')", "print('[]')", "print('not json')", "raise SystemExit(3)", "import os; os.abort()",
     "print('{\"report\": {}}')", "print('{\"report\": null}')", "print('[' * 100000)", "print('x' * 5_000_000)",
     "import os; os.close(0); os.write(1, b'x' * 1000)"],
)  # fmt: skip
def test_a_broken_child_leaves_the_verdict_open(request_: Request, code: str) -> None:
    report = run(request_, worker=python(code))
    assert report["verdict"] == "undetermined"
    assert [one["id"] for one in report["findings"]] == ["check.incomplete"]


def test_an_answer_to_another_question_is_no_answer(request_: Request, tmp_path: Path) -> None:
    report = run(request_)
    (tmp_path / "old.json").write_text(json.dumps({"report": report}))
    worker = python(f"print(open({str(tmp_path / 'old.json')!r}).read())")
    assert run(request_, worker=worker)["verdict"] == report["verdict"]
    other = replace(request_, limits=replace(request_.limits, nozzle_mm=0.6))
    assert run(other, worker=worker)["verdict"] == "undetermined"


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_timeout_kills_the_child(request_: Request, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    report = run(request_, worker=python(code), timeout_s=1.0)
    assert report["verdict"] == "undetermined"
    assert "longer than 1 s" in report["findings"][0]["message"]
    assert _gone(int(mark.read_text()))


def test_processor_time_is_bounded(request_: Request, tmp_path: Path) -> None:
    code = (
        "import json, sys; from agent.mesh.worker import limit_process; from agent.mesh.request import Request\n"
        "limit_process(Request.from_dict(json.load(sys.stdin)))\nwhile True: pass"
    )
    report = run(replace(request_, cpu_s=0.5), worker=python(code))
    assert report["verdict"] == "undetermined"
    assert "processor time" in report["findings"][0]["message"]


def test_memory_is_bounded(tmp_path: Path, limits: Limits) -> None:
    """Too little memory gives no verdict, never a wrong one."""
    big = write(tmp_path, "big.stl", shapes.stl(shapes.torus(150_000)))
    report = run(Request(big, "big.stl", limits, memory_bytes=300 << 20))
    assert report["verdict"] in ("undetermined", "printable_with_warnings")
    if report["mesh"] is None:
        assert report["verdict"] == "undetermined"
    tiny = run(Request(big, "big.stl", limits, memory_bytes=60 << 20))
    assert tiny["verdict"] == "undetermined"


def test_the_child_is_niced_and_limited(request_: Request) -> None:
    code = (
        "import json, os, resource, sys; from agent.mesh.worker import limit_process\n"
        "from agent.mesh.request import Request\n"
        "limit_process(Request.from_dict(json.load(sys.stdin)))\n"
        "print(os.nice(0), resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CPU)[0],"
        " [name for name in ('numpy', 'trimesh') if name in sys.modules])"
    )

    async def talk() -> bytes:
        process = await asyncio.create_subprocess_exec(
            *python(code), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate(json.dumps(request_.to_dict()).encode())
        return output

    nice, memory, cpu, modules = asyncio.run(talk()).decode().split(maxsplit=3)
    assert int(nice) >= min(15, os.nice(0) + 15)
    assert (int(memory), int(cpu)) == (request_.memory_bytes, int(request_.cpu_s) + 1)
    assert modules.strip() == "[]"
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != request_.memory_bytes


def test_files_are_written_where_asked(request_: Request, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    report = run(replace(request_, report_dir=folder, is_oriented=True, repair_to=tmp_path / "fixed.stl"))
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html", "overview.png"}
    stored = json.loads((folder / "report.json").read_text())
    assert stored == report
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "fixed.stl").stat().st_size == 84 + 50 * 24
    assert report["orientation"]["tried"] > 1


def test_a_request_survives_the_pipe(request_: Request, tmp_path: Path) -> None:
    full = replace(request_, report_dir=tmp_path, repair_to=tmp_path / "x", unit="inch", fills_holes=True)
    for one in (request_, full):
        assert Request.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_limits_survive_json_and_follow_the_nozzle(profile: PrinterProfile) -> None:
    thin, wide = derive(profile), derive(replace(profile, nozzle_mm=0.8), material="petg", layer_mm=0.3)
    assert from_dict(json.loads(json.dumps(to_dict(wide)))) == wide
    assert (wide.wall_error_mm, wide.wall_warning_mm, wide.overhang_deg, wide.layer_mm) == (
        0.8,
        1.6,
        45.0,
        0.3,
    )
    assert thin.digest != wide.digest
    with pytest.raises(ValueError, match="limits"):
        from_dict({"nozzle_mm": 0.4})
    with pytest.raises(NotFoundError, match="unobtainium"):
        derive(profile, material="unobtainium")


@pytest.mark.parametrize(
    ("physical", "wanted"), [(None, 1536), (512 << 20, 480), (1 << 30, 768), (8 << 30, 1536)]
)
def test_memory_follows_the_machine(physical: int | None, wanted: int) -> None:
    assert memory_limit_bytes(physical) == wanted << 20


def test_the_cache_answers_only_the_same_question(request_: Request, tmp_path: Path) -> None:
    cache = ReportCache(tmp_path / "cache")
    report = run(request_)
    sha256 = report["file"]["sha256"]
    assert cache.load(sha256, request_.limits) is None
    path = cache.save(report, request_.limits)
    assert path is not None
    assert cache.load(sha256, request_.limits) == report
    assert cache.load(sha256, replace(request_.limits, nozzle_mm=0.6)) is None
    assert cache.load("0" * 64, request_.limits) is None
    path.write_text("{broken")
    assert cache.load(sha256, request_.limits) is None


def test_an_unfinished_check_is_not_kept(request_: Request, tmp_path: Path) -> None:
    cache = ReportCache(tmp_path / "cache")
    assert cache.save(run(request_, worker=python("")), request_.limits) is None
    (tmp_path / "file").write_text("")
    assert ReportCache(tmp_path / "file").save(run(request_), request_.limits) is None
