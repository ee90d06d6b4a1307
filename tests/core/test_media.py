"""What a response says that it is, and what looks at it then; or why it is withheld."""

from __future__ import annotations

import pytest
from support.masking import FOUND, VALUE, Detector, hiding, names, whole

from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import Chain
from jitgate.core.media import Media, bare_of, denies, masked, masker_of, media_of
from jitgate.errors import MaskingFault
from jitgate.values import How

STARS = "*" * 16
SECRET = f'{{"secret":"{VALUE}"}}'
HIDDEN = f'{{"secret":"{STARS}"}}'


def typed(*values):
    return tuple((b"Content-Type", value.encode("latin-1")) for value in values)


@pytest.mark.parametrize(
    ("written", "media"),
    [
        ("application/json", Media("application/json")),
        ("Application/JSON ; Charset=UTF-8", Media("application/json", "utf-8")),
        (' text/plain;charset="utf-16" ', Media("text/plain", "utf-16")),
        (
            'application/json;odata.metadata=minimal;charset=utf-8;x="a;b"',
            Media("application/json", "utf-8"),
        ),
        ("application/json;", Media("application/json")),
        ("text/html; charset=utf-8; CHARSET=utf-8", Media("text/html", "utf-8")),
    ],
)
def test_what_is_said(written, media):
    assert media_of(typed(written)) == media


def test_nothing_is_said():
    assert media_of(()) is None


@pytest.mark.parametrize(
    "written",
    [
        ("application/json", "application/json"),
        ("application/json, text/html",),
        ("application/json; charset=utf-8; charset=utf-16",),
        ("application/json; charset",),
        ("application/json charset=utf-8",),
        ('application/json; charset="utf-8',),
        ("json",),
        ("application/",),
        ("",),
    ],
)
def test_what_could_be_taken_for_another_is_withheld(written):
    with pytest.raises(MaskingFault, match="one way|more than one"):
        media_of(typed(*written))


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        ("application/json", SECRET, HIDDEN),
        ("application/problem+json", SECRET, HIDDEN),
        ("application/vnd.github.v3+json; charset=utf-8", SECRET, HIDDEN),
        ("text/json", SECRET, HIDDEN),
        ("application/x-ndjson", f"{SECRET}\n{SECRET}", f"{HIDDEN}\n{HIDDEN}"),
        ("application/jsonl", f"{SECRET}\n1", f"{HIDDEN}\n1"),
        ("application/stream+json", f"{SECRET}\n1", f"{HIDDEN}\n1"),
        ("application/json-seq", f"\x1e{SECRET}\n", f"\x1e{HIDDEN}\n"),
        ("application/geo+json-seq", f"\x1e{SECRET}\n", f"\x1e{HIDDEN}\n"),
        ("text/event-stream; charset=utf-8", f"data: {SECRET}\n\n", f"data: {HIDDEN}\n\n"),
        ("application/x-www-form-urlencoded", f"a=1&secret={VALUE}", f"a=1&secret={STARS}"),
        ("text/plain", f"a {FOUND}\n", f"a {STARS}\n"),
        ("text/plain; charset=iso-8859-1", f"\xe9 {FOUND}\n", f"\xe9 {STARS}\n"),
        ("text/plain", SECRET, HIDDEN),
    ],
)
def test_what_is_looked_at(kind, data, shown):
    encoding = "latin-1" if "8859" in kind else "utf-8"
    assert masked(typed(kind), data.encode(encoding), hiding()) == shown.encode(encoding)


@pytest.mark.parametrize(
    "kind",
    [
        "application/xml",
        "application/soap+xml",
        "text/html",
        "text/csv",
        "multipart/form-data; boundary=x",
        "multipart/byteranges; boundary=x",
        "image/png",
        "application/octet-stream",
        "application/jsonp",
        "application/json5",
        "application/x-anything",
        "application/cbor",
        "application/grpc+proto",
        "application/x-ndjson; charset=utf-16",
        "text/event-stream; charset=iso-8859-1",
        "application/json; charset=utf-7",
    ],
)
def test_all_else_is_withheld_with_the_reason(kind):
    with pytest.raises(MaskingFault, match="response"):
        masked(typed(kind), b"{}", hiding())


def test_what_does_not_say_what_it_is_may_be_nothing():
    assert masked((), b"", hiding()) == b""
    with pytest.raises(MaskingFault, match="does not say what it is"):
        masked((), b"{}", hiding())


def test_binary_where_json_was_promised_is_withheld():
    for data in (
        b"\x89PNG\r\n\x1a\n",
        b"\x1f\x8b\x08\x00",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"",
    ):
        with pytest.raises(MaskingFault):
            masked(typed("application/json"), data, hiding())


@pytest.mark.parametrize("kind", [typed("application/xml"), typed("image/png"), ()])
def test_what_holds_no_secret_passes_where_it_cannot_be_looked_at(kind):
    masker = masker_of(kind, hiding(), Stars(), passes=True)
    assert whole(masker, [b"<secret>1</secret>"]) == b"18"


def test_what_can_be_looked_at_is_for_all_that():
    masker = masker_of(typed("application/json"), hiding(), Chain(()), passes=True)
    assert whole(masker, [SECRET.encode()]) == HIDDEN.encode()


class Stars:
    """Tells how much of a body it was shown."""

    def __init__(self):
        self.seen = b""

    def feed(self, chunk):
        self.seen += chunk
        return b""

    def finish(self):
        return b"%d" % len(self.seen)


@pytest.mark.parametrize(
    ("kind", "data", "seen"),
    [
        ("application/json", '{"a":"b"}'.encode("utf-16-le"), 9),
        ("text/plain; charset=utf-16be", "\ufeffab".encode("utf-16-be"), 2),
        ("text/plain; charset=utf-32", b"\xff\xfe\0\0" + "ab".encode("utf-32-le"), 2),
        ("text/html; charset=x", b"ab", 2),
        ("image/png", b"\xff\xfea", 3),
        ("text/html, x", b"ab", 2),
    ],
)
def test_where_nothing_is_masked_a_credential_is_looked_for_in_wide_characters_too(
    kind, data, seen
):
    class Seen(Stars):
        def finish(self):
            return b""

    stars = Seen()
    whole(bare_of(typed(kind), stars), [data])
    assert len(stars.seen) == seen


def test_who_denies():
    assert denies([names(), Detector(How.DENY)])
    assert not denies([names(), Detector()])
    assert not denies([])


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(
    "kind",
    [
        None,
        "application/json",
        "application/x-ndjson",
        "application/xml",
        "application/xml; charset=utf-8",
        "text/csv",
        "text/html",
        "text/plain",
        "x/y",
    ],
)
def test_where_nothing_else_is_hidden_the_credential_is_whatever_the_body_is_in(kind, charset):
    secret = "tok-SECRET-0123456789"
    body = f'["{secret}"]'.encode(charset)
    headers = () if kind is None else typed(kind)
    mask = bare_of(headers, LiteralMasker([secret.encode()]))
    assert whole(mask, [body]).decode(charset) == f'["{"*" * len(secret)}"]'
