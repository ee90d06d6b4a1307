"""`jitgate credentials check`: what apps were granted, beside what rules may ask of them."""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from jitgate.app.callees import callees_of
from jitgate.app.far import Far
from jitgate.app.needs import Needs, needs_of
from jitgate.app.offline import Offline, offline
from jitgate.app.problems import Problems
from jitgate.app.provided import Provided
from jitgate.app.reach import kinds_of, let_pass
from jitgate.cli.bar import Bar
from jitgate.cli.configured import named_file
from jitgate.cli.credentials_words import OfApp, OfTarget, in_json, in_words, warnings
from jitgate.cli.playing import Stopped, played
from jitgate.config import credential_schema, schema
from jitgate.config.reading import near
from jitgate.core.injection import user_agent_token
from jitgate.credentials.dpop import Nonces
from jitgate.credentials.examining import Examiner
from jitgate.credentials.okta import OktaCredentials
from jitgate.credentials.okta_app import OktaApp
from jitgate.errors import ConfigurationInvalid
from jitgate.interfaces import IRule
from jitgate.plugins import named, of_port

GOOD, WARNED, NOT_TOLD = 0, 1, 2


def check(arguments: argparse.Namespace) -> int:
    """Ask each app. Raises `ConfigurationInvalid`, and `Stopped`."""
    made = offline(named_file(arguments.config))
    targets = _chosen(made, arguments.targets)
    found = played(lambda reactor, stopping: _Check(made, reactor, stopping).of(targets))
    if arguments.json:
        print(json.dumps(in_json(found), indent=2))
    else:
        print(*in_words(found, _notes(made)), sep="\n")
    if any(not app.examined.answered for target in found for app in target.apps):
        return NOT_TOLD
    return WARNED if any(True for target in found for _ in warnings(target)) else GOOD


def _chosen(made: Offline, names: Sequence[str]) -> list[schema.Target]:
    """The targets of those names, or all."""
    known = {target.name: target for target in made.configuration.settings.targets}
    problems = [
        f"no target {name!r} is configured{near(name, set(known))}"
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigurationInvalid(problems)
    return [target for name, target in known.items() if not names or name in names]


def _notes(made: Offline) -> list[str]:
    names = sorted(map(named, of_port(IRule, made.plugins)))
    if not names:
        return []
    return [f"Not counted: what rules of plugins let pass, as they do not say: {', '.join(names)}."]


class _Check:
    """Finds out what there is to find out of targets' credentials.

    Args:
        made: What is configured.
        reactor: In which it runs.
        stopping: Whether it is to come to an end.
    """

    def __init__(self, made: Offline, reactor: Any, stopping: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._stopping = stopping
        self._bar = Bar()
        self._name = user_agent_token(f"check-{secrets.token_hex(8)}", 1)
        self._kinds = kinds_of(made.configuration, made.targets)
        self._passing = let_pass(made.configuration, made.policy, self._kinds)
        self._order = [rule.name for rule in made.configuration.rules]
        self._problems = Problems()
        settings, provided = made.configuration.settings, Provided(made.plugins, self._problems)
        callees = callees_of(settings, provided, self._problems)
        self._far = Far(
            settings,
            reactor,
            self._problems,
            callees,
            provided,
            noted=_not_noted,
            nonces=Nonces(),
        )

    async def of(self, targets: Sequence[schema.Target]) -> list[OfTarget]:
        """Every target in turn. Raises `ConfigurationInvalid` where secrets cannot be read."""
        sources = {
            target.name: self._problems.attempt(target.where, self._far.credential, target)
            for target in targets
        }
        self._problems.raise_any()
        try:
            return [await self._of_target(target, sources[target.name]) for target in targets]
        finally:
            self._bar.clear()
            for source in self._far.sources:
                await source.stop()

    async def _of_target(self, target: schema.Target, source: object) -> OfTarget:
        if not isinstance(source, OktaCredentials):
            return OfTarget(target.name, target.credential.type)
        apps = source.apps
        needs = needs_of(target.name, apps, self._passing, self._order)
        found = [await self._of_app(target, app, needs) for app in apps]
        return OfTarget(target.name, "okta", apps=found, uncovered=needs.uncovered)

    async def _of_app(self, target: schema.Target, app: OktaApp, needs: Needs) -> OfApp:
        needed = needs.by_app[app.client.name]
        every = {
            scope for kind in self._kinds if kind.target == target.name for scope in kind.scopes
        }
        others = sorted(every - needed.keys(), key=_family)
        total = len(needed) + len(others)

        def asking(known: int) -> None:
            if self._stopping():
                raise Stopped("It was stopped.")
            self._bar.show(known, total)

        examiner = Examiner(app, self._reactor.seconds, self._pause, asking, self._name)
        examined = await examiner.examine(sorted(needed, key=_family), others)
        client, dpop = app.client, app.prover is not None
        return OfApp(
            target=target.name,
            org=_org(target),
            app=client.name,
            client_id=client.client_id,
            dpop=dpop,
            needed=needed,
            examined=examined,
            count=examiner.count,
            user_agent=self._name,
        )

    async def _pause(self, seconds: float) -> None:
        waiting: Deferred[None] = deferLater(self._reactor, seconds)
        await waiting


def _not_noted(*_: object) -> None:
    """Nothing is put on record: no call goes out by what is minted here."""


def _org(target: schema.Target) -> str:
    credential = target.credential
    return credential.org if isinstance(credential, credential_schema.OktaCredential) else ""


def _family(scope: str) -> tuple[str, str]:
    """What is granted together stands together: ``okta.users.read`` with all that read."""
    name, _, verb = scope.rpartition(".")
    return verb, name
