"""What plugins provide, by the names by which the configuration refers to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface
from zope.interface.verify import verifyObject

from jitgate import plugins
from jitgate.app.problems import Problems
from jitgate.app.slack_settings import SLACK, used
from jitgate.approvers.people import ListedPeople
from jitgate.config import schema
from jitgate.config.reading import near
from jitgate.core.answers import person
from jitgate.errors import PluginInvalid
from jitgate.flow.elsewhere import Elsewhere
from jitgate.flow.gateway import Gateway
from jitgate.flow.members import Groups
from jitgate.flow.people import LONGEST_DEADLINE, is_span
from jitgate.interfaces import (
    IApproverChannel,
    IGrantChannel,
    IGroups,
    IListenerSource,
    IPeople,
    IProtocolListener,
    IRecordStore,
)
from jitgate.provided import ProvidedChannel, ProvidedGrantChannel, ProvidedListener

CONTROL = "cli"
"""What the configuration calls the channel that is the control socket."""


def loaded_of(settings: schema.Settings, problems: Problems) -> list[plugins.Plugin]:
    """The plugins that load, in order; what is wrong with the others goes to ``problems``."""
    attempts = [
        problems.attempt(each.where, plugins.load, each.file, each.options, each.written)
        for each in settings.plugins
    ]
    return [plugin for plugin in attempts if plugin is not None]


class Provided:
    """Finds what plugins provide. A name that none of them provides is a problem."""

    def __init__(self, loaded: Sequence[plugins.Plugin], problems: Problems) -> None:
        self._problems = problems
        self._loaded = loaded
        for kind in dict.fromkeys(map(kind_of, plugins.PORTS)):
            if kind != "rule":  # those in files have names as well
                problems.unique(kind, [plugins.named(each) for each in self._of_kind(kind)])
        if SLACK in self.all(IGroups):
            problems.add(f"the source of groups {SLACK!r} is the gateway's own")

    def none_called(self, own: Iterable[str]) -> None:
        """Channels of the gateway's own are called so, and no plugin's may be."""
        for name in sorted({*own} & {*self.all(IApproverChannel)}):
            self._problems.add(f"the approver channel {name!r} is the gateway's own")

    def named(self, port: type[Interface], name: str, where: str, *own: str) -> Any:
        """What is called so in a port; None where nothing is, which is a problem at that place.

        ``own`` are names of what is the gateway's own, that may have been meant.
        """
        known = {plugins.named(each): each for each in self._of_kind(kind_of(port))}
        if name not in known:
            meant = near(name, {*known, *own})
            self._problems.add(f"{where}: no plugin provides the {kind_of(port)} {name!r}{meant}")
        return known.get(name)

    def all(self, port: type[Interface]) -> Mapping[str, Any]:
        """Everything that is provided for a port, by its name."""
        return {plugins.named(each): each for each in self._of(port)}

    def told(self, provider: object) -> str:
        """Which one it is: its plugin's text, what it is called, and all that it depends on."""
        for plugin in self._loaded:
            for each in plugin.provides:
                if each is provider:
                    return f"{plugin.digest} {plugin.provided}"
        return ""

    def _of_kind(self, kind: str) -> list[object]:
        """Everything of a kind, each once: it may provide two ports that are of it."""
        ports = [port for port in plugins.PORTS if kind_of(port) == kind]
        found = {id(each): each for port in ports for each in self._of(port)}
        return list(found.values())

    def _of(self, port: type[Interface]) -> list[object]:
        return plugins.of_port(port, self._loaded)


@dataclass(frozen=True, slots=True)
class Bound:
    """What plugins provide that the gateway is bound to from its start to its end."""

    store: IRecordStore | None
    """Where the recording is kept too."""
    listeners: Mapping[str, IListenerSource]
    _told: Mapping[str, tuple[str, str]]
    """By what each is to the configuration: which it is, and where that stands."""

    @classmethod
    def of(cls, settings: schema.Settings, provided: Provided) -> Bound:
        """What the configuration names; what is not provided is a problem."""
        told, store = {}, None
        recording, listen = settings.recording, settings.listen
        if recording is not None and recording.plugin is not None:
            store = provided.named(IRecordStore, recording.plugin, recording.where)
            told["recording.plugin"] = (provided.told(store), recording.where)
        listeners = {}
        for name in listen.plugins:
            source = provided.named(IListenerSource, name, listen.where)
            told[f"listen.plugins: {name}"] = (provided.told(source), listen.where)
            if source is not None:
                listeners[name] = source
        return cls(store, listeners, told)

    def restarts(self, before: Bound) -> Iterator[str]:
        """What is another than it was, though it cannot be replaced."""
        for what in sorted({*self._told, *before._told}):
            which, where = self._told.get(what, ("", ""))
            was, there = before._told.get(what, ("", ""))
            if which != was:
                yield f"{where or there}: {what} is another: restart to change it"


def channels_of(
    settings: schema.Settings, provided: Provided, clock: IReactorTime
) -> Mapping[str, IApproverChannel | None]:
    """The ways to people, in order; None stands for one of the gateway's own.

    Where Slack is named and cannot be used, the command line serves.
    """
    channels: dict[str, IApproverChannel | None] = {}
    own = (CONTROL, SLACK, *(each.name for each in settings.webhooks))
    provided.none_called(own)
    for name in settings.approvals.channels:
        if name == SLACK and used(settings) is None:
            channels[CONTROL] = None
            continue
        if name in own:
            channels[name] = None
            continue
        channel = provided.named(IApproverChannel, name, settings.approvals.where, *own)
        if channel is not None:
            shows_grants = IGrantChannel.providedBy(channel)
            guard = ProvidedGrantChannel if shows_grants else ProvidedChannel
            channels[name] = guard(name, channel, clock)
    return channels


def people_of(
    settings: schema.Settings, provided: Provided, problems: Problems
) -> Sequence[IPeople]:
    """Those who know whether people are still active: the configuration, and plugins."""
    approvals = settings.approvals
    sources: list[IPeople] = [ListedPeople(*approvals.inactive)]
    for name in approvals.people:
        source = provided.named(IPeople, name, approvals.where)
        if source is not None:
            _check_deadline(f"people {name!r}", source, approvals.where, problems)
            sources.append(source)
    return sources


def groups_of(
    settings: schema.Settings, provided: Provided, problems: Problems, slack: IGroups
) -> Groups:
    """Who answers for each group: listed there, or known to Slack or to what a plugin provides."""
    groups: dict[str, frozenset[str] | Elsewhere] = {}
    checked = set()
    for name, written in settings.approvals.groups.items():
        if not isinstance(written, schema.GroupElsewhere):
            groups[name] = frozenset(map(person, written))
            continue
        source: IGroups | None = slack
        if written.source != SLACK:
            source = provided.named(IGroups, written.source, written.where, SLACK)
        elif used(settings) is None:
            problems.add(f"{written.where}: group {name!r} is from slack, and Slack is not used")
        if source is None:
            continue
        if written.source not in checked:
            checked.add(written.source)
            _check_deadline(f"groups of {written.source!r}", source, written.where, problems)
        wrong = _misnamed(source, written.group)
        if wrong is not None:
            problems.add(f"{written.where}: group {name!r}: {wrong}")
        groups[name] = Elsewhere(source, written.group, provided.told(source))
    return groups


def _misnamed(source: IGroups, group: str) -> object:
    """Why no group is called so there, as far as the source can say."""
    try:
        return source.misnamed(group)
    except Exception as error:  # noqa: BLE001 (a plugin's first try may raise anything)
        return f"whether it may be called {group!r} cannot be told: {type(error).__name__}"


def _check_deadline(what: str, source: IPeople | IGroups, where: str, problems: Problems) -> None:
    """Whoever answers waits for it."""
    if not is_span(source.deadline, LONGEST_DEADLINE):
        problems.add(
            f"{where}: {what}: its deadline must be seconds above 0, and "
            f"{LONGEST_DEADLINE:g} at most"
        )


def open_ways(
    open_now: list[IApproverChannel],
    own: Mapping[str, IApproverChannel],
    channels: Mapping[str, IApproverChannel | None],
) -> None:
    """Tell people by these channels from now on; ``own`` are those of the gateway's that run."""
    every = (own.get(name) if each is None else each for name, each in channels.items())
    open_now[:] = [each for each in every if each is not None]


def listeners_of(
    bound: Bound, gateway: Gateway, stop: float, clock: IReactorTime
) -> list[ProvidedListener]:
    """The listeners that plugins make, each of which stops within ``stop`` seconds.

    Raises `PluginInvalid` for one that is none.
    """
    made = []
    for name, source in bound.listeners.items():
        try:
            listener = source.listener(gateway)
            verifyObject(IProtocolListener, listener)
        except Exception as error:
            raise PluginInvalid(f"The listener {name} cannot be made: {error}") from error
        made.append(ProvidedListener(name, listener, stop, clock))
    return made


_KINDS = {
    "IRule": "rule",
    "IFacts": "facts",
    "IMasker": "masker",
    "IIdentityVerifier": "identity verifier",
    "ICredentialSource": "credential source",
    "ILendingSource": "credential source",
    "IApproverChannel": "approver channel",
    "IPeople": "source of people",
    "IGroups": "source of groups",
    "ICatalog": "catalog",
    "IRecordStore": "record store",
    "IListenerSource": "listener",
}


def kind_of(port: type[Interface]) -> str:
    """What is provided for a port, in a word for people."""
    return _KINDS[port.__name__]
