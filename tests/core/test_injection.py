"""What leaves and what comes back: fields that a table names, and nothing else ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.injection import (
    AGENT_NAMED,
    COUNTING,
    INERT,
    NEVER,
    agent_head,
    agent_trailers,
    misread,
    upstream_head,
    user_agent_token,
)
from jitgate.core.literals import LiteralMasker
from jitgate.values import Credential, Fields, Operation, RequestHead, ResponseHead

SECRET = b"upstream-credential-0001"
CREDENTIAL = Credential(((b"Authorization", b"Bearer " + SECRET),), (SECRET,))
TOKEN = "jitgate/x-17"
OPERATION = Operation("things", "GET", {}, "GET", "api.example:443", "/things", "q=1")
HOP_BY_HOP = (
    b"Connection",
    b"Keep-Alive",
    b"Proxy-Authenticate",
    b"Proxy-Authorization",
    b"Proxy-Connection",
    b"TE",
    b"Transfer-Encoding",
    b"Upgrade",
)

letters = st.sampled_from(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
known = st.sampled_from(sorted(COUNTING | INERT | NEVER | {each.lower() for each in HOP_BY_HOP}))
names = (
    st.lists(letters, min_size=1, max_size=20).map(bytes)
    | known
    | known.map(bytes.title)
    | known.map(lambda name: name.replace(b"-", b"_"))
)
fields = st.lists(st.tuples(names, st.just(b"the-agents-own")), max_size=20).map(tuple)


def sent(headers, credential=CREDENTIAL, declared=frozenset(), *, masked=False, **head):
    asked = RequestHead("GET", "/ignored", headers, **head)
    return upstream_head(
        asked, OPERATION, credential, token=TOKEN, declared=declared, masked=masked
    )


@given(fields, st.frozensets(names.map(bytes.lower), max_size=5))
def test_no_field_of_the_agent_outside_the_tables_ever_leaves(headers, declared):
    left = {
        name.lower()
        for name, value in sent(headers, declared=declared).headers
        if value == b"the-agents-own"
    }
    assert left <= (COUNTING | INERT | declared) - NEVER - {each.lower() for each in HOP_BY_HOP}


@given(fields, st.lists(names, max_size=5))
def test_nothing_that_connection_names_leaves(headers, named):
    connection = (b"cOnnection", b" , ".join(named))
    left = {
        name.lower()
        for name, value in sent((*headers, connection)).headers
        if value == b"the-agents-own"
    }
    assert left.isdisjoint({name.lower() for name in named})


@given(fields, st.frozensets(names.map(bytes.lower), max_size=5))
def test_the_credential_and_the_host_stand_exactly_once(headers, declared):
    head = sent(headers, declared=declared | {b"authorization", b"host"})
    values = [value for name, value in head.headers if name.lower() == b"authorization"]
    assert values == [b"Bearer " + SECRET]
    assert [value for name, value in head.headers if name.lower() == b"host"] == [b"api.example"]


def test_the_request_line_is_the_operations_not_the_agents():
    head = sent(())
    assert (head.method, head.target) == ("GET", "/things?q=1")


def test_a_credential_in_a_declared_field_replaces_the_agents():
    credential = Credential(((b"X-Api-Key", SECRET),), (SECRET,))
    head = sent(((b"x-api-key", b"own"),), credential, frozenset({b"x-api-key"}))
    assert [v for name, v in head.headers if name.lower() == b"x-api-key"] == [SECRET]


def test_the_coding_that_is_asked_for_is_identity_whatever_the_agent_asks():
    head = sent(((b"Accept-Encoding", b"gzip, br"),), declared=frozenset({b"accept-encoding"}))
    codings = [v for name, v in head.headers if name.lower() == b"accept-encoding"]
    assert codings == [b"identity"]


@pytest.mark.parametrize("name", [b"If-None-Match", b"Range", b"If-Range"])
def test_nothing_that_cuts_or_withholds_a_masked_body_leaves(name):
    """A range that begins at a value's quotation mark would take its name away from the masker."""
    declared, none = frozenset({name.lower()}), Credential((), ())
    assert name in dict(sent(((name, b"x"),), none, declared).headers)
    assert name not in dict(sent(((name, b"x"),), none, declared, masked=True).headers)


@pytest.mark.parametrize("name", [b"Range", b"If-Range"])
def test_nothing_that_could_cut_the_credential_in_two_leaves(name):
    assert name not in dict(sent(((name, b"x"),), declared=frozenset({name.lower()})).headers)


def test_a_condition_for_a_change_is_kept_though_its_answer_is_masked():
    """Without it a PUT that must only create would overwrite."""
    asked = RequestHead("PUT", "/things", ((b"If-None-Match", b"*"), (b"If-Match", b"x")))
    put = Operation("things", "PUT", {}, "PUT", "api.example:443", "/things")
    head = upstream_head(asked, put, CREDENTIAL, token=TOKEN, declared=frozenset(), masked=True)
    assert set(asked.headers) < set(head.headers)


@pytest.mark.parametrize("name", [b"Content-Encoding", b"content-range"])
def test_a_body_that_would_be_misread_without_its_field_is_known(name):
    assert misread(((name, b"x"),), frozenset())
    assert not misread(((name, b"x"),), frozenset({name.lower()}))


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("a.example:443", b"a.example"),
        ("a.example:8443", b"a.example:8443"),
        ("[2001:db8::1]:443", b"[2001:db8::1]"),
    ],
)
def test_the_host_is_the_targets_authority(authority, host):
    operation = Operation("things", "GET", {}, "GET", authority, "/")
    asked = RequestHead("GET", "/", ())
    head = upstream_head(
        asked, operation, CREDENTIAL, token=TOKEN, declared=frozenset(), masked=False
    )
    assert dict(head.headers)[b"Host"] == host


# --- which request it is


def named(*own, declared=frozenset()):
    """The User-Agent that leaves, where the agent's own are these."""
    head = sent(tuple((b"user-agent", each) for each in own), declared=declared)
    (value,) = [value for name, value in head.headers if name.lower() == b"user-agent"]
    return value


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ((), b"jitgate/x-17"),
        ((b"",), b"jitgate/x-17"),
        ((b"sdk/1.0 (linux; x)",), b"sdk/1.0 (linux; x) jitgate/x-17"),
        ((b"sdk/1.0", b"app/2"), b"sdk/1.0 app/2 jitgate/x-17"),
        ((b"jitgate/x-18",), b"jitgate/x-17"),
        ((b"sdk/1.0 (JitGate/x-18) app/2",), b"sdk/1.0 app/2 jitgate/x-17"),
        ((b"sdk/1.0 jitgjitgate/ate/x-18\tx",), b"sdk/1.0 x jitgate/x-17"),
        ((b"a" * 5000,), b"a" * AGENT_NAMED + b" jitgate/x-17"),
    ],
)
def test_the_token_ends_the_user_agent_and_the_agents_own_has_none(own, left):
    assert named(*own) == left


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [b"jit", b"Gate", b"jitgate", b"/", b"jitgate/", b" ", b"\t", b"(", b"x"]
            )
        ).map(b"".join)
    )
)
def test_no_agent_writes_a_token(own):
    value = named(*own)
    assert value.lower().count(b"jitgate/") == 1
    assert value.endswith(b"jitgate/x-17")


@pytest.mark.parametrize("declared", [frozenset(), frozenset({b"x-okta-user-agent-extended"})])
@pytest.mark.parametrize(
    ("own", "left"),
    [
        (b"isDPoP:true", b"isDPoP:true"),
        (b"sdk  1", b"sdk  1"),
        (b"a jitgate/x-18  JitGate/m-9,b c", b"a c"),
        (b"jitgate/x-18", b""),
    ],
)
def test_no_agent_writes_a_token_in_the_field_beside_the_user_agent(own, left, declared):
    for name in (b"X-Okta-User-Agent-Extended", b"x-okta-user-agent-extended"):
        head = sent(((name, own), (b"Accept", b"jitgate/x-18")), declared=declared)
        assert dict(head.headers)[name] == left
        assert (b"Accept", b"jitgate/x-18") in head.headers


def test_no_declaration_and_no_connection_takes_the_token_away():
    assert named(b"sdk", declared=frozenset({b"user-agent"})) == b"sdk jitgate/x-17"
    head = sent(((b"Connection", b"User-Agent"), (b"User-Agent", b"sdk")))
    assert dict(head.headers)[b"User-Agent"] == b"jitgate/x-17"


def test_each_request_of_an_exchange_has_a_token_of_its_own():
    tokens = [user_agent_token("x-17", number) for number in (1, 2, 3)]
    assert tokens == ["jitgate/x-17", "jitgate/x-17.2", "jitgate/x-17.3"]


# --- back to the agent


def star(fields):
    return LiteralMasker([SECRET]).hide_in_fields(fields)


def answered(*headers, rewritten=False):
    answer = ResponseHead(200, headers, 10)
    return agent_head(answer, length=10, rewritten=rewritten, hide=star).headers


@pytest.mark.parametrize(
    "name", [b"Set-Cookie", b"sEt-cookie2", b"Alt-Svc", b"Content-Length", *HOP_BY_HOP]
)
def test_what_is_not_for_agents_does_not_reach_them(name):
    assert answered((name, b"x"), (b"X-Kept", b"y")) == ((b"X-Kept", b"y"),)


def test_what_connection_names_does_not_reach_the_agent():
    assert answered((b"Connection", b"X-Gone, close"), (b"X-Gone", b"y")) == ()


def test_an_echo_of_the_credential_is_hidden_in_values_and_in_names():
    ((name, value),) = answered((b"X-" + SECRET, b"Bearer " + SECRET))
    assert SECRET not in name
    assert SECRET not in value


def test_an_echo_in_a_trailer_is_hidden_in_values_and_in_names():
    ((name, value),) = agent_trailers(((b"X-" + SECRET, SECRET),), star)
    assert SECRET not in name
    assert SECRET not in value


VOUCHING = [
    b"ETag",
    b"Content-MD5",
    b"Digest",
    b"Repr-Digest",
    b"Content-Digest",
    b"x-amz-checksum-sha256",
    b"x-goog-hash",
    b"x-ms-content-md5",
    b"X-Checksum-Sha256",
    b"X-Content-SHA256",
    b"Signature",
    b"Signature-Input",
]


@pytest.mark.parametrize("name", VOUCHING)
def test_what_vouches_for_the_targets_body_is_dropped_where_it_was_rewritten(name):
    assert answered((name, b"x"), rewritten=True) == ()
    assert answered((name, b"x")) == ((name, b"x"),)
    assert agent_trailers(((name, b"x"),), star) == ()


@given(
    fields,
    st.lists(
        st.tuples(st.booleans(), st.frozensets(names.map(bytes.lower), max_size=2)), max_size=5
    ),
)
def test_fields_that_come_again_are_sent_as_they_would_be_the_first_time(headers, asked):
    """What was asked of them before, with other things given, says nothing of what leaves now."""
    again = Fields(headers)
    again.come_again()
    for masked, declared in asked:
        given = {"masked": masked, "declared": declared}
        assert sent(again, **given) == sent(headers, **given)


def test_what_cuts_is_dropped_though_the_same_fields_passed_before():
    again = Fields([(b"If-None-Match", b"x")])
    again.come_again()
    assert (b"If-None-Match", b"x") in sent(again).headers
    assert (b"If-None-Match", b"x") not in sent(again, masked=True).headers
