"""`jitgate identity check` of assertions: as documents in any encoding, and as they are presented."""

from __future__ import annotations

import pytest
from cli.test_identity import Desk
from support.saml import AUDIENCE, ISSUER, RECIPIENT, IdpKey, SamlIdp, presented


@pytest.fixture(scope="module")
def idp(tmp_path_factory):
    with SamlIdp.start(tmp_path_factory.mktemp("idp"), IdpKey.new()) as idp:
        yield idp


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch, idp):
    made = Desk(tmp_path, capsys, monkeypatch)
    (tmp_path / "idp.xml").write_text(idp.metadata())
    made.elsewhere = {
        "name": "people",
        "type": "saml",
        "issuer": ISSUER,
        "metadata": "idp.xml",
        "audience": AUDIENCE,
        "recipient": RECIPIENT,
    }
    made.configured()
    return made


FLAGS = pytest.mark.parametrize("flags", [(), ("--saml",)], ids=["", "--saml"])


@FLAGS
def test_a_sound_one_is_accepted_as_a_document_and_as_it_is_presented(desk, idp, flags):
    for make in (str, presented):
        for end in ("", "\n"):
            told = desk.explained(make(idp.response()) + end, *flags)
            assert (told["outcome"], told["subject"]["id"]) == ("accepted", "bot-7")
            assert told["token"] == {"assertion": {"issuer": ISSUER}}


HOSTILE = {
    "a line before it": (lambda text: f"\n{text}".encode(), None),
    "space before it": (lambda text: f" \t\r\n{text}".encode(), None),
    "a mark before it": (lambda text: text.encode("utf-8-sig"), "UTF-8"),
    "UTF-16": (lambda text: text.encode("utf-16"), "UTF-8"),
    "UTF-16, the other way": (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), "UTF-8"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "UTF-8"),
    "UTF-16 without a mark, the other way": (lambda text: text.encode("utf-16-be"), "UTF-8"),
    "UTF-32": (lambda text: text.encode("utf-32"), "UTF-8"),
    "a mark, and space": (lambda text: b"\xef\xbb\xbf\n" + text.encode(), "UTF-8"),
    "other bytes in it": (lambda text: text.replace("bot-7", "\xe5").encode("latin-1"), "UTF-8"),
    "a DTD": (lambda text: f"\n<!DOCTYPE a.b>{text}".encode(), "document type"),
    "a late declaration": (lambda text: f'\n<?xml version="1.0"?>{text}'.encode(), "instruction"),
    "no XML": (lambda text: b"<.", "well-formed"),
    "too long": (lambda text: text.encode() + b" " * 70_000, "longer than 65536"),
}


@FLAGS
@pytest.mark.parametrize(("make", "why"), HOSTILE.values(), ids=HOSTILE)
def test_a_document_is_given_to_the_verifier_byte_for_byte(desk, idp, flags, make, why):
    """What is no document that is taken is refused, and nothing is mended on the way."""
    document = make(idp.response())
    told, as_presented = (
        desk.explained(token, *flags) for token in (document, presented(document))
    )
    if why is None:  # white space before a document without a declaration is no fault of it
        assert told["outcome"] == "accepted"
        return
    assert told["outcome"] == "refused"
    assert why in told["reason"]
    assert told == as_presented


@pytest.mark.parametrize("token", ["x.y.z", "a.b", "not base64!", "a", "\xe5", "\0", "."])
def test_what_is_neither_a_document_nor_base64url_is_refused(desk, token):
    told = desk.explained(token, "--saml")
    assert told["outcome"] == "refused"
    assert "it is no" in told["reason"] or "neither" in told["reason"]


def test_a_jwt_is_no_assertion_however_sound(desk):
    assert desk.explained(desk.token())["outcome"] == "accepted"
    told = desk.explained(desk.token(), "--saml")
    assert told["outcome"] == "refused"
    assert "dots" in told["reason"]
    assert told["token"] is None


@FLAGS
@pytest.mark.parametrize("word", ["Bearer ", "bearer ", "BEARER ", " Bearer  "])
def test_the_word_before_a_token_is_not_wanted(desk, idp, flags, word):
    for token in (desk.token(), presented(idp.response())):
        code, out, err = desk.check(word + token, *flags)
        assert (code, out) == (2, "")
        assert err == "The token is wanted alone, without the word Bearer that stands before it.\n"
