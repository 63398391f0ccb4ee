"""Where a remote fetch may go: public addresses on the usual ports, and what an operator allows."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from jan_media.errors import Refused
from jan_media.fetch.addresses import Address, end_of, is_public
from jan_media.fetch.url import normal_host

_PORTS = {80, 443}
_MAPPED = IPv6Network("::ffff:0:0/96")


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """``allow`` lifts the refusal of non-public addresses and of unusual ports for what it names,
    and nothing else. ``deny`` wins over ``allow``."""

    allow: "Places"
    deny: "Places"

    def check_host(self, host: str) -> None:
        """Check ``host``, as `normal_host` returns it, before it is looked up.

        Raises `Refused`.
        """
        if self.deny.has_host(host):
            raise Refused("url_not_allowed", f"Fetching from {host} is not allowed here.")

    def check_address(self, host: str, port: int, address: Address) -> None:
        """Check one of the addresses of ``host`` before connecting to it.

        Raises `Refused`.
        """
        if self.deny.has_address(address) or self.deny.has_address(end_of(address)):
            raise Refused("url_not_allowed", f"Fetching from {host} is not allowed here.")
        if self.allow.has_host(host) or self.allow.has_address(address):
            return
        if not is_public(address):
            raise Refused("url_not_allowed", f"The host {host} does not lead to a public address.")
        if port not in _PORTS:
            raise Refused("url_not_allowed", f"Port {port} is not allowed; only 80 and 443 are.")


class Places:
    """A comma list of networks (``10.1.0.0/16``, ``::1``) and hosts (``cdn.example.com``,
    ``*.example.com`` for every name below it)."""

    def __init__(self, text: str) -> None:
        """Raises `ValueError` naming every malformed entry."""
        self._networks: list[IPv4Network | IPv6Network] = []
        self._hosts: set[str] = set()
        self._parents: list[str] = []
        wrong = []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                self._add(entry)
            except (ValueError, Refused):
                wrong.append(entry)
        if wrong:
            raise ValueError(f"neither a network nor a host name: {', '.join(wrong)}")

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(_as_ipv4(ip_network(entry)))
            return
        except ValueError:
            if "/" in entry:
                raise
        if entry.startswith("*."):
            self._parents.append("." + normal_host(entry[2:]))
        else:
            self._hosts.add(normal_host(entry))

    def has_host(self, host: str) -> bool:
        return host in self._hosts or any(host.endswith(parent) for parent in self._parents)

    def has_address(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _as_ipv4(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """A network of IPv4-mapped addresses as IPv4, since such addresses are compared as IPv4."""
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED.prefixlen:
        inner = network.network_address.ipv4_mapped
        if inner is not None:
            return IPv4Network((inner, network.prefixlen - _MAPPED.prefixlen))
    return network
