"""`jitgate export`: its arguments, its answers, and that nothing in a report is a record's markup."""

import argparse
import json
import re
import shutil
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cli.test_audit import HOSTILE
from cli.test_timeline import TOLD
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html
from stores.site import KEY, START, Site, crash
from stores.test_writers import Crew
from vectors.recording import make as vector

from jitgate.cli import export, exporting
from jitgate.cli.markup import element, lines, page
from jitgate.core.note import Signer
from jitgate.values import Body, Entry

VECTOR = Path(vector.__file__).parent
RECORDINGS = VECTOR / "recordings"
WITH_KEY = ["--key", VECTOR / "site.vkey"]
CHECKPOINT = ["--checkpoint", VECTOR / "checkpoint.note"]
ATTACK = "</pre></style><script>alert(1)</script><img src=//evil.example onerror=x>\"'&" + HOSTILE
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div", "table",
        "thead", "tbody", "tr", "th", "td", "pre"}  # fmt: skip


class Done:
    def __init__(self, code, captured):
        self.code, self.out, self.err = code, captured.out, captured.err


@pytest.fixture
def jitgate(capsys):
    parser = argparse.ArgumentParser()
    export.register(parser.add_subparsers(required=True))

    def run(*arguments):
        options = parser.parse_args(["export", *map(str, arguments)])
        return Done(options.handler(options), capsys.readouterr())

    return run


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(RECORDINGS, tmp_path / "copy"))


# --- arguments


@pytest.mark.parametrize("form", [["har", "run-1"], ["ocsf"], ["html", "run-1"]])
def test_where_there_is_nothing_to_read_that_is_said(jitgate, tmp_path, form):
    told = jitgate(*form, tmp_path)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"There is no recording in {tmp_path}.\n"
    assert "Give the PATH of a recording" in jitgate(*form).err


@pytest.mark.parametrize("form", ["har", "html"])
def test_a_session_that_is_not_there_is_said(jitgate, form):
    told = jitgate(form, "nobody", RECORDINGS)
    assert (told.code, told.out) == (2, "")
    assert "'nobody' in this recording: give its whole id" in told.err


@pytest.mark.parametrize("form", [["har", "run-1"], ["ocsf"], ["html", "run-1"]])
def test_a_configuration_says_where_the_recording_is_and_which_key(jitgate, tmp_path, form):
    folder = Path(shutil.copytree(Path(__file__).parents[2] / "etc", tmp_path / "etc"))
    shutil.rmtree(folder / "var", ignore_errors=True)
    shutil.copytree(RECORDINGS, folder / "var" / "recordings")
    shutil.copy(VECTOR / "site.vkey", folder / "var" / "site.vkey")
    told = jitgate(*form, "--config", folder / "jitgate.yaml")
    assert (told.code, told.err) == (0, "")


# --- HAR


def test_a_body_that_was_changed_is_not_exported_and_that_is_told(jitgate, copy):
    path = copy / "logs" / vector.FIRST / "000000000000.bodies"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    told = jitgate("har", "run-1", copy)
    assert told.code == 2
    assert told.err == "Bodies that are on record and cannot be read: 1.\n"
    assert "bob@example.com" not in told.out
    assert len(json.loads(told.out)["log"]["entries"]) == 3


def test_one_name_under_two_subjects_is_two_pages(jitgate):
    log = json.loads(jitgate("har", "run-1", RECORDINGS).out)["log"]
    assert [each["title"] for each in log["pages"]] == ["run-1", "run-1"]
    assert {each["pageref"] for each in log["entries"]} == {"session_1"}


def test_one_exchange_is_exported_alone(jitgate):
    log = json.loads(jitgate("har", "ex-3", RECORDINGS).out)["log"]
    assert [each["_jitgate"]["exchange"] for each in log["entries"]] == ["ex-3"]


# --- OCSF


def test_every_exchange_is_a_line_by_log_and_end(jitgate):
    told = jitgate("ocsf", RECORDINGS)
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [each["metadata"]["uid"] for each in events] == ["ex-1", "ex-2", "ex-3"]
    assert [each["status"] for each in events] == ["Success", "Unknown", "Failure"]


def test_it_goes_on_after_the_last_line_that_is_there(jitgate):
    first, second, third = jitgate("ocsf", RECORDINGS).out.splitlines()
    for line, rest in ((first, [second, third]), (third, [])):
        place = json.loads(line)["metadata"]
        after = f"{place['log_name']}:{place['sequence']}"
        assert jitgate("ocsf", RECORDINGS, "--after", after).out.splitlines() == rest
    told = jitgate("ocsf", RECORDINGS, "--after", "x")
    assert (told.code, told.err) == (2, "'x' is no LOG:SEQ.\n")


def test_it_goes_on_in_each_of_the_logs_that_one_run_writes_at_once(jitgate, tmp_path):
    crew = Crew(tmp_path / "recordings")
    done = {"session": "s", "status": 200, "outcome": "completed"}
    for log in (crew.run, crew.worker(1), crew.worker(2)):
        for _ in range(2):
            log.append(
                [Entry("outcome", START, {"exchange": f"x-{next(crew.site._clock)}", **done})]
            )
    every = jitgate("ocsf", crew.site.folder).out.splitlines()

    def told_after(*lines):
        places = [json.loads(line)["metadata"] for line in lines]
        after = [f"--after={place['log_name']}:{place['sequence']}" for place in places]
        return jitgate("ocsf", crew.site.folder, *after).out.splitlines()

    assert told_after(every[3]) == [*every[:2], *every[4:]]  # how far the others are is not known
    assert told_after(every[0], every[3], every[4]) == [every[1], every[5]]
    crash(crew.run)
    crew.site.run().append([Entry("outcome", START, {"exchange": "x", **done})])
    assert told_after(jitgate("ocsf", crew.site.folder).out.splitlines()[-1]) == []


def test_it_follows_until_it_is_interrupted(jitgate, tmp_path, monkeypatch):
    site = Site(tmp_path / "recordings")
    run = site.run()
    done = {"exchange": "x-2", "session": "s", "status": 200, "outcome": "completed"}
    steps = [lambda: run.append([Entry("outcome", START, done)]), run.checkpoint]

    def wait(_seconds):
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(exporting.time, "sleep", wait)
    told = jitgate("ocsf", site.folder, "--follow")
    run.close()
    assert told.code == 0
    assert [json.loads(line)["metadata"]["uid"] for line in told.out.splitlines()] == ["x-2"]


# --- the report


def text_of(written):
    return " ".join(lxml_html.document_fromstring(written).text_content().split())


def test_a_report_tells_what_happened_and_what_was_verified(jitgate):
    told = jitgate("html", "run-1", RECORDINGS, *WITH_KEY, *CHECKPOINT)
    assert (told.code, told.err) == (0, "")
    said = text_of(told.out)
    key = (VECTOR / "site.vkey").read_text().strip()
    for wanted in (
        "Verified: every entry and every body is as it was written.",
        f"public key {key}".replace("public key ", "public key"),
        f"checkpoint{VECTOR / 'checkpoint.note'}",
        "so an older copy in the place of the recording would be seen too",
        "listUsers: GET https://org.example/api/v1/users",
        "PERMIT by the rule readers: Reading is fine",
        "masked: names 1",
        "Content-Type: application/json",
        '"login": "bob@example.com"',
        "DENY by the rule no-admin-grants: Roles are granted by people",
        "Nobody was asked.",
    ):
        assert wanted in said


def test_a_report_has_the_head_of_what_was_asked_and_of_what_came_back(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    asked = {"bytes": 0, "headers": [["X-Asked", "yes"]]}
    told = {"exchange": "ex-1", "session": "s", "request": asked}
    records = site.run()
    records.append([Entry("outcome", START, {**told, "response": {"headers": [["X-Got", "no"]]}})])
    records.close()
    said = text_of(jitgate("html", "s", site.folder).out)
    assert "request head:X-Asked: yesresponse head:X-Got: no" in said


def test_a_report_says_what_its_verification_cannot_see(jitgate, copy):
    beside = jitgate("html", "run-1", RECORDINGS, *WITH_KEY)
    assert beside.code == 0
    assert "is an older copy of itself" in text_of(beside.out)
    without = jitgate("html", "run-1", RECORDINGS)
    assert without.code == 2
    assert "NOT VERIFIED: no public key was given." in text_of(without.out)
    assert "Verified:" not in text_of(without.out)
    older = ["--checkpoint", RECORDINGS / "checkpoints" / "000000000004.note"]
    behind = jitgate("html", "run-1", RECORDINGS, *WITH_KEY, *older)
    assert behind.code == 2
    assert "Some of what is not yet witnessed may be this session's." in text_of(behind.out)
    shutil.copy(VECTOR / "site.vkey", copy / "site.vkey")
    assert jitgate("html", "run-1", copy).code == 2  # the recording's own key is none


def test_a_report_of_a_changed_recording_says_so_first(jitgate, copy):
    path = copy / "logs" / vector.FIRST / "000000000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Reading is fine", b"Reading is nice"))
    told = jitgate("html", "run-1", copy, *WITH_KEY, *CHECKPOINT)
    assert told.code == 1
    said = text_of(told.out)
    assert "TAMPERED: the recording is not what was written and signed." in said
    assert said.index("TAMPERED") < said.index("Who")
    assert f"logs/{vector.FIRST}/000000000000.jsonl" in said


def test_who_approved_and_why_stands_there(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    run = site.run()
    run.append([Entry(kind, START, fields) for kind, fields, _ in TOLD])
    run.close()
    said = text_of(jitgate("html", "run-1", site.folder).out)
    assert "alice@acme.comapprovesokclideactivateUser (a-1)" in said
    assert "bob@acme.comapproves: counts no longerThey are deactivated." in said
    for kind, _, told in TOLD:
        assert (" ".join(told[0].split()) in said) is (not kind.endswith(".refused"))


def test_one_exchange_is_reported_with_those_who_let_it_pass_in_an_earlier_session(
    jitgate, tmp_path
):
    site = Site(tmp_path / "recordings")
    run = site.run()
    of_people = {kind: fields for kind, fields, _ in TOLD}
    late = {"session": "run-2", "exchange": "x-9"}
    decided = {
        "subject": of_people["access.opened"]["subject"],
        "effect": "review",
        "rule": "people",
    }
    spent = {**late, "access_request": "a-1", "grant": "g-1", "approved_by": ["alice@acme.com"]}
    answered = of_people["access.answered"] | {"approves": True, "reason": "He left"}
    other = {"session": "run-2", "exchange": "x-8", "reason": "Not this one"}
    run.append(
        [
            Entry("access.opened", START, of_people["access.opened"]),
            Entry("access.answered", START + 1, answered),
            Entry("decision", START + 2, other | decided),
            Entry("decision", START + 3, late | decided),
            Entry("grant.spent", START + 4, spent),
            Entry("grant.spent", START + 4, spent | {"exchange": "x-8"}),
            Entry("outcome", START + 5, late | {"status": 200, "outcome": "completed"}),
        ]
    )
    run.close()
    said = text_of(jitgate("html", "x-9", site.folder).out)
    assert "Exchange x-9" in said
    assert "review by people; approved by alice@acme.com" in said
    assert "alice@acme.comapprovesHe leftclideactivateUser (a-1)" in said
    assert "x-8" not in said
    assert "Not this one" not in said


@pytest.fixture
def hostile(tmp_path):
    """A recording in which everything that an agent, a target or a person chooses is an attack."""
    site = Site(tmp_path / "recordings")
    run = site.run()
    common = {"session": ATTACK, "exchange": ATTACK, "access_request": ATTACK}
    subject = dict.fromkeys(("issuer", "id"), ATTACK) | {"groups": [ATTACK], "humans": [ATTACK]}
    decided = {"subject": subject, "effect": ATTACK, "rule": ATTACK, "reason": ATTACK}
    operation = dict.fromkeys(("target", "action", "method", "url", "risk"), ATTACK)
    bodies = {
        "request": Body(ATTACK.encode(), len(ATTACK.encode()), complete=True),
        "response": Body(json.dumps([ATTACK]).encode(), 99, complete=False),
        ATTACK: Body(b"\xff<script>", 9, complete=True),
    }
    fields = {ATTACK: ATTACK, "approver": ATTACK, "channel": ATTACK, "why": ATTACK, **decided}
    run.append(
        [
            Entry("decision", START, common | decided | {"operation": operation}),
            Entry("access.opened", START, common | decided | {"operation": operation}),
            Entry("access.answered", START, common | fields),
            Entry("outcome", START, common | {
                "status": 200, "outcome": ATTACK, "why": ATTACK, "masks": {ATTACK: ATTACK},
                "response": {"headers": [[ATTACK, ATTACK]]},
            }, bodies),
            Entry(ATTACK, START, common | fields),
        ]
    )  # fmt: skip
    run.close()
    (tmp_path / "site.vkey").write_text(Signer("jitgate/test", KEY).verifier.text)
    return site.folder


def test_nothing_of_a_record_is_markup_or_obeyed(jitgate, hostile):
    told = jitgate("html", ATTACK, hostile, "--key", hostile.parent / "site.vkey")
    assert (told.code, told.err) == (0, "")
    assert told.out.count("alert(1)") > 20
    only_ours(told.out)


def only_ours(written):
    """A page has only the elements and attributes that are ours, and no character that is obeyed."""
    assert all(each.isprintable() for each in written.split("\n"))
    root = lxml_html.document_fromstring(written)
    assert {each.tag for each in root.iter()} <= TAGS
    allowed = re.compile(r"(entry|verdict|when|name|calls|people|facts|yes|no|wait| )+")
    for each in root.iter():
        if each.tag in ("html", "meta"):
            continue
        assert set(each.attrib) <= {"class"}
        assert allowed.fullmatch(each.get("class", " ") or " ")


def test_a_report_runs_nothing_and_asks_for_nothing(jitgate):
    root = lxml_html.document_fromstring(jitgate("html", "run-1", RECORDINGS).out)
    (policy,) = root.xpath('//meta[@http-equiv="Content-Security-Policy"]/@content')
    (style,) = root.xpath("//style/text()")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in style
    assert "@import" not in style
    assert "unicode-bidi: bidi-override" in style


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_on_a_page_is_text(text, more):
    written = "".join(page(text, [element("p", text, kind="name"), lines(more)]))
    only_ours(written)
    (shown,) = lxml_html.document_fromstring(written).xpath("//p")
    assert len(shown) == 0


@pytest.mark.parametrize("form", ["har", "ocsf"])
def test_what_lands_in_a_terminal_is_not_obeyed(jitgate, hostile, form):
    told = jitgate(form, *([ATTACK] if form == "har" else []), hostile)
    assert told.code == 0
    assert told.out.isascii()
    assert all(line.isprintable() for line in told.out.split("\n"))


def test_a_long_body_is_cut_and_said_to_be(jitgate, tmp_path):
    site = Site(tmp_path / "recordings")
    run = site.run()
    data = json.dumps({"long": "x" * 9000, "many": list(range(1000))}).encode()
    fields = {"exchange": "x", "session": "s"}
    body = {"response": Body(data, len(data), complete=True)}
    run.append([Entry("outcome", START, fields, body)])
    run.close()
    said = text_of(jitgate("html", "s", site.folder).out)
    assert "more characters" in said
    assert "605 more lines: jitgate show run-1:1" in said
