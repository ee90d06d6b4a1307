"""Names that hold a secret: it is neither shown in them nor told by where something stood."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masking import FOUND, VALUE, Detector, cut, cuts, hiding, names, whole

from jitgate.core.events import EventMasker
from jitgate.core.forms import FormMasker
from jitgate.core.hiding import Hand
from jitgate.core.json_masking import JsonMasker
from jitgate.core.known_names import keep_known
from jitgate.core.literals import LiteralMasker
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Chain, Maskers
from jitgate.core.media import masked, masker_of
from jitgate.core.texts import TextMasker
from jitgate.errors import ResponseDenied
from jitgate.maskers.known import LiteralsMasker
from jitgate.values import How

FORMS = [
    f"{FOUND}={VALUE}",
    f"a={FOUND}&{quote(FOUND)}[secret]={VALUE}",
    f"secret[{FOUND}]={VALUE}",
    f"a;{FOUND}=1;secret[{FOUND}]={VALUE}",
    quote(json.dumps({"secret": VALUE, "n": FOUND})) + f"={FOUND}",
    "x;" + quote(json.dumps({"secret": VALUE})) + f"={FOUND}",
]


def all_of(transformer, data):
    return transformer.feed(data) + transformer.finish()


@pytest.mark.parametrize("form", FORMS)
def test_no_name_of_a_form_shows_or_tells_it(form):
    maskers = hiding()
    shown = all_of(FormMasker(maskers), form.encode()).decode()
    told = f"{maskers.hand.hits}"
    assert maskers.hand.hits
    assert FOUND not in shown + told
    assert VALUE not in told


@pytest.mark.parametrize(
    "event",
    [
        f"{FOUND}: 1\n\n",
        f"{FOUND}-secret: {VALUE}\n\n",
        f"id: {FOUND}\n{FOUND}: {FOUND}\n\n",
    ],
)
def test_no_name_in_an_event_shows_or_tells_it(event):
    maskers = hiding()
    shown = all_of(EventMasker(maskers), event.encode()).decode()
    told = f"{maskers.hand.hits}"
    assert maskers.hand.hits
    for each in (FOUND, VALUE):
        assert each not in shown + told


def test_no_name_in_a_field_is_told():
    maskers = hiding()
    field = (b"location", f"https://a.example/?secret[{FOUND}]={VALUE}&{FOUND}=1".encode())
    ((_, shown),) = MaskedFields(maskers).shown((field,))
    told = f"{maskers.hand.hits}"
    assert [hit.rule for hit in maskers.hand.hits] == ["names", "detector/key", "detector/key"]
    for each in (FOUND, VALUE):
        assert each not in shown.decode() + told


PATHS = st.text(st.sampled_from("a'\"\\\n/\u00e9\u4e2d\ud800.[ "), min_size=3, max_size=12)


@given(PATHS, st.text(max_size=4), st.text(max_size=4))
def test_no_path_tells_a_literal_however_it_is_written(literal, before, after):
    secret = literal.encode("utf-8", "surrogatepass")
    maskers = hiding(names())
    maskers.hand.path_told = LiteralMasker([secret]).hide_in_path
    body = json.dumps({f"{before}{literal}{after}": {"secret": 1}}).encode()
    all_of(JsonMasker(maskers.asked.maskers, maskers.hand), body)
    (hit,) = maskers.hand.hits
    if "\ud800" not in literal:
        plain = hit.path.replace("\\'", "'").replace("\\n", "\n").replace("\\\\", "\\")
        assert literal not in plain
    assert hit.path.encode("utf-8")
    assert hit.path.startswith("$['")


@pytest.mark.parametrize(
    ("kind", "body", "path"),
    [
        (JsonMasker, rb'{"a\ud800":{"secret":1}}', r"$['a\ud800']['secret']"),
        (JsonMasker, rb'{"a":"{\"\\udfff\":{\"secret\":1}}"}', r"$['a']:$['\udfff']['secret']"),
        (FormMasker, b"a%FF[secret]=1", r"field a\udcff[secret]"),
        (FormMasker, rb'%FF={"\ud800":{"secret":1}}', r"field \udcff $['\ud800']['secret']"),
        (EventMasker, b'data: {"\\ud800":{"secret":1}}\n\n', r"event 1 $['\ud800']['secret']"),
        (TextMasker, b'{"\\ud800":{"secret":1}}', r"$['\ud800']['secret']"),
    ],
)
def test_a_path_has_the_escape_of_what_is_no_character(kind, body, path):
    maskers = hiding()
    masker = kind(maskers) if kind is not JsonMasker else kind(maskers.asked.maskers, maskers.hand)
    all_of(masker, body)
    assert [hit.path for hit in maskers.hand.hits] == [path]
    assert path.encode("utf-8")


def test_a_name_is_looked_at_by_a_detector_alone_as_well():
    maskers = hiding(Detector())
    assert all_of(FormMasker(maskers), f"{FOUND}=1".encode()) == b"*" * 16 + b"=1"
    assert [hit.path for hit in maskers.hand.hits] == ["field " + "*" * 16]


KNOWN = "Kn0wn/" + "secret-123"
JSON = ((b"Content-Type", b"application/json"),)


@given(cuts, st.sampled_from([How.REPLACE, How.LAST4, How.HASH, How.DROP]))
def test_a_known_secret_is_no_name_of_a_member(places, how):
    maskers = hiding(LiteralsMasker("l", [KNOWN.encode()], how), names())
    keep_known(maskers, LiteralMasker(()))
    body = json.dumps({KNOWN: {"secret": 1}, "a": [{f"x{KNOWN}": KNOWN}, 1.5], "b": "control"})
    for gathered in (False, True):
        masker = masker_of(JSON, maskers, Chain(()), gathered=gathered)
        shown = whole(masker, cut(body.replace("/", "\\/").encode(), places))
        told = f"{maskers.hand.hits}"
        for each in (KNOWN, KNOWN.replace("/", "\\/")):
            assert each not in shown.decode() + told
        assert b"control" in shown
    assert maskers.hand.counts == {"l/literal": 6, "names": 2}


def test_what_is_told_is_without_what_those_before_knew_as_well():
    first = hiding(LiteralsMasker("l", [KNOWN.encode()]), names())
    keep_known(first, LiteralMasker(()))
    all_of(masker_of(JSON, first, Chain(())), json.dumps({KNOWN: {"secret": 1}}).encode())
    keep_known(Maskers((LiteralsMasker("m", [b"another-one"]),), first.hand), LiteralMasker(()))
    assert first.hand.hits
    assert KNOWN not in f"{first.hand.hits}"


def test_a_response_with_a_known_secret_as_a_name_is_denied():
    maskers = hiding(LiteralsMasker("l", [KNOWN.encode()], How.DENY))
    masker = masker_of(JSON, maskers, Chain(()), gathered=True)
    with pytest.raises(ResponseDenied):
        all_of(masker, json.dumps({KNOWN: 1}).encode())


def test_people_are_shown_stars_for_it():
    maskers = Maskers((LiteralsMasker("l", [KNOWN.encode()], How.DENY),), Hand(openly=True))
    assert masked(JSON, json.dumps({KNOWN: 1}).encode(), maskers) == b'{"%b": 1}' % (
        b"*" * len(KNOWN)
    )
