"""Which tokens are alive, who has each, and for how long one may serve others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from jitgate.core.literals import Literals
from jitgate.credentials.token_answers import Token
from jitgate.errors import CredentialUnavailable

SHARED = 1000
"""Tokens that may be alive beside one for each exchange that there may be at once: reads share
these, by app and scopes, of which an org has some hundreds."""

MARGIN = 60.0
"""Seconds before its end from which on a token serves no other call: a call takes a while."""

Mint = Callable[[], Awaitable[Token]]


@dataclass(slots=True, eq=False)
class Held:
    """A token that is alive."""

    token: Token
    key: Hashable
    until: float = 0.0
    """When it stops serving others; 0 for one that serves one call alone."""
    users: int = 0
    served: int = 0
    facts: Mapping[str, object] | None = None
    """What a record may say of it, once that is worked out."""
    hidden: Literals = field(init=False)
    """What must not be seen of it."""
    timer: IDelayedCall | None = None

    def __post_init__(self) -> None:
        self.hidden = Literals((self.token.secret,))


class _Minting:
    """A token that is on its way, and who waits for it."""

    __slots__ = ("begun", "done", "reuse", "waiting")

    def __init__(self, begun: float, reuse: float) -> None:
        self.begun = begun
        self.reuse = reuse
        self.waiting: list[Deferred[Held]] = []
        self.done: Deferred[None] | None = None


class Holdings:
    """Hands tokens out and takes them back; one that nobody has, or may have, is revoked.

    Whoever asks while one of the same key is minted to be shared waits for that one. Minting goes
    on when nobody waits any more: what it yields has to be revoked.

    Args:
        revoke: Told of each token that has come to its end, once.
        clock: Wall-clock time.
        alive: How many there may be at a time, those that are on their way included.
    """

    def __init__(self, revoke: Callable[[Token], None], clock: IReactorTime, alive: int) -> None:
        self._revoke = revoke
        self._clock = clock
        self._room = alive
        self._shared: dict[Hashable, Held] = {}
        self._coming: dict[Hashable, _Minting] = {}
        self._minting: set[_Minting] = set()
        self._retired = False

    async def take(self, key: Hashable, mint: Mint, reuse: float) -> tuple[Held, bool]:
        """A token of that key, which `give_back` takes, and whether others have had it before.

        It is ``reuse`` seconds old at most; with ``reuse`` 0 it is for this one alone. Raises what
        ``mint`` raises, and `CredentialUnavailable` where there are too many.
        """
        if self._retired:
            reuse = 0.0
        held = self._serving(key, reuse)
        if held is None:
            held = await self._joined(key, mint, reuse)
        held.served += 1
        return held, held.served > 1

    def give_back(self, held: Held) -> None:
        """One who had it needs it no more."""
        held.users -= 1
        if held.users == 0 and self._shared.get(held.key) is not held:
            self._end(held)

    def drop(self, held: Held) -> None:
        """It serves nobody beside those who have it now."""
        if self._shared.get(held.key) is held:
            del self._shared[held.key]
            if held.timer is not None and held.timer.active():
                held.timer.cancel()
            if held.users == 0:
                self._end(held)

    def retire(self) -> None:
        """Share nothing from now on."""
        self._retired = True
        self._coming.clear()
        for held in list(self._shared.values()):
            self.drop(held)

    def minting(self) -> list[Deferred[None]]:
        """One for each token that is on its way, which fires when it has come, or will not."""
        return [each.done for each in self._minting if each.done is not None]

    # --- inside

    def _serving(self, key: Hashable, reuse: float) -> Held | None:
        """The shared token of that key, if it is young enough for whoever asks."""
        held, now = self._shared.get(key), self._clock.seconds()
        if held is None or not reuse or now >= min(held.until, held.token.asked_at + reuse):
            return None
        self._share(held, reuse)
        held.users += 1
        return held

    def _joined(self, key: Hashable, mint: Mint, reuse: float) -> Deferred[Held]:
        """Fires with the token; whoever is cancelled meanwhile leaves it to the others."""
        minting = self._coming.get(key) if reuse else None
        now = self._clock.seconds()
        if minting is not None and now < minting.begun + reuse:
            minting.reuse = min(minting.reuse, reuse)
            return self._waiting(minting)
        minting = self._new(key, reuse)
        waiting = self._waiting(minting)  # before it begins: it may have come to its end at once
        minting.done = Deferred.fromCoroutine(self._mint(minting, key, mint))
        return waiting

    def _waiting(self, minting: _Minting) -> Deferred[Held]:
        waiting: Deferred[Held] = Deferred(minting.waiting.remove)
        minting.waiting.append(waiting)
        return waiting

    def _new(self, key: Hashable, reuse: float) -> _Minting:
        if not self._room:
            raise CredentialUnavailable("Too many credentials are in use as it is.")
        self._room -= 1
        minting = _Minting(self._clock.seconds(), reuse)
        self._minting.add(minting)
        if reuse:
            self._coming[key] = minting
        return minting

    async def _mint(self, minting: _Minting, key: Hashable, mint: Mint) -> None:
        try:
            token = await mint()
        except BaseException as fault:  # noqa: BLE001 (those who wait are told, whatever it is)
            self._room += 1
            self._over(minting, key)
            self._tell(minting, fault)
        else:
            self._over(minting, key)
            self._hand_out(minting, Held(token, key))
        finally:
            self._minting.discard(minting)

    def _over(self, minting: _Minting, key: Hashable) -> None:
        if self._coming.get(key) is minting:
            del self._coming[key]
        elif minting.reuse:
            minting.reuse = 0.0  # retired, or another is minted for those who want a younger one

    def _tell(self, minting: _Minting, fault: BaseException) -> None:
        if isinstance(fault, CancelledError):
            fault = CredentialUnavailable("The gateway stops.")
        while minting.waiting:
            minting.waiting.pop(0).errback(Failure(fault))

    def _hand_out(self, minting: _Minting, held: Held) -> None:
        """Give it to all who still wait; it has a user until the last of them has it."""
        held.users = 1
        if minting.waiting and minting.reuse:
            self._share(held, minting.reuse)
        while minting.waiting:
            held.users += 1
            minting.waiting.pop(0).callback(held)
        self.give_back(held)

    def _share(self, held: Held, reuse: float) -> None:
        """Let others have it: for the shortest time that anybody asked for, within its life."""
        token = held.token
        until = min(token.asked_at + reuse, token.expires_at - MARGIN)
        if held.until:
            until = min(held.until, until)
        if until == held.until:
            return
        held.until = until
        before = self._shared.get(held.key)
        if before is not None and before is not held:
            self.drop(before)
        self._shared[held.key] = held
        if held.timer is not None:
            held.timer.cancel()
        wait = max(until - self._clock.seconds(), 0.0)
        held.timer = self._clock.callLater(wait, self.drop, held)

    def _end(self, held: Held) -> None:
        self._room += 1
        self._revoke(held.token)
