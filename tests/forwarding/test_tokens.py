"""Fresh tokens: from a file that somebody rewrites, and from a command that is run in time."""

from __future__ import annotations

import json
import os

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock

from jitgate.forwarding.tokens import (
    OPAQUE_AGE,
    PAUSE,
    RENEW_AHEAD,
    TOKEN_BYTES,
    Held,
    TokenCommand,
    TokenFile,
    TokenUnavailable,
    expiry,
    token_in,
)

NOW = 1_800_000_000.0


def token(end, mark="x"):
    """A JWT that says when it ends; nobody looks at its signature."""
    return jwt.encode({"exp": end, "jti": mark}, "k" * 32, "HS256")


def raw(claims):
    """Three segments around any JSON."""
    body = jwt.utils.base64url_encode(claims.encode()).decode()
    return f"e30.{body}.c2ln"


@pytest.fixture
def clock():
    made = Clock()
    made.advance(NOW)
    return made


# --- when a token ends


@given(st.integers(0, 2**53))
def test_the_end_of_a_jwt_is_read(end):
    assert expiry(token(end)) == end


@pytest.mark.parametrize(
    "text",
    [
        "opaque",
        "a.b",
        "..",
        "a.b.c.d",
        "\u00e9.\u00e9.\u00e9",
        raw("[]"),
        raw("{}"),
        raw('"exp"'),
        raw('{"exp": true}'),
        raw('{"exp": "1"}'),
        raw('{"exp": null}'),
        raw('{"exp": NaN}'),
        raw('{"exp": Infinity}'),
        raw('{"exp": 1e999}'),
        raw('{"exp": ' + "9" * 400 + "}"),
        raw("[" * 100_000),
        raw("{"),
    ],
)
def test_what_does_not_tell_its_end_is_opaque(text):
    assert expiry(text) is None


@given(st.text() | st.builds(raw, st.text()))
def test_any_text_has_an_end_or_none(text):
    end = expiry(text)
    assert end is None or isinstance(end, float)


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists))
def test_any_exp_is_an_end_or_none(value):
    end = expiry(raw(json.dumps({"exp": value})))
    assert (end is None) or end == value


@pytest.mark.parametrize(
    ("life", "renewed_after"), [(3600, 3540), (240, 180), (100, 75), (20, 15), (1, 1), (-5, 1)]
)
def test_a_token_is_renewed_before_its_end(life, renewed_after):
    held = Held.since(token(int(NOW) + life), NOW)
    assert (held.renew_at - NOW, held.ends_at - NOW) == (renewed_after, life)
    assert held.text not in repr(held)


@given(st.binary())
def test_any_bytes_are_one_token_or_none(data):
    try:
        text = token_in(data, "It")
    except TokenUnavailable as fault:
        assert data.strip() == b"" or data.strip().decode("latin-1") not in f"{fault}"
    else:
        assert text.encode() == data.strip()
        assert text.isprintable()
        assert " " not in text


@pytest.mark.parametrize("data", [b"", b"\n", b"a b", b"a\nb", b"\xe9", b"x" * (TOKEN_BYTES + 1)])
def test_what_is_no_token_is_refused_without_repeating_it(data):
    with pytest.raises(TokenUnavailable, match=r"\AIt holds") as refused:
        token_in(data, "It")
    assert "xxx" not in f"{refused.value}"


# --- a file


@ensureDeferred
async def test_a_file_that_is_replaced_by_rename_is_read_again(tmp_path, clock):
    """As a kubelet does it: a link to a folder is swapped."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name + "\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "token").symlink_to("..data/token")
    source = TokenFile(tmp_path / "token", clock)
    assert await source.token() == "one"
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "..data")
    assert await source.token() == "two"


@ensureDeferred
async def test_a_file_that_changes_within_a_tick_of_its_clock_is_read_again(tmp_path, clock):
    file = tmp_path / "token"
    source = TokenFile(file, clock)
    for text in ("aaa", "bbb"):
        file.write_text(text)
        os.utime(file, (0, 0))
        assert await source.token() == text


@pytest.mark.parametrize("half", ["", "\n", "two lines\n"])
@ensureDeferred
async def test_while_a_file_is_rewritten_the_token_before_serves_until_its_end(
    tmp_path, clock, half
):
    file = tmp_path / "token"
    text = token(int(NOW) + 100)
    file.write_text(text)
    source = TokenFile(file, clock)
    assert await source.token() == text
    file.write_text(half)
    assert await source.token() == text
    clock.advance(100)
    with pytest.raises(TokenUnavailable, match="The token file .* holds"):
        await source.token()


@ensureDeferred
async def test_a_file_that_is_taken_away_ends_it(tmp_path, clock):
    file = tmp_path / "token"
    file.write_text(token(int(NOW) + 100))
    source = TokenFile(file, clock)
    await source.token()
    file.unlink()
    with pytest.raises(TokenUnavailable, match="cannot be read: no such file or directory"):
        await source.token()


@ensureDeferred
async def test_a_pipe_in_the_place_of_the_file_is_refused_at_once(tmp_path, clock):
    os.mkfifo(tmp_path / "token")
    with pytest.raises(TokenUnavailable, match="is not a regular file"):
        await TokenFile(tmp_path / "token", clock).token()
    with pytest.raises(TokenUnavailable):
        await TokenFile(tmp_path, clock).token()


# --- a command


class Command:
    """A command whose runs end when the test says."""

    def __init__(self):
        self.runs = []
        self.stopped = False

    async def output(self):
        self.runs.append(Deferred())
        return await self.runs[-1]

    def stop(self):
        self.stopped = True

    def prints(self, text):
        self.runs[-1].callback(text.encode() + b"\n")

    def fails(self):
        self.runs[-1].errback(TokenUnavailable("The token command failed."))


@pytest.fixture
def command():
    return Command()


@pytest.fixture
def source(command, clock):
    return TokenCommand(command, clock)


def asked(source):
    return Deferred.fromCoroutine(source.token())


@ensureDeferred
async def test_a_hundred_who_ask_at_once_share_one_run(source, command):
    asking = [asked(source) for _ in range(100)]
    assert len(command.runs) == 1
    text = token(int(NOW) + 600)
    command.prints(text)
    assert await gatherResults(asking) == [text] * 100
    assert await source.token() == text
    assert len(command.runs) == 1


@ensureDeferred
async def test_a_hundred_who_ask_at_once_share_one_failure_and_the_next_tries_again(
    source, command
):
    asking = [asked(source) for _ in range(100)]
    command.fails()
    for each in asking:
        with pytest.raises(TokenUnavailable, match="The token command failed"):
            await each
    assert len(command.runs) == 1
    last = asked(source)
    assert len(command.runs) == 2
    command.prints(token(int(NOW) + 600))
    await last


@ensureDeferred
async def test_one_who_gives_up_ends_nobody_elses_wait(source, command):
    first, second = asked(source), asked(source)
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    command.prints("opaque")
    assert await second == "opaque"


@ensureDeferred
async def test_it_is_run_again_shortly_before_the_token_ends(source, command, clock):
    first = asked(source)
    command.prints(token(int(NOW) + 600, "first"))
    await first
    clock.advance(600 - RENEW_AHEAD - 1)
    await source.token()
    assert len(command.runs) == 1
    clock.advance(1)
    second = asked(source)
    command.prints(token(int(NOW) + 1200, "second"))
    assert await second != first
    assert len(command.runs) == 2


@ensureDeferred
async def test_a_run_that_fails_leaves_the_token_in_use_until_its_end(source, command, clock):
    first = asked(source)
    text = token(int(NOW) + 600)
    command.prints(text)
    await first
    clock.advance(600 - 1)
    second = asked(source)
    command.fails()
    assert await second == text
    clock.advance(1)
    third = asked(source)
    command.fails()
    with pytest.raises(TokenUnavailable, match="The token command failed"):
        await third


@ensureDeferred
async def test_an_opaque_token_is_used_for_a_fixed_time(source, command, clock):
    first = asked(source)
    command.prints("opaque-1")
    await first
    clock.advance(OPAQUE_AGE - 1)
    assert await source.token() == "opaque-1"
    clock.advance(1)
    second = asked(source)
    command.prints("opaque-2")
    assert await second == "opaque-2"


@ensureDeferred
async def test_a_token_that_has_ended_is_passed_on_but_asked_for_again(source, command, clock):
    """Whose clock is wrong is the gateway's to say; the command is not run without a pause."""
    ended = token(int(NOW) - 10)
    first = asked(source)
    command.prints(ended)
    assert await first == ended
    assert await source.token() == ended
    assert len(command.runs) == 1
    clock.advance(PAUSE)
    second = asked(source)
    assert len(command.runs) == 2
    command.prints(token(int(NOW) + 600))
    assert await second != ended


@ensureDeferred
async def test_what_is_printed_and_no_token_is_not_repeated(source, command):
    asking = asked(source)
    command.prints("error: the password hunter2 is wrong")
    with pytest.raises(TokenUnavailable) as refused:
        await asking
    assert "hunter2" not in f"{refused.value}"
    assert "What the token command printed" in f"{refused.value}"


def test_it_is_stopped_with_its_command(source, command):
    source.stop()
    assert command.stopped
