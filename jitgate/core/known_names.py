"""Hides known secrets in what is no value: in names of members, at which no masker looks."""

from __future__ import annotations

from collections.abc import Callable

from jitgate.core.hiding import Hand, denied
from jitgate.core.literals import LiteralMasker
from jitgate.core.masking import Maskers, Transformer
from jitgate.interfaces import IKnownSecrets
from jitgate.values import Hider, How


class _InNames:
    """A transformer behind those that hide values; what is left of the secrets is in names."""

    def __init__(self, masker: LiteralMasker, hider: Hider, hand: Hand) -> None:
        self._masker, self._hider, self._hand = masker, hider, hand

    @property
    def held(self) -> int:
        return self._masker.held

    def feed(self, chunk: bytes) -> bytes:
        return self._noted(self._masker.feed(chunk))

    def finish(self) -> bytes:
        return self._noted(self._masker.finish())

    def _noted(self, shown: bytes) -> bytes:
        count, self._masker.count = self._masker.count, 0
        if count and self._hider.how is How.DENY:
            raise denied(self._hider)
        self._hand.counted(self._hider.name, count)
        return shown


def in_names(maskers: Maskers) -> list[Transformer]:
    """What hides there what these maskers know; nothing if they know nothing."""
    asked = maskers.asked
    return [
        _InNames(LiteralMasker(each.literals), asked.hider_of(each, each.rule), maskers.hand)
        for each in asked.maskers
        if IKnownSecrets.providedBy(each)
    ]


def keep_known(maskers: Maskers, literals: LiteralMasker) -> None:
    """Have whoever hides values know of the secrets that are hidden in all bytes later.

    Where a profile hides a part of one, nobody would find the rest any more; and what is told of
    where something stood would tell those that are names of members. What others had hidden in
    that, whose hand this was before, stays hidden.
    """
    hand = maskers.hand
    hand.secret_places = literals.places
    hand.path_told = _path_told(maskers, _both(hand.path_told, literals.hide_in_path))


def _path_told(maskers: Maskers, told: Callable[[str], str]) -> Callable[[str], str]:
    """What is told of a path, of which ``told`` tells what else is hidden in it."""
    for each in maskers.asked.maskers:
        if IKnownSecrets.providedBy(each):
            told = _both(told, LiteralMasker(each.literals).hide_in_path)
    return told


def _both(one: Callable[[str], str], other: Callable[[str], str]) -> Callable[[str], str]:
    return lambda path: other(one(path))
