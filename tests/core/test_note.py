from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from jitgate.core.note import (
    Checkpoint,
    NoteInvalid,
    Signer,
    VerifierKey,
    open_checkpoint,
    open_note,
)

SIGNER = Signer(
    "jitgate/site", Ed25519PrivateKey.from_private_bytes(b"a test's key, never to be used!!")
)
OTHER = Signer(
    "jitgate/site", Ed25519PrivateKey.from_private_bytes(b"another test's key, as worthless")
)
ROOT = bytes(range(32))
NOTE = SIGNER.sign(Checkpoint("jitgate/site", 12, ROOT).text).encode()

# From the documentation of Go's note package, which defined the format.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_NOTE = (
    f"{GO_TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()


def test_a_note_that_another_implementation_signed_opens():
    assert open_note(GO_NOTE, VerifierKey.parse(GO_KEY)) == GO_TEXT


def test_a_key_is_written_as_it_was_read():
    assert VerifierKey.parse(GO_KEY).text == GO_KEY
    assert VerifierKey.parse(SIGNER.verifier.text + "\n") == SIGNER.verifier


def test_a_checkpoint_comes_back_as_it_was_signed():
    assert open_checkpoint(NOTE, SIGNER.verifier) == Checkpoint("jitgate/site", 12, ROOT)


def test_the_text_of_a_checkpoint_is_three_lines():
    root = b64encode(ROOT).decode()
    assert Checkpoint("jitgate/site", 12, ROOT).text == f"jitgate/site\n12\n{root}\n"


def test_lines_behind_the_root_and_signatures_by_others_are_let_pass():
    text = Checkpoint("jitgate/site", 12, ROOT, ("worm: none",)).text
    mine, theirs = (signer.sign(text).splitlines()[-1] for signer in (SIGNER, OTHER))
    note = f"{text}\n{theirs}\n{mine}\n".encode()
    assert open_checkpoint(note, SIGNER.verifier).extensions == ("worm: none",)


def test_another_key_of_the_same_name_does_not_open_a_note():
    with pytest.raises(NoteInvalid, match="not signed by jitgate/site"):
        open_note(NOTE, OTHER.verifier)


def test_a_signature_over_other_text_does_not_open_a_note():
    with pytest.raises(NoteInvalid, match="does not fit"):
        open_note(NOTE.replace(b"\n12\n", b"\n13\n"), SIGNER.verifier)


def test_a_checkpoint_for_another_log_is_refused_though_it_is_signed():
    note = SIGNER.sign(Checkpoint("jitgate/elsewhere", 12, ROOT).text).encode()
    with pytest.raises(NoteInvalid, match="for the log jitgate/elsewhere"):
        open_checkpoint(note, SIGNER.verifier)


@given(st.integers(0, len(NOTE) - 1), st.integers(0, 7))
def test_no_bit_of_a_note_can_be_flipped(position, bit):
    broken = bytearray(NOTE)
    broken[position] ^= 1 << bit
    with pytest.raises(NoteInvalid):
        open_checkpoint(bytes(broken), SIGNER.verifier)


@given(st.integers(0, len(NOTE) - 1))
def test_no_part_of_a_note_opens(length):
    with pytest.raises(NoteInvalid):
        open_checkpoint(NOTE[:length], SIGNER.verifier)


@pytest.mark.parametrize(
    "junk", [b"\n", b" ", b"x", b"\n\n", "— x y\n".encode(), "\n— x AAAAAAA=\n".encode()]
)
def test_nothing_may_stand_behind_a_note(junk):
    with pytest.raises(NoteInvalid):
        open_checkpoint(NOTE + junk, SIGNER.verifier)


@given(st.binary(max_size=200))
def test_whatever_comes_as_a_note_is_refused_and_nothing_worse(junk):
    with pytest.raises(NoteInvalid):
        open_checkpoint(junk, SIGNER.verifier)


ENCODED = b64encode(ROOT).decode()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"o\n012\n{ENCODED}\n", "decimal"),
        (f"o\n+12\n{ENCODED}\n", "decimal"),
        (f"o\n-1\n{ENCODED}\n", "decimal"),
        (f"o\n\u0661\u0662\n{ENCODED}\n", "decimal"),
        (f"o\n\n{ENCODED}\n", "none empty"),
        (f"o\n12\n{ENCODED}", "ends in a newline"),
        (f"o\n12\n{ENCODED}\n\n", "none empty"),
        (f"\n12\n{ENCODED}\n", "none empty"),
        ("o\n12\n", "origin, size and root"),
        (f"o\n12\n{ENCODED.rstrip('=')}\n", "base64"),
        (f"o\n12\n{ENCODED[:-2]}9=\n", "canonical"),
        (f"o\n12\n {ENCODED}\n", "base64"),
        ("o\n12\nAAAA\n", "32 bytes"),
    ],
)
def test_a_checkpoint_has_one_spelling(text, complaint):
    with pytest.raises(NoteInvalid, match=complaint):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "name\\+id\\+key"),
        ("name", "name\\+id\\+key"),
        ("name+c74f20a3", "name\\+id\\+key"),
        (GO_KEY.replace("c74f20a3", "C74F20A3"), "id does not belong"),
        (GO_KEY.replace("PeterNeumann", "PeterNeuman"), "id does not belong"),
        (GO_KEY.replace("+ARpc", "+ARpd"), "id does not belong"),
        (GO_KEY.replace("+ARpc", "+AhpC"), "type Ed25519"),
        (GO_KEY[:-4], "32 bytes"),
        (GO_KEY + " ", "base64"),
        (GO_KEY + "\n\n", "base64"),
        ("+" + GO_KEY, "base64"),
        ("a b+c74f20a3" + GO_KEY[21:], "no spaces"),
    ],
)
def test_a_key_that_is_not_whole_is_refused(key, complaint):
    with pytest.raises(NoteInvalid, match=complaint):
        VerifierKey.parse(key)


@pytest.mark.parametrize("text", ["no newline", "a\x1b[31m\n", "nul\x00\n", "cr\r\n"])
def test_what_is_no_note_is_not_signed(text):
    with pytest.raises(NoteInvalid, match="lines that end in a newline"):
        SIGNER.sign(text)


def test_a_signer_does_not_show_its_key():
    assert "private" not in repr(SIGNER)
    assert SIGNER.private.private_bytes_raw().hex() not in repr(SIGNER)
