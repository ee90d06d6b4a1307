"""``jitgate run`` and ``jitgate check``: serve a configuration, or say what is wrong with it."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitgate.config import Configuration
    from jitgate.config.schema import Log
    from jitgate.service import GatewayService

Made = TypeVar("Made")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    for name, run, text in (
        ("run", _run, "serve"),
        ("check", _check, "check the configuration, the policy, the plugins; say all errors"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
        command.set_defaults(handler=run)


def _run(options: argparse.Namespace) -> int:
    if sys.platform == "linux":
        from jitgate.reactor import install

        install()
    from twisted.internet import reactor

    from jitgate.app import make_service

    service = made_of(with_log(make_service), options.config, reactor)
    return 2 if service is None else serve(*service, reactor)


def _check(options: argparse.Namespace) -> int:
    from twisted.internet import reactor

    from jitgate.app import check

    checked = made_of(check, options.config, reactor)
    if checked is None:
        return 2
    print(f"{options.config}: {checked}")
    return 0


def with_log(
    make: Callable[[Configuration, Any, list[str]], GatewayService],
) -> Callable[[Configuration, Any, list[str]], tuple[GatewayService, Log]]:
    """Makes the service, and says how it logs."""
    return lambda read, reactor, found: (make(read, reactor, found), read.settings.log)


def serve(service: GatewayService, log: Log, reactor: Any) -> int:
    """Run a service until the process is told to end; the log goes to standard error."""
    from twisted.logger import globalLogBeginner

    from jitgate.logs import observer
    from jitgate.service import suit_interpreter

    lines = observer(sys.stderr, log.lines, log.level)
    globalLogBeginner.beginLoggingTo([lines], redirectStandardIO=False)
    reactor.addSystemEventTrigger("before", "shutdown", _heard)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    # Before it is taken for a reload, and after: its usual answer would end the process at once.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    service.started.addCallback(suit_interpreter)
    service.startService()
    reactor.run()
    return service.exit_code


def _heard() -> None:
    """The word to stop was heard; more of it changes nothing, since the stop is bounded in time."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def made_of(
    make: Callable[[Configuration, Any, list[str]], Made], file: Path, reactor: Any
) -> Made | None:
    """What is made of the configuration; None once what is wrong has been said, a line each."""
    from jitgate.config import read_all
    from jitgate.errors import ConfigurationInvalid, MustStop

    configuration, problems = read_all(file)
    try:
        if configuration is None:
            raise ConfigurationInvalid(problems)
        return make(configuration, reactor, problems)
    except MustStop as error:
        print(error, file=sys.stderr)
        return None
