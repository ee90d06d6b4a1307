"""Forms: what is hidden by its name, in whatever way that is written, or for what it is."""

from __future__ import annotations

import time
from functools import partial
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masking import FOUND, VALUE, Detector, cut, cuts, hiding, names, whole

from jitgate.core import forms
from jitgate.core.forms import SLICE, FormMasker, decoded, encoded
from jitgate.core.pausing import steps
from jitgate.errors import MaskingFault, ResponseDenied
from jitgate.maskers.paths import PathMasker
from jitgate.values import How

STARS = "*" * 16


def shown(text, *maskers, places=()):
    return whole(FormMasker(hiding(*maskers)), cut(text.encode(), places)).decode()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "client_secret", "Secret", "b[secret]", "\u4e2d", "c d"]),
            st.sampled_from([VALUE, FOUND, f"x {FOUND} y", "plain", "", "\u4e2d&="]),
        ),
        max_size=8,
    ),
    cuts,
)
def test_a_form_is_read_by_others_as_it_was_but_for_what_is_hidden(pairs, places):
    def expected(name, value):
        return STARS if "ecret" in name else value.replace(FOUND, STARS)

    pairs = [
        (name, "id" if value == VALUE and "ecret" not in name else value) for name, value in pairs
    ]
    masked = shown(urlencode(pairs), places=places)
    assert parse_qsl(masked, keep_blank_values=True) == [
        (name, expected(name, value)) for name, value in pairs
    ]
    assert VALUE not in masked
    assert FOUND not in masked


@given(st.text(st.sampled_from("ab&;=%+2Fz[].")), cuts)
def test_what_holds_nothing_stays_as_it_is_written(text, places):
    assert shown(f"a{text}", places=places) == f"a{text}"


SEMICOLONS = [
    # one value, by WHATWG URL; two pairs to others; what is shown is decoded here
    ("a=1&secret=p4ss;hush", f"a=1&secret={STARS}"),
    ("secret=p4ss;a=hush&b=1", f"secret={STARS}&b=1"),
    ("a=1;secret=hush;x&b=2;c", f"a=1;secret={STARS}&b=2;c"),
    ("a;secret=hush", f"a;secret={STARS}"),
    ('d={"n":"a;b","secret":"hush"}&x=1', f'd={{"n":"a;b","secret":"{STARS}"}}&x=1'),
    ('d={"n":"a;secret=b","c":"hush"}', f'd={{"n":"a;secret={STARS}'),
    ('d={"secret":"hush"};e={"secret":1};f', f'd={{"secret":"{STARS}"}};e={{"secret":0}};f'),
    (f'd={{"secret":"hush"}};e={FOUND};x', f'd={{"secret":"{STARS}"}};e={STARS};x'),
    (f"{FOUND};{FOUND}=a;b={FOUND}", f"{STARS};{STARS}=a;b={STARS}"),
]


@pytest.mark.parametrize(("form", "masked"), SEMICOLONS)
def test_what_holds_semicolons_is_one_value_and_pairs_as_well(form, masked):
    for places in ((), range(len(form))):
        assert unquote(shown(form, places=places)) == masked


@given(
    st.lists(st.sampled_from(["a", "secret=x", "b=1", ";", ";", "&", "=", "%3B"]), max_size=8).map(
        "".join
    ),
    cuts,
)
def test_whoever_reads_a_form_finds_nothing_hidden_in_it(text, places):
    masked = shown(f"a{text}", places=places)
    for separator in "&;":
        for name, value in parse_qsl(masked.replace(";", separator), keep_blank_values=False):
            assert not name.endswith("secret") or value == STARS


@pytest.mark.parametrize("text", ['{"a":"&","secret":"x"}', ' [{"secret":"x"}]'])
def test_json_that_is_called_a_form_is_withheld(text):
    with pytest.raises(MaskingFault, match="seems to be JSON"):
        shown(text)


@pytest.mark.parametrize(
    ("form", "masked"),
    [
        ("%73ecret=hunter2&b=1", f"%73ecret={STARS}&b=1"),
        ("a=1;secret=hunter2", f"a=1;secret={STARS}"),
        ("user%5Bsecret%5D=hunter2", f"user%5Bsecret%5D={STARS}"),
        ("user.secret=hunter2", f"user.secret={STARS}"),
        ("a=%7b%22secret%22%3a%22hunter2%22%7d", "a=" + quote(f'{{"secret":"{STARS}"}}', safe="*")),
        (f"a=%ff+{FOUND}", f"a=%FF+{STARS}"),
        ("a=" + "".join(f"%{ord(each):02x}" for each in FOUND), f"a={STARS}"),
        (f"{FOUND}", STARS),
        ("secret", "secret"),
        ("secret=", f"secret={STARS}"),
        ("&&a", "&&a"),
    ],
)
def test_however_it_is_written(form, masked):
    assert shown(form) == masked


@pytest.mark.parametrize(
    ("how", "masked"),
    [
        (How.DROP, "a=1&b=2"),
        (How.LAST4, f"a=1&secret={'*' * 12}{VALUE[-4:]}&b=2&secret={STARS}"),
    ],
)
def test_it_is_shown_as_the_profile_says(how, masked):
    assert shown(f"a=1&secret={VALUE}&b=2&secret=short", names(how)) == masked


def test_a_dropped_first_field_leaves_no_mark():
    assert shown("secret=1&a=2", names(How.DROP)) == "a=2"


@pytest.mark.parametrize(("form", "who"), [("secret=1", names), (f"a={FOUND}", Detector)])
def test_it_is_denied_where_the_profile_says_so(form, who):
    with pytest.raises(ResponseDenied):
        shown(form, who(How.DENY))


def test_it_is_told_which_field_it_was():
    maskers = hiding()
    whole(FormMasker(maskers), [f"secret=1&a={FOUND}".encode()])
    assert [hit.path for hit in maskers.hand.hits] == ["field secret", "field a"]


def test_a_field_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(forms, "LONGEST", 100)
    masker = FormMasker(hiding())
    masker.feed(b"a=" + b"x" * 90)
    with pytest.raises(MaskingFault, match="more than"):
        masker.feed(b"x" * 9)


def test_many_semicolons_take_no_longer_than_other_text():
    begun = time.process_time()
    shown("a=" + ";b=" * 100_000)
    assert time.process_time() - begun < 5.0


@pytest.mark.parametrize(
    ("path", "form", "masked"),
    [
        ("$.access_token", "access_token=hush&scope=a", f"access_token={STARS}&scope=a"),
        ("$.access_token", "a=1;access%5Ftoken=hush;x&b=2", f"a=1;access%5Ftoken={STARS}&b=2"),
        ("$['a b']", "a+b=hush", f"a+b={STARS}"),
        (
            "$..pin",
            "pin=hush&user[pin]=hush&a.b.pin=hush&pins=1",
            f"pin={STARS}&user[pin]={STARS}&a.b.pin={STARS}&pins=1",
        ),
        (
            "$.user.pin",
            "user[pin]=hush&user.pin[x]=hush&pin=1&user=2",
            f"user[pin]={STARS}&user.pin[x]={STARS}&pin=1&user=2",
        ),
        ("$['user.pin']", "user.pin=hush&user[pin]=1", f"user.pin={STARS}&user[pin]=1"),
        (
            "$.users[*].pin",
            "users[0][pin]=hush&users[][pin]=hush&users[0][id]=1",
            f"users[0][pin]={STARS}&users[][pin]={STARS}&users[0][id]=1",
        ),
        (
            "$.users[1].pin",
            "users[0][pin]=1&users[1][pin]=hush&users[][pin]=hush",
            f"users[0][pin]=1&users[1][pin]={STARS}&users[][pin]={STARS}",
        ),
        ("$.*", "a=hush", f"a={STARS}"),
    ],
)
def test_a_form_is_an_object_that_paths_lead_into(path, form, masked):
    assert shown(form, PathMasker("p", [path])) == masked


@pytest.mark.parametrize("by", [names(), PathMasker("p", ["$..secret"])], ids=["name", "path"])
@pytest.mark.parametrize("deep", [1, 16, forms.MOST_PARTS - 2])
def test_a_name_counts_however_many_it_stands_in(by, deep):
    for name in (
        "a" + "[b]" * deep + "[secret]",
        "a" + ".b" * deep + ".secret",
        "a" + "[b]" * deep + "[secret][c]",
    ):
        if name.count("b") + 3 - name.endswith("secret]") <= forms.MOST_PARTS:
            assert shown(f"{name}=hush", by) == f"{name}={STARS}"


@pytest.mark.parametrize("by", [names(), PathMasker("p", ["$..secret"])], ids=["name", "path"])
def test_a_name_of_too_many_parts_is_withheld(by):
    with pytest.raises(MaskingFault, match="more than 64 parts"):
        shown("a" + "[b]" * forms.MOST_PARTS + "=hush", by)


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize(
    "escape", ["%40", "%c3%A9", "%", "%4", "%%41", "+", "a", "\u00e9", "%25%32%35"]
)
def test_what_is_decoded_in_slices_is_what_is_decoded_at_once(escape, before):
    written = "a" * (SLICE - before) + escape * SLICE
    plain = decoded(written.encode())
    assert plain == unquote_plus(written, errors="surrogateescape")
    assert encoded(plain) == quote_plus(plain, safe="*", errors="surrogateescape").encode()


def test_between_two_slices_others_have_their_turn():
    assert len([*steps(partial(decoded, b"%40" * SLICE))]) == 2
    assert len([*steps(partial(encoded, "@" * 3 * SLICE))]) == 3
    assert decoded(b"%40" * SLICE) == "@" * SLICE
