"""Streams of events: what a client makes of them is masked, and each goes once it is whole."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.masking import FOUND, KEY, VALUE, Detector, cut, cuts, hiding, names, whole

from jitgate.core import events
from jitgate.core.events import EventMasker
from jitgate.errors import MaskingFault, ResponseDenied
from jitgate.maskers.detectors import DetectorMasker
from jitgate.values import How

STARS = "*" * 16
ENDINGS = ["\n", "\r", "\r\n"]


def shown(text, *maskers, places=()):
    return whole(EventMasker(hiding(*maskers)), cut(text.encode(), places)).decode()


def read(text):
    """The events that a client makes of a stream, by the rules of WHATWG HTML, 9.2.6."""
    found, data, kind = [], [], ""
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append((kind, "\n".join(data)))
            data, kind = [], ""
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
    return found


def left(text):
    """The lines of what is no event yet where a stream ends."""
    *ended, rest = re.split("\r\n|\r|\n", text)
    blank = max((number for number, line in enumerate(ended) if not line), default=-1)
    return [*ended[blank + 1 :], rest]


LINES = [
    "data: " + json.dumps({"client_secret": VALUE, "n": 1.50}),
    'data: {"secret":',
    'data:  ["hunter2",',
    "data: 2]}",
    f"data: see {FOUND}",
    "data",
    "data:",
    "data:plain",
    ": comment",
    f": {FOUND}",
    "event: made",
    f"id: {FOUND}",
    "retry: 10",
    "",
    "",
]


@given(
    st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDINGS)), max_size=14),
    st.booleans(),
    cuts,
)
def test_a_client_sees_the_same_events_but_for_what_is_hidden(lines, ended, places):
    text = "".join(line + ending for line, ending in lines) + ("" if ended else ": rest")
    try:
        masked = shown(text, places=places)
    except MaskingFault:
        assert any(re.match(r'data: +[{\["]', line) for line in left(text))
        return
    assert masked == shown(text)
    assert FOUND not in masked
    assert VALUE not in masked
    before, after = read(text), read(masked)
    assert [kind for kind, _ in after] == [kind for kind, _ in before]
    for (_, was), (_, now) in zip(before, after, strict=True):
        if not re.search("secret|key-", was):
            assert now == was
    if not re.search("secret|key-", text):
        assert masked == text


@given(st.text(st.characters(exclude_categories=["Cs"])), cuts)
def test_what_holds_nothing_stays_whatever_it_is(text, places):
    assume(not re.search(r'[\r\n][ \t\ufeff]*[{\["]', text))  # which is withheld: see below
    assert shown(f": {text}", places=places) == f": {text}"


@pytest.mark.parametrize(
    ("rest", "left"),
    [
        ('data: {"secret":"hunter2"', f'data: {{"secret":"{STARS}"'),
        ('data: {"secret":"hunter2",\n', f'data: {{"secret":"{STARS}",\n'),
        ('data: {\ndata: "secret":"hunter2"\n', f'data: {{\ndata: "secret":"{STARS}"\n'),
        ('data: {"secret":\ndata: "hunt', 'data: {"secret":\ndata: '),
        ('data: {"secret":[\ndata: "hunter2",\ndata: 1', 'data: {"secret":\n'),
        ('id: 1\ndata: {"a":1}\ndata: {"secret":"hu', 'id: 1\ndata: {"a":1}\ndata: {"secret":'),
        ('data: [1, "x', "data: [1, "),
    ],
)
def test_json_that_is_cut_off_with_its_event_is_hidden_in_as_ever(rest, left):
    masker = EventMasker(hiding())
    assert masker.feed(f'data: {{"a":1}}\n\n{rest}'.encode()) == b'data: {"a":1}\n\n'
    assert masker.finish().decode() == left


CUT = [
    f'data: {{"a":[1, "x {FOUND} y"],"secret":"hunter2", "b":{{"secret":["hunter2"]}}}}\n\n',
    f'data: {{"a":\ndata: "{FOUND}",\ndata: "secret":\ndata: ["hunter2",\ndata: 1]}}\n\n',
    f'id: 1\ndata: [1]\ndata: {{"secret":"hunter2","a":"{FOUND}"}}\n\n',
]


@pytest.mark.parametrize("text", CUT)
@pytest.mark.parametrize("maskers", [(), (names(),)])
def test_wherever_an_event_of_json_is_cut_off_nothing_is_left_of_what_is_hidden(text, maskers):
    for end in range(len(text)):
        shown_so_far = shown(text[:end], *maskers)
        assert "hu" not in shown_so_far
        if not maskers:
            assert FOUND[:3] not in shown_so_far


@pytest.mark.parametrize("rest", ['data: {"a":1}', 'data: {"a":1}\ndata: [2]\n', "data: x\n: c"])
def test_an_event_that_has_not_ended_is_shown_if_it_is_whole_json_or_text(rest):
    assert shown(rest) == rest


BARE = [
    '{"secret":"x"}',
    '\n\n[1,\n{"secret":\n"x"}]',
    ": c\n{\n",
    ' \t"secret\\n"',
    '\ufeff{"a":1}',
]


@pytest.mark.parametrize("text", [*BARE, json.dumps({"secret": "x"}, indent=2)])
@pytest.mark.parametrize("before", ["", "data: {}\n\n", ": c\n\nid: 1\ndata: {}\r\r", "data: {}\n"])
def test_json_that_is_called_events_is_withheld_wherever_it_stands(before, text):
    for places in ((), range(0, 60, 3)):
        with pytest.raises(MaskingFault, match="seems to be JSON"):
            shown(f"{before}{text}\n\n", names(), places=places)


VECTORS = [
    # from the section on interpreting an event stream
    ("data: YHOO\ndata: +2\ndata: 10\n\n", None),
    (
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        None,
    ),
    ("data\n\ndata\ndata\n\ndata:", None),
    ("data:test\n\ndata: test\n\n", None),
    # JSON: in a line, over lines, a text for each line
    ('data: {"secret":"a"}\r\n\r\n', f'data: {{"secret":"{STARS}"}}\r\n\r\n'),
    ('data:{"secret":\ndata:"a"}\n\n', f'data:{{"secret":\ndata:"{STARS}"}}\n\n'),
    (
        'event: x\ndata: {"secret": {"a":\n: between\ndata: 1,\nid: 7\ndata: "b": 2}, "c": 3}\n\n',
        'event: x\ndata: {"secret": {}, "c": 3}\n: between\nid: 7\n\n',
    ),
    (
        'data: {"secret":1}\ndata:\ndata: {"secret":"b"}\n\n',
        f'data: {{"secret":0}}\ndata:\ndata: {{"secret":"{STARS}"}}\n\n',
    ),
    ('data: "' + FOUND + '"\n\n', f'data: "{STARS}"\n\n'),
    # what is none
    (f"data: {FOUND}\ndata: x\n\n", f"data: {STARS}\ndata: x\n\n"),
    ("data: " + KEY.replace("\n", "\ndata: ") + "\nid: 1\n\n", f"data: {STARS}\nid: 1\n\n"),
    ("data: [DONE]\n\n", None),
    # fields that nobody knows
    ("client_secret: a\nSecret\n\n", f"client_secret: {STARS}\nSecret\n\n"),
    (f"x: {FOUND}\n{FOUND}\n\n", f"x: {STARS}\n{STARS}\n\n"),
]


@pytest.mark.parametrize(("text", "masked"), VECTORS)
def test_vectors(text, masked):
    for every in (1, 2, 3, len(text)):
        assert shown(text, places=range(0, len(text), every)) == (masked or text)


IN_KEYS = [
    "{}",
    "12",
    "null",
    '"a"',
    "[]",
    '{"secret":"x"}',
    "HuSh",
    "",
    '{"a":"-----BEGIN PRIVATE KEY-----"}',
]


@given(
    st.lists(st.sampled_from(IN_KEYS), max_size=6), st.lists(st.sampled_from(IN_KEYS), max_size=3)
)
def test_no_line_of_a_key_is_cut_out_that_is_json_by_itself(within, after):
    private = DetectorMasker("d", ["private-key"])
    begin, *_, end = KEY.split("\n")
    lines = ['{"b":1}', begin, *within, "HuSh", end, *after]
    masked = shown("".join(f"data: {line}\n" for line in lines) + "\n", names(), private)
    ((_, data),) = read(masked)
    assert data.startswith(f'{{"b":1}}\n{STARS}')
    assert data.count("HuSh") == after.count("HuSh")
    assert '"x"' not in data


def test_json_behind_a_key_without_an_end_is_masked_where_nobody_looks_for_keys():
    for before in ("-----BEGIN PRIVATE" + " KEY-----", '{"a":"-----BEGIN PRIVATE KEY-----"}', "a"):
        masked = shown(f'data: {before}\ndata: {{"secret":"x"}}\n\n')
        assert masked == f'data: {before}\ndata: {{"secret":"{STARS}"}}\n\n'


@pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\r\n", "\n\r\n"])
def test_an_event_goes_at_once_and_as_one(end):
    masker = EventMasker(hiding())
    text = f"data: {FOUND}{end}"
    came = [masker.feed(text[at : at + 1].encode()) for at in range(len(text))]
    assert b"".join(came).decode() == text.replace(FOUND, STARS)
    assert came.index(next(filter(None, came))) >= len(text) - 2
    assert masker.feed(b"data: x") == b""


def test_it_is_told_in_which_event_a_value_was():
    maskers = hiding()
    text = f': c\n\ndata: 1\n\nid: {FOUND}\ndata: {{"a":{{"secret":1}}}}\n\ndata: {FOUND}\n\n'
    whole(EventMasker(maskers), [text.encode()])
    found = {(hit.path, hit.rule) for hit in maskers.hand.hits}
    assert found == {
        ("event 2 id", "detector/key"),
        ("event 2 $['a']['secret']", "names"),
        ("event 3", "detector/key"),
    }


def test_text_at_which_nobody_looks_is_withheld():
    assert shown('event: a\ndata: {"secret":1}\n\n', names()) == 'event: a\ndata: {"secret":0}\n\n'
    with pytest.raises(MaskingFault, match="no detector"):
        shown("data: plain\n\n", names())


def test_an_event_that_may_not_go_ends_the_stream_before_any_of_it():
    masker = EventMasker(hiding(Detector(How.DENY)))
    assert masker.feed(b"data: 1\n\ndata: ") == b"data: 1\n\n"
    with pytest.raises(ResponseDenied):
        masker.feed(f"{FOUND}\n\n".encode())


def test_an_event_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(events, "LONGEST", 100)
    masker = EventMasker(hiding())
    for _ in range(9):
        masker.feed(b"data: 12345678901234567890\n\n")
    masker.feed(b"data: 12345678901234567890\ndata: ")
    with pytest.raises(MaskingFault, match="more than 100"):
        masker.feed(b"x" * 100)


@pytest.mark.parametrize("data", [b"data: \xff\n\n", b"data: \xc3", b"\xed\xa0\x80\n\n"])
def test_what_is_not_utf_8_is_withheld(data):
    with pytest.raises(MaskingFault, match="UTF-8"):
        whole(EventMasker(hiding()), [data])
