"""Which addresses may be dialled: resolve once, refuse what is not public, dial what was checked.

The name is resolved by the system's resolver. If any of its addresses is one that must not be
dialled, none is: a name that points both outside and inside is an attack or a mistake
(invariant 7; DNS rebinding and SSRF in the threat model).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from jitgate.errors import AddressRefused, UpstreamUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_INSIDE = (
    ipaddress.ip_network("192.0.0.0/24"),  # RFC 6890; older versions of the library miss most of it
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's own services to its machines
)
"""Addresses that lead inside although the library takes them for public ones."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet, in every spelling that hides another one.

    IPv4-mapped, 6to4, Teredo and NAT64 addresses are judged by the IPv4 address inside them.
    """
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return (
        address.is_global
        and not any(address in network for network in _INSIDE)
        and not address.is_multicast
        and not address.is_reserved
        and not (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
    )


def _inner(address: Address) -> Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or int(address) >> 32 == 0:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def checked(host: str, found: Iterable[str]) -> tuple[str, ...]:
    """The addresses, all of them public. Raises `AddressRefused`, without naming the address."""
    addresses = tuple(dict.fromkeys(found))
    if not addresses:
        raise UpstreamUnreachable(f"The name {host} has no address.")
    if not all(is_public(ipaddress.ip_address(each)) for each in addresses):
        raise AddressRefused(f"The name {host} points to an address that must not be dialled.")
    return addresses
