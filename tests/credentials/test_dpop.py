"""Proofs, the nonces that servers want to see in them, and how servers say so."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from jitgate.credentials.dpop import MAX_NONCE, Nonces, Prover, errors_in, target_of


@pytest.mark.parametrize(
    ("field", "errors"),
    [
        ('DPoP error="use_dpop_nonce"', [("dpop", "use_dpop_nonce")]),
        ("DPoP error=use_dpop_nonce", [("dpop", "use_dpop_nonce")]),
        ('DPoP algs="ES256", error = "a", Bearer error="b"', [("dpop", "a"), ("bearer", "b")]),
        ('Negotiate YQ==, DPoP ERROR="a"', [("dpop", "a")]),
        ("Negotiate YWE, DPoP error=a", [("dpop", "a")]),
        ('Basic realm="\\", DPoP error=\\"a", DPoP error="b"', [("dpop", "b")]),
        (',, DPoP error="a"', [("dpop", "a")]),
        ('error="a"', [("", "a")]),
        ('DPoP error_description="error=a"', []),
        ('DPoP error="a', []),
        ("DPoP error=", []),
        ("", []),
    ],
)
def test_the_errors_of_every_challenge_are_read(field, errors):
    assert list(errors_in(field)) == errors


@given(
    st.text()
    | st.lists(st.sampled_from(['"', "\\", "=", ",", " ", "\t", "DPoP", "error", "a=="])).map(
        "".join
    )
)
def test_no_field_is_too_much_for_it(field):
    for scheme, _ in errors_in(field):
        assert scheme == scheme.lower()


def test_the_last_nonce_of_a_server_counts_and_none_is_made_up():
    nonces = Nonces()
    assert nonces.of("a") is None
    for nonce in (None, "", "a b", 'a"b', "a\\b", "ü", "n" * (MAX_NONCE + 1)):
        nonces.learn("a", nonce)
        assert nonces.of("a") is None
    nonces.learn("a", None, accepted=True)
    assert nonces.of("a") == ""
    for nonce in ("n-1", "n" * MAX_NONCE):
        nonces.learn("a", nonce)
        assert nonces.of("a") == nonce
    nonces.learn("a", None, accepted=True)
    assert nonces.of("a") == "n" * MAX_NONCE
    assert nonces.of("b") is None


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example:443/b?c=d", "https://a.example/b"),
        ("https://a.example:8443/b#c", "https://a.example:8443/b"),
        ("https://[::1]:443/b%2Fc", "https://[::1]/b%2Fc"),
        ("https://a.example", "https://a.example"),
    ],
)
def test_a_target_has_no_query_no_fragment_and_no_usual_port(url, target):
    assert target_of(url) == target


def test_a_key_is_in_no_text():
    prover = Prover(Clock(), lambda: "id")
    proof = prover.proof("GET", "https://a.example/", token=b"hunter2")
    header = jwt.get_unverified_header(proof)
    assert "d" not in header["jwk"]
    assert "hunter2" not in repr(prover) + proof
