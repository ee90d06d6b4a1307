"""A credential's place in a query or a body: the agent's own goes, ours is added, and comes off."""

from __future__ import annotations

import json
import sys
import unicodedata
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.placing import (
    LONGEST_NAME,
    MOST_NAMES,
    bare_body,
    bare_head,
    clear_body,
    has_names,
    placed_body,
    placed_query,
    without,
)
from jitgate.values import Credential, NotCanonical, Parameter, RequestHead

NAME = "api_key"
OURS = Parameter(NAME, b"the+secret/of=ours")
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
JSON = ((b"content-type", b"Application/JSON; charset=utf-8"),)


def bare(target):
    found = bare_head(RequestHead("GET", target, ()), NAME)
    return found if isinstance(found, NotCanonical) else found.target


def bared(body, headers=JSON, method="POST"):
    return bare_body(RequestHead(method, "/", headers), body, NAME)


# --- what the agent sent there


@pytest.mark.parametrize(
    ("target", "left"),
    [
        ("/a", "/a"),
        ("/a?", "/a"),
        ("/a?b=1", "/a?b=1"),
        ("/a?api_key=own", "/a"),
        ("/a?api_key", "/a"),
        ("/a?api_key=", "/a"),
        ("/a?api_key=x=y", "/a"),
        ("/a?b=1&api_key=own&c=2", "/a?b=1&c=2"),
        ("/a?api_key=own&b=1&api_key=again", "/a?b=1"),
        ("/a?%61pi%5Fkey=own&b=1", "/a?b=1"),
        ("/a?b=api_key", "/a?b=api_key"),
        ("/a?b=%20+1%2F&&c", "/a?b=%20+1%2F&&c"),
        ("/a?my_api_key=1&api_keys=2", "/a?my_api_key=1&api_keys=2"),
        ("/a?b=1;c=2", "/a?b=1;c=2"),
        ("https://api.example/a?api_key=own", "https://api.example/a"),
    ],
)
def test_a_placeholder_in_the_query_is_dropped_and_all_else_stays(target, left):
    assert bare(target) == left


@pytest.mark.parametrize(
    "query",
    [
        "API_KEY=own",
        "Api_Key=own",
        "api%255fkey=own",
        "api%25255fkey=own",
        "+api_key=own",
        "%20api_key=own",
        "api_key+=own",
        "api_key%00x=own",
        "api.key=own",
        "api+key=own",
        "api%20key=own",
        "api[key=own",
        "api_key[]=own",
        "api_key%5B%5D=own",
        "a=1;api_key=own",
        "api_key=own;a=1",
        "%61PI_key=own",
        "api_%E2%84%AAey=own",
        "%u0061pi_key=own",
        "%U0061pi_key=own",
        "%25u0061pi_key=own",
        "a=1;%u0061pi_key=own",
        "%C1%A1pi_key=own",
        "%25C1%25A1pi_key=own",
        "\xc1\xa1pi_key=own",
        "api_key%FF=own",
        "%C2%A0api_key=own",
        "api_key%E2%80%83=own",
        "api_key%E3%80%80=own",
        "%EF%BB%BFapi_key=own",
        "api_key%1F=own",
        "api_key%E2%80%83[]=own",
    ],
)
def test_what_some_server_could_take_for_it_is_refused(query):
    refused = bare(f"/a?b=1&{query}")
    assert isinstance(refused, NotCanonical)
    assert "own" not in refused.reason
    assert isinstance(bared(f"b=1&{query}".encode("latin-1"), FORM), NotCanonical)


def test_no_blank_of_unicodes_makes_another_name_of_it():
    blanks = {
        each
        for each in map(chr, range(sys.maxunicode + 1))
        if each.isspace() or unicodedata.category(each)[0] == "Z"
    }
    for each in blanks | {"\0", "\x7f", "\u200b", "\ufeff"}:
        for name in (each + NAME, NAME + each):
            assert isinstance(bare(f"/a?{quote(name)}=own"), NotCanonical), repr(each)
            assert isinstance(bared(json.dumps({name: "own"}).encode()), NotCanonical), repr(each)


@pytest.mark.parametrize(
    "query", ["n%C3%A4me=1", "n\xc3\xa4me=1", "a=%u0061%FF", "100%25=1", "%u=1"]
)
def test_other_names_go_as_they_are(query):
    assert bare(f"/a?{query}") == f"/a?{query}"
    assert bared(query.encode("latin-1"), FORM) == query.encode("latin-1")


def test_no_path_at_all_has_no_query():
    assert isinstance(bare("*"), NotCanonical)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b"api_key=own", b""),
        (b"a=%C3%A9+1&api_key=own&b=\xff", b"a=%C3%A9+1&b=\xff"),
        (b"a=1", b"a=1"),
    ],
)
def test_a_placeholder_in_a_form_is_dropped_and_every_other_byte_stays(body, left):
    assert bared(body, FORM) == left


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b"{}", b"{}"),
        (b' {"a": 1.10 } ', b' {"a": 1.10 } '),
        (b'{"api_key": "own"}', b"{}"),
        (b'{ "api_key" : {"x": [1]} }', b"{  }"),
        (b'{"api_key": "own", "a": 1.10}', b'{"a": 1.10}'),
        (b'{"a": 1e2, "api_key": null ,\n "b": 2}', b'{"a": 1e2, "b": 2}'),
        (b'{"a": "\xc3\xa9", "api_key": "own"\n}', b'{"a": "\xc3\xa9"\n}'),
        (rb'{"\u0061pi_key": "own", "b": {"api_key": "kept"}}', b'{"b": {"api_key": "kept"}}'),
    ],
)
def test_a_placeholder_in_an_object_is_dropped_and_every_other_byte_stays(body, left):
    assert bared(body) == left


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"api_key"',
        b"1",
        b"null",
        b"{",
        b"{}x",
        b"{} {}",
        b'{"a":1,}',
        b'{"a" 1}',
        b'{"a":}',
        b"{a:1}",
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1,"a":2}',
        b'{"api_key":1,"api_key":2}',
        rb'{"api_key":1,"\u0061pi_key":2}',
        b'{"API_KEY":"own"}',
        '{"api_\u212aey":"own"}'.encode(),
        '{"api_key\u2003":"own"}'.encode(),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"",
    ],
)
def test_what_is_no_object_with_one_reading_is_refused(body):
    assert isinstance(bared(body), NotCanonical)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((b"Content-Type", b"text/plain"),),
        ((b"Content-Type", b"application/json-patch+json"),),
        ((b"Content-Type", b"application/json; charset=utf-16"),),
        ((b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-7"),),
        ((b"Content-Type", b"multipart/form-data; boundary=x"),),
        (*JSON, *FORM),
    ],
)
def test_a_body_of_another_kind_is_refused(headers):
    refused = bared(b'{"a":1}', headers)
    assert isinstance(refused, NotCanonical)
    assert "needs one that is a form or a JSON object" in refused.reason


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_call_that_changes_nothing_has_no_body_for_it(method):
    refused = bared(b'{"a":1}', JSON, method)
    assert isinstance(refused, NotCanonical)
    assert f"a {method} has none" in refused.reason


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"a&" * MOST_NAMES, FORM),
        (b"a;" * MOST_NAMES, FORM),
        (b"a" * (LONGEST_NAME + 1) + b"=1", FORM),
        (b"{" + b",".join(b'"%d":1' % each for each in range(MOST_NAMES + 1)) + b"}", JSON),
    ],
)
def test_what_takes_long_to_look_through_is_refused(body, headers):
    """An agent could have everybody wait for it."""
    refused = bared(body, headers)
    assert isinstance(refused, NotCanonical)
    assert "too many to look for" in refused.reason


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"&".join([b"a"] * MOST_NAMES), FORM),
        (b"a=" + b"x" * 900_000, FORM),
        (b"a" * LONGEST_NAME, FORM),
        (b'{"' + b"a" * 900_000 + b'":1}', JSON),
        (b'{"a":[' + b",".join([b"1"] * 400_000) + b"]}", JSON),
    ],
)
def test_what_is_large_and_not_many_is_not(body, headers):
    assert bared(body, headers) == body


# --- in the other place


def kind(value):
    return ((b"Content-Type", value),)


def of_query(headers, length: int | None = 9):
    """A head with a body, to a target that has its credential in the query."""
    return bare_head(RequestHead("POST", "/a?b=1", headers, length), NAME)


@pytest.mark.parametrize(
    "query", ["api_key=own", "b=1&%61pi_key", "API_KEY=own", "a=1;api_key=own"]
)
def test_a_bodys_name_is_refused_in_the_query(query):
    """Werkzeug's values, PHP's $_REQUEST and others read both as one."""
    head = RequestHead("POST", f"/a?{query}", JSON, 9)
    refused = bare_head(head, None, NAME)
    assert isinstance(refused, NotCanonical)
    assert "own" not in refused.reason
    assert bare_head(head, None, "other") == head


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b"api_key=own"),
        (FORM, b"a=1&%61pi_key"),
        (FORM, b"Api.Key[]=own"),
        (FORM, b"a&" * MOST_NAMES),
        (JSON, b'{"api_key":"own"}'),
        (JSON, rb'{"a":1,"\u0061pi_key":"own"}'),
        (JSON, b'{"API_KEY":"own"}'),
        (JSON, b'\xef\xbb\xbf{"api_key":"own"}'),
        (JSON, b'{"api_key":"own"'),
        (JSON, b'[] {"api_key":"own"}'),
        (JSON, b" "),
        (kind(b"application/vnd.api+json"), b'{"api_key":"own"}'),
    ],
)
def test_a_querys_name_is_refused_in_the_body(headers, body):
    assert has_names(headers)
    refused = clear_body(headers, body, NAME)
    assert isinstance(refused, NotCanonical)
    assert "own" not in refused.reason


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (FORM, b""),
        (FORM, b"a=%C3%A9+1&&b=api_key"),
        (JSON, b""),
        (JSON, b'{"a": {"api_key": 1}}'),
        (JSON, b' [{"api_key": 1}]\n'),
        (JSON, b"1.10"),
        (kind(b"text/plain"), b"api_key=1"),
    ],
)
def test_a_body_without_it_goes_as_it_is(headers, body):
    assert clear_body(headers, body, NAME) is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        kind(b""),
        kind(b"x"),
        kind(b"multipart/form-data; boundary=x"),
        kind(b"Multipart/Related; boundary=x"),
        kind(b"application/x-www-form-urlencoded; charset=utf-7"),
        kind(b"application/x-www-form-urlencoded, x"),
        kind(b"text/plain; x, application/x-www-form-urlencoded"),
        kind(b"application/json; charset=utf-16"),
        kind(b"text/json"),
        (*JSON, *FORM),
    ],
)
def test_a_body_in_which_nobody_looks_for_a_querys_name_is_refused(headers):
    assert "nobody looks for that name" in of_query(headers).reason
    assert isinstance(of_query(headers, None), NotCanonical)
    assert of_query(headers, 0).target == "/a?b=1"


@pytest.mark.parametrize(
    "headers",
    [
        FORM,
        JSON,
        kind(b"application/merge-patch+json"),
        kind(b"application/octet-stream"),
        kind(b"image/png"),
        kind(b"text/csv; charset=utf-8"),
        kind(b"application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ],
)
def test_a_form_json_or_a_file_is_not(headers):
    assert of_query(headers).target == "/a?b=1"


# --- ours

texts = st.text(max_size=8)
pairs = st.lists(
    st.tuples(st.text(min_size=1, max_size=8) | st.just(NAME) | st.just("Api_Key"), texts),
    max_size=5,
)
secrets = st.from_regex(r"[!-~]([ -~]{0,10}[!-~])?", fullmatch=True).map(str.encode)
encoders = st.sampled_from([quote, quote_plus, lambda text: quote(text, safe="")])


def written(items, encode):
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in items)


@given(pairs, encoders, secrets)
def test_of_that_name_a_server_reads_the_credential_alone(items, encode, secret):
    """By Python's own reader of queries and forms, and in any case of the letters."""
    query = written(items, encode)
    head = bare_head(RequestHead("GET", f"/?{query}", ()), NAME)
    if isinstance(head, NotCanonical):
        assert any(name != NAME for name, _ in items)
        return
    placed = placed_query(head.target.partition("?")[2], Parameter(NAME, secret))
    read = parse_qsl(placed, keep_blank_values=True)
    assert [value for name, value in read if name.casefold() == NAME] == [secret.decode()]
    others = [pair for pair in items if pair[0] != NAME]
    assert [pair for pair in read if pair[0] != NAME] == others
    assert read[-1][0] == NAME


members = st.dictionaries(
    st.text(max_size=8) | st.just(NAME),
    st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda each: st.lists(each, max_size=3) | st.dictionaries(texts, each, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)


@given(members, st.sampled_from([None, 0, 2]), st.booleans(), secrets)
def test_of_that_member_a_server_reads_the_credential_alone(value, indent, ascii_only, secret):
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(
        "utf-8", "surrogatepass"
    )
    left = bared(body)
    if isinstance(left, NotCanonical):
        assert any(name != NAME for name in value) or b"\xed" in body
        return
    placed = placed_body(JSON, left, Parameter(NAME, secret))
    read = json.loads(placed)
    assert list(read.items())[-1] == (NAME, secret.decode())
    value.pop(NAME, None)
    read.pop(NAME)
    assert read == value


@given(pairs, encoders, secrets, members)
def test_what_was_added_comes_off_again_and_nothing_else(items, encode, secret, value):
    query = written([pair for pair in items if pair[0].casefold() != NAME], encode)
    parameter = Parameter(NAME, secret)
    target = f"/a?{query}" if query else "/a"
    sent = RequestHead("POST", f"/a?{placed_query(query, parameter)}", FORM)
    assert without(sent, b"x", Credential((), (), query=parameter)) == (
        sent._replace(target=target),
        b"x",
    )
    body = json.dumps(
        {name: each for name, each in value.items() if name.casefold() != NAME}
    ).encode()
    for headers, plain in ((FORM, query.encode()), (JSON, body)):
        head = RequestHead("POST", "/a", headers)
        leaves = placed_body(headers, plain, parameter)
        assert without(head, leaves, Credential((), (), body=parameter)) == (head, plain)


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/a?api_key=the%2Bsecret%2Fof%3Dours&b=1", b"a=1"),
        ("/a?b=1", b"api_key=the%2Bsecret%2Fof%3Dours&a=1"),
        ("/a?b=1&api_key=the%2bsecret%2fof%3dours", b"a=1&api_key=the+secret/of=ours"),
    ],
)
def test_what_stands_elsewhere_does_not_come_off(target, body):
    head = RequestHead("POST", target, FORM)
    credential = Credential((), (), query=OURS, body=OURS)
    assert without(head, body, credential) == (head, body)


def test_a_credential_that_adds_neither_takes_nothing_off():
    head = RequestHead("POST", "/a?b=1", JSON)
    assert without(head, b"{}", Credential(((b"Authorization", b"x"),), (b"x",))) == (head, b"{}")
