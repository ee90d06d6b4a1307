"""What may stand under ``store``: where gateways keep the requests and grants that they share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jitgate.config.kinds import FilePath, Proxy, Secret, Section, is_loopback
from jitgate.upstreams.address import literal


class PostgresStore(Section):
    """A PostgreSQL database. Left out: SQLite in the state folder, for one gateway."""

    type: Literal["postgres"]
    server: Proxy | None = None
    socket: FilePath | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: Annotated[str, Field(pattern="^[a-z0-9_-]{1,63}$")] = "jitgate"
    user: Annotated[str, Field(pattern="^[a-z0-9_-]{1,63}$")] = "jitgate"
    password: Secret | None = None
    trust: FilePath | None = None
    # Of few characters, because it stands in a setting, and is a channel's name as well.
    tables: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,40}$")] = "jitgate"

    @model_validator(mode="after")
    def _one_way(self) -> PostgresStore:
        if (self.server is None) == (self.socket is None):
            raise ValueError("server, as HOST:PORT, or socket, its folder: one of the two")
        if self.socket is not None and self.trust is not None:
            raise ValueError("trust goes with server: over a socket there is no certificate")
        if self.server is not None and "port" in self.model_fields_set:
            raise ValueError("port goes with socket: a server's stands behind its name")
        if self.server is not None and self.trust is None and not _is_here(self.server[0]):
            raise ValueError(
                f"{self.server[0]} is another machine: name in trust who vouches for its "
                "certificate, because grants go over the network"
            )
        return self

    @property
    def address(self) -> tuple[str, int]:
        """The host, or the folder of its socket, and the port."""
        if self.server is not None:
            return self.server
        return f"{self.socket}", self.port


def _is_here(host: str) -> bool:
    return host == "localhost" or (literal(host) is not None and is_loopback(host))
