"""The credential is hidden whole, whatever a profile hides of the text in which it stands.

It is looked for in the bytes that go on; what a profile hides of it before that is no rest of it.
"""

import json
from urllib.parse import quote

import pytest
from support.masked import Halves, Unstated

from jitgate.core.hiding import STARS, Hand
from jitgate.core.literals import LiteralMasker, Literals
from jitgate.core.masked_fields import MaskedFields
from jitgate.core.masking import Maskers
from jitgate.core.media import masker_of
from jitgate.errors import MaskingFault
from jitgate.maskers.detectors import DetectorMasker
from jitgate.maskers.known import LiteralsMasker
from jitgate.maskers.names import NameMasker
from jitgate.maskers.paths import PathMasker
from jitgate.values import How

SECRET = "svc-4111111111111111-robot@acme.example/Xk29+vQpL0=="
LEFT = ("svc-", "-robot", "Xk29", "vQpL0", "0==")
"""What is left of it once a detector or another has hidden a part of it."""

HIDING = {
    "a card in it": (DetectorMasker("d", ["payment-card"]),),
    "an address in it": (DetectorMasker("d", ["e-mail"]),),
    "two in it": (DetectorMasker("d", ["payment-card", "e-mail"], How.LAST4),),
    "its end is shown": (
        NameMasker("n", ["a", "xA"], How.LAST4),
        PathMasker("p", ["$..*"], How.LAST4),
    ),
    "its digest": (NameMasker("n", ["*a"], How.HASH),),
    "a known secret in it": (LiteralsMasker("l", [b"acme.example"]),),
    "over its edge": (Halves("h", ["HuSh-svc", "L0==-HuSh"], How.LAST4),),
    "a plugin's own way": (type("Own", (Unstated,), {"mask": lambda *_: _[-1][:30]})(),),
    "dropped": (DetectorMasker("d", ["payment-card"], How.DROP),),
}
KINDS = {
    "application/json": lambda text: json.dumps({"a": text, "b": [text, {"xa": f"see {text} b"}]}),
    "application/x-ndjson": lambda text: json.dumps({"a": text}) + "\n" + json.dumps([text]) + "\n",
    "text/event-stream": lambda text: f"data: {json.dumps({'a': text})}\n\ndata: x {text}\n\n",
    "application/x-www-form-urlencoded": lambda text: (
        f"a={quote(text)}&b=see+{quote(text, safe='')}"
    ),
    "text/plain": lambda text: f"see {text} there\n{text}\n",
}
TEXTS = (SECRET, f"HuSh-{SECRET}-HuSh", f"to {SECRET} and {SECRET}", json.dumps({"a": SECRET}))


def held():
    """A hand that knows where the credential stands, as a release has it, and what hides it."""
    literals, hand = LiteralMasker(Literals([SECRET.encode()])), Hand(session=lambda _: "0" * 64)
    hand.secret_places = literals.places
    return literals, hand


@pytest.mark.parametrize("hiding", HIDING)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("gathered", [True, False])
def test_of_the_credential_nothing_is_left_whatever_hides_a_part_of_it(
    hiding, kind, text, gathered
):
    body, by = KINDS[kind](text).encode(), HIDING[hiding]
    headers = ((b"Content-Type", kind.encode()),)
    if not any(each.looks_at_values for each in by) and kind in ("text/plain", "text/event-stream"):
        by = (*by, DetectorMasker("e", ["jwt"]))
    for size in (len(body), 7):
        literals, hand = held()
        mask = masker_of(headers, Maskers(by, hand), literals, gathered=gathered)
        pieces = [mask.feed(body[at : at + size]) for at in range(0, len(body), size)]
        shown = b"".join([*pieces, mask.finish()]).decode()
        assert not [each for each in LEFT if each in shown], shown


@pytest.mark.parametrize("hiding", HIDING)
@pytest.mark.parametrize(
    "value", [f"{SECRET}", f"a={SECRET}", f"https://x.example/?a={quote(SECRET, safe='')}&c=1"]
)
def test_so_it_is_in_fields(hiding, value):
    literals, hand = held()
    fields = ((b"X-Echo", value.encode()), (b"X-A", value.encode()), (b"Link", value.encode()))
    shown = literals.hide_in_fields(MaskedFields(Maskers(HIDING[hiding], hand)).shown(fields))
    for name, after in shown:
        assert not [each for each in LEFT if each in after.decode()], (name, after)


def test_its_padding_is_no_value_of_what_stands_before():
    literals, hand = LiteralMasker(Literals([b"my-secret-xyz=="])), Hand()
    hand.secret_places = literals.places
    shown = MaskedFields(Maskers([NameMasker("n", ["*secret*"])], hand)).shown
    fields = literals.hide_in_fields(shown(((b"X-Echo", b"my-secret-xyz==; secret=hush"),)))
    assert fields == ((b"X-Echo", b"***************; secret=" + STARS.encode()),)


def test_what_hides_a_part_of_it_may_still_deny_the_response():
    _, hand = held()
    by = Maskers([DetectorMasker("d", ["payment-card"], How.DENY)], hand)
    with pytest.raises(MaskingFault):
        by.shown("", SECRET, str)


def test_beside_it_only_what_is_hidden_is():
    literals, hand = held()
    by = Maskers([DetectorMasker("d", ["e-mail"])], hand)
    mask = masker_of(((b"Content-Type", b"text/plain"),), by, literals)
    body = f"ann@acme.example, then {SECRET} and bob\n".encode()
    shown = mask.feed(body) + mask.finish()
    assert shown == f"{STARS}, then {STARS} and bob\n".encode()
    assert hand.counts == {"d/e-mail": 2}


def test_without_it_nobody_looks_for_it():
    hand, looked = Hand(), []
    hand.secret_places = lambda text: looked.append(text) or ()
    by = Maskers([NameMasker("n", ["secret"]), DetectorMasker("d", ["payment-card"])], hand)
    mask = masker_of(((b"Content-Type", b"application/json"),), by, LiteralMasker([b"x" * 20]))
    mask.feed(b'{"a":"text","secret":"4111111111111111","n":12}')
    mask.finish()
    assert looked == []


@pytest.mark.parametrize("body", ["Xk29-key=vQpL0-4711&b=1", "a=1;Xk29-key=vQpL0-4711&b=1"])
def test_in_a_form_no_name_ends_within_it(body):
    literals, hand = LiteralMasker(Literals([b"Xk29-key=vQpL0-4711"])), Hand()
    hand.secret_places = literals.places
    maskers = Maskers((NameMasker("n", ["*key"]), DetectorMasker("d", ["payment-card"])), hand)
    form = ((b"Content-Type", b"application/x-www-form-urlencoded"),)
    transform = masker_of(form, maskers, literals)
    shown = transform.feed(body.encode()) + transform.finish()
    assert shown == body.replace("Xk29-key=vQpL0-4711", "*" * 19).encode()
