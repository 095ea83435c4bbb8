from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coordinator.fetch.allow_list import AllowList, parse_allow_list
from agent.coordinator.fetch.targets import MAX_URL_CHARS, Target, parse_target, redirected
from agent.domain.errors import ConfigError
from agent.domain.fetching import FetchError


def test_a_url_is_taken_apart() -> None:
    target = parse_target("HTTPS://Files.Example.:8443/a/b.gcode?token=x#top")
    assert target == Target("https", "files.example", 8443, "/a/b.gcode?token=x")
    assert target.shown == "https://files.example:8443/a/b.gcode"
    assert parse_target("http://files.example").path == "/"
    assert parse_target("http://[2606:2800:220:1:0:0:0:1]/x").host == "2606:2800:220:1::1"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "ftp://files.example/x",
        "//files.example/x",
        "http:///x",
        "http://user:secret@files.example/x",
        "http://files.example@10.0.0.1/x",
        "http://files.example\\@10.0.0.1/x",
        "http://files.example:0/x",
        "http://files.example:65536/x",
        "http://files.example:8O/x",
        "http://files.example/a b",
        "http://files.example/\r\nX-Evil: 1",
        "http://files.example/\x00",
        "http://fïles.example/x",
        "http://127.1/x",
        "http://0x7f000001/x",
        "http://2130706433/x",
        "http://0177.0.0.1/x",
        "http://files.example.0x1/x",
        "http://[::1%25lo]/x",
        "http://[::1%lo]/x",
        "http://[127.0.0.1]/x",
        "http://[::1/x",
        "http://-files.example/x",
        "http://files..example/x",
        f"http://{'a' * 64}.example/x",
        f"http://{'a.' * 130}example/x",
        "http://files.example/" + "a" * MAX_URL_CHARS,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse_target(url)
    assert caught.value.code == "bad_url"
    assert not caught.value.is_transient


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"https?://[^\s]{1,40}", fullmatch=True))
def test_what_is_accepted_is_read_the_same_again(text: str) -> None:
    try:
        target = parse_target(text)
    except FetchError:
        return
    assert parse_target(target.url) == target
    assert target.host.isascii()
    assert "@" not in target.host


def test_redirects_stay_within_the_rules() -> None:
    start = parse_target("https://files.example/a/b?x=1")
    assert redirected(start, "/c").url == "https://files.example:443/c"
    assert redirected(start, "c?y=2").path == "/a/c?y=2"
    assert redirected(start, "//cdn.example/c").host == "cdn.example"
    assert redirected(parse_target("http://files.example/"), "https://files.example/").is_encrypted


@pytest.mark.parametrize(
    "location",
    [
        "http://files.example/c",
        "file:///etc/passwd",
        "gopher://x/",
        "",
        "http://a b/",
        "//u@h/",
        "//[::1",
        "ü",
    ],
)
def test_redirects_out_of_the_rules_are_refused(location: str) -> None:
    with pytest.raises(FetchError) as caught:
        redirected(parse_target("https://files.example/a"), location)
    assert caught.value.code == "redirect_refused"


def _allows(allowed: AllowList, url: str) -> bool:
    try:
        allowed.check_host(parse_target(url))
    except FetchError as error:
        return error.code != "host_not_allowed"
    return True


def test_names_limit_the_hosts() -> None:
    allowed = parse_allow_list(["files.example", "*.cdn.example:8443", "192.168.1.0/24"])
    assert _allows(allowed, "https://files.example/x")
    assert _allows(allowed, "http://FILES.example.:81/x")
    assert _allows(allowed, "https://a.cdn.example:8443/x")
    assert not _allows(allowed, "https://a.cdn.example/x")
    assert not _allows(allowed, "https://cdn.example:8443/x")
    assert not _allows(allowed, "https://evilfiles.example/x")
    assert not _allows(allowed, "https://files.example.evil/x")
    assert _allows(allowed, "http://192.168.1.5/x")
    assert not _allows(allowed, "http://93.184.216.34/x")


def test_without_names_every_host_is_allowed_but_not_every_address() -> None:
    allowed = parse_allow_list(["10.0.0.0/8"])
    target = parse_target("https://files.example/x")
    allowed.check_host(target)
    public, inside, listed = (
        parse_target(f"http://{host}/").address for host in ("93.184.216.34", "192.168.0.1", "10.1.1.1")
    )
    assert public is not None
    assert inside is not None
    assert listed is not None
    assert allowed.permitted(target, [inside, public, listed]) == (public, listed)
    with pytest.raises(FetchError, match="private") as caught:
        allowed.permitted(target, [inside])
    assert caught.value.code == "address_refused"


def test_a_listed_name_opens_no_inside_address() -> None:
    allowed = parse_allow_list(["nas.example"])
    target = parse_target("http://nas.example/x")
    inside = parse_target("http://192.168.0.9/").address
    assert inside is not None
    with pytest.raises(FetchError):
        allowed.permitted(target, [inside])


@pytest.mark.parametrize(
    "entry", ["", "http://files.example", "files example", "*", "*.", "files.example:0", "a/8"]
)
def test_entries_that_mean_nothing_are_refused(entry: str) -> None:
    with pytest.raises(ConfigError):
        parse_allow_list([entry])
