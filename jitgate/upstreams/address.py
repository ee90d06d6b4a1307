"""Which addresses may be dialled: resolve once, refuse what is not public, dial what was checked.

If any address of a name is one that must not be dialled, none is: a name that points both outside
and inside is an attack or a mistake (invariant 7; DNS rebinding and SSRF in the threat model).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from jitgate.errors import AddressRefused, UpstreamUnreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All IPv6 addresses that are given to anybody in public (RFC 4291, 2.4): what is not in here is
refused without being named."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""What the interface part of an address begins with that holds an IPv4 one (RFC 5214, 6.1)."""

_INSIDE = (
    ipaddress.ip_network("192.0.0.0/24"),  # RFC 6890; Oracle's metadata are at 192.0.0.192
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4, withdrawn by RFC 7526
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's own services to its machines
    ipaddress.ip_network("2001::/23"),  # protocol assignments but Teredo: benchmarks, ORCHID
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
)
"""Addresses that lead inside or nowhere although some version of the library finds them public."""

_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
"""A label that makes a host a number if it is the last (WHATWG URL, "ends in a number")."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet, in every spelling that hides another one.

    An IPv6 address that holds IPv4 ones, however it does, is public only if all of these are. A
    site's own NAT64 prefix (RFC 6052) cannot be told from other addresses: see docs/decisions/0043.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return _is_global(address)
    if address.scope_id is not None or not all(map(_is_global, _held(address))):
        return False
    if address.ipv4_mapped is not None or address in _NAT64:
        return True
    if address.teredo is not None:
        return True
    return address in _UNICAST and _is_global(address)


def _is_global(address: Address) -> bool:
    return (
        address.is_global
        and not any(address in network for network in _INSIDE)
        and not address.is_multicast
        and not address.is_reserved
    )


def _held(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that one for IPv6 leads to, or comes by."""
    held = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    number = int(address)
    if address in _NAT64 or (number >> 32) & 0xFFFFFFFF in _ISATAP:
        held.append(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    return [each for each in held if each is not None]


def checked(host: str, found: Iterable[str]) -> tuple[str, ...]:
    """The addresses, all of them public. Raises `AddressRefused`, without naming the address."""
    addresses = tuple(dict.fromkeys(found))
    if not addresses:
        raise UpstreamUnreachable(f"The name {host} has no address.")
    if not all(is_public(ipaddress.ip_address(each)) for each in addresses):
        raise AddressRefused(f"The name {host} points to an address that must not be dialled.")
    return addresses


def literal(host: str) -> Address | None:
    """The address that a host is, None for a name. An IPv6 one may stand in brackets.

    Raises `ValueError`, a sentence, for every spelling of a number but the usual one: programs do
    not agree on what 127.1, 0177.0.0.1, 2130706433 and 127.0.0.1. are.
    """
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        last = host.lower().rstrip(".").rpartition(".")[2]
        if ":" in host or _NUMERIC.match(last):
            raise ValueError(f"{host} is no address as addresses are usually written") from None
        return None
    if str(address) != plain.lower():
        raise ValueError(f"{host} is usually written {address}")
    return address
