"""DetectorMasker: what it finds, what it leaves, and that its signs miss nothing of it."""

import base64
import json
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from jitgate.core.json_masking import JsonMasker
from jitgate.core.json_search import HAS_HYPERSCAN, MOST, Search
from jitgate.core.pausing import steps
from jitgate.interfaces import IStatedMasker
from jitgate.maskers.cards import is_checked
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.kinds import KINDS, SECRETS
from jitgate.values import How, Span

VECTORS = Path(__file__).parents[1] / "vectors/detectors"
READ = {name: json.loads((VECTORS / f"{name}.json").read_text("utf-8")) for name in KINDS}
FOUND = [
    (name, before, "".join(secret), after)
    for name, cases in READ.items()
    for before, secret, after in map(dict.values, cases["found"])
]
LEFT = [(name, "".join(parts)) for name, cases in READ.items() for parts in cases["left"]]
SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

masker = cache(lambda *names: DetectorMasker("mine", names))


@cache
def looks(name, portable):
    return Search([(0, sign) for sign in KINDS[name].signs], portable=portable)


def signed(name, token):
    """Whether a sign of that kind fits, which both ways of searching agree on."""
    ways = [True, False] if HAS_HYPERSCAN else [True]
    (told,) = {looks(name, portable).find(token.encode()) != [] for portable in ways}
    return told


def test_it_provides_its_port():
    made = DetectorMasker("mine", ["jwt"], How.LAST4)
    assert verifyObject(IStatedMasker, made)
    assert (made.name, made.how, made.looks_at_values) == ("mine", How.LAST4, True)
    assert not made.hides("password")
    assert (made.names, made.paths, made.signs) == ((), (), KINDS["jwt"].signs)


def test_every_kind_has_vectors():
    assert {each.stem for each in VECTORS.glob("*.json")} == set(KINDS)


@pytest.mark.parametrize(("name", "before", "secret", "after"), FOUND)
def test_exactly_the_secret_is_found(name, before, secret, after):
    text = before + secret + after
    (span,) = masker(name).spans(text)
    assert text[span.begin : span.end] == secret
    assert span.what == name
    assert masker(name).mask("any", text) == f"{before}{'*' * 16}{after}"


@pytest.mark.parametrize(("name", "text"), LEFT)
def test_what_is_none_is_left(name, text):
    assert masker(name).spans(text) == ()
    assert masker(name).mask("any", text) is None


@pytest.mark.parametrize(("name", "before", "secret", "after"), FOUND)
def test_two_in_one_text_are_both_found(name, before, secret, after):
    one = f"{before}{secret}{after}"
    spans = masker(name).spans(f"{one}\n{one}")
    hidden = "".join(f"{one}\n{one}"[span.begin : span.end] for span in spans)
    if secret.startswith("-----BEGIN") and "END" not in secret:
        assert len(spans) == 1  # what is cut goes on to the end of the text
    else:
        assert hidden == secret * 2


def test_nothing_that_okta_publishes_is_taken_for_a_secret():
    """Its examples with digits, but for the five of API tokens, which were all found."""
    look = masker(*SECRETS, "payment-card")
    values = (VECTORS / "okta-examples.txt").read_text("utf-8").splitlines()
    assert len(values) > 2000
    assert [value for value in values if look.spans(value)] == []


# --- the signs


def written(text, slashes):
    r"""A string of JSON without \u; ``slashes`` says which of its slashes have an escape."""
    choice = iter(slashes)
    return '"{}"'.format(
        "".join("\\/" if each == "/" and next(choice) else SHORT.get(each, each) for each in text)
    )


@pytest.mark.parametrize(("name", "before", "secret", "after"), FOUND)
def test_a_sign_fits_however_a_text_is_written(name, before, secret, after):
    text = before + secret + after
    count = text.count("/")
    ways = [
        [False] * count,
        [True] * count,
        *([at == one for at in range(count)] for one in range(count)),
    ]
    for slashes in ways:
        assert json.loads(written(text, slashes)) == text
        assert signed(name, written(text, slashes))


def test_a_sign_fits_a_bare_number_at_the_end_of_all():
    assert signed("payment-card", "4111111111111111")


ODD = st.sampled_from(list('/"\\\n\t\b.@:-_ =+%eyJ0140aZé€\u3002\U0001f600'))


@st.composite
def changed(draw, name):
    """A secret of that kind in a text, of which some characters may be others."""
    text = list("".join(draw(st.sampled_from([case for case in FOUND if case[0] == name]))[1:]))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 1))] = draw(st.lists(ODD, max_size=2))
    around = st.lists(ODD, max_size=4)
    return "".join([*draw(around), *text, *draw(around)])


@settings(max_examples=400)
@given(name=st.sampled_from([*KINDS]), data=st.data())
def test_no_sign_misses_what_is_found(name, data):
    text = data.draw(changed(name))
    found = list(KINDS[name].find(text.encode()))
    event("found" if found else "none")
    if found:
        count = text.count("/")
        slashes = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
        token = written(text, slashes)
        assert json.loads(token) == text
        assert signed(name, token)


@given(
    st.sampled_from(["", " ", "\n", "\t", "\r\n"]),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
    st.booleans(),
)
def test_a_token_is_found_whatever_its_header_begins_with(space, header, ascii_alone):
    told = json.dumps(header | {"alg": "none"}, ensure_ascii=ascii_alone).replace(
        "{", "{" + space, 1
    )
    coded = base64.urlsafe_b64encode(told.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    token = f"{coded}.e30.c2ln"
    assert masker("jwt").spans(f"({token})") == (Span(1, len(token) + 1, "jwt"),)
    assert signed("jwt", f'"{token}"')


@given(case=st.sampled_from(FOUND), data=st.data())
def test_the_engine_hides_it_however_it_is_written(case, data):
    name, before, secret, after = case
    text = before + secret + after
    token = "".join(data.draw(st.sampled_from(_ways(each))) for each in text)
    body = f'{{"a":["{token}"]}}'.encode()
    assert json.loads(body) == {"a": [text]}
    engine = JsonMasker([masker(name)])
    shown = json.loads(engine.feed(body) + engine.finish())
    assert shown == {"a": [f"{before}{'*' * 16}{after}"]}
    assert engine.counts == {f"mine/{name}": 1}


def _ways(character):
    halves = character.encode("utf-16-be").hex()
    digits = "".join(f"\\u{halves[at : at + 4]}" for at in range(0, len(halves), 4))
    if character == "/":
        return ["/", "\\/", digits]
    return [SHORT.get(character, character), digits]


# --- several kinds, and odd texts


def test_what_overlaps_is_hidden_as_one_by_the_first_kind():
    """What the one leaves of the other would tell a part of it."""
    address = "postgres://u:p4ss" + "w0rd@example.com"
    assert masker("e-mail", "url-password").spans(address) == (Span(13, 33, "e-mail"),)
    assert masker("url-password", "e-mail").spans(address) == (Span(13, 33, "url-password"),)


def test_a_token_for_a_github_app_is_hidden_whole_whatever_kind_comes_first():
    (text,) = [case[2] for case in FOUND if case[0] == "github-token" and case[1] == "app: "]
    for names in (("jwt", "github-token"), ("github-token", "jwt")):
        assert masker(*names).spans(text) == (Span(0, len(text), names[0]),)


def test_what_is_no_utf_8_lets_others_have_their_turn_and_moves_no_place():
    token = "eyJhbGciOiJub25lIn0.e30."
    value = "\udcff" * 100_000 + f" {token} " + "\udcff"
    masker, spans = DetectorMasker("d", ["jwt"]), []
    turns = len([*steps(lambda: spans.extend(masker.spans(value)))])
    assert [value[span.begin : span.end] for span in spans] == [token]
    assert turns > 10


def test_places_are_characters_and_not_bytes():
    (span,) = masker("payment-card").spans("\U0001f600\ud800é 4111111111111111 é")
    assert span == Span(4, 20, "payment-card")


def test_a_number_that_is_a_cards_is_hidden():
    engine = JsonMasker([masker("payment-card")])
    assert engine.feed(b'{"a":4111111111111111,"b":4111111111111112}') == (
        b'{"a":0,"b":4111111111111112}'
    )


def test_a_digit_that_is_wrong_makes_no_check():
    assert is_checked(b"4111111111111111")
    changed = [
        b"4111111111111111"[:at] + b"%d" % digit + b"4111111111111111"[at + 1 :]
        for at in range(16)
        for digit in range(10)
        if digit != b"4111111111111111"[at] - 48
    ]
    assert not any(map(is_checked, changed))


def test_a_header_may_begin_at_so_many_places_that_it_is_hidden_unread():
    text = "eyJ" * 40 + ".a.b"
    assert [span[:2] for span in masker("jwt").spans(text)] == [(48, len(text))]


def test_a_secret_among_more_finds_than_are_told_is_found():
    (token,) = {case[2] for case in FOUND if case[0] == "okta-token" and len(case[2]) == 42}
    text = "0" * (MOST + 100) + f" {token} 4111111111111111"
    spans = masker("payment-card", "okta-token").spans(text)
    assert [span.what for span in spans] == ["okta-token", "payment-card"]


@pytest.mark.parametrize(
    "piece",
    [
        *("4 ", "4444 ", "444-", "4", "41 11 11 11 11 11 11 11 ", "eyJ", "eyJaaaaaaaaaaaaa."),
        *("a@b.c", "aa@", "a@b.c-----", "é@é.é ", '"@', "-----BEGIN PRIVATE KEY-----", "00"),
        *(
            "Bearer ",
            "a://b:",
            "xoxb-",
            "hooks.slack.com/",
            "secretaccesskey",
            "gh" + "p_",
            "ssws ",
        ),
    ],
)
def test_no_text_takes_long(piece):
    """A hundred thousand characters that begin one after the other: work grows as they do."""
    text, begun = piece * (100_000 // len(piece)), time.process_time()
    masker(*KINDS).spans(text)
    assert time.process_time() - begun < 1


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="no detector 'jwts' is known; did you mean 'jwt'\\?"):
        DetectorMasker("mine", ["jwts"])
    with pytest.raises(ValueError, match="there are private-key, jwt, "):
        DetectorMasker("mine", ["zzz"])


def test_a_version_tells_what_is_looked_for_and_how_it_is_hidden():
    versions = [
        DetectorMasker("one", ["jwt"]).version,
        DetectorMasker("two", ["jwt"]).version,
        DetectorMasker("one", ["jwt", "bearer"]).version,
        DetectorMasker("one", ["jwt"], How.LAST4).version,
    ]
    assert versions[0] == versions[1]
    assert len({*versions}) == 3
