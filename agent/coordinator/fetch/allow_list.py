"""Which hosts artefacts may come from, and which inside addresses may be reached. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.coordinator.fetch.addresses import (
    IPAddress,
    IPNetwork,
    is_inside,
    is_permitted,
    kind_of,
    parse_network,
)
from agent.coordinator.fetch.targets import Target
from agent.domain.errors import ConfigError
from agent.domain.fetching import FetchError

_NAME = re.compile(r"(\*\.)?([a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class HostName:
    """A listed host: `name` itself or, with `is_suffix`, everything below it. `port` None means any."""

    name: str
    is_suffix: bool
    port: int | None

    def covers(self, target: Target) -> bool:
        """Tell whether this entry allows the host and port of `target`."""
        if self.port is not None and self.port != target.port:
            return False
        return target.host.endswith(f".{self.name}") if self.is_suffix else target.host == self.name


@dataclass(frozen=True, slots=True)
class AllowList:
    """The maker's list. Names limit which hosts may be asked; networks open addresses that are not public.

    Without names every host is allowed whose addresses are. A name never opens an inside address: whoever
    owns the name could point it at the maker's router. For a file server at home its address or network is
    listed.
    """

    names: tuple[HostName, ...] = ()
    networks: tuple[IPNetwork, ...] = ()

    def check_host(self, target: Target) -> None:
        """Raise FetchError `host_not_allowed` when the list names hosts and `target` is none of them."""
        address = target.address
        if address is not None and any(is_inside(address, network) for network in self.networks):
            return
        if self.names and not any(name.covers(target) for name in self.names):
            raise FetchError(
                f"{target.host}:{target.port} is not among the hosts this unit fetches from",
                code="host_not_allowed",
                remedy="add it to coordinator.allowed_hosts if it is trusted",
            )

    def permitted(self, target: Target, addresses: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
        """Return the addresses that may be connected to, in their order.

        Raises FetchError `address_refused` when there is none.
        """
        good = tuple(address for address in addresses if is_permitted(address, self.networks))
        if addresses and not good:
            refused = addresses[0]
            raise FetchError(
                f"{target.host} is at {refused}, a {kind_of(refused).value} address",
                code="address_refused",
                remedy=f"add {refused} to coordinator.allowed_hosts if files may come from there",
            )
        return good


def parse_allow_list(entries: Iterable[str]) -> AllowList:
    """Read the entries of `coordinator.allowed_hosts`: `files.example`, `*.example:8443`, `192.168.1.0/24`.

    Raises ConfigError naming the entry that is none of these.
    """
    names: list[HostName] = []
    networks: list[IPNetwork] = []
    for entry in entries:
        text = entry.strip().lower()
        network = parse_network(text.strip("[]"))
        if network is not None:
            networks.append(network)
            continue
        found = _NAME.fullmatch(text)
        if found is None or (found[3] and not 0 < int(found[3]) < 1 << 16):
            raise ConfigError(
                f"{entry[:80]!r} is neither a host name nor an address or network",
                code="bad_fetch_host",
                remedy="write for example files.example, *.example:8443 or 192.168.1.0/24",
            )
        names.append(HostName(found[2], bool(found[1]), int(found[3]) if found[3] else None))
    return AllowList(tuple(names), tuple(networks))
