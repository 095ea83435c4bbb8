"""Every command that talks to the daemon, against a fake unit on a real socket."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.cli.wording import reason_words
from agent.domain.job import JobState, Reason
from agent.domain.printer import PrinterSnapshot
from tests.unit.control.fake_unit import make_job, with_prompt
from tests.unit.control.served import DEADLINE_S
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Cli
    from tests.unit.control.served import Served


def test_status_reads_well(cli: Cli) -> None:
    lines = cli("status").stdout.splitlines()
    assert lines[0] == "Workshop MK3S  printing"
    assert lines[1] == "bracket.gcode  copy 1 of 2"
    assert lines[2].startswith(
        "  42 %  layer 45/120  line 12345/29876  38 min so far  52 min left, done about "
    )
    assert lines[3] == "nozzle 214.8 of 215 °C  bed 60.1 of 60 °C  fan 100 %"
    assert lines[4] == "bed occupied  queue 1 printing, 1 ready, 1 held  link stand-alone"
    assert lines[5].startswith(
        "port /dev/serial/by-id/usb-Prusa_MK3S-if00 at 115200 baud, 3 resends, 1 garbled, ok 4.1 ms"
    )
    assert len(lines) == 6


def test_status_of_an_absent_printer_is_short(cli: Cli, served: Served) -> None:
    served.unit.printer.view = PrinterSnapshot(detail="no serial port")
    served.unit.queue.jobs.clear()
    assert cli("status").stdout.splitlines() == [
        "Workshop MK3S  offline: no serial port", "bed occupied  queue empty  link stand-alone", "port none",
    ]  # fmt: skip


def test_status_shows_what_the_printer_asks(cli: Cli, served: Served) -> None:
    with_prompt(served.unit)
    text = cli("status").stdout
    assert "the printer asks: Filament runout" in text
    assert "0: Continue  1: Unload  (fabunit answer NUMBER)" in text


def test_text_from_outside_cannot_move_the_cursor(cli: Cli, served: Served) -> None:
    served.unit.queue.jobs = [make_job("j-1", name="a\x1b[2J\nb\u202e.gcode", detail="x\x07")]
    served.unit.printer.view = replace(served.unit.printer.view, message="\x1b]0;title\x07", detail="\x9b2J")
    for command in (["status"], ["jobs"], ["job", "show", "j-1"], ["printer", "info"]):
        text = cli(*command).stdout
        assert all(char == "\n" or char.isprintable() for char in text), command


def test_the_queue_is_a_table(cli: Cli) -> None:
    lines = cli("jobs").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "NAME", "COPIES", "TIME", "WHY"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["j-1", "printing"],
        ["j-2", "ready"],
        ["j-3", "held"],
    ]
    assert len(cli("jobs", "--all").stdout.splitlines()) == 5


def test_an_empty_queue_says_so(cli: Cli, served: Served) -> None:
    served.unit.queue.jobs.clear()
    assert cli("jobs").stdout == "the queue is empty\n"
    assert cli.json("jobs") == {"jobs": [], "counts": {}}


@pytest.mark.parametrize(("action", "job_id", "state"), [
    ("hold", "j-2", "held"), ("release", "j-3", "ready"), ("cancel", "j-2", "cancelled"), ("retry", "j-0", "received"),
])  # fmt: skip
def test_job_actions(cli: Cli, action: str, job_id: str, state: str) -> None:
    assert cli("job", action, job_id).stdout.split()[:2] == [job_id, state]
    assert cli.json("job", "show", job_id)["state"] == state


@pytest.mark.parametrize(("options", "before", "to"), [
    (["--first"], None, 1), (["--last"], None, -1), (["--to", "2"], None, 2), (["--before", "j-2"], "j-2", None),
])  # fmt: skip
def test_job_move(cli: Cli, served: Served, options: list[str], before: str | None, to: int | None) -> None:
    cli("job", "move", "j-3", *options)
    assert served.unit.queue.calls == [("move", "j-3", before, to)]


@pytest.mark.parametrize("options", [[], ["--first", "--last"], ["--to", "0"]])
def test_job_move_needs_one_place(cli: Cli, options: list[str]) -> None:
    assert "error:" in cli("job", "move", "j-3", *options, code=2).stderr


def test_an_unknown_job_is_exit_code_5(cli: Cli) -> None:
    result = cli("job", "show", "../j 9", code=5)
    assert result.stderr.startswith("error: ")
    assert cli.json("job", "show", "j-99", code=5)["error"]["code"] == "not_found"


def test_what_a_rule_forbids_is_exit_code_4(cli: Cli) -> None:
    result = cli("job", "retry", "j-2", code=4)
    assert result.stderr == "error: job j-2 is ready\nhint: wait until it is over\n"
    assert result.stdout == ""


def test_the_running_print(cli: Cli, served: Served) -> None:
    assert cli("pause").stdout == "printer paused\n"
    assert cli("resume").stdout == "printer printing\n"
    cli("cancel")
    assert cli("stop").stdout == "printer halted\n"
    assert served.unit.printer.calls == [("pause",), ("resume",), ("stop",)]
    assert served.unit.queue.calls == [("cancel", "j-1")]


def test_a_stop_that_fails_says_what_to_do(lonely: Cli) -> None:
    assert "SWITCH THE PRINTER OFF" in lonely("stop", code=3).stderr


def test_the_bed(cli: Cli, served: Served) -> None:
    assert cli("bed", "clear").stdout == "bed clear\n"
    assert served.unit.queue.bed_state == "clear"


def test_prompt_and_answer(cli: Cli, served: Served) -> None:
    assert cli("prompt").stdout == "the printer asks nothing\n"
    assert cli.json("prompt") == {"prompt": None}
    cli("answer", "0", code=5)
    with_prompt(served.unit)
    assert cli("prompt").stdout == "Filament runout\n  0  Continue\n  1  Unload\n"
    cli("answer", "1")
    assert served.unit.printer.calls == [("answer", 1)]


def test_printer_commands(cli: Cli, served: Served) -> None:
    cli("printer", "connect", "/dev/ttyACM0")
    cli("printer", "connect")
    cli("printer", "home", "zx")
    cli("printer", "home")
    cli("printer", "heat", "nozzle", "210")
    cli("printer", "heat", "bed", "60.5")
    cli("printer", "heat", "t1", "0")
    cli("printer", "cool")
    cli("printer", "disconnect")
    assert served.unit.printer.calls == [
        ("connect", "/dev/ttyACM0"), ("connect", "auto"), ("home", "XZ"), ("home", ""), ("heat", "T0", 210.0),
        ("heat", "B", 60.5), ("heat", "T1", 0.0), ("cool",), ("disconnect",),
    ]  # fmt: skip
    cli("printer", "home", "q", code=2)
    cli("printer", "heat", "sofa", "20", code=2)
    assert "above the limit" in cli("printer", "heat", "nozzle", "400", code=4).stderr


def test_printer_info(cli: Cli) -> None:
    text = cli("printer", "info").stdout
    for part in ("Prusa-Firmware 3.14", "214.8 of 215.0 °C", "3 resends", "X 10.00", "EEPROM"):
        assert part in text


def test_console_with_arguments_and_with_a_pipe(cli: Cli, served: Served) -> None:
    assert cli("console", "M105", "G28").stdout == "ok T:21.0 /0.0\nok\n"
    assert cli("console", stdin="M105\n\n; comment\nG28\n").stdout == "ok T:21.0 /0.0\nok\n"
    result = cli("console", "G28", "M502", "M105", code=4)
    assert result.stdout == "ok\n"
    assert "M502 is not allowed" in result.stderr
    sent = [line for name, line in served.unit.printer.calls if name == "command"]
    assert sent == ["M105", "G28", "M105", "G28", "G28"]
    assert cli.json("console", "M105") == {"commands": [{"line": "M105", "replies": ["ok T:21.0 /0.0"]}]}
    assert cli.json("console", stdin="G28\n")["commands"][0]["line"] == "G28"
    refused = cli.json("console", "M105", "M502", "G28", code=4)
    assert refused["error"]["code"] == "forbidden_command"
    assert [command["line"] for command in refused["commands"]] == ["M105"]


def test_history_and_receipt(cli: Cli) -> None:
    lines = cli("history").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["PRINT", "p-2", "p-1"]
    assert "1 min" in lines[1]
    assert len(cli("history", "-n", "1").stdout.splitlines()) == 2
    assert cli("receipt", "p-2").stdout == "ended as  completed\nresends   2\n"
    assert cli.json("receipt", "p-2")["receipt"]["stats"] == {"resends": 2}
    assert "no receipt" in cli("receipt", "p-1", code=5).stderr


def test_logs(cli: Cli, served: Served) -> None:
    served.unit.ring.append(
        {"t_ms": 0, "level": "warning", "event": "line_resent", "number": 7, "exception": "a\nb"}
    )
    first, *trace = cli("logs").stdout.splitlines()
    assert first.endswith("warning  line_resent  number=7")
    assert trace == ["    a", "    b"]
    assert cli.json("logs")["entries"][0]["event"] == "line_resent"


def gcode(directory: Path, name: str = "part.gcode", text: str = "G28\n") -> str:
    """Write a file to print."""
    path = directory / name
    path.write_text(text)
    return str(path)


def test_print_adds_files_in_order(cli: Cli, served: Served, tmp_path: Path) -> None:
    files = [gcode(tmp_path, "b.gcode"), gcode(tmp_path, "a.gcode")]
    result = cli.json(
        "print", *files, "-c", "2", "--material", "PLA", "--quality", "fine", "--priority", "5", "--hold"
    )
    assert [(job["name"], job["copies"], job["state"]) for job in result["jobs"]] == [
        ("b.gcode", 2, "held"),
        ("a.gcode", 2, "held"),
    ]
    request = served.unit.queue.calls[0][1]
    assert (request.material, request.quality, request.priority) == ("PLA", "fine", 5)
    assert "received  part.gcode" in cli("print", gcode(tmp_path)).stdout


@pytest.mark.parametrize(("bad", "code"), [("missing.gcode", 5), (".", 4), ("empty.gcode", 4)])
def test_print_looks_at_all_files_before_it_sends_one(
    cli: Cli, served: Served, tmp_path: Path, bad: str, code: int
) -> None:
    (tmp_path / "empty.gcode").write_text("")
    before = len(served.unit.queue.jobs)
    cli("print", gcode(tmp_path), str(tmp_path / bad), code=code)
    assert len(served.unit.queue.jobs) == before


def finish_soon(
    served: Served, job_id: str, state: JobState, reason: Reason | None = None
) -> threading.Thread:
    """End a job as soon as somebody has been told that it is there."""

    def end() -> None:
        for index, job in enumerate(served.unit.queue.jobs):
            if job.job_id == job_id:
                served.unit.queue.jobs[index] = replace(job, state=state, reason=reason)

    def wait() -> None:
        until(lambda: any(job.job_id == job_id for job in served.unit.queue.jobs), "the job is there")
        served.in_loop(end)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.usefixtures("quick_polling")
@pytest.mark.parametrize(
    "outcome",
    [
        (JobState.COMPLETED, None, 0),
        (JobState.FAILED, Reason.PRINTER_HALTED, 1),
        (JobState.CANCELLED, Reason.USER, 1),
        (JobState.REJECTED, Reason.GATE_REFUSED, 4),
    ],
)
def test_print_wait_ends_as_the_job_ends(
    cli: Cli, served: Served, tmp_path: Path, outcome: tuple[JobState, Reason | None, int]
) -> None:
    state, reason, code = outcome
    ending = finish_soon(served, "j-5", state, reason)
    lines = cli("print", gcode(tmp_path), "--wait", code=code).stdout.splitlines()
    ending.join()
    assert lines[0].split()[:2] == ["j-5", "received"]
    assert lines[-1] == f"part.gcode  {state}" + (f": {reason_words(reason)}" if reason else "")


@pytest.mark.usefixtures("quick_polling")
def test_print_wait_as_json_is_one_document(cli: Cli, served: Served, tmp_path: Path) -> None:
    ending = finish_soon(served, "j-5", JobState.COMPLETED)
    document = cli.json("print", gcode(tmp_path), "--wait")
    ending.join()
    assert [job["state"] for job in document["jobs"]] == ["completed"]


def followed(cli: Cli, served: Served, *arguments: str, lines: int) -> tuple[list[str], int, str]:
    """Run a command that follows a stream; stop the daemon after so many lines. Returns lines, exit code, stderr."""
    with cli.start(*arguments) as process:
        assert process.stdout is not None
        read = [process.stdout.readline() for _ in range(lines)]
        served.in_loop(served.server.stop)
        _, errors = process.communicate(timeout=DEADLINE_S)
    return read, process.returncode, errors


def test_watch_without_a_terminal_writes_lines_until_the_daemon_stops(cli: Cli, served: Served) -> None:
    lines, code, errors = followed(cli, served, "status", "--watch", "--interval", "0.1", lines=2)
    assert (code, errors) == (0, "")
    facts = (
        "printing  42 %  layer 45/120  left 52 min  nozzle 214.8/215  bed 60.1/60  bed occupied  resends 3"
    )
    assert all(facts in line for line in lines)


def test_watch_as_json_is_one_document_per_line(cli: Cli, served: Served) -> None:
    lines, code, _ = followed(cli, served, "status", "--watch", "--json", "--interval", "0.1", lines=2)
    assert code == 0
    assert [json.loads(line)["printer"]["state"] for line in lines] == ["printing", "printing"]


def test_follow_the_log(cli: Cli, served: Served) -> None:
    served.unit.ring.append({"t_ms": 0, "level": "info", "event": "first"})
    lines, code, _ = followed(cli, served, "logs", "-f", "--json", lines=1)
    assert (json.loads(lines[0])["event"], code) == ("first", 0)
