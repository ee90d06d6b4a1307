"""No spelling of an inside address gets past the check, and one bad address spoils a name."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.errors import AddressRefused, UpstreamUnreachable
from jitgate.upstreams.address import checked, is_public, literal
from jitgate.upstreams.resolving import addresses_of

INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.0.8",
    "192.88.99.1",
    "198.51.100.1",
    "203.0.113.1",
]
METADATA = {
    "every cloud": "169.254.169.254",
    "its containers": "169.254.170.2",
    "one by IPv6": "fd00:ec2::254",
    "another": "100.100.100.200",
    "a third, public by its number": "168.63.129.16",
    "a fourth": "192.0.0.192",
    "the fourth by IPv6": "fd00:c1::a9fe:a9fe",
}
INSIDE_6 = [
    "::",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "100::1",
    "64:ff9b:1::a00:1",
    "64:ff9b:1::808:808",
    "::ffff:0:a00:1",
    "::8.8.8.8",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "2606:4700::1111%lo",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:800::200e"]

inside_4 = st.one_of(
    *(
        st.ip_addresses(v=4, network=network)
        for network in (
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "100.64.0.0/10",
            "0.0.0.0/8",
            "224.0.0.0/4",
            "240.0.0.0/4",
        )
    )
)


def hidden_in(address: ipaddress.IPv4Address) -> list[ipaddress.IPv6Address]:
    """Every IPv6 address that leads to an IPv4 one, or is that one in disguise."""
    number = int(address)
    return [
        ipaddress.IPv6Address((0xFFFF << 32) | number),  # IPv4-mapped (RFC 4291, 2.5.5.2)
        ipaddress.IPv6Address(number),  # IPv4-compatible (2.5.5.1)
        ipaddress.IPv6Address((0xFFFF << 48) | number),  # IPv4-translated (RFC 2765)
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80) | 1),  # 6to4 (RFC 3056)
        ipaddress.IPv6Address((0x64FF9B << 96) | number),  # NAT64 (RFC 6052)
        ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),  # Teredo (RFC 4380)
        ipaddress.IPv6Address((0x20010000 << 96) | (number << 64) | 0xF7F7F7F7),  # its server
        ipaddress.IPv6Address((_PREFIX << 64) | (0x5EFE << 32) | number),  # ISATAP (RFC 5214)
        ipaddress.IPv6Address((_PREFIX << 64) | (0x02005EFE << 32) | number),  # the same, global
        ipaddress.IPv6Address((0x64FF9B0001 << 80) | number),  # NAT64 for local use (RFC 8215)
    ]


_PREFIX = 0x26064700_00000000


@pytest.mark.parametrize("address", [*INSIDE, *INSIDE_6, *METADATA.values()])
def test_an_inside_address_is_refused_and_not_named(address):
    with pytest.raises(AddressRefused) as caught:
        checked("api.example", [address])
    assert address not in str(caught.value)


@given(inside_4)
def test_an_inside_address_is_refused_in_every_spelling_that_hides_it(address):
    assert not is_public(address)
    assert not [each for each in hidden_in(address) if is_public(each)]


@given(st.ip_addresses(v=4))
def test_what_holds_an_address_is_public_only_if_that_is(address):
    public = {str(each) for each in hidden_in(address) if is_public(each)}
    assert not public or is_public(address)


@given(st.ip_addresses(v=6))
def test_of_ipv6_only_what_is_given_out_is_public(address):
    """2000::/3, and the IPv4 addresses in NAT64's and the mapped form."""
    if is_public(address):
        number = int(address)
        assert number >> 125 == 1 or number >> 32 in {0xFFFF, 0x64FF9B << 64}


@given(st.sampled_from([each for each in METADATA.values() if ":" not in each]))
def test_so_is_every_metadata_address(address):
    assert not [each for each in hidden_in(ipaddress.IPv4Address(address)) if is_public(each)]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_dialled(address):
    assert checked("api.example", [address]) == (address,)


@given(st.permutations(PUBLIC[:2] + INSIDE[:1]))
def test_one_inside_address_among_public_ones_spoils_the_name(found):
    with pytest.raises(AddressRefused):
        checked("api.example", found)


def test_a_name_without_an_address_is_unreachable():
    with pytest.raises(UpstreamUnreachable):
        checked("api.example", [])


def test_an_address_that_is_found_twice_is_dialled_once():
    assert checked("api.example", ["8.8.8.8", "1.1.1.1", "8.8.8.8"]) == ("8.8.8.8", "1.1.1.1")


SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "localhost",
    "0",
    "0.0",
    "169.254.43518",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "0:0:0:0:0:0:0:1",
    "fe80::1%lo",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_gets_through_the_real_resolver(spelling):
    try:
        found = addresses_of(spelling)
    except OSError:
        return  # not even an address here
    with pytest.raises(AddressRefused):
        checked(spelling, found)


@pytest.mark.parametrize(
    "spelling",
    [
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "8.8.8.8.",
        "134744072",
        "1.2.3.4.5",
        "api.example.0x7f",
        "0:0:0:0:0:0:0:1",
        "[0::1]",
        "::ffff:127.0.0.1",
        "1::2::3",
    ],
)
def test_a_host_that_some_program_takes_for_an_address_is_refused(spelling):
    with pytest.raises(ValueError, match="usually written"):
        literal(spelling)


@pytest.mark.parametrize("host", ["acme.okta.com", "4chan.example", "0x7f.example", "127.example"])
def test_a_name_is_no_address(host):
    assert literal(host) is None


def test_an_address_is_what_it_says():
    assert literal("127.0.0.1") == ipaddress.ip_address("127.0.0.1")
    assert literal("[2606:4700::1111]") == literal("2606:4700::1111")
    assert literal("::1") == ipaddress.ip_address("::1")
