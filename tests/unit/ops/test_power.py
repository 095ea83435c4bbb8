"""The program that cuts the printer's power: run until it has worked, never waited for, never believed blindly."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.domain.errors import ConfigError
from agent.domain.events import EventType
from agent.ops.power import TRIES, PowerCut, PowerSwitch

LIMIT_S = 20.0


def program(folder: Path, text: str) -> str:
    path = folder / "power-off"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


class End:
    """What the switch reports, for a test to wait for."""

    def __init__(self) -> None:
        self.cuts: list[PowerCut] = []
        self._came = threading.Event()

    def __call__(self, cut: PowerCut) -> None:
        self.cuts.append(cut)
        self._came.set()

    def wait(self) -> PowerCut:
        assert self._came.wait(LIMIT_S)
        return self.cuts[0]


def test_the_program_gets_its_arguments_and_the_reason(tmp_path: Path) -> None:
    end = End()
    out = tmp_path / "out"
    path = program(tmp_path, f'echo "$1 $2 $FABUNIT_REASON" > {out}')
    PowerSwitch([path, "a b", "$HOME;reboot"], end).cut("the nozzle runs away")
    assert end.wait() == PowerCut(True, 1, "the printer's power is off")
    assert out.read_text() == "a b $HOME;reboot the nozzle runs away\n"
    assert end.cuts[0].event().type is EventType.SAFETY
    assert end.cuts[0].event().state == "power_off"


def test_it_is_tried_again_until_it_works(tmp_path: Path) -> None:
    end = End()
    count = tmp_path / "count"
    path = program(tmp_path, f"echo x >> {count}; test $(wc -l < {count}) -ge 3")
    PowerSwitch([path], end, pause_s=0).cut("stop")
    assert (end.wait().is_off, end.wait().tries) == (True, 3)


def test_a_program_that_never_works_is_reported_with_its_words(tmp_path: Path) -> None:
    end = End()
    PowerSwitch([program(tmp_path, "echo no route to plug; exit 7")], end, pause_s=0).cut("stop")
    cut = end.wait()
    assert (cut.is_off, cut.tries) == (False, TRIES)
    assert "ended with 7 (no route to plug)" in cut.detail
    assert "mains switch" in cut.detail
    assert cut.event().state == "power_not_off"


def test_a_program_that_cannot_be_run_is_reported(tmp_path: Path) -> None:
    end = End()
    path = program(tmp_path, "")
    switch = PowerSwitch([path], end, pause_s=0)
    Path(path).unlink()
    switch.cut("stop")
    assert "did not start: No such file" in end.wait().detail


def test_a_second_stop_does_not_run_it_twice_at_once(tmp_path: Path) -> None:
    end = End()
    count, go = tmp_path / "count", tmp_path / "go"
    switch = PowerSwitch(
        [program(tmp_path, f"echo x >> {count}; while ! test -e {go}; do sleep 0.01; done")], end
    )
    switch.cut("stop")
    switch.cut("stop")
    go.touch()
    end.wait()
    assert count.read_text() == "x\n"


@pytest.mark.parametrize("kind", ["missing", "folder", "no rights"])
def test_a_program_that_is_none_is_refused_before_it_is_needed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "power-off"
    if kind == "folder":
        path.mkdir()
    elif kind == "no rights":
        path.write_text("#!/bin/sh\n")
        path.chmod(0o644)
    with pytest.raises(ConfigError, match="power-off is no program"):
        PowerSwitch([str(path)], End())
