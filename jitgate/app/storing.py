"""Where access requests, grants and what counts once are kept: in the state folder, or shared."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from zope.interface.verify import verifyObject

from jitgate.config.store_schema import PostgresStore
from jitgate.flow.recorder import InThread
from jitgate.interfaces import IAccessStore, IBudgets, INews, IOnce, IPosts
from jitgate.stores.access_sqlite import SqliteAccess
from jitgate.stores.access_threaded import untold
from jitgate.stores.budgets_sqlite import SqliteBudgets
from jitgate.stores.once_sqlite import SqliteOnce
from jitgate.stores.posts_sqlite import SqlitePosts
from jitgate.values import Changed

MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Storing:
    """The stores of one gateway, which are open together."""

    access: IAccessStore
    once: IOnce
    budgets: IBudgets
    posts: IPosts
    news: INews | None = None
    """What other gateways change, if the store is shared."""
    gateway: str = ""
    """What this gateway is called there."""
    down: Callable[[], str | None] | None = None
    """Tells why nothing can be had of them at present, for people, where that is known."""
    highest: Callable[[], int] = lambda: 0
    """The number of the last change that was heard of, where another server could know less."""

    @property
    def states(self) -> Mapping[str, Callable[[], str | None]]:
        """What the health page shows of them."""
        return {} if self.down is None else {"store": self.down}

    def __post_init__(self) -> None:
        verifyObject(IAccessStore, self.access)
        verifyObject(IOnce, self.once)
        verifyObject(IBudgets, self.budgets)
        verifyObject(IPosts, self.posts)
        if self.news is not None:
            verifyObject(INews, self.news)


class Processes(Protocol):
    """Other processes of this gateway, which have the same file open: an `INews` of them too."""

    def changed(self, changes: Sequence[Changed]) -> None:
        """Tell them of it."""


def in_folder(
    database: Path,
    in_thread: InThread,
    clock: Any,
    *,
    gateway: str = "",
    others: Processes | None = None,
) -> Storing:
    """In the state folder's database, for one gateway.

    Where that is several processes, ``gateway`` is what this one is called there, and what is
    changed is told to and by ``others``.
    """
    news, changed = (None, untold) if others is None else (cast(INews, others), others.changed)
    access = SqliteAccess(database, in_thread=in_thread, machine=_machine(), changed=changed)
    return Storing(
        access,
        SqliteOnce(access.database, in_thread=in_thread, clock=clock, changed=changed),
        SqliteBudgets(access.database, in_thread=in_thread, clock=clock),
        SqlitePosts(access.database, in_thread=in_thread),
        news,
        gateway,
    )


def shared(
    settings: PostgresStore, gateway: str, site_key: bytes, in_thread: InThread, reactor: Any
) -> Storing:
    """In a database that several gateways share, each with its own ``gateway`` for a name.

    All must have one site key: a grant for a fingerprint of one is else none for the others'.
    """
    # Imported only where it is configured: the package comes with the extra.
    from jitgate.stores.access_postgres import PostgresAccess  # noqa: PLC0415
    from jitgate.stores.budgets_postgres import PostgresBudgets  # noqa: PLC0415
    from jitgate.stores.once_postgres import PostgresOnce  # noqa: PLC0415
    from jitgate.stores.postgres_link import Server  # noqa: PLC0415
    from jitgate.stores.postgres_news import PostgresNews  # noqa: PLC0415
    from jitgate.stores.posts_postgres import PostgresPosts  # noqa: PLC0415

    host, port = settings.address
    server = Server(
        host=host,
        port=port,
        database=settings.database,
        user=settings.user,
        password=settings.password,
        trust=settings.trust,
        schema=settings.tables,
    )
    site = hmac.digest(site_key, b"jitgate store", "sha256")
    access = PostgresAccess(server, in_thread=in_thread, gateway=gateway, site=site)
    database = access.database
    news = PostgresNews(database, gateway, in_thread=in_thread, reactor=reactor)
    return Storing(
        access,
        PostgresOnce(database, in_thread=in_thread, clock=reactor),
        PostgresBudgets(database, in_thread=in_thread, clock=reactor),
        PostgresPosts(database, in_thread=in_thread),
        news,
        gateway,
        lambda: database.down or news.down,
        lambda: database.highest,
    )


def _machine() -> str:
    """Which machine this is (machine-id(5)); nothing where that is not told."""
    try:
        return MACHINE_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
