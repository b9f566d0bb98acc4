"""The tables: ordered migrations, who may run them, and whether they are there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import Connection, sql

from keepwell.errors import MigrationRequired, MissingExtension, StoreFailed, UsageError
from keepwell.storage.postgres.queries import Names, compose
from keepwell.storage.postgres.runner import ask

OLDEST_SERVER = 140000
_LOCK = 0x6B656570
"""Key of the advisory lock that migrations of one schema take turns under (``keep`` in ASCII)."""
_NUMBERED = re.compile(r"^(\d{4})_(\w+)\.sql$")
_MAY_MAKE_TABLES = """
select has_database_privilege(current_database(), 'create')
    or has_schema_privilege(to_regnamespace(%s)::oid, 'create')
"""
_SCHEMA = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from a version of the tables to the next."""

    version: int
    name: str
    text: str


@cache
def migrations() -> tuple[Migration, ...]:
    """Give all migrations, in order."""
    found = [
        Migration(int(numbered[1]), numbered[2], file.read_text("utf-8"))
        for file in files(__package__).joinpath("migrations").iterdir()
        if (numbered := _NUMBERED.match(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def latest() -> int:
    """Give the version of the tables that this code works with."""
    return migrations()[-1].version


def check_schema_name(schema: str) -> str:
    """Give the name back, if it can be that of a schema without surprises in any tool.

    Raises:
        UsageError: it is not lower-case letters, digits and underscores, 63 at most.
    """
    if not _SCHEMA.match(schema) or schema.startswith("pg_"):
        raise UsageError(f"schema {schema!r}: use lower-case letters, digits and underscores, 63 at most, not pg_...")
    return schema


def ddl(schema: str) -> str:
    """Give the DDL of all tables as they are after the last migration, for reading and for other tools."""
    text = files(__package__).joinpath("schema.sql").read_text("utf-8")
    return compose(text, Names(schema, "public")).decode()


def find_extension(connection: Connection[Any]) -> str | None:
    """Give the schema that pgvector is in, or None where the database lacks it."""
    found = ask(
        connection,
        "select n.nspname::text from pg_extension e join pg_namespace n on n.oid = e.extnamespace"
        " where e.extname = 'vector'",
    )
    return None if found is None else str(found)


def version(connection: Connection[Any], schema: str) -> int:
    """Give the version of the tables in the database; 0 where there are none."""
    table = sql.Identifier(schema, "migration")
    if ask(connection, "select to_regclass(%s)::text", [table.as_string(None)]) is None:
        return 0
    return int(ask(connection, sql.SQL("select max(version) from {}").format(table)) or 0)


def check(connection: Connection[Any], schema: str) -> bool:
    """Tell whether the tables are those that this code needs; False where they are missing or older.

    Raises:
        StoreFailed: the server is too old.
        MigrationRequired: the tables are of a newer keepwell.
    """
    if connection.info.server_version < OLDEST_SERVER:
        raise StoreFailed(f"PostgreSQL 14 or newer is needed; this server is {connection.info.server_version // 10000}")
    found = version(connection, schema)
    if found > latest():
        raise MigrationRequired(
            f"schema {schema!r} is of a newer keepwell (version {found}, this one knows {latest()}); upgrade keepwell"
        )
    return found == latest() and find_extension(connection) is not None


def migrate(connection: Connection[Any], schema: str, grant: str | None = None) -> list[str]:
    """Bring the tables to the latest version in one transaction, and give the names of the steps taken.

    Several processes may do this at once: they take turns. With ``grant``, that role may use the tables.

    Raises:
        MissingExtension: pgvector is not installed, or only this one thing is not allowed to the role.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, schema])
        names = Names(schema, _extension(connection, schema))
        done = [step.name for step in _pending(connection, schema)]
        for step in _pending(connection, schema):
            connection.execute(compose(step.text, names))
            connection.execute(
                sql.SQL("insert into {} (version, name) values (%s, %s)").format(sql.Identifier(schema, "migration")),
                [step.version, step.name],
            )
        if grant is not None:
            _grant(connection, schema, grant)
    return done


def _extension(connection: Connection[Any], schema: str) -> str:
    found = find_extension(connection)
    if found is None:
        try:
            with connection.transaction():
                connection.execute("create extension if not exists vector")
        except (psycopg.errors.UndefinedFile, psycopg.errors.FeatureNotSupported) as error:
            raise MissingExtension("the server has no pgvector; install it there (its package is pgvector)") from error
        except psycopg.errors.InsufficientPrivilege as error:
            if not ask(connection, _MAY_MAKE_TABLES, [schema]):
                raise
            raise MissingExtension(
                "the database has no pgvector and this role may not add it; let a privileged role run in it: "
                "create extension vector"
            ) from error
        found = find_extension(connection)
    if found is None:
        raise MissingExtension("pgvector was created but cannot be seen; check the role's rights")
    return found


def _pending(connection: Connection[Any], schema: str) -> list[Migration]:
    found = version(connection, schema)
    if found == 0:
        if ask(connection, "select to_regnamespace(%s)::text", [schema]) is None:
            # "if not exists" would ask for rights on the database where the schema was made for this role.
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
        connection.execute(
            sql.SQL(
                "create table if not exists {} (version integer primary key, name text not null,"
                " applied_at timestamptz not null default clock_timestamp())"
            ).format(sql.Identifier(schema, "migration"))
        )
    return [step for step in migrations() if step.version > found]


def _grant(connection: Connection[Any], schema: str, role: str) -> None:
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    for text in (
        "grant usage on schema {schema} to {role}",
        "grant select, insert, update, delete on all tables in schema {schema} to {role}",
        "revoke insert, update, delete on {schema}.migration from {role}",
    ):
        connection.execute(sql.SQL(text).format(**names))
