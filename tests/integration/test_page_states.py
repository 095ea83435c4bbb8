"""The status page on a phone in every state of the printer: nothing sticks out, everything has a name, keys reach all.

`FABUNIT_SCREENSHOTS=DIR` keeps a picture of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.printer import PrinterState
from tests.browser import Browser, program
from tests.unit.control.fake_unit import printing_unit
from tests.unit.web.web_bench import KEY, Web, served_web

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium is installed")
WIDTH, HEIGHT = 360, 740
LONG_NAME = (
    "/dev/serial/by-id/usb-Prusa_Research__prusa3d.com__Original_Prusa_i3_MK3_CZPX4720X004XC34242-if00"
)
# WCAG 2.1: 4.5 for text, 24 CSS pixels square to hit (2.2, 2.5.8); ours are for fingers on a workshop's phone.
LEAST_CONTRAST = 4.5
LEAST_TARGET_PX = 40
STATES: dict[PrinterState, dict[str, Any]] = {
    PrinterState.PRINTING: {},
    PrinterState.PAUSED: {"message": "filament runout"},
    PrinterState.ATTENTION: {"detail": "the printer waits for a person"},
    PrinterState.HALTED: {"detail": "thermal runaway on T0: heaters are off", "progress": None},
    PrinterState.OFFLINE: {"detail": f"there is no port {LONG_NAME}", "progress": None, "temperatures": {}},
    PrinterState.IDLE: {"progress": None},
}
WORDS = {"printing": "printing", "paused": "paused", "attention": "needs you", "halted": "halted"}
WORDS |= {"offline": "offline", "idle": "ready"}
# What a person cannot tell by looking at the computed style: text over the nearest ground behind it.
CONTRASTS = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const paint = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const light = (data) => [0.2126, 0.7152, 0.0722].reduce((sum, part, at) => { const v = data[at] / 255;
    return sum + part * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const found = [];
  for (const e of document.querySelectorAll('.unit *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest(':disabled') || e.closest('.visually-hidden')) continue;
    const grounds = []; for (let n = e; n; n = n.parentElement) grounds.unshift(getComputedStyle(n).backgroundColor);
    const style = getComputedStyle(e), ink = style.fill && e.ownerSVGElement ? style.fill : style.color;
    const [a, b] = [light(paint(grounds)), light(paint([...grounds, ink]))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)]);
  }
  return found;
})()"""
TARGETS = """[...document.querySelectorAll('.unit button:not(.link), .unit .button')].filter((e) => e.checkVisibility())
  .map((e) => [Math.min(e.getBoundingClientRect().width, e.getBoundingClientRect().height), e.textContent])"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Web, Browser]]:
    """One browser, logged in, for all states."""
    folder = tmp_path_factory.mktemp("page")
    with served_web(printing_unit(), folder) as web, Browser(folder / "profile", program() or "") as browser:
        browser.screen(WIDTH, HEIGHT, phone=True)
        browser.open(f"http://127.0.0.1:{web.port}/")
        browser.until("document.body.dataset.view === 'login'")
        browser.type("#key", KEY)
        browser.click("#login button")
        browser.until("document.body.dataset.view === 'unit'")
        yield web, browser


def show(page: tuple[Web, Browser], state: PrinterState) -> Browser:
    web, browser = page
    view = printing_unit().printer.view
    web.unit.printer.view = replace(view, state=state, **STATES[state])
    web.unit.queue.jobs = printing_unit().queue.jobs
    if state in (PrinterState.IDLE, PrinterState.OFFLINE):
        web.unit.queue.jobs = [job for job in web.unit.queue.jobs if not job.state.is_active]
    browser.until(f"document.querySelector('#state').textContent === '{WORDS[state.value]}'")
    return browser


@pytest.mark.parametrize("state", list(STATES), ids=str)
@pytest.mark.parametrize(
    "is_dark", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["light", "dark"]
)
def test_every_state_is_readable_on_a_phone(
    page: tuple[Web, Browser], state: PrinterState, is_dark: bool, tmp_path: Path
) -> None:
    browser = show(page, state)
    browser.dark(on=is_dark)
    shots = Path(os.environ.get("FABUNIT_SCREENSHOTS", tmp_path))
    browser.screenshot(shots / f"page-{state}-{'dark' if is_dark else 'light'}.png")
    assert browser.value("document.documentElement.scrollWidth") <= WIDTH, "something sticks out"
    weak = [(text, round(ratio, 2)) for ratio, text in browser.value(CONTRASTS) if ratio < LEAST_CONTRAST]
    assert weak == []
    assert [text for size_px, text in browser.value(TARGETS) if size_px < LEAST_TARGET_PX] == []
    is_away = state in (PrinterState.HALTED, PrinterState.OFFLINE)
    assert browser.is_shown("#connect") is is_away
    rests = state in (PrinterState.PAUSED, PrinterState.ATTENTION)
    assert browser.is_shown("#resume") is rests
    assert browser.is_shown("#pause") is not (rests or is_away)
    if state is PrinterState.OFFLINE:
        assert LONG_NAME in browser.text("#print-detail")
        assert browser.is_shown("#no-heat")


def named(browser: Browser) -> list[tuple[str, str]]:
    """Role and name of what a screen reader finds."""
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    ]


def test_a_screen_reader_finds_names_for_everything(page: tuple[Web, Browser]) -> None:
    browser = show(page, PrinterState.PRINTING)
    found = named(browser)
    controls = [
        (role, name) for role, name in found if role in ("button", "textbox", "progressbar", "image", "img")
    ]
    assert len(controls) > 8
    assert [role for role, name in controls if not name] == []
    assert ("button", "Stop: emergency stop") in found
    assert ("button", "Remove: gear.gcode") in found, "each button says of which job"
    assert next(name for role, name in found if role == "heading") == "Workshop MK3S"
    assert "left" in browser.value("document.querySelector('#bar').getAttribute('aria-valuetext')")
    assert browser.value("document.querySelector('#state').getAttribute('role')") == "status"


def press(browser: Browser, key: str, code: int) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_the_keyboard_reaches_everything(page: tuple[Web, Browser]) -> None:
    browser = show(page, PrinterState.PRINTING)
    browser.value("document.activeElement.blur()")
    seen: list[str] = []
    for _ in range(30):
        press(browser, "Tab", 9)
        seen.append(str(browser.value("document.activeElement.id || document.activeElement.textContent")))
        outline = browser.value(
            "(() => { const e = document.activeElement, s = e.id === 'file' ? e.nextElementSibling : e;"
            " return e === document.body ? 'solid' : getComputedStyle(s).outlineStyle; })()"
        )
        assert outline == "solid", f"one does not see that {seen[-1]} has the keyboard"
    assert {"stop", "pause", "cancel", "file", "Remove", "Release", "logout"} <= set(seen)
    browser.value("document.querySelector('#stop').focus()")
    browser.call(
        "Input.dispatchKeyEvent",
        type="keyDown",
        key="Enter",
        code="Enter",
        windowsVirtualKeyCode=13,
        text="\r",
    )
    browser.until("document.querySelector('#confirm').open")
    assert browser.value("document.activeElement.id") == "confirm-no", "Enter twice stops nothing"
    press(browser, "Escape", 27)
    browser.until("!document.querySelector('#confirm').open")
    assert browser.value("document.activeElement.id") == "stop"
