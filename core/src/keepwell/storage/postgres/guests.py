"""Connections for another library's statements: LangGraph's, whose checkpoints are kept in tables of our schema."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection, Cursor
from psycopg.adapt import AdaptersMap
from psycopg.rows import DictRow, dict_row

from keepwell.errors import StoreUnavailable, UsageError
from keepwell.models import Owner, Scope
from keepwell.models.scope import check_id
from keepwell.storage.postgres import checkpoints
from keepwell.storage.postgres.checkpoints import Lodger, lodger, lodging
from keepwell.storage.postgres.record import broken
from keepwell.storage.postgres.runner import Plan, run
from keepwell.storage.postgres.store import PostgresStore
from keepwell.storage.postgres.walls import Walls

R = TypeVar("R")
SECURITY_INVOKER = 150000
"""Since this version views can see with the rights of their reader."""
MIGRATIONS = 10
"""So many of LangGraph's migrations have our tables (0007_checkpoints.sql)."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where a scope can be read by statements of another library: the view ``document`` of our schema.

    ``connect`` gives a connection of asyncio's psycopg that is the caller's to close. ``begin`` is a statement, with
    its parameters, that makes a transaction see the scope and change nothing; each transaction needs it anew.
    """

    schema: str
    connect: Callable[[], Awaitable[AsyncConnection[Any]]]
    begin: str
    parameters: tuple[str, ...]


def window(store: PostgresStore, tenant: str, scope: Scope) -> Window:
    """Give where a scope can be read.

    Raises:
        UsageError: the server has no views that see with the rights of their reader.
    """
    version = store.server_version
    if version < SECURITY_INVOKER:
        raise UsageError(
            f"{store.name} is PostgreSQL {version // 10000}; views that see what their reader may see need 15 or "
            "newer, and any other view would be a hole in the walls"
        )
    owner = scope.owner
    settings = {
        "transaction_read_only": "on",
        "keepwell.tenant": tenant,
        "keepwell.user_id": owner.user_id,
        "keepwell.agent_id": owner.agent_id,
        "keepwell.run_id": owner.run_id,
        "keepwell.across_users": "on" if scope.across_users else "",
        **({} if store.role is None else {"role": store.role}),
    }
    begin = "select " + ", ".join("set_config(%s, %s, true)" for _ in settings)
    return Window(store.names.schema, store.connect, begin, tuple(word for pair in settings.items() for word in pair))


class _GuestCursor(Cursor[DictRow]):
    """A cursor as LangGraph's savers make it, whatever its connection was told."""

    def __init__(self, connection: Connection[DictRow]) -> None:
        super().__init__(connection, row_factory=dict_row)
        self._adapters = AdaptersMap(psycopg.adapters)
        self._reset()
        self.format = psycopg.pq.Format.BINARY


class Checkpoints:
    """The checkpoints of one tenant of a PostgreSQL store, for whoever brings LangGraph's own statements.

    A *lodging* is the ``thread_id`` under which LangGraph's tables keep a thread: tenant, owner and thread in one.
    """

    migrations = MIGRATIONS

    def __init__(self, store: PostgresStore, tenant: str) -> None:
        """Bind a store and a tenant; nothing is read."""
        self._store = store
        self._walls = Walls(tenant, store.names)

    def lodging(self, owner: Owner, thread: str) -> str:
        """Give where the checkpoints of an owner's thread are kept.

        Raises:
            InvalidScope: the thread's id cannot be stored.
        """
        return lodging(Lodger(self._walls.tenant, owner, check_id(thread, "thread_id")))

    def lodger(self, lodging: str) -> tuple[Owner, str]:
        """Give whose checkpoints are kept there, and of which thread."""
        _, owner, thread = lodger(lodging)
        return owner, thread

    @contextmanager
    def cursor(self, lodging: str | None = None, *, written: bool = False) -> Iterator[Cursor[DictRow]]:
        """Give a cursor in a transaction of its own that finds the tables by their bare names.

        Who is about to write gives the lodging: its row is held until the transaction ends.
        """
        with self._store.transaction() as connection:
            if lodging is not None:
                run(connection, checkpoints.lodge(self._walls, lodger(lodging), written=written))
            cursor = _GuestCursor(connection)
            # For the transaction only, so that it works behind a pooler too.
            cursor.execute("select set_config('search_path', %s, true)", [f'"{self._walls.names.schema}"'])
            yield cursor

    def twice(self, work: Callable[[], R]) -> R:
        """Do what changes nothing when it is done again; once more where the line to the server broke."""
        try:
            return work()
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, psycopg.OperationalError) or not broken(error.__cause__):
                raise
            self._store.refresh()
            return work()

    def of_scope(self, scope: Scope, *, idle: dt.timedelta | None = None) -> list[str]:
        """Give the lodgings of a scope: all, or those that were not written for so long."""
        return self._run(lambda: checkpoints.of_scope(self._walls, scope, idle))

    def named(self, threads: Sequence[str]) -> list[str]:
        """Give the lodgings of threads of these ids, whoever's they are."""
        return self._run(lambda: checkpoints.named(self._walls, threads))

    def drop(self, lodgings: Sequence[str]) -> int:
        """Remove all checkpoints of these, and count them."""
        return self._run(lambda: checkpoints.drop(self._walls, lodgings))

    def copy(self, source: str, owner: Owner, thread: str) -> None:
        """Copy checkpoints to a thread that has none.

        Raises:
            Conflict: it has some.
        """
        self._run(lambda: checkpoints.copy(self._walls, source, Lodger(self._walls.tenant, owner, thread)))

    def thin_out(self, lodging: str, keep: int) -> int:
        """Remove all but the newest checkpoints of each namespace, and count what went.

        Raises:
            NotImplementedError: the thread uses a ``DeltaChannel``.
        """
        return self._run(lambda: checkpoints.thin_out(self._walls, lodging, keep))

    def drop_runs(self, lodging: str, runs: Sequence[str]) -> int:
        """Remove the checkpoints that LangGraph's runs of these ids made, and count them."""
        return self._run(lambda: checkpoints.drop_runs(self._walls, lodging, runs))

    def _run(self, plan: Callable[[], Plan[R]]) -> R:
        def once() -> R:
            with self._store.transaction() as connection:
                return run(connection, plan())

        return self.twice(once)
