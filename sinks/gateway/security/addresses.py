"""Where a call comes from, and whether that is allowed: networks and trusted proxies, no I/O.

``X-Forwarded-For`` is read from the right, and only as far as each hop is a trusted proxy: what
stands left of that was written by whoever likes to.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from runtime.errors import Misconfigured

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HOPS_MAX = 20
_WITH_PORT = re.compile(r"\[(?P<six>[^]]+)\](:\d+)?|(?P<four>[^:]+):\d+|(?P<plain>[^][]+)")


def parse_networks(setting: str, texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks in CIDR form; raise Misconfigured naming the bad one."""
    found = []
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError as e:
            raise Misconfigured(
                setting, f"{text!r} is no network ({e})", remedy="Example: 10.0.0.0/8,2001:db8::/32"
            ) from e
    return tuple(found)


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Say whether any of the networks holds the address."""
    return any(address in network for network in networks)


def parse_address(text: str) -> Address | None:
    """Read an address, with or without a port; one that IPv6 only carries is IPv4's."""
    form = _WITH_PORT.fullmatch(text.strip())
    if form is None:
        return None
    try:
        address = ip_address(form["six"] or form["four"] or form["plain"])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(
    peer: Address, forwarded_for: Sequence[str], proxies: Sequence[Network]
) -> Address:
    """Return who asks: the peer, or the nearest hop before trusted proxies."""
    hops = [hop for header in forwarded_for for hop in header.split(",")]
    at = peer
    for hop in reversed(hops[-HOPS_MAX:]):
        if not is_within(at, proxies):
            break
        before = parse_address(hop)
        if before is None:
            break
        at = before
    return at


def limited_as(address: Address) -> str:
    """Return the name under which an address is limited: of IPv6, the network of one customer."""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address)


def is_loopback(host: str) -> bool:
    """Say whether a host of the settings or of a Host header is this machine to itself."""
    name = host.strip().lower().removesuffix(".")
    address = parse_address(name)
    if address is not None:
        return address.is_loopback
    return name == "localhost" or re.fullmatch(r"localhost:\d+", name) is not None
