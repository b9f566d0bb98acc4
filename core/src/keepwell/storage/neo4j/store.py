"""A Neo4j database that keeps conversations and facts by itself, for those who have no PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar

from keepwell.errors import StoreFailed, UsageError
from keepwell.storage.neo4j.driver import Bolt, BoltOptions, open_bolt
from keepwell.storage.neo4j.errors import translated
from keepwell.storage.neo4j.migrations import migrate
from keepwell.storage.neo4j.record import Neo4jRecord
from keepwell.storage.neo4j.work import Numbers, Runs, Work

if TYPE_CHECKING:
    import neo4j

R = TypeVar("R")
NOBODY: Final = ""
"""No tenant is called so: numbers are unique in the whole store, as keys of threads are."""


def store_options(size: int, seconds: float) -> BoltOptions:
    """Give how connections are held for so many operations at once."""
    return BoltOptions(size=size, acquire_seconds=seconds)


class Joined:
    """A transaction of a store, to be passed as ``connection=``."""

    def __init__(self, store: Neo4jStore, tx: neo4j.Transaction) -> None:
        """Bind the store that gave it."""
        self.store = store
        self.tx = tx


class Neo4jStore:
    """A Neo4j database (5.26 or later) with our nodes."""

    def __init__(
        self, address: str, user: str | None = None, password: str | None = None, options: BoltOptions | None = None
    ) -> None:
        """Open it, and make constraints and indexes where they are missing.

        Raises:
            StoreUnavailable: no server answers, or it lets nobody in.
            MigrationRequired: a newer keepwell has been there.
            UsageError: it is no address of a Neo4j server.
        """
        self._options = options or BoltOptions()
        self._bolt: Bolt = open_bolt(address, user=user, password=password, options=self._options)
        # A writer takes numbers while he holds a connection: if both came from one pool, writers could wait for ever.
        self._counter = open_bolt(address, user=user, password=password, options=replace(self._options, size=1))
        self._numbers = Numbers(self._take)
        self.name = self._bolt.name
        try:
            self._bolt.check()
            migrate(self._bolt)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """How many operations can be under way at once."""
        return self._options.size

    def record(self, tenant: str) -> Neo4jRecord:
        """Give the record of a tenant."""
        return Neo4jRecord(self, tenant)

    @contextmanager
    def transaction(self) -> Iterator[Joined]:
        """Give a transaction, which is committed at the end of the block or undone by an error."""
        with self._bolt.transaction() as tx:
            yield Joined(self, tx)

    def write(self, tenant: str, do: Callable[[Work], R]) -> R:
        """Do it in a transaction of its own, again where another writer was in its way."""
        return self._bolt.write(lambda tx: do(self._work(tx, tenant)))

    def read(self, tenant: str, look: Callable[[Work], R]) -> R:
        """Look; on the server that is written to, so that whoever has written reads it."""
        return self._bolt.write(lambda tx: look(self._work(tx, tenant)))

    def join(self, tenant: str, connection: object, do: Callable[[Work], R]) -> R:
        """Do it as part of a transaction that this store, or another one of the same place, gave.

        Raises:
            UsageError: it is no transaction of such a store.
        """
        if not isinstance(connection, Joined) or connection.store.name != self.name:
            kind = type(connection)
            raise UsageError(
                "connection= takes what memory.transaction() of this store gives, not "
                f"{kind.__module__}.{kind.__qualname__}"
            )
        if connection.tx.closed():
            raise StoreFailed("the transaction of this connection has ended")
        with translated(self.name):
            return do(self._work(connection.tx, tenant))

    def arrange(self, text: LiteralString, parameters: Mapping[str, Any]) -> None:
        """Run a statement about a schema, in a transaction of its own."""
        self._bolt.arrange(text, parameters)

    def close(self) -> None:
        """Close its connections; a second time does nothing."""
        self._bolt.close()
        self._counter.close()

    def _work(self, tx: Runs, tenant: str) -> Work:
        return Work(tx, tenant, self._numbers)

    def _take(self, size: int) -> int:
        """Take numbers in a transaction of their own: they are not given again, though the writer's is undone."""

        def take(tx: neo4j.ManagedTransaction) -> int:
            (row,) = Work(tx, NOBODY, iter(())).rows("numbers", size=size)
            return int(row["first"])

        return self._counter.write(take)
