"""What kind of network an IP address belongs to: the ground of the rule against reaching inside. Pure.

The table is written out instead of using `ipaddress.is_private`, whose meaning changed between patch
releases of Python. Source: IANA special-purpose address registries (RFC 6890 and its updates).
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class AddressKind(StrEnum):
    """Where an address leads. Only PUBLIC ones may be reached without being listed."""

    PUBLIC = "public"
    UNSPECIFIED = "unspecified"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    PRIVATE = "private"
    SHARED = "carrier-shared"
    MULTICAST = "multicast"
    MAPPED = "IPv4-mapped"
    TRANSLATED = "translated"
    TUNNEL = "tunnel"
    RESERVED = "reserved"


_K = AddressKind
_V4: tuple[tuple[IPv4Network, AddressKind], ...] = tuple(
    (IPv4Network(text), kind)
    for text, kind in (
        ("0.0.0.0/8", _K.UNSPECIFIED),  # Linux connects 0.0.0.0 to the machine itself
        ("10.0.0.0/8", _K.PRIVATE),
        ("100.64.0.0/10", _K.SHARED),
        ("127.0.0.0/8", _K.LOOPBACK),
        ("169.254.0.0/16", _K.LINK_LOCAL),  # also the metadata services of cloud providers
        ("172.16.0.0/12", _K.PRIVATE),
        ("192.0.0.0/24", _K.RESERVED),
        ("192.0.2.0/24", _K.RESERVED),
        ("192.88.99.0/24", _K.RESERVED),
        ("192.168.0.0/16", _K.PRIVATE),
        ("198.18.0.0/15", _K.RESERVED),
        ("198.51.100.0/24", _K.RESERVED),
        ("203.0.113.0/24", _K.RESERVED),
        ("224.0.0.0/4", _K.MULTICAST),
        ("240.0.0.0/4", _K.RESERVED),  # with the broadcast address
    )
)
# The first match counts: narrower networks stand before the wider ones around them.
_V6: tuple[tuple[IPv6Network, AddressKind], ...] = tuple(
    (IPv6Network(text), kind)
    for text, kind in (
        ("::/128", _K.UNSPECIFIED),
        ("::1/128", _K.LOOPBACK),
        ("::ffff:0:0/96", _K.MAPPED),
        ("::ffff:0:0:0/96", _K.TRANSLATED),
        ("64:ff9b::/96", _K.TRANSLATED),
        ("64:ff9b:1::/48", _K.TRANSLATED),
        ("fe80::/10", _K.LINK_LOCAL),
        ("fec0::/10", _K.PRIVATE),
        ("fc00::/7", _K.PRIVATE),
        ("ff00::/8", _K.MULTICAST),
        ("2001::/32", _K.TUNNEL),
        ("2002::/16", _K.TUNNEL),
        ("2001::/23", _K.RESERVED),
        ("2001:db8::/32", _K.RESERVED),
        ("3fff::/20", _K.RESERVED),
        ("2000::/3", _K.PUBLIC),
        ("::/0", _K.RESERVED),  # nothing else is handed out
    )
)
# Prefixes that carry an IPv4 address in their last 32 bits.
_TAIL_EMBEDDING = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("::/96"),
)
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_V4_MASK = 0xFFFFFFFF


def kind_of(address: IPAddress) -> AddressKind:
    """Return where `address` leads, by its own prefix; see `embedded` for what it may carry inside."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _V4 if address in network), AddressKind.PUBLIC)
    bare = IPv6Address(int(address))  # without the zone, which says nothing about the kind
    return next(kind for network, kind in _V6 if bare in network)


def embedded(address: IPAddress) -> IPv4Address | None:
    """Return the IPv4 address that a gateway or the kernel would reach through an IPv6 one, else None."""
    if isinstance(address, IPv4Address):
        return None
    number = int(address)
    bare = IPv6Address(number)
    if any(bare in network for network in _TAIL_EMBEDDING) and number > 1:
        return IPv4Address(number & _V4_MASK)
    if bare in _SIX_TO_FOUR:
        return IPv4Address((number >> 80) & _V4_MASK)
    if bare in _TEREDO:
        return IPv4Address(~number & _V4_MASK)
    return None


def is_permitted(address: IPAddress, listed: tuple[IPNetwork, ...]) -> bool:
    """Tell whether a connection may be made: public or listed, and so is any address carried inside."""
    inner = embedded(address)
    return all(
        kind_of(layer) is AddressKind.PUBLIC or any(is_inside(layer, network) for network in listed)
        for layer in ((address,) if inner is None else (address, inner))
    )


def is_inside(address: IPAddress, network: IPNetwork) -> bool:
    """Tell whether `address`, whatever its zone, lies in `network`; never for different IP versions."""
    if isinstance(address, IPv4Address):
        return isinstance(network, IPv4Network) and address in network
    return isinstance(network, IPv6Network) and IPv6Address(int(address)) in network


def parse_address(text: str) -> IPAddress | None:
    """Return the address `text` is in its plain form, None for anything else (also for `010.1`, `0x7f.1`)."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def parse_network(text: str) -> IPNetwork | None:
    """Return the network or single address `text` is, None for anything else."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
