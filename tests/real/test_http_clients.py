"""General HTTP clients, unmodified, against httpbin: what passes, and what they show if not.

Each program plays all its scenarios once, in one process; the tests look at what it told.
"""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from support.gateway import GatewayProcess

PROGRAMS = {
    "requests": "with_requests.py",
    "httpx": "with_httpx.py",
    "aiohttp": "with_aiohttp.py",
    "undici": "with_undici.mjs",
}

IN_HTTP2 = {"httpx in HTTP/2": "with_httpx.py", "undici in HTTP/2": "with_undici.mjs"}

MASKED = "*" * 16


@pytest.fixture(scope="module")
def in_http2(world, tmp_path_factory):
    """The same, but for targets that ask for HTTP/2."""
    made = orjson.loads(world.gateway.config.read_bytes())
    made["targets"] = [each | {"http2": True} for each in made["targets"]]
    with GatewayProcess(tmp_path_factory.mktemp("http2"), made) as gateway:
        yield replace(world, gateway=gateway)


@pytest.fixture(scope="module", params=[*PROGRAMS, *IN_HTTP2])
def told(request, world):
    if request.param in IN_HTTP2:
        return request.getfixturevalue("in_http2").play(IN_HTTP2[request.param])
    return world.play(PROGRAMS[request.param])


def test_it_reads_what_is_masked(told):
    assert told["read"]["author"] == MASKED
    assert told["read"]["title"] == "Sample Slide Show"


def test_it_writes(told):
    assert told["write"] == {"title": "ü"}


def test_it_gets_the_refusal_and_does_not_send_again(told):
    denied = told["denied"]
    assert denied["status"] == 403
    assert denied["body"]["detail"] == "Agents delete nothing"
    assert denied["body"]["rule"] == "nothing-is-deleted"
    assert told.calls("DELETE", "https://httpbin.example/anything") == 1


def test_a_refusal_gets_through_to_a_client_that_is_in_the_midst_of_a_large_upload(told):
    assert told["denied_upload"] == [403, "Agents delete nothing"]
    assert told.calls("DELETE", "https://httpbin.example/status/200") == 1


def test_it_calls_in_turn_and_at_once_over_tunnels_that_it_keeps(told):
    assert told["several"] == list(range(16))
    assert told.tunnels <= told.outcomes / 2


def test_four_mebibytes_go_there_and_back(told):
    assert told["large"] is True


def test_a_body_of_unknown_length_goes_there(told):
    assert told["unknown_length"] is True


def test_events_come_one_by_one(told):
    assert told["events"] == ["data: first", "data: second"]


def test_answers_without_a_body(told):
    assert told["head"] == [200, "application/json", 0]
    assert told["options"] == [200, True]
    assert told["empty"] == [204, ""]
    assert told["unchanged"] == 304


def test_a_redirect_is_the_clients_to_follow(told):
    assert told["redirected"] == [302, "/get", 200]


def test_a_coded_answer_comes_decoded(told):
    """The target codes although nobody takes it (Accept-Encoding: identity)."""
    assert told["compressed"]["status"] == 200
    assert told["compressed"]["body"]["gzipped"] is True


def test_the_targets_own_slow_down_comes_through_once(told):
    assert told["slow_down"] == [[429, 1], [503, 1]]


def test_it_is_told_that_the_target_is_down(told):
    down = told["down"]
    assert down["status"] == 502
    assert "connection refused" in down["body"]["detail"]
    assert told.calls("GET", "https://down.example/") == 1


def test_a_host_that_no_target_names_is_a_403_of_the_proxy(told):
    assert "403" in told.raised("unknown")


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_without_a_token_it_shows_a_407_of_the_proxy(world, program):
    told = world.play(program, "read", token="")
    assert "407" in told.raised("read")
    assert [each["denial"] for each in told.entries] == ["token-missing"]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_token_out_of_time_is_a_refusal_that_says_so(world, program):
    told = world.play(program, "refused", token=world.tokens.token(life=-120))
    assert told["refused"]["status"] == 401
    assert "has expired" in told["refused"]["body"]["detail"]


@pytest.mark.parametrize("program", ["with_requests.py", "with_undici.mjs"])
def test_it_works_the_same_under_jitgate_exec(world, program):
    told = world.play_in_exec(program, "read", "denied", "several", "unknown_length")
    assert told["read"]["author"] == MASKED
    assert told["denied"]["body"]["detail"] == "Agents delete nothing"
    assert told["several"] == list(range(16))
    assert told["unknown_length"] is True
    assert told.tunnels <= told.outcomes / 2


def test_httpx_is_answered_in_http_1_1_although_it_offers_http_2(world):
    assert world.play("with_httpx.py", "read")["read"]["version"] == "HTTP/1.1"


def test_httpx_is_answered_in_http_2_where_the_target_asks_for_it(in_http2):
    assert in_http2.play("with_httpx.py", "read")["read"]["version"] == "HTTP/2"


def test_nodes_own_clients_need_the_variables_alone(world):
    told = world.play("with_undici.mjs", "fetch", "fetch_unknown", "https", "https_unknown")
    assert told["fetch"]["author"] == told["https"]["author"] == MASKED
    assert "403" in told.raised("fetch_unknown")
    assert "403" in told.raised("https_unknown")
