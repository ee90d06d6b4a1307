"""Which maskers look at one response: what the decision obliges to, resolved to the profiles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zope.interface import implementer

from jitgate.core.globs import globs_matcher
from jitgate.core.paths import Path
from jitgate.errors import RuleFault
from jitgate.interfaces import IMasker, IStatedMasker
from jitgate.values import Decision, How, Operation, Span

CATALOG = "catalog"
"""The profile that masks what the catalog marks; in force where a decision names no other."""

UNMASKED = "none"
"""The profile that masks nothing, for operations that policy says hold no secret."""


@dataclass(frozen=True, slots=True)
class MaskingProfile:
    """A named list of maskers; ``catalog`` adds the fields that the catalog marks as secret."""

    name: str
    maskers: tuple[IMasker, ...]
    catalog: bool = True
    responses: bool = True
    """Whether it is for responses."""
    requests: bool = False
    """Whether it is for requests, on their way to the target."""
    passes: tuple[str, ...] = ()
    """Globs of actions whose messages hold no secret where they cannot be looked at."""


@implementer(IStatedMasker)
@dataclass(frozen=True, slots=True)
class MarkedFields:
    """Hides the fields of exactly these names: what a catalog marks."""

    fields: frozenset[str]
    name: str = CATALOG
    version: str = ""
    looks_at_values: bool = False
    how: How = How.REPLACE
    paths: tuple[Path, ...] = ()
    signs: tuple[bytes, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Globs, of which a star or a question mark of a name's own is one as well."""
        return tuple(sorted(self.fields))

    def spans(self, value: str) -> Sequence[Span]:
        return ()

    def hides(self, field: str) -> bool:
        return field in self.fields

    def mask(self, field: str, value: str) -> str | None:
        return None


@implementer(IMasker)
@dataclass(frozen=True, slots=True)
class SensitiveFields:
    """Hides, in a request on its way to the record, what any API would call a secret."""

    name: str = "sensitive"
    version: str = ""
    looks_at_values: bool = False
    of_keys: bool = True
    """Members of a private key (JWK) too, which have names like ``q``."""

    def hides(self, field: str) -> bool:
        return _SENSITIVE(field) is not None or (self.of_keys and _OF_KEYS(field) is not None)

    def mask(self, field: str, value: str) -> str | None:
        return None


_SENSITIVE = re.compile(
    "pass(word|wd|code|phrase)|secret|token|private_?key|api_?key|credential_?value|answer|"
    "^(pin|otp)$",
    re.IGNORECASE,
).search
_OF_KEYS = re.compile("^(k|d|p|q|dp|dq|qi)$", re.IGNORECASE).search

_MARKED: Final = MaskingProfile(CATALOG, ())
SENSITIVE: Final = SensitiveFields()
SENSITIVE_IN_QUERIES: Final = SensitiveFields(of_keys=False)
"""The same where no key is: ``q`` is what is searched for."""


def maskers_for(
    operation: Operation, decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> tuple[IMasker, ...]:
    """Who looks at the response, of the decision's profiles; none if nothing can be secret.

    Where it names none for responses, what the catalog marks is hidden.
    Raises `RuleFault` if the decision names a profile that does not exist.
    """
    return _maskers(operation, _for_responses(decision, profiles))


def maskers_of_request(
    operation: Operation, decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> tuple[IMasker, ...]:
    """Who looks at the request before it leaves. Raises `RuleFault` as `maskers_for` does."""
    asked = _for_requests(decision, profiles)
    return _maskers(operation, asked) if asked else ()


def _maskers(operation: Operation, asked: Sequence[MaskingProfile]) -> tuple[IMasker, ...]:
    maskers = dict.fromkeys([masker for profile in asked for masker in profile.maskers])
    if operation.secrets and [profile for profile in asked if profile.catalog]:
        return (MarkedFields(operation.secrets), *maskers)
    return tuple(maskers)


def passes(
    operation: Operation, decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> bool:
    """Whether what cannot be looked at of the response holds no secret.

    All profiles say so that hide anything in it. Raises `RuleFault` as `maskers_for` does.
    """
    return _passes(operation, _for_responses(decision, profiles))


def request_passes(
    operation: Operation, decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> bool:
    """The same of the request's body."""
    return _passes(operation, _for_requests(decision, profiles))


def _passes(operation: Operation, asked: Sequence[MaskingProfile]) -> bool:
    hiding = [each for each in asked if each.maskers or (each.catalog and operation.secrets)]
    return all(each.passes and globs_matcher(each.passes)(operation.action) for each in hiding)


def _for_responses(
    decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> list[MaskingProfile]:
    named = decision.obliged("mask")
    found = [_profile(name, decision, profiles) for name in named if name != UNMASKED]
    asked = [each for each in found if each.responses]
    return asked if asked or UNMASKED in named else [_MARKED]


def _for_requests(
    decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> list[MaskingProfile]:
    named = decision.obliged("mask")
    found = [_profile(name, decision, profiles) for name in named if name != UNMASKED]
    return [each for each in found if each.requests]


def _profile(
    name: object, decision: Decision, profiles: Mapping[str, MaskingProfile]
) -> MaskingProfile:
    if name == CATALOG:
        return _MARKED
    profile = profiles.get(name) if isinstance(name, str) else None
    if profile is None:
        what = f"Rule {decision.rule} names a masking profile that does not exist."
        raise RuleFault(what, decision.rule)
    return profile
