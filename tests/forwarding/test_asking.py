"""What is asked of the forwarder and of the gateway, as values: no sockets here."""

from __future__ import annotations

import base64
import http.client
import io
import json

import pytest
from forwarding.door import basic, connect_bytes
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.http1_reading import Request, RequestReader, Tunnel
from jitgate.errors import PeerFault
from jitgate.forwarding.asking import Asked, Refused, Run, asked

RUN = Run("run-1", "secret")
ADMITTED = basic("run-1", "secret")


def first(data):
    """The first event of these bytes, as the forwarder takes it."""
    events = RequestReader().feed(data)
    return next((e for e in events if isinstance(e, Tunnel | Request | PeerFault)), None)


def parsed(data):
    """An answer as the standard library's client reads it."""

    class Stream:
        def makefile(self, _mode):
            return io.BytesIO(data)

    response = http.client.HTTPResponse(Stream(), method="GET")
    response.begin()
    return response.status, response.reason, response.getheaders(), response.read()


def test_a_run_has_a_name_and_a_secret_of_its_own():
    runs = [Run.named() for _ in range(100)]
    assert len({run.name for run in runs}) == len({run.secret for run in runs}) == 100
    assert all(run.name.startswith("run-") and len(run.secret) == 32 for run in runs)
    assert Run.named("nightly").name == "nightly"


def test_a_runs_secret_does_not_show():
    run = Run.named()
    assert run.secret not in repr(run)
    assert run.proxy(8080) == f"http://{run.name}:{run.secret}@127.0.0.1:8080"


@given(st.text(), st.text())
def test_only_the_exact_pair_is_admitted(name, secret):
    field = basic(name, secret).removeprefix("Proxy-Authorization: ").strip().encode()
    admitted = RUN.admits(((b"Proxy-Authorization", field),))
    assert admitted == ((f"{name}:{secret}") == "run-1:secret")


@given(st.binary())
def test_any_field_is_taken_or_not(value):
    assert RUN.admits(((b"Proxy-Authorization", value),)) in {True, False}


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_the_scheme_is_taken_in_any_case(scheme):
    pair = base64.b64encode(b"run-1:secret")
    assert RUN.admits(((b"proxy-authorization", scheme.encode() + b"  " + pair),))


def test_a_connect_is_built_anew():
    wanted = asked(first(connect_bytes("X: y\r\n" + ADMITTED, target="API.example:443")), RUN)
    assert wanted.tunnel
    assert wanted.as_sent("n", "t") == (
        b"CONNECT API.example:443 HTTP/1.1\r\nHost: api.example:443\r\n"
        b"Proxy-Authorization: Basic " + base64.b64encode(b"n:t") + b"\r\n\r\n"
    )


def test_a_host_that_differs_is_the_gateways_to_refuse():
    data = f"CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n{ADMITTED}\r\n".encode()
    assert b"\r\nHost: b.example\r\n" in asked(first(data), RUN).as_sent("n", "t")


def test_a_connect_without_host_as_http_1_0_may_be_gets_one():
    data = f"CONNECT a.example:443 HTTP/1.0\r\n{ADMITTED}\r\n".encode()
    assert b"\r\nHost: a.example:443\r\n" in asked(first(data), RUN).as_sent("n", "t")


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_any_bytes_are_asked_refused_or_not_whole_yet(line, fields):
    data = line + b" HTTP/1.1\r\nHost: a\r\n" + ADMITTED.encode() + fields + b"\r\n\r\n"
    event = first(data)
    if event is None:
        return
    wanted = asked(event, RUN)
    assert isinstance(wanted, Asked | Refused)
    if isinstance(wanted, Asked):
        again = first(wanted.as_sent("n", "t"))
        assert isinstance(again, Tunnel if wanted.tunnel else Request)


@given(st.text(max_size=300), st.sampled_from([400, 403, 407, 502]))
def test_a_refusal_is_one_answer_whatever_its_detail(detail, status):
    refused = Refused(status, "kind", "Title", detail)
    code, reason, headers, body = parsed(refused.as_sent())
    assert code == status
    assert json.loads(body)["detail"] == detail
    assert len(reason) <= len(detail)
    names = [name for name, _ in headers]
    assert names.count("Content-Length") == 1
    assert ("Proxy-Authenticate" in names) == (status == 407)
