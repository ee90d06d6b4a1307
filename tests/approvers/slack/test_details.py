import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from support.access import access_request, ask, operation, subject
from support.slack_hostile import requests, texts
from support.slack_html import view
from support.slack_limits import check_view, every_part

from jitgate.approvers.slack.about import PAGES, About, version_of
from jitgate.approvers.slack.details import details_view
from jitgate.approvers.slack.text import body_text, one_line
from jitgate.core.columns import columns_of
from jitgate.values import Shown, Terms

LABELS = (
    "request",
    "agent",
    "as",
    "says",
    "for",
    "session",
    "target",
    "operation",
    "resource",
    "looked up",
    "parameter",
    "rule",
    "because",
    "fingerprint",
    "method",
    "URL",
    "field",
    "body",
    "no body",
)
MARKS = ("  ↪ ", "│ ", "┆ ")


def with_body(body, length=None):
    length = len(body.encode("utf-8", "replace")) if length is None else length
    return access_request("ar-1", ask(shown=Shown("https://api.example/", (), body, length)))


def all_pages(request, names):
    first = details_view(request, names)
    told = first["blocks"][0]["elements"][0]["elements"][0]["text"]
    pages = int(told.split(" of ")[1].split(".")[0])
    return [details_view(request, names, page) for page in range(pages)]


def lines_of(views):
    boxes = [
        each
        for made in views
        for each in every_part(made["blocks"])
        if each.get("type") == "rich_text_preformatted"
    ]
    return [line for box in boxes for line in box["elements"][0]["text"].split("\n")]


def body_of(lines):
    """The body's lines as they were before they were wrapped."""
    body = []
    for line in lines:
        if line.startswith("│ "):
            body.append(line.removeprefix("│ "))
        elif line.startswith("┆ "):
            body[-1] += line.removeprefix("┆ ")
    return body


@settings(max_examples=20)
@given(requests())
def test_whatever_others_wrote_slack_takes_each_page_and_nothing_of_it_stands_at_the_left_edge(
    request,
):
    views = all_pages(request, dict.fromkeys(request.ask.operation.resource, "<!channel>\nrule"))
    for made in views:
        check_view(made)
        view(made)
    for line in lines_of(views):
        assert (
            not line or line.startswith(MARKS) or line[:12].strip() in LABELS or line == "no body"
        )
        assert columns_of(line) <= 60 + 20
        assert line.isprintable()


@given(texts)
def test_all_of_a_body_is_there(body):
    assert body_of(lines_of(all_pages(with_body(body, 1), {}))) == body_text(body)


@given(texts)
def test_all_of_a_value_is_there(value):
    request = access_request("ar-1", ask(shown=Shown(value)))
    lines = lines_of(all_pages(request, {}))
    begin = next(number for number, line in enumerate(lines) if line.startswith("URL"))
    told = lines[begin].removeprefix("URL".ljust(12))
    for line in lines[begin + 1 :]:
        if not line.startswith("  ↪ "):
            break
        told += line.removeprefix("  ↪ ")
    assert told.partition("   ⚠ ")[0] == one_line(value)


@pytest.mark.parametrize("piece", ["a", "\u202e", "😀", '"', '{"a": [1, 2]},', "j\u0430ne "])
def test_a_long_body_is_told_in_pages_that_slack_takes_and_nothing_of_it_is_missing(piece):
    size = 1 << (20 if piece == "a" else 17)
    body = piece * (size // len(piece.encode()))
    views = all_pages(with_body(body), {})
    for made in views:
        check_view(made)
    assert body_of(lines_of(views)) == body_text(body)
    told = views[1]["blocks"][0]["elements"][0]["elements"][0]["text"]
    assert told.startswith(f"Page 2 of {len(views)}. Body: ")
    assert told.endswith(f"({len(body.encode()):,} bytes). What is secret is masked.")


def test_json_that_nests_without_end_is_not_laid_out_to_a_thousand_times_its_size():
    body = "[" * 900 + ",".join("1" * 100_000) + "]" * 900
    assert sum(map(len, body_text(body))) < 9 * len(body)


def test_pages_lead_to_each_other_and_say_which_request_they_are_about():
    request = with_body("a" * 100_000)
    version = version_of(request, {})
    made = details_view(request, {}, 2)
    assert About.read(made["private_metadata"]) == About("ar-1", version, 2)
    leads = {
        each["action_id"]: About.read(each["value"]).page for each in made["blocks"][-1]["elements"]
    }
    last = len(all_pages(request, {})) - 1
    assert leads == dict(zip(PAGES, (0, 1, 3, last), strict=True))


@pytest.mark.parametrize("page", [0, 5, 10**9])
def test_a_page_that_is_not_there_is_the_last_one(page):
    made = details_view(with_body("short"), {}, page)
    assert About.read(made["private_metadata"]).page == 0
    assert made["blocks"][-1]["type"] == "rich_text"


def test_it_tells_all_that_there_is_to_a_request():
    request = access_request(
        "ar-1",
        ask(
            subject=subject(agent="copilot", humans=("jane@acme.com",)),
            operation=operation(parameters={"password": "hunter2", "sendEmail": "true"}),
        ),
    )
    told = "\n".join(lines_of([details_view(request, {"userId": "max@acme.com"})]))
    for line in (
        "agent       copilot",
        "as          bot-7",
        "says        https://idp.example",
        "for         jane@acme.com",
        "session     run-1",
        "target      things",
        "operation   deactivateUser",
        "resource    userId 1",
        "looked up   userId max@acme.com",
        "parameter   password ***",
        "parameter   sendEmail true",
        "rule        people-changes-need-a-human",
        "because     Changes to people are looked at by IT",
        "fingerprint fingerprint of ar-1"[:11],
        "method      POST",
        "field       Content-Type: application/json",
        "body        15 bytes",
        '│   "why": "left"',
    ):
        assert line in told
    assert "hunter2" not in json.dumps(details_view(request, {}))


def test_a_body_that_nobody_can_show_says_so():
    told = lines_of([details_view(with_body(None, 1 << 20), {})])
    assert told[-3].startswith("body        1.0 MiB that cannot be shown, since what is ")
    assert told[-1].startswith("  ↪ ")
    assert lines_of([details_view(with_body(None, 0), {})])[-1] == "no body"
    ahead = with_body(None, 0)
    ahead = replace(ahead, ask=replace(ahead.ask, terms=Terms((), ahead=True)))
    assert lines_of([details_view(ahead, {})])[-1].endswith("any may come")
