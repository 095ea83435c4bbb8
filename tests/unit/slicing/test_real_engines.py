"""With the engines that are installed on this machine; an engine that is absent has nothing to be tested."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.domain.artefact import Severity
from agent.domain.errors import ArtefactError
from agent.jobs.stages.workshop import MeshOrder, MeshWorkshop, Workplace
from agent.slicing.engine import Engine, FoundEngine
from agent.slicing.engines import choose_engine, find_engines
from agent.slicing.evidence import MeshFacts
from agent.slicing.failure import SliceError, SliceFailure
from agent.slicing.process import ProcessLimits
from agent.slicing.slice_shelf import SliceShelf
from agent.slicing.slicer import SliceOrder, SliceResult, slice_mesh
from tests.unit.slicing.fake_engine import BUNDLED, setup_for
from tests.unit.slicing.solids import BAD, box, save

INSTALLED = asyncio.run(find_engines())
NAMES = [found.name for _, found in INSTALLED]
engines = pytest.mark.parametrize(
    "engine", NAMES or [pytest.param("none", marks=pytest.mark.skip("no slicer here"))]
)
PRINTERS = ["corexy-300", "ender-3", "generic-220", "mini-120", "prusa-mk3s"]


def engine_of(name: str) -> tuple[Engine, FoundEngine]:
    return next(pair for pair in INSTALLED if pair[1].name == name)


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work = directory / "work"
        self.work.mkdir()
        self.mesh = directory / "mesh.stl"
        self.out = directory / "out.gcode"

    async def slice(
        self, name: str, *, printer: str = "generic-220", facts: MeshFacts | None = None, **choices: object
    ) -> SliceResult:
        engine, found = engine_of(name)
        setup = setup_for(printer, "pla", "draft", **choices)
        order = SliceOrder(self.mesh, setup, self.out, self.work, self.directory, facts=facts)
        limits = ProcessLimits(
            memory_bytes=engine.address_space_bytes(1000), cpu_s=60, wall_s=50.0, silence_s=40.0
        )
        return await slice_mesh(order, engine, found, limits=limits)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@engines
@pytest.mark.parametrize("printer", PRINTERS)
async def test_a_box_is_sliced_for_every_printer(engine: str, printer: str, bench: Bench) -> None:
    save(bench.mesh, box(20, 20, 5, at=(500, -300, 40)))
    result = await bench.slice(engine, printer=printer, facts=MeshFacts((20, 20, 5), 2000, 12))
    analysis = result.prepared.summary["analysis"]
    low, high = analysis["printed_box_mm"]
    assert high[2] == pytest.approx(5, abs=0.3)
    assert 20 < high[0] - low[0] < 220
    centre = result.prepared.summary["analysis"]["printed_box_mm"]
    assert all(axis > 0 for axis in centre[1])
    assert len(result.prepared.layers) == pytest.approx(5 / 0.28, abs=2)
    assert not [f for f in result.prepared.findings if f.severity is not Severity.INFO]
    assert result.prepared.summary["objects"] is not None
    # The engine's own figures and ours must tell the same story.
    used = sum(analysis["filament_mm"].values())
    assert used == pytest.approx(result.prepared.metadata.filament_mm, rel=0.2)
    promised = result.prepared.summary["slicer_estimate_s"]
    limit = 0.015 if engine == "prusaslicer" else 0.12
    assert math.isclose(result.prepared.metadata.estimate_s or 0, promised, rel_tol=limit)
    assert list(bench.work.iterdir()) == []


@engines
@pytest.mark.parametrize("material", ["pla", "petg", "abs", "tpu", "pa"])
async def test_every_material_passes_the_gate(engine: str, material: str, bench: Bench) -> None:
    save(bench.mesh, box(12, 12, 1.5))
    setup = setup_for("corexy-300", material, "draft")
    chosen, found = engine_of(engine)
    order = SliceOrder(bench.mesh, setup, bench.out, bench.work, bench.directory)
    result = await slice_mesh(order, chosen, found)
    heat = result.prepared.summary["temperatures"]
    assert heat["highest_c"]["T0"] <= setup.filament.temperatures.nozzle_max_c
    assert heat["first_c"]["B"] == setup.targets.first_bed_c
    assert set(heat["last_c"].values()) == {0.0}


@engines
async def test_choices_reach_the_engine(engine: str, bench: Bench) -> None:
    save(bench.mesh, box(20, 20, 6))
    thin = await bench.slice(engine, infill_percent=0.0, walls=1)
    thick = await bench.slice(engine, infill_percent=80.0, walls=4)
    brim = await bench.slice(engine, infill_percent=0.0, walls=1, brim_mm=8.0)
    used = [sum(r.prepared.summary["analysis"]["filament_mm"].values()) for r in (thin, thick, brim)]
    assert used[1] > 2 * used[0]
    assert used[2] > 1.1 * used[0]
    width = [r.prepared.summary["analysis"]["printed_box_mm"] for r in (thin, brim)]
    assert width[1][1][0] - width[1][0][0] > width[0][1][0] - width[0][0][0] + 5


@engines
async def test_supports_hold_what_floats(engine: str, bench: Bench) -> None:
    table = box(20, 20, 2, at=(0, 0, 8)) + box(4, 4, 8, at=(8, 8, 0))
    save(bench.mesh, table)
    plain, held = await bench.slice(engine), await bench.slice(engine, supports=True)
    used = [sum(r.prepared.summary["analysis"]["filament_mm"].values()) for r in (plain, held)]
    assert used[1] > 1.15 * used[0]


@engines
@pytest.mark.parametrize("case", BAD)
async def test_bad_meshes_end_typed(engine: str, case: str, bench: Bench) -> None:
    """The mesh check refuses most of these; the engine's driver must not rely on it."""
    write: Callable[[Path], Path] = BAD[case]
    write(bench.mesh)
    sizes = {"one NaN": (10, 10, 5), "infinite": (10, 10, 5), "half a box": (10, 10, 5), "a sheet": (0.01, 40, 40),
             "open below and above": (10, 10, 5), "count too small": (10, 10, 5), "soup": (80, 80, 30),
             "all the same triangle": (10, 10, 0), "a needle": (0.05, 0.05, 40),
             # Left alone, CuraEngine works on it for hours; the check always knows the size.
             "much too large": (20_000, 20_000, 20_000)}  # fmt: skip
    size = sizes.get(case)
    facts = MeshFacts((float(size[0]), float(size[1]), float(size[2])), None, 12) if size else None
    outcome = await asyncio.gather(bench.slice(engine, facts=facts), return_exceptions=True)
    result = outcome[0]
    if isinstance(result, SliceResult):
        # Engines mend some of these; then it is a print that fits, and was judged like every other.
        assert case in ("open below and above", "one NaN", "infinite", "half a box", "a sheet", "soup"), case
        box_mm = result.prepared.summary["analysis"]["printed_box_mm"]
        assert box_mm[1][0] <= 220
        assert result.prepared.is_printable
    else:
        assert isinstance(result, SliceError)
        assert result.code in {failure.value for failure in SliceFailure}
        assert result.message
        assert not bench.out.exists()
    assert list(bench.work.iterdir()) == []


def test_the_matrix_of_bad_meshes_is_complete() -> None:
    assert len(BAD) >= 30


@engines
async def test_a_full_disk_is_no_print(engine: str, bench: Bench) -> None:
    """A file size limit stands for the disk: CuraEngine then ends with 0 and half a file."""
    save(bench.mesh, box(40, 40, 40))
    chosen, found = engine_of(engine)
    order = SliceOrder(bench.mesh, setup_for(), bench.out, bench.work, bench.directory)
    limits = ProcessLimits(
        memory_bytes=chosen.address_space_bytes(1000), cpu_s=60, file_bytes=64 << 10, wall_s=50.0
    )
    with pytest.raises(SliceError):
        await slice_mesh(order, chosen, found, limits=limits)
    assert not bench.out.exists()
    assert list(bench.work.iterdir()) == []


@engines
async def test_cancelling_a_real_engine_is_quick(engine: str, bench: Bench) -> None:
    save(bench.mesh, box(100, 100, 100))
    running = asyncio.create_task(bench.slice(engine, infill_percent=60.0))
    await asyncio.sleep(0)
    while not list(bench.work.glob("slice-*/part.stl")):
        await asyncio.sleep(0.01)
    began = asyncio.get_running_loop().time()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.get_running_loop().time() - began < 1.0
    assert list(bench.work.iterdir()) == []


@engines
async def test_the_workshop_checks_slices_and_remembers(engine: str, tmp_path: Path) -> None:
    place = Workplace("generic-220", [BUNDLED], tmp_path / "work", tmp_path / "checks", engine)
    workshop = MeshWorkshop(place, SliceShelf(tmp_path / "slices"), lambda: "marlin")
    workshop.open()
    source = save(tmp_path / "part.stl", box(20, 20, 4))
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    plan = await workshop.plan(MeshOrder(source, sha256, "part.stl", quality="draft"))
    assert await workshop.known(plan) == (None, False)
    async with workshop.bench() as bench:
        report = await workshop.examine(plan, bench)
        gcode, description = await workshop.make(plan, report, bench)
    assert gcode.read_bytes()
    assert (description["engine"], description["material"]) == (engine, "pla")
    assert description["check_verdict"] == "printable"
    kept, is_sliced = await workshop.known(plan)
    assert is_sliced
    assert kept is not None
    assert kept["findings"] == report["findings"]
    assert workshop.report_path(plan).is_file()
    source.unlink()
    assert await workshop.make(plan, report, tmp_path / "no bench is needed") == (gcode, description)
    assert list((tmp_path / "work").iterdir()) == []


@engines
async def test_another_file_than_was_ordered_is_not_sliced(engine: str, tmp_path: Path) -> None:
    place = Workplace("generic-220", [BUNDLED], tmp_path / "work", tmp_path / "checks", engine)
    workshop = MeshWorkshop(place, SliceShelf(tmp_path / "slices"), lambda: "marlin")
    workshop.open()
    source = save(tmp_path / "part.stl", box(20, 20, 4))
    plan = await workshop.plan(MeshOrder(source, "a" * 64, "part.stl"))
    async with workshop.bench() as bench:
        with pytest.raises(ArtefactError) as caught:
            await workshop.examine(plan, bench)
    assert caught.value.code == "hash_mismatch"


async def test_engines_are_found_by_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "prusa-slicer").write_text("#!/bin/sh\necho 'PrusaSlicer-2.9.2+x based on Slic3r'\n")
    (tmp_path / "CuraEngine").write_text("#!/bin/sh\necho 'something else'\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    found = await find_engines(search=[str(tmp_path)])
    assert [(entry.name, entry.version_text, entry.is_supported) for _, entry in found] == [
        ("prusaslicer", "2.9.2", True)
    ]
    (tmp_path / "prusa-slicer").write_text("#!/bin/sh\necho 'PrusaSlicer-1.2.3'\n")
    with pytest.raises(SliceError) as caught:
        await choose_engine("auto", search=[str(tmp_path)])
    assert caught.value.failure is SliceFailure.ENGINE_MISSING
    assert "1.2.3" in caught.value.message
    with pytest.raises(SliceError):
        await choose_engine("curaengine", search=[str(tmp_path / "absent")])


def test_the_shelf_keeps_what_is_complete(tmp_path: Path) -> None:
    shelf = SliceShelf(tmp_path / "slices", limit_bytes=250)
    shelf.open()
    keys = [f"{n}" * 64 for n in range(4)]
    for n, key in enumerate(keys):
        shelf.path(key).write_bytes(b"x" * 100)
        shelf.keep(key, {"size_bytes": 100, "n": n}, "a" * 64)
    assert shelf.find(keys[0]) is None
    kept = shelf.find(keys[3])
    assert kept is not None
    assert kept[1]["n"] == 3
    shelf.path(keys[3]).write_bytes(b"cut")
    assert shelf.find(keys[3]) is None
    shelf.path(keys[2]).with_suffix(".json").write_text("[" * 100_000)
    assert shelf.find(keys[2]) is None
    for bad in ("", "../../etc/passwd", "A" * 64, "0" * 63):
        with pytest.raises(ValueError, match="no key"):
            shelf.path(bad)
