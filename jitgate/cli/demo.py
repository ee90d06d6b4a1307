"""``jitgate demo``: the gateway between a sandbox's org and an agent, to try or to watch."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitgate.demo.sandbox import Sandbox
    from jitgate.service import GatewayService


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    demo = commands.add_parser(
        "demo",
        help="try it: a gateway, a sandbox org behind it, and commands to paste",
        description="Start a gateway before a sandbox that stands in for an Okta org.",
    )
    demo.add_argument("--once", action="store_true", help="play the story, say if it came true")
    demo.add_argument(
        "--state", type=Path, metavar="DIR", help="keep everything in DIR (default: a new folder)"
    )
    demo.set_defaults(handler=_demo)


def _demo(options: argparse.Namespace) -> int:
    if options.state is None and options.once:
        with tempfile.TemporaryDirectory(prefix="jitgate-demo-") as temporary:
            return _run(Path(temporary), once=True)
    folder: Path = options.state or Path(tempfile.mkdtemp(prefix="jitgate-demo-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"The folder {folder} cannot be used: {error.strerror}.", file=sys.stderr)
        return 2
    return _run(folder.resolve(), once=options.once)


def _run(folder: Path, *, once: bool) -> int:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    result: list[int] = [2]

    async def story() -> None:
        try:
            result[0] = await (_once(folder, reactor) if once else _serve(folder, reactor))
        finally:
            if once or result[0]:
                reactor.callWhenRunning(_stop, reactor)

    def begin() -> None:
        Deferred.fromCoroutine(story()).addErrback(_failed)

    reactor.callWhenRunning(begin)
    reactor.run()
    return result[0]


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _failed(failure: Any) -> None:
    from jitgate.errors import JitgateError

    if failure.check(JitgateError, OSError):
        print(f"The demo does not start: {failure.getErrorMessage()}", file=sys.stderr)
    else:
        traceback.print_exception(failure.value)


async def _started(folder: Path, reactor: Any) -> tuple[Sandbox, GatewayService]:
    from jitgate.demo.gateway import configured, started
    from jitgate.demo.sandbox import Sandbox

    sandbox = Sandbox(folder / "sandbox", reactor)
    await sandbox.start()
    service = await started(configured(folder, sandbox, 0, 0), reactor)
    return sandbox, service


async def _once(folder: Path, reactor: Any) -> int:
    from jitgate.demo.story import Stage, play

    print("jitgate demo: an agent, the gateway, and a sandbox for an Okta org\n")
    sandbox, service = await _started(folder, reactor)
    listening = service.listening
    stage = Stage(sandbox, listening.address("proxy"), listening.ca, folder, service.stopService)
    good = True
    try:
        async for step in play(stage):
            good = good and step.good
            print(f"  {_mark(step.good)} {step.did}\n      {step.saw}", flush=True)
    finally:
        await service.stopService()
        await sandbox.stop()
    print("\nEverything was as expected." if good else "\nNot everything was as expected.")
    return 0 if good else 1


async def _serve(folder: Path, reactor: Any) -> int:
    sandbox, service = await _started(folder, reactor)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    token = folder / "agent.token"
    token.touch(mode=0o600)
    token.write_text(sandbox.issuer.mint("demo-agent", life=3600))
    print(
        _INVITATION.format(
            folder=folder,
            host=sandbox.org.host,
            user=next(iter(sandbox.org.directory.users)),
            issuer=sandbox.issuer.url,
            proxy="{}:{}".format(*service.listening.address("proxy")),
            admin="{}:{}".format(*service.listening.address("admin")),
            ca=service.listening.ca,
            jitgate=f"{sys.executable} -m jitgate",
        ),
        flush=True,
    )
    return 0


def _mark(good: bool) -> str:
    plain = "utf" not in (sys.stdout.encoding or "").lower() or os.environ.get("TERM") == "dumb"
    if plain:
        return "ok  " if good else "FAIL"
    return "✓" if good else "✗"


_INVITATION = """\
jitgate demo is running. Ctrl-C ends it.

  the gateway    http://{proxy}     where an agent's HTTPS_PROXY points
  its health     http://{admin}/healthz
  the sandbox    https://{host} (an Okta org, only behind the gateway)
                 {issuer} (the agent's issuer)
  its folder     {folder}

Be the agent: paste this into another terminal. The token is good for an hour.

  export HTTPS_PROXY="http://me:$(cat {folder}/agent.token)@{proxy}" SSL_CERT_FILE={ca}
  curl --cacert {ca} https://{host}/api/v1/users       # permitted
  curl --cacert {ca} https://{host}/api/v1/apps        # permitted, secrets masked
  curl --cacert {ca} -X POST https://{host}/api/v1/users/{user}/roles     # denied, says why
  curl --cacert {ca} -X POST https://{host}/api/v1/users/{user}/lifecycle/deactivate   # held

An agent's own program runs behind a proxy that adds the token for it:

  {jitgate} exec --token-file {folder}/agent.token --proxy http://{proxy} -- curl https://{host}/api/v1/users

Be the approver, in a third terminal. Only a demo lets whoever started it approve; elsewhere the
configuration says whose uid may.

  {jitgate} requests --config {folder}/etc/jitgate.yaml
  {jitgate} approve ID --config {folder}/etc/jitgate.yaml     # or deny; then look at the curl

Be the auditor:

  {jitgate} sessions --config {folder}/etc/jitgate.yaml
  {jitgate} replay SESSION --config {folder}/etc/jitgate.yaml
  {jitgate} verify --config {folder}/etc/jitgate.yaml --allow-unwitnessed

The rules are in {folder}/etc/policy; change one and start again with --state {folder}
"""
