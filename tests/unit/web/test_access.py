"""Keys, sessions, foreign pages, and how often one may try."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.control.web.access import (
    Keyring,
    LockedError,
    RateLimit,
    TooManyError,
    UploadSlots,
    read_key,
)
from agent.domain.errors import ConfigError

KEY = "0123456789abcdef"
RING = Keyring(KEY)


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [
        ("short", 0o600, "16 to 256"),
        (KEY, 0o644, "others"),
        ("x" * 300, 0o600, "16"),
        (f"{KEY} {KEY}", 0o600, "16"),
        ("ä" * 20, 0o600, "ASCII"),
    ],
)
def test_keys_that_are_not_taken(tmp_path: Path, content: str, mode: int, word: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=word) as caught:
        read_key(path)
    assert str(path) in caught.value.remedy


def test_a_key_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(ConfigError):
        read_key(path)
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    assert read_key(path) == KEY


@pytest.mark.parametrize("headers", [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_with_the_key_comes_in(headers: dict[str, str], method: str) -> None:
    RING.check(method, headers, None)


@pytest.mark.parametrize(
    "headers", [{"x-api-key": KEY + "x"}, {"authorization": f"Basic {KEY}"}, {}, {"x-api-key": "ä"}]
)
def test_anybody_else_does_not(headers: dict[str, str]) -> None:
    with pytest.raises(LockedError):
        RING.check("GET", headers, None)


OWN = {"x-fabunit": "1", "host": "pi:5000", "origin": "http://pi:5000", "sec-fetch-site": "same-origin"}


def test_our_own_page_comes_in_with_its_cookie() -> None:
    RING.check("POST", OWN, RING.session)
    RING.check("GET", {}, RING.session)
    assert RING.session not in KEY
    assert Keyring("another key of 16").session != RING.session


@pytest.mark.parametrize(
    "change",
    [
        {"x-fabunit": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_foreign_page_cannot_use_the_cookie(change: dict[str, str]) -> None:
    with pytest.raises(LockedError) as caught:
        RING.check("POST", {**OWN, **change}, RING.session)
    assert caught.value.code == "foreign_page"


def test_a_wrong_cookie() -> None:
    with pytest.raises(LockedError) as caught:
        RING.check("GET", OWN, "x" * 64)
    assert caught.value.code == "login_needed"


def test_tries_are_counted_per_client_and_forgotten_with_time() -> None:
    limit = RateLimit(3, 0.1, what="keys", clients=2)
    for _ in range(3):
        limit.take("a", 0.0)
    with pytest.raises(TooManyError) as caught:
        limit.take("a", 0.0)
    assert "10 s" in caught.value.remedy
    with pytest.raises(TooManyError):
        limit.demand("a", 1.0)
    limit.take("b", 0.0)
    limit.demand("a", 11.0)
    limit.take("a", 11.0)
    for number in range(50):
        limit.take(f"c{number}", 12.0)
    assert len(limit._buckets) <= 2


def test_upload_slots() -> None:
    slots = UploadSlots(1)
    with slots, pytest.raises(TooManyError), slots:
        pass
    with slots:
        pass
