"""``jitgate exec``, ``env`` and ``ca``: run an agent behind the gateway."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jitgate.cli.configured import configuration
from jitgate.cli.rotating import ACTIONS, WEEK
from jitgate.cli.telling import told
from jitgate.errors import ConfigurationInvalid, JitgateError, traced

if TYPE_CHECKING:
    from jitgate.config.schema import Settings
    from jitgate.forwarding.agent import Signals
    from jitgate.forwarding.hop import Address, Hop
    from jitgate.forwarding.running import Spawning
    from jitgate.forwarding.tokens import TokenSource

NOT_TOLD = 2
"""The exit status where the command itself failed; `exec` has the agent's otherwise."""

DEFAULT_PROXY = "http://127.0.0.1:8080"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where to call what listens there)
_Story = Callable[[argparse.Namespace, Any], Coroutine[Any, Any, int]]

_OWN_APPROVER = (
    "warning: uid {uid} may approve at the control socket, so the agent could approve its own "
    "calls; run it as a user of its own, for example with setpriv after --."
)

_EXPOSED_STATE = (
    "warning: this user can read the state folder {state}, so the agent could take the gateway's "
    "keys and approve its own calls; run the agent, or the gateway, as a user of its own."
)

_READ_ON_THE_WAY = (
    "the token could be read on the way. Use the gateway's https address, or --insecure knowingly."
)

_ANOTHER_CA = (
    "another CA could be put in the place of the gateway's on the way. Bring its file here and "
    "name it with --ca."
)

_EXEC = """\
Run COMMAND behind a proxy of its own on the loopback, in an environment that makes its clients use
that proxy and trust the gateway. The proxy adds a fresh token to each tunnel, so that the agent
outlives its token and never holds it: all it is given is a secret of this run. The exit status is
COMMAND's; 128 plus the signal's number if a signal ended it; 127 if it is not found; 126 if it
cannot be run; 2 if it was not started for another reason. An agent that runs as the same user can
read the token's file by itself: start exec as a user who may become another one, and the agent as
that one (-- setpriv --reuid=USER --clear-groups COMMAND, -- runuser -u USER -- COMMAND).
"""

_ENV = """\
Print an agent's variables for a shell: eval "$(jitgate env --token-file FILE)". The token itself
is among them: they last as long as the token, and whatever is started with them can read it.
jitgate exec has neither drawback.
"""

_CA = """\
Print, in PEM, the certificate of the CA that signs what the gateway shows to agents: from the state
folder that --config names, or as the gateway gives it to whoever asks. With an action: put another
CA in its place, step by step (docs/ca.md).
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    run = commands.add_parser(
        "exec",
        help="run an agent behind the gateway, with a fresh token for each of its tunnels",
        description=_EXEC,
    )
    _takes_agent(run)
    run.add_argument("command", metavar="-- COMMAND ...", nargs=argparse.REMAINDER)
    run.set_defaults(handler=_exec)
    env = commands.add_parser(
        "env", help="print an agent's environment, the token in it", description=_ENV
    )
    _takes_agent(env)
    env.add_argument("--json", action="store_true", help="answer for a program")
    env.set_defaults(handler=_told("env", _env))
    ca = commands.add_parser(
        "ca", help="print the CA certificate that agents must trust", description=_CA
    )
    ca.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        help="where the gateway is: make another CA, say how it stands, drop that, drop the old",
    )
    ca.add_argument(
        "--switch", metavar="WHEN", default=WEEK, help="when the next CA signs: 7d, or a time"
    )
    ca.add_argument("--json", action="store_true", help="answer for a program")
    _takes_gateway(ca, ca.add_mutually_exclusive_group())
    printed = _told("ca", _ca)
    acts = told("jitgate.cli.rotating", "act")
    ca.set_defaults(handler=lambda given: (acts if given.action else printed)(given), ca=None)


def _takes_agent(parser: argparse.ArgumentParser) -> None:
    token = parser.add_mutually_exclusive_group(required=True)
    token.add_argument(
        "--token-file", metavar="FILE", type=Path, help="has the agent's token; may be renewed"
    )
    token.add_argument(
        "--token-command", metavar="COMMAND", help="prints the agent's token; run without a shell"
    )
    _takes_gateway(parser, parser)
    parser.add_argument("--ca", metavar="FILE", type=Path, help="the gateway's CA certificate")
    parser.add_argument(
        "--name",
        type=_name,
        help="the session's name in the records (default: run- and hex digits)",
    )


def _takes_gateway(parser: argparse.ArgumentParser, where: argparse._ActionsContainer) -> None:
    where.add_argument(
        "--config", metavar="FILE", type=Path, help="the gateway's configuration, if it is here"
    )
    where.add_argument(
        "--proxy",
        metavar="URL",
        help=f"http[s]://HOST:PORT of the gateway (default: as --config says, or {DEFAULT_PROXY})",
    )
    parser.add_argument(
        "--proxy-ca", metavar="FILE", type=Path, help="CA of an https gateway's own certificate"
    )
    parser.add_argument(
        "--insecure", action="store_true", help="take plain http that is not on the loopback"
    )


def _name(text: str) -> str:
    if not _NAME.match(text):
        raise argparse.ArgumentTypeError("a name has up to 64 letters, digits, '.', '_' or '-'")
    return text


# --- the commands


def _exec(options: argparse.Namespace) -> int:
    from jitgate.forwarding.agent import Signals

    signals = Signals()
    signals.hold()
    return _told("exec", partial(_agent, signals))(options)


async def _agent(signals: Signals, options: argparse.Namespace, reactor: Any) -> int:
    from jitgate.forwarding.asking import Run
    from jitgate.forwarding.running import AgentRun

    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        raise ConfigurationInvalid(["Name the agent's command after --."])
    settings = _settings(options)
    if settings is not None and os.access(settings.state, os.R_OK):
        _say("exec", _EXPOSED_STATE.format(state=settings.state))
    if settings is not None and os.getuid() in settings.control.approvers:
        _say("exec", _OWN_APPROVER.format(uid=os.getuid()))
    hop = _hop(options, settings, reactor)
    run = AgentRun(
        words,
        Run.named(options.name),
        hop,
        signals=signals,
        tokens=lambda spawning: _tokens(options, reactor, spawning),
        ca=lambda: _trusted(options, settings, hop, reactor),
        outside=os.environ,
        reactor=reactor,
        say=lambda text: _say("exec", text),
    )
    return await run.play()


async def _env(options: argparse.Namespace, reactor: Any) -> int:
    from jitgate.forwarding.asking import Run
    from jitgate.forwarding.authority import folder_for, placed
    from jitgate.forwarding.environment import stale, variables
    from jitgate.forwarding.hop import certificates_of

    settings = _settings(options)
    hop = _hop(options, settings, reactor)
    if hop.gateway.tls and options.proxy_ca is None:
        # What is printed replaces what clients trust, also on the hop to the gateway.
        raise ConfigurationInvalid(["Name the CA of the https gateway with --proxy-ca."])
    token = await _tokens(options, reactor, nullcontext).token()
    pem = await _trusted(options, settings, hop, reactor)
    if hop.gateway.tls:
        pem += certificates_of(options.proxy_ca)
    login = f"{Run.named(options.name).name}:{quote(token, safe='')}"
    proxy = f"{hop.gateway}".replace("://", f"://{login}@", 1)
    values = variables(proxy, placed(pem, folder_for(pem, _cache())))
    if options.json:
        print(json.dumps(values, indent=2))
        return 0
    for name in stale(os.environ):
        if name not in values:
            print(f"unset {shlex.quote(name)}")
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


async def _ca(options: argparse.Namespace, reactor: Any) -> int:
    from jitgate.forwarding.authority import fetched

    settings = _settings(options)
    pem = _at_hand(options, settings) or await fetched(_hop(options, settings, reactor), reactor)
    print(pem.decode("ascii"), end="")
    return 0


# --- what the options mean


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()


def _settings(options: argparse.Namespace) -> Settings | None:
    if options.config is None:
        return None
    settings: Settings = configuration(options.config).settings
    return settings


def _hop(options: argparse.Namespace, settings: Settings | None, reactor: Any) -> Hop:
    from jitgate.forwarding.hop import Hop

    gateway = _gateway(options, settings)
    if gateway.exposed and not options.insecure:
        raise ConfigurationInvalid(
            [f"{gateway} is plain and not on the loopback: {_READ_ON_THE_WAY}"]
        )
    return Hop(gateway, reactor, options.proxy_ca)


def _gateway(options: argparse.Namespace, settings: Settings | None) -> Address:
    from jitgate.forwarding.hop import Address

    if options.proxy is not None or settings is None:
        return Address.read(options.proxy or DEFAULT_PROXY)
    host, port = settings.listen.proxy
    if not port or getattr(settings.listen, "proxy_tls", None) is not None:
        raise ConfigurationInvalid(
            [f"{options.config} does not say by which name or port agents find it: use --proxy."]
        )
    return Address(_ANY.get(host, host), port)


def _tokens(options: argparse.Namespace, reactor: Any, spawning: Spawning) -> TokenSource:
    from jitgate.forwarding.command import TokenCommandRun
    from jitgate.forwarding.tokens import TokenCommand, TokenFile

    if options.token_file is not None:
        return TokenFile(options.token_file, reactor)
    try:
        words = shlex.split(options.token_command)
    except ValueError as error:
        raise ConfigurationInvalid([f"--token-command cannot be read: {error}."]) from error
    if not words:
        raise ConfigurationInvalid(["--token-command names no program."])
    return TokenCommand(TokenCommandRun(words, reactor, spawning), reactor)


def _at_hand(options: argparse.Namespace, settings: Settings | None) -> bytes | None:
    """The gateway's CA from the file that was named, or from the state folder if it is ours."""
    from jitgate.forwarding.authority import FILE
    from jitgate.forwarding.hop import certificates_of

    if options.ca is not None:
        return certificates_of(options.ca)
    if settings is not None and os.access(settings.state / FILE, os.R_OK):
        return certificates_of(settings.state / FILE)
    return None


async def _trusted(
    options: argparse.Namespace, settings: Settings | None, hop: Hop, reactor: Any
) -> bytes:
    """The gateway's CA that an agent is to trust, asked for only where nobody can be between."""
    from jitgate.forwarding.authority import fetched

    pem = _at_hand(options, settings)
    if pem is None and hop.gateway.exposed:
        raise ConfigurationInvalid(
            [f"{hop.gateway} is plain and not on the loopback: {_ANOTHER_CA}"]
        )
    return pem or await fetched(hop, reactor)


# --- how they are run


def _told(name: str, story: _Story) -> Callable[[argparse.Namespace], int]:
    """The handler that plays a story; what keeps it from an answer is told in sentences."""

    def run(options: argparse.Namespace) -> int:
        from twisted.internet import reactor
        from twisted.internet.defer import Deferred

        result = [NOT_TOLD]

        async def play() -> None:
            try:
                result[0] = await story(options, reactor)
            except (JitgateError, OSError) as error:
                _say(name, f"{error}")
            except Exception as error:  # noqa: BLE001 (a bug: where it is, not what it held)
                _say(name, traced(error))
            if reactor.running:
                reactor.stop()

        reactor.callWhenRunning(lambda: Deferred.fromCoroutine(play()))
        reactor.run()
        return result[0]

    return run


def _say(name: str, text: str) -> None:
    """Tell whoever started the command; the agent's own output may stand around it."""
    print(f"jitgate {name}: {text}", file=sys.stderr, flush=True)
