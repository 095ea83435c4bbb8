"""What is published about reports is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.mesh.checks.registry import CHECKS
from agent.mesh.report.schema import ReportDocument, render
from tests.unit.mesh import shapes
from tests.unit.mesh.conftest import Examine

DOCS = Path(__file__).resolve().parents[3] / "docs"
SOURCES = Path(__file__).resolve().parents[3] / "agent" / "mesh"


def test_the_schema_is_fresh() -> None:
    published = (DOCS / "printability.schema.json").read_text(encoding="utf-8")
    assert published == render(), "run `python -m agent.mesh.report.schema docs/printability.schema.json`"


@pytest.mark.parametrize("content", [shapes.stl(shapes.hollow_box(0.5)), b"solid nothing"])
def test_reports_have_that_shape(check: Examine, content: bytes) -> None:
    document = check(content).document
    again = ReportDocument.model_validate(document).model_dump(by_alias=True, mode="json", exclude={"run"})
    assert again["findings"] == document["findings"]
    assert again["verdict"] == document["verdict"]


def test_every_finding_is_described() -> None:
    text = (DOCS / "printability.md").read_text(encoding="utf-8")
    wanted = re.compile(
        r'"((?:mesh|size|wall|floor|gap|pin|hole|overhang|island|bridge|shelf|bed|stability|body|check|file)\.[a-z_]+|island)"'
    )
    found = {
        name for path in SOURCES.rglob("*.py") for name in wanted.findall(path.read_text(encoding="utf-8"))
    }
    missing = sorted(name for name in found if f"`{name}`" not in text)
    assert missing == []


def test_every_check_is_described() -> None:
    text = (DOCS / "printability.md").read_text(encoding="utf-8")
    assert [name for name, _ in CHECKS if f"`{name}`" not in text] == []
