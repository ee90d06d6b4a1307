"""The token command as a real process: its output, its end, and nothing of it in a message."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from forwarding.conftest import Hours
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from jitgate.forwarding.command import WITHIN, TokenCommandRun
from jitgate.forwarding.tokens import TOKEN_BYTES, TokenUnavailable


def run(*words, clock=reactor, spawning=nullcontext):
    return TokenCommandRun(words, clock, spawning)


def python(code, **how):
    return run(sys.executable, "-c", code, **how)


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await deferLater(reactor, 0.01)


@ensureDeferred
async def test_what_it_prints_is_had_whole():
    assert await run("printf", "%s", "token").output() == b"token"
    big = await python(f"print('x' * {TOKEN_BYTES})").output()
    assert big == b"x" * TOKEN_BYTES + b"\n"


@ensureDeferred
async def test_there_is_no_shell():
    assert await run("echo", "$HOME; $(id) | `id`").output() == b"$HOME; $(id) | `id`\n"


@ensureDeferred
async def test_it_has_no_input_and_its_errors_go_nowhere(capfd):
    code = "import sys; print(len(sys.stdin.read())); print('hunter2', file=sys.stderr)"
    assert await python(code).output() == b"0\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("sh", "-c", "echo hunter2; echo hunter2 >&2; exit 3"), "failed with exit status 3; run"),
        (("sh", "-c", "echo hunter2; kill -9 $$"), "was ended by signal 9; run it by hand"),
        (("hunter2-is-no-program",), "cannot be found or run"),
        ((__file__,), "cannot be found or run"),
        (("sh", "-c", "yes hunter2"), "prints far more than a token"),
    ],
)
@ensureDeferred
async def test_why_it_failed_is_said_without_what_it_printed(words, why):
    with pytest.raises(TokenUnavailable, match=why) as failed:
        await run(*words).output()
    assert "hunter2" not in f"{failed.value}"


@ensureDeferred
async def test_a_program_that_cannot_be_started_is_said(tmp_path):
    program = tmp_path / "program"
    program.write_text("no script, no binary")
    program.chmod(0o755)
    with pytest.raises(TokenUnavailable, match=r"\AThe token command"):
        await run(f"{program}").output()


@ensureDeferred
async def test_one_that_does_not_end_is_killed_in_time(tmp_path):
    hours = Hours()
    file = tmp_path / "pid"
    code = f"import os, time; open({f'{file}'!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    running = Deferred.fromCoroutine(python(code, clock=hours).output())
    await until(lambda: file.exists() and file.read_text())
    pid = int(file.read_text())
    assert alive(pid)
    hours.clock.advance(WITHIN)
    with pytest.raises(TokenUnavailable, match="did not end within 20 s"):
        await running
    await until(lambda: not alive(pid))


@ensureDeferred
async def test_stopping_kills_the_run_under_way(tmp_path):
    command = run("sleep", "60")
    running = Deferred.fromCoroutine(command.output())
    command.stop()
    with pytest.raises(TokenUnavailable, match="was ended by signal 9"):
        await running
    command.stop()


@ensureDeferred
async def test_it_does_not_inherit_the_signals_that_are_blocked_here():
    """Or what it starts itself could not be ended by them."""
    numbers = {signal.SIGUSR1, signal.SIGUSR2}

    @contextmanager
    def let_through():
        usual = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        yield
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)

    code = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        assert await python(code, spawning=let_through).output() == b"0\n"
        assert await python(code).output() == b"2\n"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
