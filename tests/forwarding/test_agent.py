"""The agent as a child process: how it is found, started, signalled, and waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from jitgate.forwarding.agent import Agent, NotStarted, program_of

ENVIRONMENT = {"PATH": os.defpath}


@pytest.fixture
def program(tmp_path):
    """Makes a file in a folder of its own, with a mode."""

    def made(mode, text="#!/bin/sh\n"):
        file = tmp_path / "program"
        file.write_text(text)
        file.chmod(mode)
        return file

    return made


def test_a_program_is_found_on_the_path_of_the_agent_or_by_its_own(program):
    file = program(0o755)
    here = {"PATH": f"{file.parent}"}
    assert program_of("program", here) == program_of(f"{file}", ENVIRONMENT) == f"{file}"
    assert program_of("program", ENVIRONMENT) == NotStarted(
        127, "The command program is not found."
    )


def test_what_is_there_and_no_program_is_told_from_what_is_not(program):
    file = program(0o644)
    said = NotStarted(126, f"{file} is not a program that can be run.")
    assert program_of(f"{file}", ENVIRONMENT) == said
    assert program_of(f"{file.parent}", ENVIRONMENT).status == 126
    assert program_of(f"{file}x", ENVIRONMENT).status == 127
    assert program_of("program", {"PATH": f"{file.parent}"}).status == 127


def test_what_the_system_cannot_run_is_said(program):
    file = program(0o755, "no program")
    said = NotStarted(126, f"{file} cannot be run: exec format error.")
    assert Agent.start(f"{file}", [f"{file}"], ENVIRONMENT, ()) == said


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 200", 200), ("kill -HUP $$", 129)]
)
@ensureDeferred
async def test_its_exit_status_is_a_shells(script, code):
    agent = Agent.start("/bin/sh", ["sh", "-c", script], ENVIRONMENT, ())
    assert await agent.ended(reactor) == code


@ensureDeferred
async def test_it_is_sent_signals_while_it_runs_and_nobody_is_after_it():
    agent = Agent.start("/bin/sleep", ["sleep", "60"], ENVIRONMENT, ())
    agent.pass_on(signal.SIGTERM)
    assert await agent.ended(reactor) == 143
    agent.pass_on(signal.SIGTERM)


@ensureDeferred
async def test_it_starts_with_no_signal_blocked_or_ignored_by_us(tmp_path):
    """Nor with the signals that Python ignores by itself."""
    code = f"grep -E '^Sig(Blk|Ign)' /proc/self/status > {tmp_path}/signals"
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        agent = Agent.start("/bin/sh", ["sh", "-c", code], ENVIRONMENT, usual)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
    assert await agent.ended(reactor) == 0
    lines = (tmp_path / "signals").read_text().split()
    ignored = int(lines[3], 16)
    assert not int(lines[1], 16) & 1 << (signal.SIGTERM - 1)
    assert not ignored & 1 << (signal.SIGPIPE - 1)


def test_once_shut_nobody_may_look_into_the_process_but_into_its_agent_as_usual():
    code = """
import ctypes, subprocess, sys
from jitgate.forwarding.agent import shut_to_debuggers
said = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
shut_to_debuggers()
exec(said)
sys.stdout.flush()
subprocess.run([sys.executable, "-c", said], check=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]
