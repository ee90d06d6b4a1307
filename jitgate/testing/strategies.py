"""Hypothesis strategies for what policy is asked: every kind of call, by every kind of agent."""

from __future__ import annotations

from hypothesis import strategies as st

from jitgate.values import METHODS, Inquiry, Operation, Risk, Subject

_odd = st.sampled_from(
    ["", " ", ".", "..", "*", "0", "None", "a/b", "%2e", "\n", "\x00", "Zoë", "\U0001d7d8"]
)
_words = st.sampled_from(["userId", "a", "it-agents", "00u1"]) | _odd.filter(bool)
_names = st.sampled_from(["createUser", "deleteUser", "listUsers", "GET", "POST"]) | _words
_texts = st.dictionaries(_words, _words | _odd | st.text(max_size=5), max_size=2)

_paths = st.lists(st.sampled_from(["v1", "users", "00u1", "a.b", "~", "-"]), max_size=4).map(
    lambda segments: "/" + "/".join(segments)
)
"""Canonical, as every path is by the time that anybody looks at it."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
"""Anything that JSON can hold."""

_json: list[object] = [None, True, False, 0, -1.5, "yes", [], [1], {}]
_facts = st.dictionaries(_words, st.sampled_from(_json), max_size=2)

any_text = st.text(st.characters(exclude_categories=()), max_size=200)
"""Any text, halves of surrogate pairs too: JSON can hold them."""


def operations(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Operation]:
    """Calls of every kind; ``fields`` say more of some of what they hold."""
    every: dict[str, st.SearchStrategy[object]] = {
        "target": st.sampled_from(["okta", "things", "jitgate.internal"]) | _words,
        "action": _names,
        "resource": _texts,
        "method": st.sampled_from(sorted(METHODS)),
        "authority": st.just("api.example:443"),
        "path": _paths,
        "query": st.sampled_from(["", "q=1", "activate=true&x"]),
        "scopes": st.lists(_words, max_size=2).map(tuple),
        "risk": st.none() | st.sampled_from(Risk),
        "parameters": _texts,
        "json": st.booleans(),
    }
    return st.builds(Operation, **every | fields)


def subjects(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Subject]:
    """Agents of every kind."""
    every: dict[str, st.SearchStrategy[object]] = {
        "issuer": st.sampled_from(["https://idp.example", "https://other.example"]),
        "id": _words,
        "groups": st.frozensets(st.sampled_from(["it-agents", "admins"]) | _words, max_size=3),
        "expires_at": st.floats(0, 2**33),
        "humans": st.lists(_words, max_size=2).map(tuple),
        "session": st.none() | _words,
        "agent": st.none() | _words,
    }
    return st.builds(Subject, **every | fields)


def inquiries(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Inquiry]:
    """What policy is asked, with and without a body, and with odd facts."""
    bodies = st.sampled_from([b"", b"{}", b"[]", b"{", b"\xff", b'{"a":{"b":[1]}}'])
    every: dict[str, st.SearchStrategy[object]] = {
        "operation": operations(),
        "subject": subjects(),
        "now": st.floats(0, 2**33),
        "body": st.none() | bodies | st.binary(max_size=100),
        "is_json": st.booleans(),
        "facts": st.just({}) | st.dictionaries(_words, _facts, max_size=2),
    }
    return st.builds(Inquiry, **every | fields)
