from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from agent.coordinator.fetch.part_file import PartFile
from agent.domain.errors import StorageError
from agent.domain.fetching import FetchError


def test_bytes_are_hashed_as_they_come_and_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    with PartFile(path, 10, 0) as part:
        part.append(b"01234")
        part.sync()
    with PartFile(path, 10, 0) as part:
        assert (part.size_bytes, part.missing_bytes) == (5, 5)
        part.append(b"56789")
        assert part.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert path.read_bytes() == b"0123456789"


def test_starting_over_forgets_the_digest_too(tmp_path: Path) -> None:
    with PartFile(tmp_path / "x.part", 3, 0) as part:
        part.append(b"abc")
        part.restart()
        part.append(b"xyz")
        assert part.sha256 == hashlib.sha256(b"xyz").hexdigest()


def test_more_than_the_whole_file_is_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "x.part"
    path.write_bytes(b"too long")
    with PartFile(path, 3, 0) as part:
        assert part.size_bytes == 0
    assert path.read_bytes() == b""


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"keep me")
    (tmp_path / "x.part").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"):
        PartFile(tmp_path / "x.part", 3, 0)
    assert target.read_bytes() == b"keep me"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with PartFile(tmp_path / "x.part", 3, 0):
        with pytest.raises(FetchError) as caught:
            PartFile(tmp_path / "x.part", 3, 0)
        assert caught.value.code == "fetch_busy"
    PartFile(tmp_path / "x.part", 3, 0).__exit__(None, None, None)


def test_room_is_kept_free(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        PartFile(tmp_path / "x.part", 3, 1 << 60)
    assert caught.value.code == "disk_full"
