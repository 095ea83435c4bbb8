"""`fabunit setup` as a maker meets it: on a terminal, and by options alone; a virtual printer on the port."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.settings import load_settings
from tests.integration.cli_runner import Said, fabunit
from tests.integration.rig import Rig
from tests.integration.terminal import Terminal

SPEED = 50.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Rig]:
    """A bench with a printer and no configuration yet."""
    rig = Rig(tmp_path)
    rig.config.unlink()
    rig.start_printer(speed=SPEED)
    try:
        yield rig
    finally:
        rig.close()


def by_options(rig: Rig, *options: str) -> Said:
    return fabunit("setup", "--yes", "--config", str(rig.config), "--port", str(rig.port), *options)


def config(rig: Rig) -> dict[str, Any]:
    return tomllib.loads(rig.config.read_text())


def left_behind(rig: Rig) -> set[str]:
    """Files of setup in the folder: none before it is through."""
    return {path.name for path in rig.folder.iterdir()} - {"port", "ctl", "ledger.jsonl"}


def test_a_unit_by_options_alone_prints(bench: Rig) -> None:
    said = by_options(bench, "--id", "bench-1", "--name", "Workshop bench", "--profile", "ender-3", "--json")
    assert said.code == 0, said.out
    document = said.document()
    assert document["printer"]["stop"]["parser"] == "proven"
    assert document["printer"]["resets"] == {"first_open": False, "every_open": False}
    assert document["files"] == [str(bench.config)]
    assert config(bench) == {
        "unit": {"id": "bench-1", "name": "Workshop bench"},
        "printer": {"port": str(bench.port), "profile": "ender-3"},
    }
    assert load_settings(bench.config, {}).unit.title == "Workshop bench"


def test_answers_on_a_terminal(bench: Rig) -> None:
    terminal = Terminal("setup", "--config", str(bench.config), "--port", str(bench.port))
    terminal.expect("Invitation of a coordinator")
    terminal.type("")
    terminal.expect("Nothing may be printing on it now.")
    terminal.type("y")
    terminal.expect("fabunit virtual printer")
    terminal.expect("a print survives the daemon")
    terminal.expect("a stop acts at once")
    terminal.expect("b to make it beep")
    terminal.type("b")
    terminal.expect("now shows 'fabunit is here'")
    terminal.expect("b to make it beep")
    terminal.type("what?")
    terminal.expect("b to make it beep")
    terminal.type("")
    terminal.expect("Short name of the unit")
    terminal.type("No good!")
    terminal.expect("lower-case letters, digits")
    terminal.type("left-one")
    terminal.expect("What people call it")
    terminal.type("The left one")
    terminal.expect("prusa-mk3s (")
    terminal.type("unheard-of")
    terminal.expect("there is no profile 'unheard-of'")
    terminal.type("new")
    terminal.expect("Printable volume")
    terminal.type("big")
    terminal.expect("'big' is no volume")
    terminal.type("200x190x180")
    terminal.expect("Nozzle in mm")
    terminal.type("0.6")
    terminal.expect("Hottest the nozzle")
    terminal.type("240")
    terminal.expect("Hottest the bed")
    terminal.type("0")
    terminal.expect("Write this and start the unit?")
    assert left_behind(bench) == set()
    terminal.type("y")
    terminal.expect("start it: fabunit run --config")
    assert terminal.ended() == 0
    assert "M117 fabunit is here" in bench.host_commands()
    assert "M300 S880 P400" in bench.host_commands()
    assert config(bench)["printer"]["profile"] == "left-one"
    made = tomllib.loads((bench.folder / "profiles/printers/left-one.toml").read_text())
    assert made["geometry"] == {"volume_mm": [200, 190, 180], "nozzle_mm": 0.6, "extruders": 1}
    assert made["heaters"] == {"hotend": {"max_c": 240}}
    assert made["title"] == "The left one"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Invitation of a coordinator", None),
        ("Nothing may be printing", ""),
        ("Short name of the unit", None),
    ],
)
def test_ctrl_c_leaves_nothing(bench: Rig, question: str, answer: str | None) -> None:
    terminal = Terminal("setup", "--config", str(bench.config), "--port", str(bench.port))
    for text, line in (
        ("Invitation of a coordinator", ""),
        ("Nothing may be printing", "y"),
        ("b to make it beep", ""),
        ("Short name of the unit", "x"),
    ):
        terminal.expect(text)
        if text == question:
            break
        terminal.type(line)
    assert terminal.interrupted() == 130
    assert left_behind(bench) == set()


def test_no_at_the_end_leaves_nothing(bench: Rig) -> None:
    terminal = Terminal(
        "setup", "--config", str(bench.config), "--port", str(bench.port),
        "--id", "one", "--name", "One", "--profile", "mini-120",
    )  # fmt: skip
    for text, line in (
        ("Invitation", ""),
        ("Nothing may be", "y"),
        ("b to make it beep", "y"),
        ("Write this", "n"),
    ):
        terminal.expect(text)
        terminal.type(line)
    assert terminal.ended() == 130
    assert left_behind(bench) == set()


def test_nothing_is_written_over_unasked(bench: Rig) -> None:
    bench.config.write_text("# mine\n")
    said = by_options(bench, "--id", "bench-1")
    assert said.code == 4
    assert "exists" in said.err
    assert bench.config.read_text() == "# mine\n"
    assert by_options(bench, "--id", "bench-1", "--replace").code == 0
    assert config(bench)["unit"]["id"] == "bench-1"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--id", "Bad Name"), 2, "is no unit id"),
        (("--profile", "unheard-of"), 5, "unheard-of"),
        (("--volume", "10x"), 2, "is no volume"),
        (("--volume", "0x10x10"), 2, "volume_mm"),
        (("--join", "fabunit-join,1,mqtts://a"), 2, "invitation"),
        (("--baud", "7"), 2, "--baud"),
    ],
)
def test_wrong_answers_are_named_and_nothing_is_written(
    bench: Rig, options: tuple[str, ...], code: int, words: str
) -> None:
    said = by_options(bench, *options)
    assert said.code == code
    assert words in said.err
    assert left_behind(bench) == set()


def test_no_printer(tmp_path: Path) -> None:
    said = fabunit(
        "setup", "--yes", "--config", str(tmp_path / "c.toml"), "--port", str(tmp_path / "gone"), "--json"
    )
    assert said.code == 1
    assert "there is no port" in json.loads(said.out)["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_a_silent_printer_is_looked_for_again(bench: Rig) -> None:
    bench.tell_printer("unplug")
    terminal = Terminal(
        "setup", "--config", str(bench.config), "--port", str(bench.port), "--id", "one", "--name", ""
    )
    terminal.expect("Invitation")
    terminal.type("")
    terminal.expect("Go on?")
    terminal.type("")
    terminal.expect("nobody:")
    terminal.expect("Look again?")
    bench.tell_printer("replug")
    terminal.type("")
    terminal.expect("Go on?")
    terminal.type("")
    terminal.expect("fabunit virtual printer")
    assert terminal.interrupted() == 130


def test_without_opening_the_port(tmp_path: Path) -> None:
    said = fabunit(
        "setup", "--yes", "--no-test", "--port", "socket://printer.example:2000", "--config", str(tmp_path / "c.toml"),
        "--id", "far",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert (
        tomllib.loads((tmp_path / "c.toml").read_text())["printer"]["port"] == "socket://printer.example:2000"
    )


def test_json_asks_no_questions(tmp_path: Path) -> None:
    said = fabunit("setup", "--json", "--config", str(tmp_path / "c.toml"))
    assert said.code == 2
    assert "--yes" in json.loads(said.out)["error"]["remedy"]


def test_a_full_disk_or_a_forbidden_folder_leaves_nothing(bench: Rig) -> None:
    folder = bench.folder / "readonly"
    folder.mkdir()
    place = folder / "sub" / "c.toml"
    (folder / "sub").write_text("a file where a folder should be")
    said = fabunit("setup", "--yes", "--config", str(place), "--port", str(bench.port), "--id", "one")
    assert said.code == 1
    assert "cannot be written" in said.err
    assert [path.name for path in folder.iterdir()] == ["sub"]
