"""The shipped source of groups: all members that Okta tells, or nobody."""

from __future__ import annotations

import threading

import orjson
import pytest
from pytest_twisted import ensureDeferred
from support.counterparts import TestCA
from support.wire import Origin, answering

from jitgate.errors import OptionsInvalid, PeopleUnknown
from jitgate.shipped import shipped
from jitgate.testing import provided
from jitgate.testing.groups import GroupsContract

FILE = shipped("plugins") / "okta_groups.py"
LEADS, NOBODY, EMPTY = "00gleads0000000000001", "00gnobody000000000001", "00gempty0000000000001"
WHERE = f"/api/v1/groups/{LEADS}/users"
ALICE, BOB, CAROL = "alice@acme.com", "bob@acme.com", "carol@acme.com"


def user(email, status="ACTIVE", **profile):
    return {"id": "00u1", "status": status, "profile": {"email": email, **profile}}


def groups(org="https://acme.okta.com", **options):
    (made,) = provided(FILE, org=org, **options)
    return made


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return TestCA.create(tmp_path_factory.mktemp("org"), name="org")


class Org:
    """An org with pages of members, and who asks it."""

    def __init__(self, ca):
        self.ca = ca
        self.pages = [[user("Alice@ACME.com"), user(BOB)], [user(CAROL)]]
        self.rel = '<{url}>; rel="next"'
        self.beside = '<{url}>; rel="self"'
        self.elsewhere = None
        self.origin = Origin(ca.leaf("localhost"), self.tells)
        self.options = {}

    @property
    def url(self):
        return f"https://localhost:{self.origin.port}"

    def tells(self, request, tls):
        path, _, query = request.line.split(" ")[1].partition("?")
        group = path.split("/")[4]
        if group not in {LEADS, EMPTY}:
            return answering(b'{"errorCode":"E0000007"}', status=404)(request, tls)
        at = int(query.partition("after=")[2].partition("&")[0] or 0)
        page = self.pages[at] if group == LEADS else []
        more = group == LEADS and at + 1 < len(self.pages)
        here = self.elsewhere or f"{self.url}{path}"
        links = [self.beside.format(url=f"{here}?limit=200")]
        if more:
            links.append(self.rel.format(url=f"{here}?after={at + 1}&limit=200"))
        body, fields = orjson.dumps(page), "".join(f"Link: {each}\r\n" for each in links)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
        tls.sendall(head.encode() + body)
        return True

    def asked(self, **options):
        return groups(self.url, **{"trust": str(self.ca.pem)} | options)

    @property
    def lines(self):
        return [each.line for each in self.origin.received]


@pytest.fixture
def org(ca):
    made = Org(ca)
    with made.origin:
        yield made


class TestItsPromises(GroupsContract):
    @pytest.fixture(autouse=True)
    def asked_of(self, org):
        self.org = org

    def make(self):
        return self.org.asked()

    def others(self):
        return [self.org.asked(**each) for each in ({"deadline": "1s"}, {"attribute": "login"})]

    def group(self):
        return LEADS

    def no_group(self):
        return NOBODY

    def misnamed(self):
        return "it-leads"

    def cannot_tell(self):
        return groups("https://localhost:1")


@ensureDeferred
async def test_all_pages_are_members_and_nobody_who_is_not_active(org):
    org.pages[1] += [
        user("dan@acme.com", "SUSPENDED"),
        user("eve@acme.com", "DEPROVISIONED"),
        user("frank@acme.com", None),
        {"profile": {"email": "grace@acme.com"}},
    ]
    assert await org.asked().members(LEADS) == {ALICE, BOB, CAROL}
    assert org.lines == [
        f"GET {WHERE}?limit=200 HTTP/1.1",
        f"GET {WHERE}?after=1&limit=200 HTTP/1.1",
    ]


@ensureDeferred
async def test_who_has_no_address_is_left_out(org):
    org.pages = [[user(None), user(7), user("alice"), user(ALICE), {"status": "ACTIVE"}]]
    org.pages[0].append({"status": "ACTIVE", "profile": None})
    assert await org.asked().members(LEADS) == {ALICE}


@ensureDeferred
async def test_an_empty_group_has_nobody(org):
    assert await org.asked().members(EMPTY) == set()


@ensureDeferred
async def test_another_attribute_may_say_who_somebody_is(org):
    org.pages = [[user("a@elsewhere.example", login=ALICE), user(BOB)]]
    assert await org.asked(attribute="login").members(LEADS) == {ALICE}


@ensureDeferred
async def test_the_token_is_shown_to_every_page_and_stands_nowhere_else(org, tmp_path):
    token = tmp_path / "token"
    token.write_text("SSWS a-read-only-" + "token\n")
    token.chmod(0o600)
    made = org.asked(authorization=f"file:{token}")
    await made.members(LEADS)
    shown = [each.header("Authorization") for each in org.origin.received]
    assert shown == ["SSWS a-read-only-token"] * 2
    assert "a-read-only" not in repr(vars(made))


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://acme.okta.com.evil.example/api/v1/groups/00gleads0000000000001/users",
        "https://localhost:1" + WHERE,
        "http://localhost:{port}" + WHERE,
        "https://localhost:{port}@evil.example" + WHERE,
        "https://localhost:{port}/api/v1/groups/00gnobody000000000001/users",
        "https://localhost:{port}/api/v1/users",
        "https://localhost:{port}" + WHERE + "/../../x",
        "//localhost:{port}" + WHERE,
        WHERE,
    ],
)
@ensureDeferred
async def test_no_page_is_fetched_elsewhere_and_no_token_shown_there(org, elsewhere):
    org.elsewhere = elsewhere.format(port=org.origin.port)
    with pytest.raises(PeopleUnknown, match="elsewhere"):
        await org.asked().members(LEADS)
    assert org.lines == [f"GET {WHERE}?limit=200 HTTP/1.1"]


@pytest.mark.parametrize(
    "rel",
    [
        "<{url}>; rel=next",
        '<{url}>; REL="next"',
        '<{url}>; rel="next last"',
        '<{url}>; title="more"; rel="next"',
        '<{url}>; rel="NEXT"',
        '<{url}>; rel = "next"',
        '<{url}>; rel="next", <{url}>; rel="next"',
        '{url}; rel="next"',
    ],
)
@ensureDeferred
async def test_a_next_page_that_is_not_understood_is_never_taken_for_none(org, rel):
    org.rel = rel
    with pytest.raises(PeopleUnknown):
        await org.asked().members(LEADS)


@pytest.mark.parametrize("beside", ['<{url}>; rel="self"', '<{url}&x=next>; rel="self"', "x", ""])
@ensureDeferred
async def test_another_link_is_no_page(org, beside):
    org.beside = beside
    assert await org.asked().members(LEADS) == {ALICE, BOB, CAROL}


@ensureDeferred
async def test_pages_without_end_are_not_followed_for_ever(org):
    made = org.asked()
    assert await made.members(LEADS)
    org.pages = [[user(ALICE)]] * 51
    with pytest.raises(PeopleUnknown, match="more than 10000 members"):
        await made.members(LEADS)
    assert len(org.lines) == 2 + 50


@pytest.mark.parametrize(
    "handler",
    [
        answering(b"[]", status=404),
        answering(b"[]", status=401),
        answering(b"[]", status=429),
        answering(b"[]", status=302),
        answering(b"<html>"),
        answering(b"{}"),
        answering(b'["alice@acme.com"]'),
        answering(b"[" + b" " * 5_000_000 + b"]"),
    ],
)
@ensureDeferred
async def test_what_is_no_answer_tells_nothing(org, handler):
    org.origin.handler = handler
    with pytest.raises(PeopleUnknown):
        await org.asked().members(LEADS)


@pytest.mark.parametrize("name", ["", "it-leads", "00g1/../../users", "00g1?x", "00g", "00u1", "."])
@ensureDeferred
async def test_what_is_no_id_of_a_group_asks_nothing(org, name):
    made = org.asked()
    assert "not its name" in made.misnamed(name)
    with pytest.raises(PeopleUnknown):
        await made.members(name)
    assert org.lines == []


@ensureDeferred
async def test_it_is_not_waited_for_beyond_its_deadline(org):
    hold = threading.Event()
    org.origin.handler = lambda request, tls: hold.wait(10)
    with pytest.raises(PeopleUnknown):
        await org.asked(deadline="300ms").members(LEADS)
    hold.set()


@pytest.mark.parametrize(
    "options",
    [
        {"org": "http://acme.okta.com"},
        {"org": "https://acme.okta.com/"},
        {"org": "https://acme.okta.com/api/v1"},
        {"org": "acme.okta.com"},
        {"attribute": ""},
        {"deadline": "1m"},
    ],
)
def test_what_cannot_be_meant_is_refused(options):
    with pytest.raises(OptionsInvalid):
        groups(**options)
