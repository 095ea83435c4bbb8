"""Logging in a process of its own: the set-up is global, so every case gets a fresh interpreter."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

SETUP = """
import sys, logging
from pathlib import Path
from agent.log import LogPlan, configure_logging
from agent.ops.logring import LogRing, RotatingFile
import structlog
ring = LogRing()
file = RotatingFile(Path(sys.argv[1]) / "logs" / "fabunit.log")
configure_logging(LogPlan(level=sys.argv[2], ring=ring, file=file))
log = structlog.get_logger("test")
"""


def run(code: str, tmp_path: Path, level: str = "info", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run code after the set-up; stderr is a pipe."""
    return subprocess.run(
        [sys.executable, "-c", SETUP + code, str(tmp_path), level],
        capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, **environ},
    )  # fmt: skip


def entries(text: str) -> list[dict[str, Any]]:
    """Parse JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_pipe_gets_json_lines_and_so_do_file_and_ring(tmp_path: Path) -> None:
    code = """
log.info("line_resent", number=5, attempt=2, port=Path("/dev/x"), ratio=float("nan"))
log.debug("not kept")
import json; print(json.dumps(ring.tail(10)))
"""
    result = run(code, tmp_path)
    (entry,) = entries(result.stderr)
    assert entry.pop("t_ms") > 1_600_000_000_000
    assert entry == {
        "level": "info", "event": "line_resent", "number": 5, "attempt": 2, "port": "/dev/x", "ratio": "nan",
    }  # fmt: skip
    (kept,) = json.loads(result.stdout)
    assert (kept["event"], kept["seq"]) == ("line_resent", 1)
    assert [line["event"] for line in entries((tmp_path / "logs" / "fabunit.log").read_text())] == [
        "line_resent"
    ]


def test_the_level_is_the_least_that_is_kept(tmp_path: Path) -> None:
    code = 'log.debug("a"); log.info("b"); log.warning("c"); log.error("d"); log.critical("e")'
    assert [entry["event"] for entry in entries(run(code, tmp_path, "warning").stderr)] == ["c", "d", "e"]
    assert len(entries(run(code, tmp_path, "debug").stderr)) == 5


def test_exceptions_come_as_text(tmp_path: Path) -> None:
    code = """
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken", job_id="j-1")
log.error("again", exc_info=ValueError("odd"))
"""
    first, second = entries(run(code, tmp_path).stderr)
    assert (first["level"], first["event"], first["job_id"]) == ("error", "broken", "j-1")
    assert "ZeroDivisionError: division by zero" in first["exception"]
    assert "ValueError: odd" in second["exception"]


def test_libraries_are_bridged_and_their_chatter_is_not(tmp_path: Path) -> None:
    code = """
logging.getLogger("some.library").warning("odd %s", "thing")
logging.getLogger("asyncio").info("Using selector: EpollSelector")
import warnings; warnings.warn("old call")
"""
    first, second = entries(run(code, tmp_path).stderr)
    assert (first["level"], first["event"], first["logger"]) == ("warning", "odd thing", "some.library")
    assert second["logger"] == "py.warnings"
    assert "old call" in second["event"]


def test_context_is_bound_once(tmp_path: Path) -> None:
    code = 'structlog.contextvars.bind_contextvars(job_id="j-7"); log.bind(copy=2).info("started")'
    (entry,) = entries(run(code, tmp_path).stderr)
    assert (entry["job_id"], entry["copy"]) == ("j-7", 2)


def test_a_huge_value_is_cut(tmp_path: Path) -> None:
    (entry,) = entries(run('log.info("e", text="x" * 100_000)', tmp_path).stderr)
    assert len(entry["text"]) < 9000


def test_under_systemd_the_priority_is_in_front(tmp_path: Path) -> None:
    log_file = tmp_path / "journal"
    with log_file.open("w") as stream:
        found = os.fstat(stream.fileno())
        environ = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        code = SETUP + 'log.error("broken"); log.info("fine")'
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), "info"],
            stderr=stream,
            check=True,
            cwd=ROOT,
            env=environ,
        )
    lines = log_file.read_text().splitlines()
    assert [line[:3] for line in lines] == ["<3>", "<6>"]
    assert json.loads(lines[0][3:])["event"] == "broken"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_on_a_terminal_it_is_for_people(tmp_path: Path, no_color: str) -> None:
    code = SETUP + 'log.warning("line_resent", text="a\\x1b[2Jb", number=5)'
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
    received = bytearray()

    def read() -> None:
        try:
            while piece := os.read(ours, 4096):
                received.extend(piece)
        except OSError:  # a pseudo-terminal ends with EIO
            return

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "info"], stderr=theirs, check=True, cwd=ROOT, env=environ
    )
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    text = received.decode()
    assert ("\x1b[33m" in text) is (no_color == "")
    assert "\x1b[2J" not in text, "foreign text must not move the cursor"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert re.match(r"\d\d:\d\d:\d\d warning  line_resent +text='a\\x1b\[2Jb' number=5", plain)


def test_a_closed_stderr_does_not_stop_the_daemon(tmp_path: Path) -> None:
    result = run('sys.stderr.close(); log.info("a"); print(len(ring.tail(5)))', tmp_path)
    assert result.stdout == "1\n"


def test_structlog_does_not_bring_rich_into_the_daemon(tmp_path: Path) -> None:
    code = """
loaded = [name for name in sys.modules if name.split(".")[0] == "rich"]
import rich.console
print(loaded, rich.console.Console is not None)
"""
    assert run(code, tmp_path).stdout == "[] True\n"


def test_rich_stays_loaded_where_it_already_was() -> None:
    code = "import sys, rich.console, agent.log; print(sys.modules['rich'] is not None)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout == "True\n"
