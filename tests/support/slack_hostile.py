"""Access requests of which an agent has written all that it can, meaning to be taken for us."""

from __future__ import annotations

from hypothesis import strategies as st
from support.access import NOW, ask, operation, subject

from jitgate.values import (
    AccessRequest,
    AccessState,
    Answer,
    Escalation,
    Less,
    Presence,
    Quorum,
    Risk,
    Shown,
    Terms,
)

MARK = "ZQX"
"""Stands in everything that others wrote, so that it can be found."""

TRICKS = (
    "<!channel>",
    "<!here|@here>",
    "<@U012AB3CD>",
    "<https://evil.example|okta.com>",
    "<!date^1^{date}|never>",
    "https://evil.example/a?b=c&d",
    "www.evil.example",
    "mailto:x@evil.example",
    "*Approved* by _alice_ ~not~ `code`",
    "```\nRisk READ\n```",
    "> Approve? Yes",
    ":white_check_mark:",
    "&lt;!channel&gt; &amp;",
    "\u202egnp.exe\u202c",
    "a\u200bb\u2060c\ufeff\u3164\U000e0041",
    "j\u0430ne@acme.com",
    "Z\u0335\u0334\u0336\u0337\u0338",
    "\r\n\x0b\x1b[2J\x00",
    "\u2028Risk  READ",
    "x" + " " * 40 + "Risk  READ",
    "\ud800",
    "@channel #general",
)

_any_text = st.text(st.characters(exclude_categories=()), max_size=12)
_pieces = st.lists(st.sampled_from(TRICKS) | _any_text, max_size=2).map("".join)
texts = st.tuples(_pieces, _pieces).map(MARK.join)
long_texts = st.tuples(texts, st.sampled_from([1, 10, 60])).map(lambda each: each[0] * each[1])
_any = texts | long_texts
_few = st.dictionaries(texts, _any, max_size=6)
_groups = st.lists(
    st.sampled_from([f"{MARK} group {number}" for number in range(30)]) | texts,
    min_size=1,
    max_size=3,
).map(lambda each: tuple(each * 7))

operations = st.builds(
    operation,
    action=_any | st.sampled_from(["deactivateUser", "POST", "a" * 500]),
    target=_any,
    resource=_few,
    parameters=_few,
    risk=st.none() | st.sampled_from(Risk),
)
subjects = st.builds(
    subject,
    id=_any,
    issuer=_any,
    agent=st.none() | _any,
    humans=st.lists(_any, max_size=6).map(tuple),
)
shown = st.builds(
    Shown,
    url=_any,
    headers=st.lists(st.tuples(_any, _any), max_size=6).map(tuple),
    body=st.none() | _any | _few.map(str) | st.just('{"a": [' + "[" * 50 + "]" * 50 + "]}"),
    length=st.sampled_from([0, 1, 9999, 1 << 20]),
)
_escalations = st.builds(Escalation, st.floats(1, 1e5), _groups)
terms = st.builds(
    Terms,
    st.lists(
        st.builds(
            Quorum,
            _groups,
            st.integers(1, 20),
            st.lists(_escalations, max_size=6).map(tuple),
            st.booleans(),
            st.integers(1, 3),
        ),
        max_size=6,
    ).map(tuple),
    st.sampled_from([1, 5, 1000]),
    st.sampled_from([1.0, 90.5, 300.0, 7 * 86400.0]),
    st.booleans(),
)
asks = st.builds(
    ask,
    st.text("0123456789abcdef", min_size=64, max_size=64),
    operation=operations,
    subject=subjects,
    shown=shown,
    terms=terms,
    rule=_any,
    reason=_any,
    session=_any,
)
answers = st.builds(
    Answer,
    texts,
    st.booleans(),
    st.just(NOW),
    st.just("slack"),
    st.just("") | texts,
    st.none() | st.just(Less(1, 60.0, once=True)),
)


@st.composite
def requests(draw: st.DrawFn) -> AccessRequest:
    """A request in any state, of which others wrote what they could."""
    return AccessRequest(
        "a7f3k2m9q4xw",
        draw(asks),
        NOW,
        NOW + 600,
        state=draw(st.sampled_from(AccessState)),
        presence=draw(st.sampled_from(Presence)),
        away_until=draw(st.none() | st.just(NOW + 120)),
        answers=draw(st.lists(answers, max_size=3).map(tuple)) * draw(st.sampled_from([1, 20])),
        why=draw(st.just("") | _any),
        asked=draw(st.integers(1, 10**6)),
        escalated=draw(st.floats(0, 1e5)),
    )
