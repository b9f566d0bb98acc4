"""Where a store is, and how it is opened."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keepwell.errors import UsageError
from keepwell.memory.opened import Opened

if TYPE_CHECKING:
    from keepwell.settings import Settings

GraphSource = Literal["record", "neo4j"]


@dataclass(frozen=True)
class Place:
    """Where a store is and how it is opened."""

    dsn: str | None
    path: Path | None
    pool: Any
    read_dsn: str | None
    pool_size: int
    schema: str
    require_rls: bool

    def key(self) -> Hashable:
        """Give what two memories of one store have in common."""
        where = self.dsn if self.dsn is not None else id(self.pool) if self.pool is not None else str(self.path)
        return where, self.read_dsn, self.pool_size, self.schema, self.require_rls

    def graph(self, asked: str | None) -> str | None:
        """Give what ``graph=`` says of the store that is there: one in Neo4j keeps conversations and facts alone.

        Raises:
            UsageError: a graph is asked of a store that keeps none.
        """
        if not is_neo4j(self.dsn):
            return asked
        if asked not in {None, "none"}:
            raise UsageError("a Neo4j store keeps no graph of its own; leave graph= out, or open a PostgreSQL store")
        return "none"

    def open(self, settings: Settings) -> Opened:
        """Open the store that is there.

        Raises:
            UsageError: it is of a kind that cannot be opened.
        """
        if is_neo4j(self.dsn):
            return self._open_neo4j(settings)
        from keepwell.storage.postgres import PoolOptions, PostgresStore  # noqa: PLC0415 - psycopg, when it is needed

        prepare = None if settings.prepare_threshold < 0 else settings.prepare_threshold
        options = PoolOptions(self.pool_size, settings.pool_seconds, prepare)
        shared: dict[str, Any] = {"read_dsn": self.read_dsn, "schema": self.schema, "options": options}
        if self.pool is not None or self.dsn is not None:
            store = PostgresStore(self.dsn, pool=self.pool, require_rls=self.require_rls, **shared)
            return Opened(store, self.key())
        return self._open_embedded(shared)

    def _open_neo4j(self, settings: Settings) -> Opened:
        if self.read_dsn is not None:
            raise UsageError("a Neo4j store has no read_dsn: a cluster sends each reader where it should")
        if self.require_rls:
            raise UsageError("Neo4j has no row-level security; require_rls cannot be had there")
        from keepwell.storage.neo4j.store import Neo4jStore, store_options  # noqa: PLC0415 - an extra, when needed

        password = None if settings.neo4j_password is None else settings.neo4j_password.get_secret_value()
        options = store_options(self.pool_size, settings.pool_seconds)
        return Opened(Neo4jStore(self.dsn or "", settings.neo4j_user, password, options), self.key())

    def _open_embedded(self, shared: dict[str, Any]) -> Opened:
        from keepwell.storage.postgres import PostgresStore, embedded  # noqa: PLC0415 - an extra, when it is needed

        server = embedded.start(self.path)
        try:
            store = PostgresStore(server.dsn, admin_dsn=server.admin_dsn, require_rls=self.require_rls, **shared)
        except BaseException:
            server.release()
            raise
        return Opened(store, self.key(), at_close=server.release)


def check_dsn(dsn: object) -> None:
    """Refuse what would otherwise open another store than was meant."""
    if dsn is not None and not isinstance(dsn, str):
        raise UsageError(f"dsn= takes text, not {type(dsn).__name__}")
    if dsn is not None and not dsn.strip():
        raise UsageError("the dsn is empty; give one, or leave it out for the embedded PostgreSQL")


@dataclass(frozen=True, slots=True)
class ProjectionPlace:
    """Where the graph is projected to, and where recall's graph source walks it; what could be a secret is not shown.

    ``seconds`` is how long a recall waits for Neo4j.
    """

    address: str = field(repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    source: GraphSource = "record"
    seconds: float = 1.0


def is_neo4j(dsn: str | None) -> bool:
    """Tell whether a store's address is that of a Neo4j server."""
    return is_projection(dsn)


def is_projection(graph: str | None) -> bool:
    """Tell whether ``graph=`` names a Neo4j server."""
    return graph is not None and graph.split("://", 1)[0].split("+")[0] in {"neo4j", "bolt"} and "://" in graph
