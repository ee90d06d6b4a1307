"""The flow, put together: everything between an agent and a target, and all that a reload changes.

`jitgate.app.assembly` makes the service around it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from jitgate.app.ids import Ids
from jitgate.app.in_force import InForce
from jitgate.app.masking_sets import Sets
from jitgate.app.storing import Storing
from jitgate.config.schema import Approvals, Settings
from jitgate.core.limits import Limits, share
from jitgate.core.tally import Tally
from jitgate.credentials.kept import Kept
from jitgate.credentials.none import NoCredential
from jitgate.flow.access import Access
from jitgate.flow.accounts import Accounts
from jitgate.flow.admission import Target
from jitgate.flow.ahead import Ahead
from jitgate.flow.bodies import HeldBodies
from jitgate.flow.budgets import Budgets
from jitgate.flow.deciding import Decider
from jitgate.flow.evaluating import Evaluations
from jitgate.flow.following import Following
from jitgate.flow.gateway import Gateway
from jitgate.flow.grants import Grants
from jitgate.flow.knocked import Knocked
from jitgate.flow.ledger import Ledger
from jitgate.flow.load import Load
from jitgate.flow.looking_up import Means
from jitgate.flow.masking_room import MaskingRoom
from jitgate.flow.members import Members
from jitgate.flow.rates import Pace
from jitgate.flow.recorder import Recorder
from jitgate.flow.resource_names import ResourceNames
from jitgate.flow.revoking import Revocations
from jitgate.flow.sending import Sender
from jitgate.flow.telling import Telling
from jitgate.flow.tokens import TokenExchange
from jitgate.identity.own_tokens import OwnTokens
from jitgate.interfaces import IApproverChannel, ILastingSource
from jitgate.proxy.internal import AUTHORITY, internal_target
from jitgate.proxy.manifest import Trust
from jitgate.proxy.pages import Pages
from jitgate.proxy.request_pages import RequestPages
from jitgate.upstreams.https import HttpsUpstream


@dataclass(frozen=True, slots=True)
class Ground:
    """What the story stands on, from the gateway's start to its end."""

    settings: Settings
    recorder: Recorder
    ledger: Ledger
    storing: Storing
    channels: Sequence[IApproverChannel]
    """The ways to people, which are opened later."""
    own: OwnTokens
    trust: Callable[[], Trust]
    """The certificates that agents must believe."""
    pace: Pace
    tally: Tally
    clock: Any
    new_id: Ids
    site_key: bytes = field(repr=False)
    workers: int = 1
    """How many processes share what is a bound for all."""

    @property
    def bounds(self) -> Limits:
        return self.settings.limits.bounds

    @property
    def new_exchange(self) -> Callable[[], str]:
        """What calls the next exchange something."""
        return partial(self.new_id, "x")

    @property
    def turn(self) -> Callable[[], Deferred[None]]:
        """What lets others have their turn."""
        return partial(deferLater, self.clock, 0)


@dataclass(frozen=True, slots=True)
class Story:
    """The flow, and all else that goes by what is in force."""

    gateway: Gateway
    load: Load
    knocked: Knocked
    access: Access
    grants: Grants
    names: ResourceNames
    members: Members
    bodies: HeldBodies
    decider: Decider
    pages: Pages
    ahead: Ahead
    tokens: TokenExchange
    revocations: Revocations
    following: Following | None
    ways: WeakSet[HttpsUpstream]
    """The connections to the targets; those of before too, while something goes on there."""
    sources: WeakSet[ILastingSource]
    """The sources of their credentials, as long, and those that have something to end: whatever
    they still wait for holds them."""
    workers: int

    def adopt(self, new: InForce) -> None:
        """Go by this from now on, all at once. `Decider.reconsider` what is held then."""
        approvals = new.configuration.settings.approvals
        self.decider.adopt(**new.decided)
        new.name(self.names)
        self.members.adopt(new.groups)
        self.access.adopt(new.active, new.patience, new.limits)
        self.bodies.adopt(approvals.review_body, _held(approvals, self.workers))
        self.pages.adopt(new.targets, new.patience)
        self.ahead.adopt(new.targets)
        self.tokens.adopt(new.identity)
        self.gateway.adopt(_with_own(new.targets, self.pages), new.identity)
        for way in list(self.ways):
            way.retire()
        for source in list(self.sources):
            source.retire()
        self.ways.update(new.ways)
        self.sources.update(new.sources)


def story_of(in_force: InForce, ground: Ground) -> Story:
    """The flow on this ground, by what is in force at the start.

    It is one long list: all that there is one of, in the order in which one needs another.
    """
    clock, recorder, storing = ground.clock, ground.recorder, ground.storing
    access, grants, names, members = _people(in_force, ground)
    approvals = ground.settings.approvals
    bodies = HeldBodies(approvals.review_body, _held(approvals, ground.workers))
    accounts = _accounts(ground)
    load = Load(clock, ground.bounds.share(ground.workers), ground.tally)
    budgets = Budgets(storing.budgets, clock)
    decider = Decider(
        **in_force.decided,
        access=access,
        bodies=bodies,
        accounts=accounts,
        budgets=budgets,
        clock=clock,
        site_key=ground.site_key,
        ready=Sets(clock).ready,
    )
    revocations = Revocations(storing.once, access, recorder, clock)
    news = storing.news
    following = None if news is None else Following(news, access, grants, revocations, clock)
    ahead = _ahead(in_force, ground, decider, access, budgets)
    tokens, pages = _pages(
        in_force,
        ground,
        ahead,
        access=access,
        grants=grants,
        decider=decider,
        revocations=revocations,
    )
    knocked = Knocked(recorder, clock)
    gateway = Gateway(
        targets=_with_own(in_force.targets, pages),
        identity=in_force.identity,
        decider=decider,
        sender=_sender(ground, grants, decider, accounts, revocations),
        accounts=accounts,
        bodies=bodies,
        load=load,
        revocations=revocations,
        knocked=knocked,
        recorder=recorder,
        clock=clock,
        new_id=ground.new_exchange,
    )
    return Story(
        gateway=gateway,
        load=load,
        knocked=knocked,
        access=access,
        grants=grants,
        names=names,
        members=members,
        bodies=bodies,
        decider=decider,
        pages=pages,
        ahead=ahead,
        tokens=tokens,
        revocations=revocations,
        following=following,
        ways=WeakSet(in_force.ways),
        sources=WeakSet(in_force.sources),
        workers=ground.workers,
    )


def _people(in_force: InForce, ground: Ground) -> tuple[Access, Grants, ResourceNames, Members]:
    """How people are asked, and what comes of it."""
    clock, pace, site_key = ground.clock, ground.pace, ground.site_key
    telling = Telling(ground.channels)
    grants = Grants(ground.ledger, clock, telling)
    names = ResourceNames(Means(ground.recorder, pace, clock, site_key), ground.new_id)
    in_force.name(names)
    members = Members(in_force.groups, clock)
    access = Access(
        ground.ledger,
        grants,
        telling=telling,
        names=names,
        members=members,
        active=in_force.active,
        counts=ground.storing.budgets,
        patience=in_force.patience,
        limits=in_force.limits,
        clock=clock,
        new_id=ground.new_id,
    )
    return access, grants, names, members


def _accounts(ground: Ground) -> Accounts:
    return Accounts(
        ground.recorder,
        clock=ground.clock,
        new_id=ground.new_exchange,
        site_key=ground.site_key,
        turn=ground.turn,
        tally=ground.tally,
        elapsed=time.monotonic,
    )


def _sender(
    ground: Ground,
    grants: Grants,
    decider: Decider,
    accounts: Accounts,
    revocations: Revocations,
) -> Sender:
    bounds = ground.bounds
    return Sender(
        grants,
        decider,
        accounts,
        revocations,
        ground.clock,
        pace=ground.pace,
        turn=ground.turn,
        room=MaskingRoom(bounds.share(ground.workers).masking_bytes, ground.tally),
        limits=bounds,
    )


def _ahead(
    in_force: InForce, ground: Ground, decider: Decider, access: Access, budgets: Budgets
) -> Ahead:
    return Ahead(
        targets=in_force.targets,
        decide=decider.ahead,
        scope_print=decider.asks.scope_print,
        access=access,
        budgets=budgets,
        clock=ground.clock,
        new_id=ground.new_id,
    )


def _pages(
    in_force: InForce,
    ground: Ground,
    ahead: Ahead,
    *,
    access: Access,
    grants: Grants,
    decider: Decider,
    revocations: Revocations,
) -> tuple[TokenExchange, Pages]:
    """What agents get of the gateway itself: its pages, and tokens for one operation."""
    clock, new_id = ground.clock, ground.new_id
    tokens = TokenExchange(
        ahead=ahead,
        identity=in_force.identity,
        source=ground.own,
        revocations=revocations,
        clock=clock,
        new_id=new_id,
    )
    evaluations = Evaluations(
        ahead, access, grants, site_key=ground.site_key, clock=clock, new_id=new_id
    )
    pages = Pages(
        RequestPages(access, grants, evaluations, clock),
        targets=in_force.targets,
        decide=decider.foreseen,
        trust=ground.trust,
        patience=in_force.patience,
        tokens=tokens,
        clock=clock,
    )
    return tokens, pages


def _held(approvals: Approvals, workers: int) -> int:
    """Bytes of held bodies that one worker has room for: one body's at least."""
    return max(approvals.review_body, share(approvals.review_bodies, workers))


def _with_own(targets: Mapping[str, Target], pages: Pages) -> Mapping[str, Target]:
    """The targets, and the gateway's own pages."""
    return {**targets, AUTHORITY: internal_target(pages, Kept(NoCredential()))}
