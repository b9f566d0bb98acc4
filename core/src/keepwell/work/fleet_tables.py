"""Procrastinate's tables, kept in our schema: made where they are missing, brought up to date where they are old."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from keepwell.errors import MigrationRequired, MissingExtra, NotPermitted, StoreUnavailable

if TYPE_CHECKING:
    from types import ModuleType

_LOCK = 0x6B656571
"""Key of the advisory lock under which workers that start together make the tables once."""
_JOBS = "procrastinate_jobs"
_NUMBER = re.compile(r"\d+")
_NOTIFYING = """
select tgname::text from pg_trigger
where tgrelid = to_regclass(%s) and not tgisinternal and tgname like '%%notify%%'
"""


def procrastinate() -> ModuleType:
    """Give the package.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import procrastinate as package  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise MissingExtra("worker", "the package procrastinate") from error
    return package


def within_schema(dsn: str, schema: str) -> str:
    """Give a DSN whose sessions find procrastinate's tables, which are never named with a schema."""
    options = str(conninfo_to_dict(dsn).get("options") or "")
    return make_conninfo(dsn, options=f"{options} -c search_path={schema}".strip())


def prepare_fleet(dsn: str, schema: str, *, grant: str | None = None) -> bool:
    """Make the tables in our schema, or bring them up to date; tell whether there was something to do.

    With ``grant`` that role may use them. They carry the version of procrastinate that they were made by.

    Raises:
        MissingExtra: procrastinate is not installed.
        MigrationRequired: there is no such schema yet.
        NotPermitted: the role may not make tables there.
        StoreUnavailable: no server answers there.
    """
    version = str(procrastinate().__version__)
    try:
        with psycopg.connect(within_schema(dsn, schema)) as connection:
            connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, schema])
            return _prepare(connection, schema, grant, version)
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotPermitted(
            f"the worker's tables in schema {schema!r} are missing or old, and this role may not make them; "
            "start it once with the DSN of a role that may"
        ) from error
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"no server answers: {error}") from error


def _prepare(connection: Connection[Any], schema: str, grant: str | None, version: str) -> bool:
    if _one(connection, "select to_regnamespace(%s)::text", schema) is None:
        raise MigrationRequired(f"there is no schema {schema!r} in this database; run: keepwell migrate")
    jobs = f"{schema}.{_JOBS}"
    there = _one(connection, "select to_regclass(%s)::text", jobs) is not None
    made = _one(connection, "select obj_description(to_regclass(%s))", jobs) if there else None
    if there and made == version:
        return False
    for text in _steps(str(made or version) if there else None):
        connection.execute(text)
    for (trigger,) in connection.execute(_NOTIFYING, [jobs]).fetchall():
        # A notification has commits of the whole cluster take turns; nobody of ours listens to it.
        names = {"table": sql.Identifier(_JOBS), "trigger": sql.Identifier(trigger)}
        connection.execute(sql.SQL("alter table {table} disable trigger {trigger}").format(**names))
    connection.execute(sql.SQL("comment on table {} is {}").format(sql.Identifier(_JOBS), sql.Literal(version)))
    if grant is not None:
        _grant(connection, schema, grant)
    return True


def _one(connection: Connection[Any], query: LiteralString, value: str) -> Any:  # noqa: ANN401 - what SQL gives
    row = connection.execute(query, [value]).fetchone()
    return None if row is None else row[0]


def _steps(made: str | None) -> list[str]:
    """Give the whole schema, or the steps from the version that it was made by."""
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - an optional package

    if made is None:
        return [SchemaManager.get_schema()]
    files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return [file.read_text("utf-8") for file in files if _numbers(file.name) > _numbers(made)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _NUMBER.findall(version)[:3])


def _grant(connection: Connection[Any], schema: str, role: str) -> None:
    tables = connection.execute(
        "select tablename::text from pg_tables where schemaname = %s and tablename like 'procrastinate%%'", [schema]
    ).fetchall()
    names = {"role": sql.Identifier(role), "schema": sql.Identifier(schema)}
    for (table,) in tables:
        text = sql.SQL("grant select, insert, update, delete on {table} to {role}")
        connection.execute(text.format(table=sql.Identifier(schema, table), **names))
    connection.execute(sql.SQL("grant usage on all sequences in schema {schema} to {role}").format(**names))
