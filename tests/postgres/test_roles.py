"""Who logs in: bound by policies, or taking on a role that is, or saying loudly that neither is to be had."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from keepwell import Memory, Message
from keepwell.errors import NotPermitted, RowSecurityBypassed
from keepwell.storage.postgres.schema import migrate

MakeRole = Callable[..., str]


@pytest.fixture
def admin(admin_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection as the superuser."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def make_role(admin: psycopg.Connection[Any], admin_dsn: str) -> Iterator[MakeRole]:
    """Give a function that makes a role with such attributes and gives the DSN to log in as it."""
    with ExitStack() as stack:

        def make(attributes: str = "", *grants: str) -> str:
            name = f"r_{uuid.uuid4().hex[:12]}"
            admin.execute(f"create role {name} login password 'x' {attributes}")
            stack.callback(admin.execute, f"drop owned by {name}; drop role {name}")
            for grant in grants:
                admin.execute(grant.format(role=name))
            return make_conninfo(admin_dsn, user=name, password="x")

        yield make


@pytest.fixture
def bare(admin: psycopg.Connection[Any]) -> Iterator[str]:
    """Give a schema whose tables were granted to nobody."""
    name = f"bare_{uuid.uuid4().hex}"
    migrate(admin, name)
    yield name
    admin.execute(f"drop schema {name} cascade")


USE = (
    "grant usage on schema keepwell to {role}",
    "grant select, insert, update, delete on all tables in schema keepwell to {role}",
)


def work(memory: Memory) -> None:
    """Write, read, join a transaction and drain."""
    chat = memory.scope("ada").thread("t")
    chat.append(Message.user("walnut"), Message.user("plum"))
    with memory.transaction() as tx:
        chat.append(Message.user("fig"), connection=tx)
    memory.drain()
    assert len(memory.scope("ada").recall("walnut")) > 0
    assert memory.status().record.messages == 3
    memory.scope("ada").forget()


def who_wrote(memory: Memory) -> str:
    """Give the role that statements run as in a transaction of the memory's."""
    with memory.transaction() as tx:
        return str(tx.execute("select current_user").fetchone()[0])


def test_a_role_that_policies_bind_works_as_itself(make_role: MakeRole, tenant: str) -> None:
    """An ordinary login with the rights needs no other role, and status says that the policies hold."""
    with Memory.open(make_role("", *USE), tenant=tenant, embedder=None, require_rls=True) as memory:
        work(memory)
        record = memory.status().record
        assert record.row_security == "enforced"
        assert record.role == who_wrote(memory)
        assert record.role.startswith("r_")


@pytest.mark.parametrize("kind", ["superuser", "bypassrls"])
def test_a_bypassing_login_takes_on_the_granted_role(
    kind: str, make_role: MakeRole, tenant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A login that skips policies works as the role that was granted the tables, and they hold."""
    dsn = make_role(kind, "grant keepwell to {role}")
    with caplog.at_level(logging.WARNING, "keepwell"):
        with Memory.open(dsn, tenant=tenant, embedder=None, require_rls=True) as memory:
            work(memory)
            assert who_wrote(memory) == "keepwell"
            record = memory.status().record
            assert (record.row_security, record.role) == ("enforced", "keepwell")
            with memory.transaction() as tx:  # and so a statement without a predicate sees nothing
                assert tx.execute("select count(*) from keepwell.message").fetchone() == (0,)
    assert caplog.messages == []


def test_the_role_is_given_back(make_role: MakeRole, tenant: str) -> None:
    """The role lasts for a transaction: a connection of a given pool goes back as what it was."""
    dsn = make_role("bypassrls", "grant keepwell to {role}")
    with ConnectionPool(dsn, min_size=1, max_size=1, open=True) as pool:
        with Memory.open(pool=pool, tenant=tenant, embedder=None) as memory:
            work(memory)
        with pool.connection() as connection:
            assert connection.execute("select current_user = session_user").fetchone() == (True,)


def test_a_caller_s_connection_keeps_its_role(admin: psycopg.Connection[Any], memory: Memory) -> None:
    """A write that joins a superuser's transaction runs as the superuser, and still lands in its tenant alone."""
    with admin.transaction():
        memory.scope("ada").thread("t").append(Message.user("joined"), connection=admin)
        assert admin.execute("select current_user").fetchone() == ("postgres",)
    assert memory.status().record.messages == 1


@pytest.mark.parametrize("kind", ["superuser", "bypassrls"])
def test_a_bypassing_login_without_a_role_says_so(
    kind: str, make_role: MakeRole, bare: str, admin: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Where no bound role is to be had, the store works by the first wall, and log and status say it."""
    dsn = make_role(kind)
    name = psycopg.conninfo.conninfo_to_dict(dsn)["user"]
    admin.execute(f"grant usage on schema {bare} to {name}; grant all on all tables in schema {bare} to {name}")
    with caplog.at_level(logging.WARNING, "keepwell"), Memory.open(dsn, schema=bare, embedder=None) as memory:
        work(memory)
        status = memory.status()
        assert status.record.row_security == "bypassed"
        assert ("row-level security", "bypassed") in status.rows()
        assert memory.scope("bob").recall("walnut") == memory.scope("bob").recall("fig")
    warned = [record for record in caplog.records if "row-level security bypassed" in record.message]
    assert len(warned) == 1
    assert warned[0].name == "keepwell.store"


def test_require_rls_refuses_a_login_that_skips_policies(make_role: MakeRole, bare: str) -> None:
    """With ``require_rls=True`` such a store is not opened, and the error names the command that helps."""
    with pytest.raises(RowSecurityBypassed, match="keepwell migrate --admin-dsn DSN --grant ROLE"):
        Memory.open(make_role("superuser"), schema=bare, embedder=None, require_rls=True)


def test_a_role_that_may_not_be_taken_on_is_not(make_role: MakeRole, tenant: str) -> None:
    """A granted role that the login is no member of, or may not take on, is left alone."""
    for grants in (USE, (*USE, "grant keepwell to {role} with set false")):
        dsn = make_role("bypassrls", *grants)
        with pytest.raises(RowSecurityBypassed):
            Memory.open(dsn, tenant=tenant, embedder=None, require_rls=True)
        with Memory.open(dsn, tenant=tenant, embedder=None) as memory:
            work(memory)
            assert memory.status().record.row_security == "bypassed"


def test_the_owner_of_the_tables_is_bound_too(make_role: MakeRole, admin: psycopg.Connection[Any]) -> None:
    """A role that owns the tables, and is nothing more, is bound by their policies."""
    dsn = make_role("")
    name = psycopg.conninfo.conninfo_to_dict(dsn)["user"]
    schema = f"owned_{uuid.uuid4().hex}"
    admin.execute(f"create schema {schema} authorization {name}")
    with Memory.open(dsn, schema=schema, embedder=None, require_rls=True) as memory:
        work(memory)
        assert memory.status().record.row_security == "enforced"
    with psycopg.connect(dsn) as connection:
        assert connection.execute(f"select count(*) from {schema}.removal").fetchone() == (0,)
    assert admin.execute(f"select count(*) from {schema}.removal").fetchone() == (3,)


@pytest.mark.parametrize(
    "grants",
    [
        (),
        USE[:1],
        (USE[0], "grant select on all tables in schema keepwell to {role}"),
        (*USE, "revoke delete on keepwell.vector from {role}"),
    ],
    ids=["nothing", "the schema", "reading", "all but one"],
)
def test_a_login_without_the_rights_is_refused(grants: tuple[str, ...], make_role: MakeRole, tenant: str) -> None:
    """A login that lacks a right is told when it opens the store, with the command that grants it."""
    with pytest.raises(NotPermitted, match="keepwell migrate --admin-dsn DSN --grant ROLE"):
        Memory.open(make_role("", *grants), tenant=tenant, embedder=None)


def test_a_right_that_is_taken_away_later(make_role: MakeRole, admin: psycopg.Connection[Any], tenant: str) -> None:
    """Where a right is revoked under an open store, the next call says so, and works again once it is granted."""
    dsn = make_role("", *USE)
    name = psycopg.conninfo.conninfo_to_dict(dsn)["user"]
    with Memory.open(dsn, tenant=tenant, embedder=None) as memory:
        chat = memory.scope("ada").thread("t")
        admin.execute(f"revoke insert on keepwell.message from {name}")
        with pytest.raises(NotPermitted, match="permission denied for table message"):
            chat.append(Message.user("walnut"))
        assert chat.info() is None
        admin.execute(f"grant insert on keepwell.message to {name}")
        assert chat.append(Message.user("walnut"))[0].seq == 1
