"""Loads the plugins that the configuration names, in order. Any failure stops start-up.

A plugin is a Python file with a function ``plugin(options)`` that returns what it provides: one
object or a list of them. Files are loaded by their name, never found by searching a folder, and
nothing is cached beside them.

A plugin that defines a class ``Options``, of `PluginOptions`, is given one of it; what does not fit
is an error as everywhere in the configuration. Any other is given a plain mapping.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from zope.interface import Interface
from zope.interface.exceptions import (
    BrokenImplementation,
    BrokenMethodImplementation,
    Invalid,
)
from zope.interface.interface import Method
from zope.interface.verify import verifyObject

from jitgate.config.kinds import Section
from jitgate.config.reading import Written
from jitgate.errors import OptionsInvalid, PluginInvalid
from jitgate.interfaces import (
    IApproverChannel,
    ICatalog,
    ICredentialSource,
    IFacts,
    IGroups,
    IIdentityVerifier,
    ILendingSource,
    IListenerSource,
    IMasker,
    IPeople,
    IRecordStore,
    IRule,
)

PORTS: tuple[type[Interface], ...] = (
    IRule,
    IFacts,
    IMasker,
    IIdentityVerifier,
    ICredentialSource,
    ILendingSource,
    IApproverChannel,
    IPeople,
    IGroups,
    ICatalog,
    IRecordStore,
    IListenerSource,
)
"""What a plugin may provide. A protocol's listener it provides by what makes it."""


class PluginOptions(Section):
    """What a plugin's own ``class Options`` derives from: every key is known, every kind meant.

    The kinds of values that the configuration has (durations, paths, secrets in files) are in
    `jitgate.config.kinds`; a path is relative to the configuration.
    """


@dataclass(frozen=True, slots=True)
class Provided:
    """One thing that a plugin provides: for which port, and what it is called there."""

    port: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """One loaded plugin file: what it provides, and the digest of its text."""

    file: Path
    digest: str
    """SHA-256, in hexadecimal."""
    provides: tuple[object, ...]
    provided: tuple[Provided, ...]
    """What those are, in order; what provides two ports stands twice. Read once, as it loaded."""
    module: ModuleType = field(repr=False)


def load(file: Path, options: Mapping[str, object], written: Written | None = None) -> Plugin:
    """Run the file and take what it provides. Raises `PluginInvalid`, naming file and reason.

    ``written`` are the options as they stand in the configuration, so that what is wrong with them
    is told with its line, in an `OptionsInvalid`.
    """
    try:
        source = file.read_bytes()
    except OSError as error:
        raise PluginInvalid(f"{file}: cannot be read: {error.strerror}.") from error
    module = _run(file, source)
    make = getattr(module, "plugin", None)
    if not callable(make):
        raise PluginInvalid(f"{file}: a plugin file defines a function plugin(options).")
    given = _options(file, module, written or Written(options, "options"))
    try:
        made = make(given)
    except BaseException as error:
        raise PluginInvalid(f"{file}: plugin(options) raised {_named(error)}.") from error
    provides = tuple(made) if isinstance(made, list | tuple) else (made,)
    provided = tuple(one for each in provides for one in _verified(file, each))
    if not provides:
        raise PluginInvalid(f"{file}: plugin(options) returned nothing.")
    return Plugin(file, hashlib.sha256(source).hexdigest(), provides, provided, module)


def settle(plugins: Iterable[Plugin]) -> None:
    """Let these be found by the names of their modules, whatever was loaded after them."""
    for each in plugins:
        sys.modules[each.module.__name__] = each.module


def of_port(port: type[Interface], plugins: Iterable[Plugin]) -> list[object]:
    """Everything that the plugins provide for one port, in order."""
    return [each for plugin in plugins for each in plugin.provides if port.providedBy(each)]


def named(provider: object) -> str:
    """What a thing that a plugin provides is called."""
    name: str = getattr(provider, "name")  # noqa: B009 (it was looked at when it was loaded)
    return name


def _run(file: Path, source: bytes) -> ModuleType:
    name = f"jitgate_plugin_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(file))
    if spec is None:  # pragma: no cover (a name and an origin always make a spec)
        raise PluginInvalid(f"{file}: cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses look their module up by name
    try:
        exec(compile(source, str(file), "exec"), module.__dict__)  # noqa: S102 (that is what it is)
    except BaseException as error:
        raise PluginInvalid(f"{file}: loading it raised {_named(error)}.") from error
    return module


def _options(file: Path, module: ModuleType, written: Written) -> object:
    """What ``plugin`` is given: as the plugin's own class describes it, if it has one."""
    shape = getattr(module, "Options", None)
    if shape is None:
        return dict(written.values)
    if not isinstance(shape, type) or not issubclass(shape, PluginOptions):
        raise PluginInvalid(f"{file}: its Options is no class of jitgate.plugins.PluginOptions.")
    taken = sorted(name for name in shape.model_fields if hasattr(PluginOptions, name))
    if taken:
        raise PluginInvalid(f"{file}: no option can be called {taken[0]!r}: rename it.")
    try:
        return written.read(shape)
    except OptionsInvalid:
        raise
    except BaseException as error:
        raise PluginInvalid(f"{file}: checking its options raised {_named(error)}.") from error


def _verified(file: Path, provider: object) -> list[Provided]:
    """What it is for each of its ports; it is a plugin's, so that whatever is asked may raise."""
    try:
        ports = _ports(file, provider)
        for port in ports:
            verifyObject(port, provider)
        name, version = (_text(file, provider, attribute) for attribute in ("name", "version"))
    except PluginInvalid:
        raise
    except Invalid as error:
        raise PluginInvalid(f"{file}: {_unlike(error, provider)}") from error
    except BaseException as error:
        raise PluginInvalid(f"{file}: looking at it raised {_named(error)}.") from error
    return [Provided(port.__name__, name, version) for port in ports]


def _unlike(error: Invalid, provider: object) -> str:
    """In which ways a thing is not what its port asks for, in words of its own class."""
    kind = type(provider).__name__
    said = []
    for each in getattr(error, "exceptions", (error,)):
        if isinstance(each, BrokenImplementation):
            part = each.name if isinstance(each.name, str) else each.name.__name__
            port = each.interface.__name__
            form = each.interface[part]
            said.append(f"{kind} has no {part}{_form(form)}, which {port} asks for.")
        elif isinstance(each, BrokenMethodImplementation):
            name, form = each.method.__name__, _form(each.method)
            said.append(f"{kind}.{name} is not the {name}{form} that its port has: {each.mess}.")
        else:
            said.append(f"{each}".replace("\n", " "))
    return " ".join(said)


def _form(part: object) -> str:
    """What a method of a port takes; empty for an attribute."""
    return f"{part.getSignatureString()}" if isinstance(part, Method) else ""  # type: ignore[no-untyped-call]


def _ports(file: Path, provider: object) -> list[type[Interface]]:
    """The ports that it says that it provides."""
    ports = [port for port in PORTS if port.providedBy(provider)]
    if not ports:
        raise PluginInvalid(
            f"{file}: {type(provider).__name__} provides none of "
            f"{', '.join(port.__name__ for port in PORTS)}: plugin(options) returns an object, or "
            "a list of them, whose class says by @implementer which of these it is."
        )
    return ports


def _text(file: Path, provider: object, attribute: str) -> str:
    """What `INamed` describes, which it need not say that it provides.

    No text of a kind of its own: that could be equal to others, or not, as it likes.
    """
    value = getattr(provider, attribute, None)
    if type(value) is not str or not value:
        raise PluginInvalid(f"{file}: the {attribute} of what it provides is no text.")
    return value


def _named(error: BaseException) -> str:
    line = ""
    traceback = error.__traceback__
    while traceback is not None:
        line = f" (line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    return f"{type(error).__name__}: {error}{line}"
