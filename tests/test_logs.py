"""The log: a line for each event, as it was chosen; and whatever goes wrong, no secret in it."""

from __future__ import annotations

import io
import json

import pytest
from pytest_twisted import ensureDeferred
from support.ports import JSON as JSON_BODY
from support.ports import Asked, Stand
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger, LogLevel, LogPublisher, globalLogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure

from jitgate.errors import IdentityUnavailable
from jitgate.logs import LEVELS, LONGEST, observer

CANARY = "canary-7f3a9c"


def publisher(form, level="info"):
    out, made = io.StringIO(), LogPublisher()
    made.addObserver(observer(out, form, level))
    return Logger(namespace="jitgate.tests", observer=made), out


def failed():
    """A failure with the canary in its own message, its cause's and its arguments."""

    def fails():
        try:
            return {}[CANARY]
        except KeyError as cause:
            raise RuntimeError(f"no {CANARY}", {"token": CANARY}) from cause

    try:
        return fails()
    except RuntimeError:
        return Failure()


def test_each_event_is_one_object_on_one_line():
    logger, out = publisher("json")
    logger.emit(LogLevel.warn, "Two\nlines of {whom}, \u202e and \ud800", whom="an agent")
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert isinstance(told.pop("pid"), int)
    assert told == {
        "level": "warn",
        "logger": "jitgate.tests",
        "message": "Two\nlines of an agent, \u202e and \\ud800",
    }


@pytest.mark.parametrize("namespace", ["twisted.web.client", "log_legacy", "-"])
def test_what_twisted_does_is_told_when_it_is_wrong_or_asked_for(namespace):
    for level, told in (("info", ["warn", "critical"]), ("debug", ["info", "warn", "critical"])):
        _, out = made = publisher("json", level)
        logger = Logger(namespace=namespace, observer=made[0].observer)
        for each in ("info", "warn", "critical"):
            logger.emit(LogLevel.levelWithName(each), "Starting factory")
        assert [json.loads(line)["level"] for line in out.getvalue().splitlines()] == told


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("least", LEVELS)
def test_what_is_below_the_level_is_not_there(form, least):
    logger, out = publisher(form, least)
    for level in LEVELS:
        logger.emit(LogLevel.levelWithName(level), "a word")
    lines = out.getvalue().splitlines()
    assert len(lines) == len(LEVELS) - LEVELS.index(least)


@pytest.mark.parametrize("form", ["text", "json"])
def test_of_a_failure_there_is_its_kind_and_place_and_nothing_that_it_was_given(form):
    logger, out = publisher(form)
    logger.failure("It did not end", failed())
    said = out.getvalue()
    assert CANARY not in said
    assert "RuntimeError" in said
    assert "KeyError" in said
    assert "test_logs.py" in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_so_it_is_of_what_twisted_itself_logs(form, nothing_unnoticed):
    out = io.StringIO()
    watching = observer(out, form)
    globalLogPublisher.addObserver(watching)
    try:
        legacy.err(failed(), "An old way to say it")
        lost: Deferred[None] = fail(failed())
        del lost  # nobody has looked at it
    finally:
        globalLogPublisher.removeObserver(watching)
    assert CANARY not in out.getvalue()
    assert out.getvalue().count("RuntimeError") == 2
    nothing_unnoticed.clear()


def test_a_message_has_an_end():
    logger, out = publisher("json")
    logger.info("{text}", text="x" * (LONGEST + 1))
    assert len(json.loads(out.getvalue())["message"]) == LONGEST


def test_that_nobody_listens_any_more_ends_nothing():
    logger, out = publisher("json")
    out.close()
    logger.info("a word")


STAGES = ["identity", "catalog", "rule", "credential", "connect", "send", "read", "read more"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", [RuntimeError, KeyError, OSError, IdentityUnavailable])
@ensureDeferred
async def test_whatever_fails_at_whichever_stage_no_secret_is_logged(
    stage, kind, nothing_unnoticed
):
    out = io.StringIO()
    watching = observer(out, "json", "debug")
    globalLogPublisher.addObserver(watching)
    fault = kind(CANARY if kind is not IdentityUnavailable else "Nobody can tell.")
    if kind is IdentityUnavailable:
        fault.__cause__ = RuntimeError(CANARY)
    try:
        stand = Stand(fail={stage: fault})
        fields = (*JSON_BODY, (b"X-Canary", CANARY.encode()))
        path = f"/{CANARY}?{CANARY}"
        await stand.serve(Asked("POST", path, f'{{"password":"{CANARY}"}}'.encode(), fields))
    finally:
        globalLogPublisher.removeObserver(watching)
    assert CANARY not in out.getvalue()
    for line in out.getvalue().splitlines():
        json.loads(line)
    nothing_unnoticed.clear()
