from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.coordinator.fetch.addresses import (
    AddressKind,
    embedded,
    is_inside,
    is_permitted,
    kind_of,
    parse_address,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("93.184.216.34", AddressKind.PUBLIC),
        ("2606:2800:220:1::1", AddressKind.PUBLIC),
        ("0.0.0.0", AddressKind.UNSPECIFIED),
        ("127.8.9.10", AddressKind.LOOPBACK),
        ("10.255.0.1", AddressKind.PRIVATE),
        ("172.16.0.1", AddressKind.PRIVATE),
        ("172.32.0.1", AddressKind.PUBLIC),
        ("192.168.178.1", AddressKind.PRIVATE),
        ("169.254.169.254", AddressKind.LINK_LOCAL),
        ("100.100.100.200", AddressKind.SHARED),
        ("224.0.0.251", AddressKind.MULTICAST),
        ("255.255.255.255", AddressKind.RESERVED),
        ("192.0.0.192", AddressKind.RESERVED),
        ("198.18.0.1", AddressKind.RESERVED),
        ("::", AddressKind.UNSPECIFIED),
        ("::1", AddressKind.LOOPBACK),
        ("fe80::1", AddressKind.LINK_LOCAL),
        ("fe80::1%eth0", AddressKind.LINK_LOCAL),
        ("fd00:ec2::254", AddressKind.PRIVATE),
        ("fec0::1", AddressKind.PRIVATE),
        ("ff02::fb", AddressKind.MULTICAST),
        ("::ffff:93.184.216.34", AddressKind.MAPPED),
        ("64:ff9b::5db8:d822", AddressKind.TRANSLATED),
        ("64:ff9b:1::1", AddressKind.TRANSLATED),
        ("2002:7f00:1::1", AddressKind.TUNNEL),
        ("2001:0:53aa:64c::1", AddressKind.TUNNEL),
        ("2001:db8::1", AddressKind.RESERVED),
        ("100::1", AddressKind.RESERVED),
        ("::7f00:1", AddressKind.RESERVED),
        ("4000::1", AddressKind.RESERVED),
    ],
)
def test_kind_of_known_addresses(text: str, kind: AddressKind) -> None:
    assert kind_of(ip_address(text)) is kind
    assert is_permitted(ip_address(text), ()) is (kind is AddressKind.PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::1",
        "2001:0:53aa:64c:0:ffff:80ff:fffe",
    ],
)
def test_loopback_inside_an_ipv6_address_is_found(text: str) -> None:
    address = ip_address(text)
    assert embedded(address) == IPv4Address("127.0.0.1")
    # Listing the gateway's prefix opens it for public addresses, not for what is behind this machine.
    assert not is_permitted(address, (ip_network("::/0"),))
    assert is_permitted(address, (ip_network("::/0"), ip_network("127.0.0.0/8")))


def test_a_listed_nat64_prefix_opens_public_addresses() -> None:
    listed = (ip_network("64:ff9b::/96"),)
    assert is_permitted(ip_address("64:ff9b::93.184.216.34"), listed)
    assert not is_permitted(ip_address("64:ff9b::10.0.0.1"), listed)


def test_listed_networks_open_their_own_addresses_only() -> None:
    listed = (ip_network("192.168.1.0/24"), ip_network("fd12::/16"))
    assert is_permitted(ip_address("192.168.1.77"), listed)
    assert not is_permitted(ip_address("192.168.2.1"), listed)
    assert is_permitted(ip_address("fd12::1"), listed)
    assert not is_permitted(ip_address("::ffff:192.168.1.77"), listed)


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_v4_permitted_is_never_more_than_python_calls_global(address: IPv4Address) -> None:
    if is_permitted(address, ()):
        assert address.is_global
        assert not address.is_multicast


@settings(deadline=None)
@given(st.ip_addresses(v=6))
def test_v6_permitted_is_global_unicast_without_a_v4_inside(address: IPv6Address) -> None:
    if is_permitted(address, ()):
        assert address in ipaddress.IPv6Network("2000::/3")
        assert address.ipv4_mapped is None
        assert address.sixtofour is None
        assert address.teredo is None


@settings(deadline=None)
@given(st.ip_addresses(), st.ip_addresses())
def test_inside_never_mixes_versions(
    one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address
) -> None:
    assert is_inside(one, ip_network(other)) is (one == other)


@pytest.mark.parametrize(
    "text", ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.01", "", "١٢٧.0.0.1"]
)
def test_odd_spellings_are_no_addresses(text: str) -> None:
    assert parse_address(text) is None
