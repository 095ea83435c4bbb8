"""The pages are walked: what they show is typed in their order, beside a unit with a virtual printer.

What a page shows and no test types is listed in `ELSEWHERE`, with what runs it; every other block has to be walked.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from agent.storage.backup import back_up
from tests.doc_page import Block, DocPage, pages
from tests.integration.reader import Reader
from tests.integration.rig import Rig, spiral
from tests.integration.test_web import KEY, WebRig

HAS_SLICERS = shutil.which("prusa-slicer") is not None and shutil.which("CuraEngine") is not None
# The first words of blocks that a bench cannot type, and what does.
ELSEWHERE = {
    "make demo": "tests/integration/test_cli_user.py; make itself is what runs the tests",
    "make deb": "tests/packaging, tests/system/run.py",
    "sudo sh install.sh dist": "tests/system/run.py",
    "sudo fabunit setup": "tests/integration/test_setup.py, tests/system/run.py",
    "git pull && make deb": "tests/system/run.py (upgrade)",
    "sudo apt remove": "tests/system/run.py (purge)",
    "make setup": "make itself is what runs the tests",
    "pytest tests/power_cut": "is a test",
    "fabunit demo": "tests/integration/test_cli_user.py",
    "fabunit coordinator push bracket.gcode --unit unit-7f3a --encrypt": "tests/integration/test_sealed_orders.py",
    "exec curl": "a script for a plug in the maker's network",
}
WALKED = {
    "fabunit print bracket.gcode --copies 3",
    "fabunit status",
    "fabunit check part.stl",
    "fabunit profile list",
    "fabunit profile import my-printer.ini",
    "fabunit print part.stl --material pla",
    "fabunit print part.gcode --wait --json",
    "sudo fabunit doctor",
    "fabunit events -n 100",
    "sudo systemctl stop fabunit@NAME",
    "sudo fabunit support-bundle",
    "openssl rand -hex 24",
    'curl -H "X-Api-Key: $KEY"',
    "curl --unix-socket",
    "curl -s http://127.0.0.1:9464/metrics",
    "(umask 077",
    "fabunit simulate --link",
}


@pytest.fixture
def reader(rig: Rig) -> Reader:
    return Reader(rig)


def is_known(block: Block, known: set[str]) -> bool:
    return block.commands[0].startswith(tuple(known))


def test_every_block_is_typed_by_somebody() -> None:
    unknown = [
        (page.name, block.commands[0])
        for page in pages()
        for block in page.blocks
        if block.is_shell and not is_known(block, WALKED | set(ELSEWHERE))
    ]
    assert unknown == []


def begin(reader: Reader, speed: float = 200.0) -> None:
    reader.rig.start_printer(speed=speed)
    reader.rig.start_daemon()
    reader.rig.until_state("idle")


def test_the_readme_is_true(reader: Reader) -> None:
    begin(reader, speed=20.0)
    (reader.desk / "bracket.gcode").write_text(spiral(20_000))
    typed = iter(DocPage("README.md").block("fabunit print bracket.gcode").commands)
    assert "bracket.gcode" in reader.types(next(typed))
    assert "printable" in reader.types(next(typed))
    assert (reader.desk / "out" / "report.html").exists()
    assert "bracket.stl" in reader.types(next(typed))
    assert reader.watches(next(typed))
    reader.rig.until_state("printing")
    assert "paus" in reader.types(next(typed))
    reader.rig.until_state("paused")
    assert "halted" in reader.types(next(typed))
    reader.rig.tell_printer("reset")
    reader.types("fabunit printer connect")
    reader.rig.until_state("idle")
    assert reader.types(next(typed)) == "bed clear\n"
    assert "emergency stop" in reader.types(next(typed))
    assert list(typed) == []


def test_the_first_print_and_what_happened_last_night(reader: Reader) -> None:
    begin(reader)
    for line in DocPage("docs/install-pi.md").block("fabunit print part.gcode --wait").commands:
        reader.types(line)
    page = DocPage("docs/troubleshooting.md")
    said = [reader.types(line) for line in page.block("fabunit events -n 100").commands]
    assert "completed" in said[0]
    assert "completed" in said[1]
    assert said[2]
    (doctor,) = page.block("sudo fabunit doctor").commands
    assert "the daemon runs" in reader.types(doctor)
    (bundle,) = page.block("sudo fabunit support-bundle").commands
    reader.types(bundle)
    (packed,) = reader.desk.glob("*.tar.gz")
    assert packed.stat().st_size < 1 << 20, "some hundred kilobytes"


def test_a_backup_is_put_back_as_the_page_says(reader: Reader) -> None:
    """The whole procedure, with a job that was printed after the copy was made."""
    rig = reader.rig
    rig.config.write_text(rig.config.read_text() + "[queue]\nauto_start = false\n")
    begin(reader)
    kept, printed = rig.submit(spiral(50), "kept.gcode"), rig.submit(spiral(60), "printed.gcode")
    rig.until(lambda: rig.job(printed)["state"] == "ready", "both jobs are checked")
    copy = back_up(
        rig.state / "fabunit.db"
    )  # what the daemon does half a minute after its start, and once a day
    assert copy.name == "fabunit.db.backup"
    assert {kept, printed} <= jobs_in(copy)
    reader.types(f"fabunit job start {printed}")
    assert rig.until_ended(printed)["state"] == "completed"
    before = epoch_of(rig.state / "fabunit.db")

    block = DocPage("docs/troubleshooting.md").block("cp fabunit.db.backup fabunit.db")
    said = [reader.types(line, instead={"/var/lib/fabunit/NAME": str(rig.state)}) for line in block.commands]
    assert kept in said[-1]
    assert printed in said[-1], "the person sees what would be printed again"
    assert epoch_of(rig.state / "fabunit.db") != before, "events of two stories are never mixed"
    status = rig.status()
    assert status is not None
    assert status["bed"] == "occupied", "nothing starts before somebody has looked"
    reader.types(f"fabunit job cancel {printed}")
    rig.until_state("idle")
    reader.types("fabunit bed clear")
    reader.types(f"fabunit job start {kept}")
    assert rig.until_ended(kept)["state"] == "completed"


def jobs_in(database: Path) -> set[str]:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return {row[0] for row in connection.execute("SELECT job_id FROM jobs")}


def epoch_of(database: Path) -> str:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return str(connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])


def test_checks_and_profiles(reader: Reader) -> None:
    for line in DocPage("docs/printability.md").block("fabunit check part.stl").commands:
        reader.types(line)
    assert (reader.desk / "fixed.stl").exists()
    page = DocPage("docs/profiles.md")
    said = [reader.types(line) for line in page.block("fabunit profile list").commands]
    assert "prusa-mk3s" in said[0]
    assert "petg" in said[1].lower()
    assert "perimeters" in said[2]
    if shutil.which("prusa-slicer") is None:
        pytest.skip("prusa-slicer is not installed")
    reader.types("prusa-slicer --save my-printer.ini")
    imports = page.block("fabunit profile import my-printer.ini").commands
    assert len([reader.types(line) for line in imports]) == 3
    assert "my-ender" in reader.types("fabunit profile list")
    assert (reader.rig.folder / "etc" / "profiles" / "printers" / "my-ender.toml").exists()


@pytest.mark.skipif(not HAS_SLICERS, reason="prusa-slicer or CuraEngine is not installed")
def test_slicing(reader: Reader) -> None:
    begin(reader)
    for line in DocPage("docs/slicing.md").block("fabunit slice part.stl").commands:
        reader.types(line)
    assert (reader.desk / "part.gcode").read_text().startswith(";")


@pytest.mark.skipif(
    shutil.which("openssl") is None or shutil.which("curl") is None, reason="openssl, curl are missing"
)
def test_the_doors(rig: Rig) -> None:
    web = WebRig(rig)
    reader = Reader(rig)
    page = DocPage("docs/http.md")
    (make_key,) = page.block("openssl rand").commands
    reader.types(make_key, instead={"/etc/fabunit": str(rig.folder)})
    made = rig.folder / "mk3s.key"
    assert made.stat().st_mode & 0o777 == 0o600
    assert len(made.read_text().strip()) == 48
    web.start(speed=200.0)
    reader.knows("KEY", KEY)
    (send,) = page.block('curl -H "X-Api-Key: $KEY"').commands
    assert (
        json.loads(reader.types(f"{send} -s", instead={"ADDRESS:5000": f"127.0.0.1:{web.port}"}))["done"]
        is True
    )
    for line in DocPage("docs/control-api.md").block("curl --unix-socket").commands:
        said = reader.types(f"{line} -s", instead={"/run/fabunit/fabunit.sock": str(rig.socket)})
        assert "error" not in json.loads(said), line
    figures = DocPage("docs/metrics.md").block("127.0.0.1:9464").commands[-1]
    assert "fabunit_info" in reader.types(
        figures, instead={"/run/fabunit/mk3s/fabunit.sock": str(rig.socket)}
    )


def test_a_unit_signs_with_the_key_the_page_makes(reader: Reader) -> None:
    rig = reader.rig
    rig.state.mkdir()
    make_key, *verify = DocPage("docs/queue.md").block("umask 077").commands
    reader.types(make_key, instead={"/var/lib/fabunit/mk3s": str(rig.state)})
    begin(reader)
    assert rig.until_ended(rig.submit(spiral(50)))["state"] == "completed"
    (done,) = rig.client.get("/v1/prints")["prints"]
    secret = base64.b64decode((rig.state / "unit.key").read_bytes())
    reader.knows("PUBLIC_KEY", base64.b64encode(bytes(SigningKey(secret).verify_key)).decode())
    for line in verify:
        assert "good" in reader.types(line, instead={"p-4k7x2m9q": done["print_id"]})


def test_scripts_of_the_command_line_page(reader: Reader) -> None:
    begin(reader)
    (reader.desk / "tune.gcode").write_text("M105\n; a remark\nM115\n")
    wait, watch, tune, *_ = DocPage("docs/cli.md").block("outcome.json").commands
    reader.types(wait)
    assert json.loads((reader.desk / "outcome.json").read_text())["jobs"][0]["state"] == "completed"
    assert json.loads(reader.watches(watch.partition(" | ")[0]))["printer"]["temperatures"]
    assert "T:" in reader.types(tune)


def test_an_error_reads_as_the_page_shows_it(reader: Reader) -> None:
    (shown,) = [
        block.text for block in DocPage("docs/cli.md").blocks if block.text.startswith("error: no daemon")
    ]
    said = reader.types("fabunit status", code=3)
    assert said == shown.replace("/run/fabunit/fabunit.sock", str(reader.rig.socket))


def test_the_virtual_printer_of_the_page(reader: Reader) -> None:
    (line,) = DocPage("docs/virtual-printer.md").block("fabunit simulate").commands
    assert reader.watches(line.replace("/tmp/", f"{reader.desk}/"))
    assert (reader.desk / "ledger.jsonl").exists()
