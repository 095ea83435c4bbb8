"""The report's page in a real browser: it draws the part, turns under the hand, and shows what is ticked."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agent.mesh.arrays import F64
from agent.mesh.client import run_check
from agent.mesh.limits import Limits
from agent.mesh.request import Request
from tests.unit.mesh import shapes
from tests.unit.mesh.browser import Browser, chromium, find_chromium

pytestmark = [
    pytest.mark.skipif(find_chromium() is None, reason="chromium is not installed"),
    pytest.mark.timeout(180),
]
STARTS = 'document.getElementById("view").clientWidth > 300 && !document.querySelector(".view").hidden'


@pytest.fixture
def page(tmp_path: Path, limits: Limits) -> Path:
    """A table with a thin wall on it: an overhang, a long bridge, something thin."""
    table = shapes.joined(shapes.bridge(40), shapes.box(0.5, 12, 14, (60.0, 0.0, 0.0)))
    part = shapes.write(tmp_path, "table.stl", shapes.stl(table))
    report = asyncio.run(run_check(Request(part, part.name, limits, report_dir=tmp_path / "out")))
    assert report["findings"]
    return tmp_path / "out" / "report.html"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromium(tmp_path) as browser:
        yield browser


def seen(browser: Browser, at: tuple[int, int, int, int]) -> F64:
    """The pixels of a part of the screen, 0 to 255."""
    image = Image.open(io.BytesIO(browser.picture())).convert("RGB").crop(at)
    return np.asarray(image, dtype=np.float64)


def painted(pixels: F64) -> int:
    """How many pixels have a colour of their own; the part itself is grey."""
    return int(((pixels.max(axis=2) - pixels.min(axis=2)) > 60).sum())


def test_it_draws_turns_and_ticks(browser: Browser, page: Path) -> None:
    browser.open(page)
    if not browser.run('Boolean(document.createElement("canvas").getContext("webgl"))'):
        pytest.skip("this browser has no WebGL")
    assert browser.run(STARTS)
    x, y, width, height = browser.run(
        '(() => { const r = document.getElementById("view").getBoundingClientRect();'
        " return [r.x, r.y, r.width, r.height]; })()"
    )
    area = (int(x), int(y) + 60, int(x + width), int(y + height))
    before = seen(browser, area)
    assert before.std() > 5, "there is a part"
    assert painted(before) > 50, "with its findings painted"

    browser.drag((x + width / 2, y + height / 2), (x + width / 2 + 160, y + height / 2 + 60))
    turned = seen(browser, area)
    assert np.abs(turned - before).mean() > 1, "it has turned"
    browser.click(browser.middle('button[data-view="above"]'))
    assert np.abs(seen(browser, area) - before).mean() < 0.5, "and back"
    browser.click(browser.middle('button[data-view="below"]'))
    below = seen(browser, area)
    assert np.abs(below - before).mean() > 1

    boxes = browser.run('document.querySelectorAll("#findings input").length')
    assert boxes >= 2
    for number in range(1, boxes + 1):
        browser.click(browser.middle(f"#findings li:nth-child({number}) input"))
    bare = seen(browser, area)
    assert painted(bare) < 0.1 * painted(below) + 5, "nothing is ticked, nothing is painted"
    for number in range(1, boxes + 1):
        browser.click(browser.middle(f"#findings li:nth-child({number}) input"))
    assert np.abs(seen(browser, area) - below).mean() < 0.5, "ticked again, painted again"


def test_it_loads_nothing_from_anywhere(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert (
        browser.run(
            "performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length"
        )
        == 0
    )
    assert browser.run("document.querySelectorAll('[src^=http], [href^=http]').length") == 0
