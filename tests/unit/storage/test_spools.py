"""What is left on the spools: declared, counted down, corrected by a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.errors import NotFoundError
from agent.domain.spool import DENSITY_G_CM3, Spool, g_per_mm, weighed
from agent.slicing.material import MaterialDocument
from agent.slicing.setup import read_layer
from agent.storage import spools
from agent.storage.database import Database

PLA = Spool("T0", "PLA", "black", left_g=500.0, g_per_mm=0.003)
PETG = Spool("T1", "PETG", left_g=None, g_per_mm=0.003)


async def test_a_print_counts_down_and_never_below_nothing(database: Database) -> None:
    await database.run(lambda connection: spools.declare(connection, [PLA, PETG]))
    spent = await database.run(
        lambda connection: spools.use(connection, {"T0": 10_000.0, "T1": 1000.0, "T7": 5.0})
    )
    assert [(one.slot, one.used_g, one.left_g) for one in spent] == [("T0", 30.0, 470.0), ("T1", 3.0, None)]
    spent = await database.run(lambda connection: spools.use(connection, {"T0": 10_000_000.0}))
    assert spent[0].left_g == 0.0
    assert await database.run(lambda connection: spools.use(connection, {})) == ()


async def test_the_same_declaration_keeps_the_count_another_one_begins_anew(database: Database) -> None:
    await database.run(lambda connection: spools.declare(connection, [PLA]))
    await database.run(lambda connection: spools.use(connection, {"T0": 100_000.0}))
    (kept,) = await database.run(lambda connection: spools.declare(connection, [PLA]))
    assert kept.left_g == 200.0
    white = Spool("T0", "PLA", "white", left_g=500.0, g_per_mm=0.003)
    assert (await database.run(lambda connection: spools.declare(connection, [white])))[0].left_g == 500.0
    assert await database.run(lambda connection: spools.declare(connection, [])) == ()


async def test_a_persons_word_counts(database: Database) -> None:
    await database.run(lambda connection: spools.declare(connection, [PLA, PETG]))
    assert (await database.run(lambda connection: spools.refill(connection, "T1", 750.0))).left_g == 750.0
    with pytest.raises(NotFoundError, match="T9") as caught:
        await database.run(lambda connection: spools.refill(connection, "T9", 1.0))
    assert "T0, T1" in caught.value.remedy


def test_the_only_slot_feeds_every_tool() -> None:
    assert weighed({"T0": 10.0, "T3": 10.0}, [PLA]) == {"T0": pytest.approx(0.06)}
    assert weighed({"T0": 10.0, "T3": 10.0}, [PLA, PETG]) == {"T0": pytest.approx(0.03)}
    assert weighed({"T0": 10.0}, []) == {}


def test_a_kilogram_of_pla_is_a_third_of_a_kilometre() -> None:
    assert 1000 / g_per_mm("PLA") == pytest.approx(335_000, rel=0.01)
    assert g_per_mm("pla+") == g_per_mm("PLA")
    assert g_per_mm("wood", 0.62) == pytest.approx(g_per_mm("PLA") / 2)
    assert g_per_mm("PETG", diameter_mm=2.85) > g_per_mm("PETG")


def test_densities_are_those_of_the_bundled_materials() -> None:
    root = Path(__file__).resolve().parents[3] / "slicer_profiles" / "materials"
    for path in root.glob("*.toml"):
        material = read_layer(path, MaterialDocument)
        assert DENSITY_G_CM3[material.type] == material.filament.density_g_cm3
