"""A PostgreSQL store: its pool of connections, and what was found out about the server when it was opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from keepwell.errors import MigrationRequired, NotPermitted, RowSecurityBypassed, StoreClosed, UsageError
from keepwell.storage.postgres import schema as tables
from keepwell.storage.postgres.failures import plain, translated
from keepwell.storage.postgres.queries import Names
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.storage.postgres.runner import Plan, ask, own_transaction, run

R = TypeVar("R")
_log = logging.getLogger("keepwell.store")
_inherited: list[ConnectionPool[Any]] = []
"""Pools of a parent process: kept from the garbage collector, which would say good-bye on the parent's sockets."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How connections are held: at most ``size``, waiting ``timeout`` seconds for one.

    ``prepare_threshold`` is psycopg's; None for poolers that cannot keep prepared statements.
    """

    size: int = 8
    timeout: float = 10.0
    prepare_threshold: int | None = 5


class PostgresStore:
    """A PostgreSQL database with our tables."""

    def __init__(
        self,
        dsn: str | None = None,
        *,
        pool: ConnectionPool[Any] | None = None,
        read_dsn: str | None = None,
        schema: str = "keepwell",
        options: PoolOptions | None = None,
        require_rls: bool = False,
        admin_dsn: str | None = None,
    ) -> None:
        """Open the store: look at the server, migrate where that is needed and allowed, and fill the pool.

        Raises:
            StoreUnavailable: no server answers, or it lets nobody in.
            MigrationRequired: the tables are missing or old, and this role may not make them.
            MissingExtension: the server lacks pgvector.
            RowSecurityBypassed: ``require_rls``, and no policy binds this role.
        """
        self._schema = tables.check_schema_name(schema)
        self._options = options or PoolOptions()
        self._dsn, self._read_dsn, self._given = dsn, read_dsn, pool
        if pool is not None and not isinstance(pool, ConnectionPool):
            raise UsageError(f"pool= takes a psycopg_pool ConnectionPool, not {type(pool).__name__}")
        self.name = _place(dsn, pool)
        self.standby_used = False
        self._closed = False
        with translated(self.name):
            if admin_dsn is not None:
                self._migrate(admin_dsn, dsn)
            with self._probe() as connection:
                self._examine(connection, require_rls=require_rls)
        self._pid = os.getpid()
        self._pool, self._read_pool = self._open_pools()

    @property
    def size(self) -> int:
        """How many operations can be under way at once."""
        # A pool that keeps no connections may have no limit, which it calls 0.
        return self._options.size if self._given is None else self._given.max_size or self._options.size

    @property
    def reads_elsewhere(self) -> bool:
        """Tell whether recalls are loaded from another server than the one that is written to."""
        return self._read_pool is not None

    def record(self, tenant: str) -> PostgresRecord:
        """Give the record of a tenant."""
        return PostgresRecord(self, tenant)

    @contextmanager
    def transaction(self) -> Iterator[Connection[Any]]:
        """Give a connection in a transaction, which is committed at the end of the block or undone by an error."""
        with translated(self.name), self._connection() as connection, connection.transaction():
            if self._role is not None:
                connection.execute(self._role)
            yield connection

    def run(self, plan: Plan[R], *, single: bool = False, recall: bool = False) -> R:
        """Run a plan in a transaction of its own."""
        with self._connection(recall=recall) as connection, self._own(connection, single=single):
            return run(connection, plan)

    @property
    def role(self) -> str | None:
        """The role that policies bind and that transactions take on; None where the login is bound itself."""
        return self._bound_name

    async def connect(self) -> AsyncConnection[Any]:
        """Give a connection of its own to the server that is written to, for asyncio; it is the caller's to close."""
        with translated(self.name):
            if self._given is None:
                return await AsyncConnection.connect(self._dsn or "")
            kept = ("autocommit", "cursor_factory", "row_factory", "prepare_threshold", "context")
            given = self._given.kwargs if isinstance(self._given.kwargs, dict) else {}
            options = {name: value for name, value in given.items() if name not in kept}
            return await AsyncConnection.connect(str(self._given.conninfo), **options)

    def refresh(self) -> None:
        """Replace the waiting connections that broke: after a restart of the server they all did."""
        for pool in (self._pool, self._read_pool):
            if pool is not None:
                pool.check()

    def close(self) -> None:
        """Close the pools that are ours; a pool that was given stays open."""
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            for pool in (self._pool, self._read_pool):
                if pool is not None and pool is not self._given:
                    pool.close()

    @contextmanager
    def _connection(self, *, recall: bool = False) -> Iterator[Connection[Any]]:
        if self._closed:
            raise StoreClosed(f"{self.name} was closed; open it again")
        if self._pid != os.getpid():
            self._after_fork()
        pool = self._pool if self._read_pool is None or not recall else self._read_pool
        with pool.connection() as connection:
            yield connection

    def _own(self, connection: Connection[Any], *, single: bool) -> Any:  # noqa: ANN401 - a context manager
        return own_transaction(connection, self._role, single=single)

    def _after_fork(self) -> None:
        """Open pools of this process's own; a parent's sockets are the parent's."""
        if self._given is not None:
            raise UsageError("a pool that was given cannot be used after a fork; open a store in the child process")
        _inherited.extend(pool for pool in (self._pool, self._read_pool) if pool is not None)
        self._pid = os.getpid()
        self._pool, self._read_pool = self._open_pools()

    def _open_pools(self) -> tuple[ConnectionPool[Any], ConnectionPool[Any] | None]:
        reading = None if self._read_dsn is None else self._open_pool(self._read_dsn)
        if self._given is not None:
            return self._given, reading
        return self._open_pool(self._dsn or ""), reading

    def _open_pool(self, dsn: str) -> ConnectionPool[Any]:
        options = self._options
        return ConnectionPool(
            dsn,
            min_size=min(2, options.size),
            max_size=options.size,
            timeout=options.timeout,
            kwargs={"autocommit": True, "prepare_threshold": options.prepare_threshold},
            name="keepwell",
            open=True,
        )

    @contextmanager
    def _probe(self) -> Iterator[Connection[Any]]:
        if self._given is not None:
            with self._given.connection() as connection:
                yield connection
            return
        seconds = max(1, int(self._options.timeout))
        try:
            connection = psycopg.connect(self._dsn or "", autocommit=True, connect_timeout=seconds)
        except psycopg.ProgrammingError as error:
            # The driver's own error repeats the DSN with its password, and a traceback would show it.
            raise UsageError(f"this is not a PostgreSQL DSN: {plain(str(error))}") from None
        with connection:
            yield connection

    def _migrate(self, admin_dsn: str, dsn: str | None) -> None:
        role = conninfo_to_dict(dsn or "").get("user")
        with psycopg.connect(admin_dsn, autocommit=True) as connection:
            if not tables.check(connection, self._schema):
                tables.migrate(connection, self._schema, grant=None if role is None else str(role))

    def _examine(self, connection: Connection[Any], *, require_rls: bool) -> None:
        if not tables.check(connection, self._schema):
            try:
                tables.migrate(connection, self._schema)
            except psycopg.errors.InsufficientPrivilege as error:
                raise MigrationRequired(
                    f"{self.name} lacks the tables of schema {self._schema!r} and this role may not make them; let a "
                    "privileged role run: keepwell migrate --admin-dsn DSN --grant ROLE"
                ) from error
        self.names = Names(self._schema, tables.find_extension(connection) or "public")
        self.server_version = connection.info.server_version
        self._bound_name, self.bypassed = self._bound_role(connection)
        self._role = None if self._bound_name is None else _taking_on(self._bound_name)
        self._check_rights(connection)
        if self.bypassed and require_rls:
            raise RowSecurityBypassed(
                f"{self.name}: this role skips row-level security and no role to take on was granted the tables; "
                "run: keepwell migrate --admin-dsn DSN --grant ROLE"
            )
        if self.bypassed:
            _log.warning("%s: row-level security bypassed: this role is not bound by policies", self.name)

    def _bound_role(self, connection: Connection[Any]) -> tuple[str | None, bool]:
        """Give the role that policies bind and that can be taken on, where the login is not bound itself."""
        if not ask(connection, "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"):
            return None, False
        # From 16 on a role's creator is its member without the right to take it on.
        right = "SET" if connection.info.server_version >= 160000 else "MEMBER"  # noqa: PLR2004 - a version
        role = ask(connection, _GRANTED, [self._schema, right])
        if role is None:
            return None, True
        return str(role), False

    def _check_rights(self, connection: Connection[Any]) -> None:
        if self._role is not None:
            return
        allowed = ask(connection, _ALLOWED, [self._schema])
        if not allowed:
            raise NotPermitted(
                f"{self.name}: this role may not use the tables of schema {self._schema!r}; let a privileged role "
                "run: keepwell migrate --admin-dsn DSN --grant ROLE"
            )


_ALLOWED = """
select has_schema_privilege(n.oid, 'usage') and bool_and(
    has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
    and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete')
)
from pg_namespace n join pg_class c on c.relnamespace = n.oid
where n.nspname = %s and c.relkind = 'r' and c.relname <> 'migration'
group by n.oid
"""
_GRANTED = """
select r.rolname::text
from pg_class c
join pg_namespace n on n.oid = c.relnamespace and n.nspname = %s
cross join lateral aclexplode(c.relacl) a
join pg_roles r on r.oid = a.grantee
where c.relname = 'message' and a.privilege_type = 'INSERT' and c.relowner <> r.oid
    and not r.rolsuper and not r.rolbypassrls and pg_has_role(current_user, r.oid, %s)
order by r.rolname limit 1
"""


def _taking_on(role: str) -> bytes:
    """Give the statement that takes on a role until the transaction ends."""
    return sql.SQL("set local role {}").format(sql.Identifier(role)).as_string(None).encode()


def _place(dsn: str | None, pool: ConnectionPool[Any] | None) -> str:
    """Give the server in words without a secret."""
    if dsn is None:
        return f"the pool {pool.name!r}" if pool is not None else "PostgreSQL"
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "PostgreSQL"
    host = str(given.get("host") or "local socket")
    if host.startswith("/"):
        host = "local socket"
    return f"PostgreSQL at {host}, database {given.get('dbname') or given.get('user') or 'default'}"
