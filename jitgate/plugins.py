"""Loads the plugins that the configuration names, in order. Any failure stops start-up.

A plugin is a Python file with a function ``plugin(options)`` that returns what it provides: one
object or a list of them. Files are loaded by their name, never found by searching a folder, and
nothing is cached beside them.
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
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from jitgate.errors import PluginInvalid
from jitgate.interfaces import IMasker, IRule

PORTS: tuple[type[Interface], ...] = (IRule, IMasker)
"""What a plugin may provide."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One loaded plugin file: what it provides, and the digest of its text."""

    file: Path
    digest: str
    provides: tuple[object, ...]
    module: ModuleType = field(repr=False)


def load(file: Path, options: Mapping[str, object]) -> Plugin:
    """Run the file and take what it provides. Raises `PluginInvalid`, naming file and reason."""
    try:
        source = file.read_bytes()
    except OSError as error:
        raise PluginInvalid(f"{file}: cannot be read: {error.strerror}.") from error
    module = _run(file, source)
    make = getattr(module, "plugin", None)
    if not callable(make):
        raise PluginInvalid(f"{file}: a plugin file defines a function plugin(options).")
    try:
        made = make(dict(options))
    except BaseException as error:
        raise PluginInvalid(f"{file}: plugin(options) raised {_named(error)}.") from error
    provides = tuple(made) if isinstance(made, list | tuple) else (made,)
    for each in provides:
        _verify(file, each)
    if not provides:
        raise PluginInvalid(f"{file}: plugin(options) returned nothing.")
    return Plugin(file, hashlib.sha256(source).hexdigest(), provides, module)


def settle(plugins: Iterable[Plugin]) -> None:
    """Let these be found by the names of their modules, whatever was loaded after them."""
    for each in plugins:
        sys.modules[each.module.__name__] = each.module


def of_port(port: type[Interface], plugins: Iterable[Plugin]) -> list[object]:
    """Everything that the plugins provide for one port, in order."""
    return [each for plugin in plugins for each in plugin.provides if port.providedBy(each)]


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


def _verify(file: Path, provider: object) -> None:
    ports = [port for port in PORTS if port.providedBy(provider)]
    if not ports:
        raise PluginInvalid(
            f"{file}: {type(provider).__name__} provides none of "
            f"{', '.join(port.__name__ for port in PORTS)}."
        )
    for port in ports:
        try:
            verifyObject(port, provider)
        except Invalid as error:
            reason = f"{error}".replace("\n", " ")
            raise PluginInvalid(f"{file}: {reason}") from error
        except Exception as error:
            raise PluginInvalid(f"{file}: looking at it raised {_named(error)}.") from error
    for attribute in ("name", "version"):
        value = getattr(provider, attribute)
        if not isinstance(value, str) or not value:
            raise PluginInvalid(f"{file}: the {attribute} of what it provides is no text.")


def _named(error: BaseException) -> str:
    line = ""
    traceback = error.__traceback__
    while traceback is not None:
        line = f" (line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError):
        line = f" (line {error.lineno})"
    return f"{type(error).__name__}: {error}{line}"
