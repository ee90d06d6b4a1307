"""What plugins provide, by the names by which the configuration refers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zope.interface import Interface

from jitgate import plugins
from jitgate.app.problems import Problems
from jitgate.config import schema
from jitgate.config.reading import near


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
        for port in plugins.PORTS:
            kind = kind_of(port)
            if kind != "rule":  # those in files have names as well
                problems.unique(kind, [plugins.named(each) for each in self._of(port)])

    def named(self, port: type[Interface], name: str, where: str) -> Any:
        """What is called so in a port; None where nothing is, which is a problem at that place."""
        known = self.all(port)
        if name not in known:
            self._problems.add(
                f"{where}: no plugin provides the {kind_of(port)} {name!r}{near(name, known)}"
            )
        return known.get(name)

    def all(self, port: type[Interface]) -> Mapping[str, Any]:
        """Everything that is provided for a port, by its name."""
        return {plugins.named(each): each for each in self._of(port)}

    def _of(self, port: type[Interface]) -> list[object]:
        return plugins.of_port(port, self._loaded)


_KINDS = {
    "IRule": "rule",
    "IFacts": "facts",
    "IMasker": "masker",
    "IIdentityVerifier": "identity verifier",
    "ICredentialSource": "credential source",
    "IApproverChannel": "approver channel",
    "ICatalog": "catalog",
    "IRecordStore": "record store",
    "IListenerSource": "listener",
}


def kind_of(port: type[Interface]) -> str:
    """What is provided for a port, in a word for people."""
    return _KINDS[port.__name__]
