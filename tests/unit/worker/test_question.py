"""A worker that answers, floods, hangs, dies, or never reads what it is asked."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from agent.worker.question import Answer, ask


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def put(
    code: str, request: bytes = b"", *, timeout_s: float = 30.0, most_bytes: int = 1 << 20
) -> Answer:
    return await ask(
        python(code),
        request,
        timeout_s=timeout_s,
        most_bytes=most_bytes,
        on_line=lambda line: line[:1] == b"p",
    )


async def test_request_answer_and_complaints() -> None:
    lines: list[bytes] = []

    def on_line(line: bytes) -> bool:
        lines.append(line)
        return line.startswith(b"progress")

    code = "import sys; sys.stderr.write('progress 1\\nhm\\nprogress 2\\nodd'); print(sys.stdin.read()[::-1], end='')"
    answer = await ask(python(code), b"abc", timeout_s=30, most_bytes=100, on_line=on_line)
    assert answer == Answer(b"cba", b"hm\nodd", 0)
    assert answer.last_words == "odd"
    assert lines == [b"progress 1", b"hm", b"progress 2"]


async def test_a_request_larger_than_the_pipe_meets_an_answer_larger_than_the_pipe() -> None:
    code = "import sys; sys.stdout.write('x' * 900_000); sys.stdout.flush(); print(len(sys.stdin.read()))"
    answer = await put(code, b"y" * 900_000)
    assert answer.output == b"x" * 900_000 + b"900000\n"


async def test_an_endless_answer_is_dropped_and_its_end_awaited() -> None:
    answer = await put("import sys; sys.stdout.write('x' * 3_000_000)", most_bytes=1000)
    assert answer == Answer(b"", b"", 0)


async def test_only_the_end_of_long_complaints_is_kept() -> None:
    answer = await put(
        "import sys; sys.stderr.write('x' * 500_000 + '\\n' + 'y' * 3000 + '\\nlast'); sys.exit(3)"
    )
    assert answer.status == 3
    assert len(answer.complaint) < 5000
    assert answer.last_words == "last"


async def test_a_worker_that_does_not_read_its_request_is_no_error() -> None:
    answer = await put("import os; os.close(0); print('done')", b"z" * 1_000_000)
    assert answer.output == b"done\n"


async def test_a_flood_ends_with_the_time() -> None:
    """A reader that is behind must not keep asyncio from seeing the end of the pipe."""
    began = time.monotonic()
    code = "import sys\nwhile True: sys.stdout.write('x' * 65536); sys.stderr.write('y' * 65536)"
    with pytest.raises(TimeoutError):
        await put(code, timeout_s=1.0, most_bytes=1000)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_nothing_outlives_the_question(how: str, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import os, subprocess, sys, time, pathlib\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"path = pathlib.Path({str(mark)!r}); part = path.with_suffix('.part')\n"
        "part.write_text(str(p.pid)); part.rename(path); time.sleep(600)\n"
    )
    asking = asyncio.create_task(put(code, timeout_s=5.0 if how == "timeout" else 60.0))
    while not mark.exists():
        await asyncio.sleep(0.01)
    if how == "cancel":
        asking.cancel()
    with pytest.raises(TimeoutError if how == "timeout" else asyncio.CancelledError):
        await asking
    async with asyncio.timeout(5):
        while is_alive(int(mark.read_text())):
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_worker_sees_nothing_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABUNIT_SECRET", "x")
    monkeypatch.setenv("SHOWN", "y")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    answer = await ask(
        python(code),
        b"",
        timeout_s=30,
        most_bytes=10_000,
        on_line=lambda _: True,
        environment=("SHOWN", "ABSENT"),
    )
    seen = answer.output.decode()
    assert "FABUNIT_SECRET" not in seen
    assert '"SHOWN": "y"' in seen
    assert "ABSENT" not in seen
    assert os.environ["FABUNIT_SECRET"] == "x"
