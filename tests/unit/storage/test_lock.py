from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.domain.errors import RefusedError, StorageError
from agent.storage.lock import StateLock

_CHILD = """
import sys
from pathlib import Path
from agent.domain.errors import RefusedError
from agent.storage.lock import StateLock
try:
    lock = StateLock.acquire(Path(sys.argv[1]))
except RefusedError as error:
    print(error.code, error.message)
else:
    print("held", flush=True)
    sys.stdin.read()
"""


def _child(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_second_daemon_is_refused_and_told_the_pid(tmp_path: Path) -> None:
    lock = StateLock.acquire(tmp_path / "state")
    child = _child(tmp_path / "state")
    answer, _ = child.communicate(timeout=30)
    assert answer.startswith("state_in_use")
    assert str(os.getpid()) in answer
    lock.release()
    lock.release()


def test_lock_dies_with_its_process(tmp_path: Path) -> None:
    with _child(tmp_path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RefusedError, match=str(child.pid)):
            StateLock.acquire(tmp_path)
        child.kill()
        child.wait(timeout=30)
    StateLock.acquire(tmp_path).release()


def test_garbage_in_the_lock_file_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"\xff" * 10_000)
    lock = StateLock.acquire(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    with pytest.raises(RefusedError):
        StateLock.acquire(tmp_path)
    lock.release()


def test_an_unusable_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        StateLock.acquire(tmp_path / "file")
