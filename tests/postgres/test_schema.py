"""The tables: made, upgraded and refused as they should be."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell import Memory, Message
from keepwell.errors import MigrationRequired, NotPermitted, UsageError
from keepwell.storage.postgres import schema as tables
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.queries import Names, compose
from keepwell.storage.postgres.schema import ddl, latest, migrate, migrations

from .catalogs import describe


@pytest.fixture
def admin(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection that may make tables."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def schema(admin: psycopg.Connection[Any]) -> Iterator[str]:
    """Give the name of a schema that is not there yet."""
    name = f"s_{uuid.uuid4().hex}"
    yield name
    admin.execute(f"drop schema if exists {name} cascade")


def migrate_to(admin: psycopg.Connection[Any], schema: str, version: int) -> None:
    """Make the tables as they were at a version, as a keepwell of that time did."""
    admin.execute(f"create schema {schema}")
    admin.execute(
        f"create table {schema}.migration (version integer primary key, name text not null,"
        " applied_at timestamptz not null default clock_timestamp())"
    )
    for step in migrations()[:version]:
        admin.execute(compose(step.text, Names(schema, "public")))
        admin.execute(f"insert into {schema}.migration (version, name) values (%s, %s)", [step.version, step.name])


def test_the_schema_file_and_the_migrations_agree(admin: psycopg.Connection[Any], schema: str) -> None:
    """The DDL that is shown makes exactly what the migrations make, down to names, collations and policies."""
    migrate(admin, schema)
    from_migrations = describe(admin, schema)
    admin.execute(f"drop schema {schema} cascade")
    admin.execute(ddl(schema))
    from_file = describe(admin, schema)
    for kind, rows in from_migrations.items():
        assert from_file[kind] == rows, kind
    assert len(from_file["policies"]) == 31
    steps = admin.execute(f"select version, name from {schema}.migration order by 1").fetchall()
    assert steps == [(step.version, step.name) for step in migrations()]


def test_a_store_opens_on_tables_made_from_the_ddl(admin: psycopg.Connection[Any], admin_dsn: str, schema: str) -> None:
    """Who runs the printed DDL by hand has tables that a store works with, without another step."""
    admin.execute(ddl(schema))
    with Memory.open(admin_dsn, schema=schema, embedder=None) as memory:
        memory.scope("ada").thread("t").append(Message.user("by hand"))
        assert [found.text for found in memory.scope("ada").recall("hand")] == ["by hand"]


def test_migrations_are_numbered_without_a_gap() -> None:
    """Steps are 1, 2, 3 and so on, each with a name."""
    assert [step.version for step in migrations()] == list(range(1, latest() + 1))
    assert all(step.name and step.text.startswith("--") for step in migrations())


def test_a_schema_of_another_name_works(admin: psycopg.Connection[Any], admin_dsn: str, schema: str) -> None:
    """Everything a memory does happens in the schema that it was given, and nothing in the usual one."""
    before = admin.execute("select count(*) from keepwell.thread").fetchone()
    with Memory.open(admin_dsn, schema=schema, embedder=None) as memory:
        ada = memory.scope(user_id="ada")
        chat = ada.thread("t")
        chat.append(Message.user("The key is under the mat."), Message.assistant("Noted."))
        chat.clone("copy")
        assert memory.status().record.messages == 4
        assert len(ada.recall("where is the key?")) > 0
        assert ada.forget().counts["messages"] == 4
    assert admin.execute(f"select count(*) from {schema}.removal").fetchone() == (4,)
    assert admin.execute("select count(*) from keepwell.thread").fetchone() == before


@pytest.mark.parametrize("name", ["Keepwell", "pg_keep", "a b", 'a"b', "", "x" * 64, "1st", "schéma", "a;drop"])
def test_schema_names_with_surprises_are_refused(dsn: str, name: str) -> None:
    """A schema is named in lower-case letters, digits and underscores, or nothing is opened."""
    with pytest.raises(UsageError, match="lower-case letters"):
        tables.check_schema_name(name)
    if name:
        with pytest.raises(UsageError, match="lower-case letters"):
            Memory.open(dsn, schema=name, embedder=None)


def test_several_may_migrate_at_once(admin: psycopg.Connection[Any], admin_dsn: str, schema: str) -> None:
    """Of several that open a new store at the same moment one makes the tables, and all of them work."""
    start = threading.Barrier(4)
    taken: list[list[str]] = []
    failures: list[BaseException] = []

    def come() -> None:
        try:
            with psycopg.connect(admin_dsn, autocommit=True) as connection:
                start.wait()
                taken.append(migrate(connection, schema))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(taken) == [[], [], [], [step.name for step in migrations()]]


def test_migrating_again_changes_nothing(admin: psycopg.Connection[Any], schema: str) -> None:
    """The migration of tables that are up to date takes no step."""
    assert migrate(admin, schema) == [step.name for step in migrations()]
    before = describe(admin, schema)
    assert migrate(admin, schema) == []
    assert describe(admin, schema) == before


def test_a_failed_migration_leaves_nothing(
    admin: psycopg.Connection[Any], schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are taken together or not at all: after a failure there is not even the schema."""
    broken = (*migrations(), tables.Migration(latest() + 1, "broken", "-- broken\nselect 1/0"))
    monkeypatch.setattr(tables, "migrations", lambda: broken)
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(admin, schema)
    assert admin.execute("select to_regnamespace(%s)::text", [schema]).fetchone() == (None,)


def test_newer_tables_are_left_alone(admin: psycopg.Connection[Any], admin_dsn: str, schema: str) -> None:
    """Tables of a newer keepwell are not touched, and the error says to upgrade."""
    migrate(admin, schema)
    admin.execute(f"insert into {schema}.migration (version, name) values (%s, 'later')", [latest() + 1])
    with pytest.raises(MigrationRequired, match="of a newer keepwell.*upgrade keepwell"):
        Memory.open(admin_dsn, schema=schema, embedder=None)


@pytest.mark.parametrize("version", range(1, latest()))
def test_older_tables_are_migrated_with_what_is_in_them(
    admin: psycopg.Connection[Any], admin_dsn: str, schema: str, version: int
) -> None:
    """Opening with a role that may brings old tables up to date; what was said stays, and is recalled."""
    migrate_to(admin, schema, version)
    admin.execute(
        f"""with t as (
            insert into {schema}.thread (tenant, user_id, agent_id, run_id, id, last_seq, messages, length)
            values ('default', 'ada', '', '', 't', 1, 1, 2) returning key
        )
        insert into {schema}.message (tenant, user_id, agent_id, run_id, thread, seq, id, body, digest, terms,
            created_at)
        select 'default', 'ada', '', '', key, 1, 'm', '{{"role":"user","text":"old words"}}', '', 'old word', now()
        from t"""
    )
    with Memory.open(admin_dsn, schema=schema, embedder=None) as memory:
        assert [message.text for message in memory.scope("ada").thread("t").messages()] == ["old words"]
        assert [found.text for found in memory.scope("ada").recall("words")] == ["old words"]
        assert memory.drain().posted == 1
    fresh = f"{schema}_fresh"
    try:
        migrate(admin, fresh)
        assert describe(admin, schema) == describe(admin, fresh)
    finally:
        admin.execute(f"drop schema {fresh} cascade")


def test_older_tables_and_a_role_that_may_not(admin: psycopg.Connection[Any], dsn: str, schema: str) -> None:
    """Where the tables are old and the role may not change them, the error names the command that does."""
    migrate_to(admin, schema, 1)
    admin.execute(f"grant usage on schema {schema} to keepwell; grant select on {schema}.migration to keepwell")
    with pytest.raises(MigrationRequired, match="keepwell migrate --admin-dsn"):
        Memory.open(dsn, schema=schema, embedder=None)


def test_no_tables_and_a_role_that_may_not(server: EmbeddedServer, fresh_database: str) -> None:
    """Where there are no tables and the role may make none, the error names the command that does."""
    with pytest.raises(MigrationRequired, match="keepwell migrate --admin-dsn"):
        Memory.open(make_conninfo(server.dsn, dbname=fresh_database), embedder=None)


def test_a_privileged_role_prepares_and_an_unprivileged_one_works(server: EmbeddedServer, fresh_database: str) -> None:
    """After one migration with a grant, the other role reads and writes, and can make or change no table."""
    with psycopg.connect(make_conninfo(server.admin_dsn, dbname=fresh_database), autocommit=True) as connection:
        migrate(connection, "keepwell", grant="keepwell")
    dsn = make_conninfo(server.dsn, dbname=fresh_database)
    with Memory.open(dsn, embedder=None) as memory:
        memory.scope("ada").thread("t").append(Message.user("hello"))
        memory.drain()
        assert memory.scope("ada").forget().counts["messages"] == 1
    with psycopg.connect(dsn, autocommit=True) as connection:
        for forbidden in (
            "delete from keepwell.migration",
            "alter table keepwell.message disable row level security",
            "drop policy tenant on keepwell.message",
            "create table keepwell.mine (n integer)",
            "truncate keepwell.message",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_tables_that_are_not_granted(admin: psycopg.Connection[Any], dsn: str, schema: str) -> None:
    """A role that may look but not write is told so when it opens the store, not at its first message."""
    migrate(admin, schema)
    with pytest.raises(NotPermitted, match="keepwell migrate --admin-dsn DSN --grant ROLE"):
        Memory.open(dsn, schema=schema, embedder=None)
    admin.execute(
        f"grant usage on schema {schema} to keepwell; grant select on all tables in schema {schema} to keepwell"
    )
    with pytest.raises(NotPermitted, match="may not use the tables"):
        Memory.open(dsn, schema=schema, embedder=None)


def test_tables_that_went_while_a_store_was_open(
    admin: psycopg.Connection[Any], admin_dsn: str, schema: str, open_memory: Callable[..., Memory]
) -> None:
    """Where somebody drops the tables under an open store, the error says what to run."""
    with Memory.open(admin_dsn, schema=schema, embedder=None) as memory:
        admin.execute(f"drop schema {schema} cascade")
        with pytest.raises(MigrationRequired, match="keepwell migrate"):
            memory.scope("ada").thread("t").append(Message.user("hello"))
