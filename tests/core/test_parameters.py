"""A parameter that changes what a call means has one reading, or the call is refused."""

import json
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.parameters import LARGEST_BODY, LONGEST, MOST_VALUES, completed, in_query
from jitgate.values import NotCanonical, Operation

WANTED = (("sendEmail", "false"), ("nextLogin", None))


def read(query):
    return in_query(WANTED, query)


# --- in the query


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("", {"sendEmail": "false"}),
        ("limit=2&after=x", {"sendEmail": "false"}),
        ("sendEmail=true", {"sendEmail": "true"}),
        ("sendEmail=tr%75e", {"sendEmail": "true"}),
        ("limit=2&sendEmail=true&x;y=1;z", {"sendEmail": "true"}),
        ("nextLogin=changePassword", {"sendEmail": "false", "nextLogin": "changePassword"}),
        ("nextLogin=a%20b%2Bc%c3%a9", {"sendEmail": "false", "nextLogin": "a b+cé"}),
        ("nextLogin=", {"sendEmail": "false", "nextLogin": ""}),
        ("nextLogin=a=b", {"sendEmail": "false", "nextLogin": "a=b"}),
        ("sendEmails=1&xsendEmail=1&send_email=1&q=sendEmail", {"sendEmail": "false"}),
    ],
)
def test_parameters_are_decoded_and_defaults_filled_in(query, parameters):
    assert read(query) == parameters


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("sendEmail=true&sendEmail=true", "twice"),
        ("sendEmail=false&x=1&sendEmail=true", "twice"),
        ("sendEmail=false&SENDEMAIL=true", "twice"),
        ("sendEmail=false&sendEmai%6c=true", "twice"),
        ("sendEmail=false&sendEmail[]=true", "twice"),
        ("sendEmail=true;x=1", "spelled"),
        ("x=1;sendEmail=true", "spelled"),
        ("SendEmail=true", "spelled"),
        ("send%45mail=true", "spelled"),
        ("send%2545mail=true", "spelled"),
        ("+sendEmail=true", "spelled"),
        ("sendEmail+=true", "spelled"),
        ("%20sendEmail=true", "spelled"),
        ("sendEmail%00=true", "spelled"),
        ("sendEmail[]=true", "spelled"),
        ("sendEmail%5B0%5D=true", "spelled"),
        ("%C5%BFendEmail=true", "spelled"),
        ("sendEmail", "value"),
        ("sendEmail=", "value"),
        ("sendEmail=TRUE", "value"),
        ("sendEmail=1", "value"),
        ("sendEmail=true%20", "value"),
        ("nextLogin=a+b", "value"),
        ("nextLogin=%ff", "value"),
        ("nextLogin=%c0%ae", "value"),
        ("nextLogin=a%00", "value"),
        ("nextLogin", "value"),
    ],
)
def test_what_has_another_reading_is_refused(query, word):
    answer = read(query)
    assert isinstance(answer, NotCanonical)
    assert word in answer.reason


def test_what_changes_nothing_may_be_written_as_one_likes():
    assert in_query((), "sendEmail=1;SENDEMAIL&sendEmail") == {}
    assert read("a=1&a=2&b[]=+;c") == {"sendEmail": "false"}


_PIECES = st.sampled_from(
    [
        "sendEmail",
        "SENDEMAIL",
        "send%45mail",
        "%73endEmail",
        "nextLogin",
        "x",
        "[]",
        "%5B%5D",
        "=",
        "=",
        "&",
        "&",
        ";",
        "true",
        "false",
        "1",
        "+",
        "%20",
        "%ff",
        "%2525",
        "%",
    ]
)


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_no_other_reader_of_queries_finds_another_value(query):
    """What is found agrees with readers that split by either separator, and fold names."""
    answer = read(query)
    if isinstance(answer, NotCanonical):
        return
    for separator in "&;":
        for name, value in parse_qsl(query, keep_blank_values=True, separator=separator):
            folded = name.partition("[")[0].strip().lower()
            for wanted, _ in WANTED:
                if folded == wanted.lower():
                    assert (name, value) == (wanted, answer.get(wanted)), (separator, query)


@given(st.text().filter(lambda text: text.isprintable()))
def test_a_value_is_what_was_written(value):
    assert read(f"nextLogin={quote(value, safe='')}")["nextLogin"] == value


# --- in the body

OPERATION = Operation(
    "okta",
    "assignRoleToUser",
    {"userId": "00u1"},
    "POST",
    "acme.okta.com:443",
    "/api/v1/users/00u1/roles",
    parameters={"disableNotifications": "false"},
    in_body=("type", "role"),
    json=True,
)


def with_body(body, *, is_json=True):
    return completed(OPERATION, body, is_json)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"{}", {}),
        (b' {"x": {"type": 1, "Type": 2}} ', {}),
        (b'{"type": "SUPER_ADMIN", "x": 1}', {"type": "SUPER_ADMIN"}),
        (b'{"t\\u0079pe": "\\u0053"}', {"type": "S"}),
        (b'{"type": true, "role": null}', {"type": "true", "role": "null"}),
        (b'{"type": 1.10, "role": -1E+400}', {"type": "1.10", "role": "-1E+400"}),
        (b'{"type": 123456789012345678901234567890}', {"type": "123456789012345678901234567890"}),
        (
            b'{"type": [ "a" , {"b" : 1.0, "c": [null, false]} ], "role": ""}',
            {"type": '["a",{"b":1.0,"c":[null,false]}]', "role": ""},
        ),
        ('{"type": "é\\n"}'.encode(), {"type": "é\n"}),
        ('{"type": ["é\\n"]}'.encode(), {"type": '["é\\n"]'}),
    ],
)
def test_members_of_the_body_become_parameters(body, found):
    operation = with_body(body)
    assert isinstance(operation, Operation)
    assert operation.parameters == {"disableNotifications": "false", **found}
    assert operation.action == "assignRoleToUser"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"type"',
        b"{",
        b'{"type": 1,}',
        b'{"type": 1} {}',
        b'{"type": 1, "type": 1}',
        b'{"type": 1, "t\\u0079pe": 2}',
        b'{"x": {"a": 1, "a": 2}}',
        b'{"x": [{"a": 1, "a": 2}]}',
        b'{"Type": 1}',
        b'{"type": 1, "TYPE": 2}',
        b'{"type": NaN}',
        b'{"x": Infinity}',
        b'{"x": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"type": "\xff"}',
        b'{"type": "a\nb"}',
        b'\xef\xbb\xbf{"type": 1}',
        '{"type": 1}'.encode("utf-16"),
        b"type=SUPER_ADMIN",
        b'{"type": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type": ' + b"[" * 600 + b"]" * 600 + b"}",
        b"/**/{}",
    ],
)
def test_a_body_with_another_reading_is_refused(body):
    assert isinstance(with_body(body), NotCanonical)


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": "' + b"a" * LARGEST_BODY + b'"}',
        b'{"x": [' + b",".join([b"1"] * MOST_VALUES) + b"]}",
        b'{"x": [' + b",".join([b"{}"] * (MOST_VALUES // 2)) + b"]}",
        b'{"type": "' + b"a" * (LONGEST + 1) + b'"}',
    ],
    ids=["bytes", "values", "containers", "a member"],
)
def test_a_body_that_takes_long_to_look_at_is_refused(body):
    refused = with_body(body)
    assert isinstance(refused, NotCanonical)
    assert "it may have" in refused.reason
    plain = Operation("things", "POST", {}, "POST", "a.example:443", "/things")
    assert completed(plain, body, True) is plain


def test_a_body_that_is_not_said_to_be_json_is_refused():
    assert isinstance(with_body(b'{"type": 1}', is_json=False), NotCanonical)


def test_where_the_body_has_no_parameters_it_is_not_looked_at():
    plain = Operation("things", "POST", {}, "POST", "a.example:443", "/things")
    assert completed(plain, b"{", False) is plain


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(["type", "role", "other"]), _JSON))
def test_what_was_sent_is_what_is_judged(members):
    operation = with_body(json.dumps(members).encode())
    assert isinstance(operation, Operation)
    for name in ("type", "role"):
        value = members.get(name)
        found = operation.parameters.get(name)
        if name not in members:
            assert found is None
        elif isinstance(value, str):
            assert found == value
        else:
            assert json.loads(found) == value
