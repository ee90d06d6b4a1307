"""Standard Webhooks: what we sign and what we believe, beside the library of those who specify it."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from jitgate.core.standard_webhooks import (
    KEY_BYTES,
    SIGNATURES,
    TOLERANCE,
    NotProved,
    Proved,
    key_of,
    proved,
    signed,
)

NOW = 1_674_087_231
KEY, OTHER = b"k" * 24, b"o" * 64
BODY = b'{"type":"a.b","data":{}}'


def secret(key):
    return "whsec_" + base64.b64encode(key).decode()


def as_came(fields):
    """Fields as they stand in a request."""
    return {name: [value.encode()] for name, value in fields.items()}


def sent(**how):
    """A message, signed by us; ``how`` changes what is sent after that."""
    fields = signed("msg_1", NOW, BODY, how.pop("keys", [KEY]))
    return as_came({**fields, **{name.replace("_", "-"): value for name, value in how.items()}})


def whether(fields, body=BODY, keys=(KEY,), now=NOW):
    return proved(fields, body, keys, now)


# --- as others sign and check


def test_the_example_of_the_library_has_the_signature_that_it_has_there():
    """libraries/python/tests/test_webhooks.py, its test of signing."""
    key = key_of("whsec_" + "MfKQ9r8GKYqrTwjU" + "PD8ILPZIo2LaLaSw")
    fields = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    key=st.binary(min_size=KEY_BYTES[0], max_size=KEY_BYTES[-1]),
    others=st.lists(st.binary(min_size=24, max_size=24), max_size=3),
    text=st.text(),
)
def test_what_we_sign_the_library_believes_and_the_other_way_round(key, others, text):
    body, now = json.dumps(text).encode(), int(time.time())
    fields = signed("msg_1", now, body, [*others, key])
    assert Webhook(secret(key)).verify(body, fields) == text
    theirs = Webhook(secret(key)).sign("msg_1", datetime.fromtimestamp(now, UTC), body.decode())
    came = as_came({**fields, "webhook-signature": theirs})
    assert proved(came, body, [*others, key], now) == Proved("msg_1")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(b"nobody's" * 4)).verify(body, fields)
    assert isinstance(proved(came, body, [b"nobody's" * 4], now), NotProved)


@given(st.data())
def test_a_message_that_differs_in_one_bit_is_not_believed(data):
    """Whichever: of the body, the id, the time or the signature."""
    fields, body = sent(), BODY
    place = data.draw(st.sampled_from(["body", *fields]))
    whole = body if place == "body" else fields[place][0]
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = bytes([*whole[:at], whole[at] ^ (1 << bit), *whole[at + 1 :]])
    if place == "body":
        body = changed
    else:
        fields[place] = [changed]
    assert isinstance(whether(fields, body), NotProved)


# --- what is believed


@pytest.mark.parametrize("off", [0, TOLERANCE, -TOLERANCE])
def test_a_message_of_five_minutes_ago_or_ahead_is_believed(off):
    assert whether(sent(), now=NOW + off) == Proved("msg_1")


@pytest.mark.parametrize("off", [TOLERANCE + 1, -TOLERANCE - 1])
def test_an_older_or_later_one_is_not(off):
    assert "timestamp" in whether(sent(), now=NOW + off).why


def test_one_signature_of_several_is_enough_and_other_versions_are_looked_past():
    right = signed("msg_1", NOW, BODY, [KEY])["webhook-signature"]
    for others in ("v1a,abcd", "v2,abcd", "v1,AAAA", "nonsense", "v1," + "A" * 3000):
        assert whether(sent(webhook_signature=f"{others} {right}")) == Proved("msg_1")
        assert whether(sent(webhook_signature=f"{right} {others}")) == Proved("msg_1")


@pytest.mark.parametrize("version", ["v1a", "v2", "V1", "v10", ""])
def test_a_right_signature_under_the_name_of_another_version_is_none(version):
    right = signed("msg_1", NOW, BODY, [KEY])["webhook-signature"].removeprefix("v1")
    assert isinstance(whether(sent(webhook_signature=version + right)), NotProved)


def test_of_two_keys_either_is_right_on_both_sides():
    assert whether(sent(keys=[KEY, OTHER]), keys=[OTHER]) == Proved("msg_1")
    assert whether(sent(keys=[OTHER]), keys=[KEY, OTHER]) == Proved("msg_1")
    assert isinstance(whether(sent(keys=[OTHER]), keys=[KEY]), NotProved)


def test_only_so_many_signatures_are_looked_at():
    right = signed("msg_1", NOW, BODY, [KEY])["webhook-signature"]
    some = " ".join(["v1,AAAA"] * (SIGNATURES - 1))
    assert whether(sent(webhook_signature=f"{some} {right}")) == Proved("msg_1")
    assert "more than" in whether(sent(webhook_signature=f"v1,AAAA {some} {right}")).why


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_field_that_lacks_or_stands_twice_is_refused(name):
    fields = sent()
    assert "each once" in whether({**fields, name: []}).why
    assert "each once" in whether({**fields, name: fields[name] * 2}).why
    assert "each once" in whether({each: fields[each] for each in fields if each != name}).why


def rightly(identifier, stamp):
    """A message whose signature is right, whatever its id and its time are."""
    digest = hmac.digest(KEY, identifier + b"." + stamp + b"." + BODY, "sha256")
    signature = b"v1," + base64.b64encode(digest)
    return {
        "webhook-id": [identifier],
        "webhook-timestamp": [stamp],
        "webhook-signature": [signature],
    }


@pytest.mark.parametrize("identifier", [b"a.b", b"", b"x" * 129, b"a b", b"\xff", b"a\x00"])
def test_an_id_that_could_be_read_otherwise_is_refused(identifier):
    assert "is none" in whether(rightly(identifier, b"%d" % NOW)).why
    assert whether(rightly(b"a" * 128, b"%d" % NOW)) == Proved("a" * 128)


@pytest.mark.parametrize(
    "stamp", ["+{}", " {}", "{}.0", "0{}", "-{}", "{}\n", "1_{}", "9" * 40, ""]
)
def test_a_time_that_could_be_read_otherwise_is_refused(stamp):
    assert "is none" in whether(rightly(b"msg_1", stamp.format(NOW).encode())).why


def test_the_time_is_no_secret_of_whoever_has_no_key():
    """What is refused without a right signature is refused with the same words at any time."""
    forged = sent(webhook_signature="v1,AAAA")
    assert whether(forged).why == whether(forged, now=NOW + 10 * TOLERANCE).why


# --- secrets


def test_a_secret_is_written_with_its_prefix_and_has_so_many_bytes():
    assert key_of(secret(KEY)) == KEY
    assert key_of(secret(OTHER)) == OTHER
    for wrong in (
        secret(bytes(23)),
        secret(bytes(65)),
        secret(KEY).removeprefix("whsec_"),
        "whpk_" + base64.b64encode(bytes(32)).decode(),
        secret(KEY) + "\n",
        "whsec_" + "ä" * 32,
        "whsec_",
        "",
    ):
        with pytest.raises(ValueError, match="no secret") as refused:
            key_of(wrong)
        assert wrong[6:] == "" or wrong[6:20] not in str(refused.value)
