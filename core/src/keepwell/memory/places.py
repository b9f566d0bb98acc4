"""Where a store is, and how it is opened."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keepwell.errors import UsageError
from keepwell.memory.opened import Opened

if TYPE_CHECKING:
    from keepwell.settings import Settings


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

    def open(self, settings: Settings) -> Opened:
        """Open the store that is there.

        Raises:
            UsageError: it is of a kind that cannot be opened.
        """
        from keepwell.storage.postgres import PoolOptions, PostgresStore  # noqa: PLC0415 - psycopg, when it is needed

        prepare = None if settings.prepare_threshold < 0 else settings.prepare_threshold
        options = PoolOptions(self.pool_size, settings.pool_seconds, prepare)
        shared: dict[str, Any] = {"read_dsn": self.read_dsn, "schema": self.schema, "options": options}
        if self.dsn is not None and self.dsn.startswith(("neo4j:", "neo4j+", "bolt:", "bolt+")):
            raise UsageError("a Neo4j address cannot be opened as a store yet; give a PostgreSQL DSN")
        if self.pool is not None or self.dsn is not None:
            store = PostgresStore(self.dsn, pool=self.pool, require_rls=self.require_rls, **shared)
            return Opened(store, self.key())
        return self._open_embedded(shared)

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
