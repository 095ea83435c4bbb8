from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from agent.cli import main as entry
from agent.coordinator.documents import parse_job, parse_job_message
from agent.coordinator.signatures import parse_trusted_keys
from agent.coordinator.standin import protocol, units
from agent.coordinator.standin.ledger import Ledger
from tests.unit.standin.said import UNIT, answer, batch, message, presence, record

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "coordinator.db"


@pytest.fixture
def beside(db: Path) -> Iterator[Ledger]:
    """The server's connection to the same file."""
    ledger = Ledger(db)
    yield ledger
    ledger.close()


@pytest.fixture
def run(db: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `fabunit coordinator …`; returns exit code, stdout, stderr."""
    target = entry.Entry("agent.cli.coordinator:coordinator", "Run a small coordinator.")
    monkeypatch.setitem(entry.COMMANDS, "coordinator", target)

    def start(command: str, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            entry.main(["coordinator", command, "--db", str(db), *arguments])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return start


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "part.gcode"
    path.write_bytes(b"G28\n")
    return path


def hear(ledger: Ledger, tail: str, document: Any) -> None:
    with ledger.transaction() as connection:
        assert protocol.receive(connection, message(tail, document), time.time_ns() // 1_000_000) is None


def payloads(ledger: Ledger) -> list[bytes]:
    return [row["payload"] for row in ledger.reading.execute("SELECT payload FROM jobs ORDER BY n")]


def test_push_to_named_units(run: Run, beside: Ledger, part: Path) -> None:
    code, out, _ = run(
        "push", str(part), "-u", "unit-a", "-u", "unit-b", "--inline", "--copies", "2", "--expires-in", "60",
        "--require", '{"nozzle_mm": 0.4}', "--json",
    )  # fmt: skip
    assert code == 0
    assert [job["unit"] for job in json.loads(out)["jobs"]] == ["unit-a", "unit-b"]
    document = parse_job(payloads(beside)[0])
    assert (document.copies, document.require.nozzle_mm) == (2, 0.4)
    assert document.expires is not None
    assert document.sent is not None
    assert document.expires - document.sent == 60_000


def test_push_to_all_units(run: Run, beside: Ledger, part: Path) -> None:
    assert run("push", str(part), "--all", "--inline")[0] == 5
    hear(beside, "state/presence", presence())
    code, out, _ = run("push", str(part), "--all", "--inline")
    assert code == 0
    assert UNIT in out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--all", "-u", "unit-a"), 2),
        (("-u", "No Unit"), 2),
        (("-u", "unit-a"), 2),
        (("-u", "unit-a", "--inline", "--copies", "0"), 2),
        (("-u", "unit-a", "--inline", "--require", "[]"), 2),
        (("-u", "unit-a", "--inline", "--require", "{"), 2),
        (("-u", "unit-a", "--inline", "--limits", '{"max_bed_c": "hot"}'), 2),
        (("-u", "unit-a", "--encrypt"), 5),
    ],
)
def test_push_says_what_is_wrong(
    run: Run, part: Path, beside: Ledger, arguments: tuple[str, ...], code: int
) -> None:
    found, out, err = run("push", str(part), *arguments)
    assert found == code
    assert not out
    assert "error" in err
    assert "Traceback" not in err
    assert not payloads(beside)


def test_a_missing_file_is_not_found(run: Run, tmp_path: Path) -> None:
    assert run("push", str(tmp_path / "none.stl"), "-u", "unit-a")[0] == 5


def test_waiting_ends_with_what_became_of_the_jobs(run: Run, beside: Ledger, part: Path) -> None:
    code, out, _ = run("push", str(part), "-u", UNIT, "--inline", "--wait", "--timeout", "1", "--json")
    assert code == 1, "nobody printed it"
    (job,) = json.loads(out)["jobs"]
    assert job["state"] is None
    said = record(1, type="job", job=job["job_id"], rev=1, state="completed")
    hear(beside, "up/events", batch(said))
    code, out, _ = run("jobs")
    assert code == 0
    assert "completed" in out


def test_a_signed_push_names_the_key_that_is_shown(run: Run, beside: Ledger, part: Path) -> None:
    assert run("push", str(part), "-u", UNIT, "--inline", "--sign")[0] == 0
    code, out, _ = run("key")
    assert code == 0
    envelope = parse_job_message(payloads(beside)[0])
    assert getattr(envelope, "kid", None) in parse_trusted_keys([out.strip()]).by_id


def test_a_command_waits_for_its_answer(run: Run, beside: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    hear(beside, "state/presence", presence())
    replies = iter([("done", {}), ("failed", {"code": "denied", "detail": "the owner forbids it"})])

    def reply(ledger: Ledger, cmd_id: str, timeout_s: float) -> tuple[str, dict[str, Any]]:
        (row,) = ledger.reading.execute("SELECT payload FROM commands WHERE cmd_id = ?", (cmd_id,)).fetchall()
        sent = json.loads(row["payload"])
        assert sent["args"] == {"heater": "B", "celsius": 60, "note": "x=y"}
        assert (sent["unit"], sent["if_state"]) == (UNIT, ["idle"])
        status, more = next(replies)
        hear(beside, "up/results", answer("command", status, cmd_id=cmd_id, **more))
        return status, more

    monkeypatch.setattr("agent.coordinator.standin.following.wait_command", reply)
    arguments = (UNIT, "heat", "heater=B", "celsius=60", "note=x=y", "--if-state", "idle")
    code, out, _ = run("command", *arguments, "--json")
    assert (code, json.loads(out)["status"]) == (0, "done")
    code, out, err = run("command", *arguments, "--json")
    assert code == 4
    assert json.loads(out or err)["error"]["code"] == "denied"


def test_a_command_nobody_answers(run: Run, beside: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.coordinator._ANSWER_GRACE_S", -1.0)
    assert run("command", UNIT, "pause")[0] == 5
    hear(beside, "state/presence", presence())
    code, _, err = run("command", UNIT, "pause", "--valid", "1")
    assert code == 1
    assert "serve" in err
    assert run("command", UNIT, "pause", "--no-wait")[0] == 0
    assert run("command", UNIT, "pause", "no-equals-sign")[0] == 2


def test_units_and_verify(run: Run, beside: Ledger) -> None:
    assert run("units")[1].strip() == "no unit has been heard of yet"
    assert run("verify")[0] == 0
    hear(beside, "state/presence", presence())
    hear(beside, "up/events", batch(record(1), record(2)))
    code, out, _ = run("units", "--json")
    (unit,) = json.loads(out)["units"]
    assert (code, unit["unit"], unit["presence"], unit["is_complete"]) == (0, UNIT, "online", True)
    assert run("verify")[0] == 0
    hear(beside, "up/events", batch(record(9)))
    code, out, _ = run("verify", "--json")
    assert code == 1
    assert json.loads(out)["units"][0]["open"] == [{"first": 3, "last": 8}]
    assert not json.loads(run("units", "--json")[1])["units"][0]["is_complete"]


def test_watch_tells_records_in_order_and_makes_them_printable(
    run: Run, beside: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear(beside, "up/events", batch(record(1, detail="one\x1b[2J"), record(2, state="ready")))

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.coordinator.standin.following.time.sleep", interrupted)
    code, out, _ = run("watch", "--from-start")
    assert code == 130
    assert "#1" in out
    assert "\x1b" not in out
    code, out, _ = run("watch", "--from-start", "--json")
    assert [json.loads(line)["record"]["seq"] for line in out.splitlines()] == [1, 2]
    assert run("watch")[1] == "", "only what comes from now on"
    assert run("watch", "--live")[0] == 2


def test_live_samples_are_asked_for(run: Run, beside: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    hear(beside, "state/presence", presence())
    sample = {
        "v": 1,
        "unit": UNIT,
        "t": 1,
        "mono": 1,
        "state": "printing",
        "fraction": 0.25,
        "temperatures": {"B": {"actual": 60.0}},
    }
    hear(beside, "up/live", sample)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agent.coordinator.standin.following.time.sleep", interrupted)
    _, out, _ = run("watch", "--live", "--unit", UNIT)
    assert "printing" in out
    assert "25.0%" in out
    (row,) = beside.reading.execute("SELECT payload FROM commands").fetchall()
    assert json.loads(row["payload"])["command"] == "watch"
    assert units.get(beside.reading, UNIT) is not None


def test_every_command_explains_itself() -> None:
    group = entry.load(entry.Entry("agent.cli.coordinator:coordinator", ""))
    assert isinstance(group, click.Group)
    for name, command in group.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--config", "--db"} <= options, name
        assert command.help, name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (name, parameter.name)
