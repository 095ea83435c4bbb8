from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from agent.coordinator.key_files import load_or_create_key
from agent.domain.errors import ConfigError, StorageError


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "unit.key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(path) == key
    assert [file.name for file in path.parent.iterdir()] == ["unit.key"]
    assert load_or_create_key(tmp_path / "other.key") != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "unit.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load_or_create_key(path)
    assert caught.value.code == "key_exposed"


@pytest.mark.parametrize("content", [b"", b"AAAA\n", b"\xff" * 40, b"A" * 5000])
def test_what_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "unit.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load_or_create_key(path)
    assert caught.value.code == "bad_key"
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_or_create_key(tmp_path / "real.key")
    (tmp_path / "unit.key").symlink_to(tmp_path / "real.key")
    with pytest.raises(StorageError):
        load_or_create_key(tmp_path / "unit.key")


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "unit.key"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(load_or_create_key, [path] * 8)
    assert len(set(keys)) == 1
