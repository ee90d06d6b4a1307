"""URLs that lead around the gateway: which are changed, and which must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.near import near_fields

FAR, NEAR = "api.example:443", "api.gateway.example:8443"
OURS = b"https://api.gateway.example:8443"


def shown(value, name=b"Location", far=FAR):
    ((_, after),) = near_fields(((name, value),), far, NEAR)
    return after


@pytest.mark.parametrize(
    ("value", "after"),
    [
        (b"https://api.example/a?b=c#d", OURS + b"/a?b=c#d"),
        (b"https://api.example:443/a", OURS + b"/a"),
        (b"HTTPS://API.example", OURS),
        (b"https://api.example?x", OURS + b"?x"),
        (b"//api.example/a", OURS + b"/a"),
        (b"/a", b"/a"),
        (
            b"https://other.example/https://api.example/",
            b"https://other.example/https://api.example/",
        ),
        (b"https://api.example.evil/a", b"https://api.example.evil/a"),
        (b"https://api.example@evil/a", b"https://api.example@evil/a"),
        (b"https://api.example:8443/a", b"https://api.example:8443/a"),
        (b"https://apixexample/a", b"https://apixexample/a"),
        (b"http://api.example/a", b"http://api.example/a"),
    ],
)
def test_a_url_of_the_targets_own_leads_back_to_the_gateway(value, after):
    assert shown(value) == after


def test_each_link_is_changed_by_itself():
    links = b'<https://api.example/u?after=1>; rel="next", <https://other.example/>; rel="self"'
    assert shown(links, b"link") == (
        b"<" + OURS + b'/u?after=1>; rel="next", <https://other.example/>; rel="self"'
    )


def test_a_port_of_the_targets_is_part_of_its_origin():
    assert shown(b"https://api.example:8080/a", far="api.example:8080") == OURS + b"/a"
    assert shown(b"https://api.example/a", far="api.example:8080") == b"https://api.example/a"


def test_other_fields_stay_and_what_is_said_of_the_targets_host_goes():
    fields = ((b"X-Url", b"https://api.example/"), (b"Strict-Transport-Security", b"max-age=1"))
    assert near_fields(fields, FAR, NEAR) == fields[:1]


@given(st.binary(max_size=60).filter(lambda value: b"api.example" not in value.lower()))
def test_what_does_not_name_the_target_is_not_touched(value):
    assert shown(value) == value == shown(value, b"Link")
