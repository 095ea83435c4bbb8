"""The notes of when the printer was last heard of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.events import Stamp
from agent.storage import contact
from agent.storage.contact import NAME, ContactFiles


@dataclass
class Boot:
    """A clock of one boot; wall time is of no interest here and jumps."""

    boot: str = "boot-1"
    t_ms: int = 0

    def stamp(self) -> Stamp:
        self.t_ms = -self.t_ms + 10**12
        return Stamp(self.t_ms, 0, self.boot)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr(contact, "boot_time_s", lambda: time[0])
    return time


def files(folder: Path, boot: str = "boot-1") -> ContactFiles:
    for name in ("run", "state"):
        (folder / name).mkdir(exist_ok=True)
    return ContactFiles(folder / "run", folder / "state", Boot(boot))


def test_the_next_daemon_knows_how_long_ago_it_was(tmp_path: Path, now: list[float]) -> None:
    files(tmp_path).note("p-1", 41)
    now[0] += 12.5
    later = files(tmp_path)
    note = later.read("p-1")
    assert note is not None
    assert (note.line, later.age_s(note)) == (41, 12.5)
    assert later.read("p-2") is None


def test_after_a_restart_of_the_machine_nobody_knows(tmp_path: Path, now: list[float]) -> None:
    files(tmp_path).note("p-1", 41)
    later = files(tmp_path, "boot-2")
    note = later.read("p-1")
    assert note is not None
    assert note.line == 41
    assert later.age_s(note) is None


def test_the_disk_is_written_once_a_minute_and_at_the_end(tmp_path: Path, now: list[float]) -> None:
    kept = files(tmp_path)
    on_disk = tmp_path / "state" / NAME
    lines = []
    for step in range(14):
        kept.note("p-1", step)
        lines.append(json.loads(on_disk.read_text())["line"])
        now[0] += 10
    assert lines == [0] * 6 + [6] * 6 + [12] * 2
    kept.note("p-1", 99, last=True)
    (tmp_path / "run" / NAME).unlink()
    note = kept.read("p-1")
    assert note is not None
    assert note.line == 99


def test_a_long_note_leaves_nothing_of_itself_behind(tmp_path: Path, now: list[float]) -> None:
    kept = files(tmp_path)
    kept.note("p-" + "9" * 60, 10**9)
    kept.note("p-1", 1)
    assert kept.read("p-1") is not None
    assert (tmp_path / "run" / NAME).stat().st_mode & 0o777 == 0o600


def test_a_link_in_the_place_of_the_note_is_not_followed(tmp_path: Path) -> None:
    kept = files(tmp_path)
    target = tmp_path / "precious"
    target.write_text("x")
    (tmp_path / "run" / NAME).symlink_to(target)
    with pytest.raises(OSError, match="Too many levels"):
        kept.note("p-1", 1)
    assert target.read_text() == "x"


@given(
    st.one_of(
        st.binary(max_size=400),
        st.recursive(
            st.none() | st.floats() | st.text(),
            lambda inner: st.dictionaries(st.sampled_from(["print_id", "line", "boot", "at_s"]), inner),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_a_damaged_note_says_nothing(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("notes")
    kept = files(folder)
    (folder / "state" / NAME).write_bytes(data)
    note = kept.read("p-1")
    assert note is None or note.line >= 0
