"""One database for all tests here, and a tenant of its own for each: a database a test would take most of the time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell import Memory
from keepwell.storage.base import Record
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing import ReferenceStore


@pytest.fixture(scope="session")
def shared_database(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the name of the database that this worker's tests share."""
    name = f"shared_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        yield name
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(shared_database: str) -> str:
    """Give the shared database where the tests elsewhere get a fresh one; what a test writes is in its tenant."""
    return shared_database


@pytest.fixture
def dsn(server: EmbeddedServer, shared_database: str) -> str:
    """Give the DSN of the shared database, for the role that policies bind."""
    return make_conninfo(server.dsn, dbname=shared_database)


@pytest.fixture
def fresh_database(server: EmbeddedServer) -> Iterator[str]:
    """Give the name of an empty database, without our tables and without the extension."""
    name = f"fresh_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name}")
        yield name
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def tenant() -> str:
    """Give a tenant that no other test has."""
    return f"t-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def store(server: EmbeddedServer, shared_database: str) -> Iterator[PostgresStore]:
    """Give a store on the shared database, as the role that policies bind."""
    dsn = make_conninfo(server.dsn, dbname=shared_database)
    with closing(PostgresStore(dsn, options=PoolOptions(4))) as opened:
        yield opened


@pytest.fixture
def record(store: PostgresStore, tenant: str) -> PostgresRecord:
    """Give the record of the test's tenant."""
    return store.record(tenant)


@pytest.fixture
def memory(open_memory: Callable[..., Memory], tenant: str) -> Memory:
    """Give a memory of the test's tenant, with a deterministic embedder."""
    return open_memory(name="default", tenant=tenant)


@pytest.fixture
def memories(open_memory: Callable[..., Memory], tenant: str) -> tuple[Memory, Memory]:
    """Give two memories of the test's tenant with pools of their own, as two processes would have them."""
    return open_memory(tenant=tenant), open_memory(tenant=tenant)


@pytest.fixture
def connect(dsn: str) -> Iterator[Callable[..., psycopg.Connection]]:
    """Give a function that connects to the shared database as an application would, beside any store."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(closing(psycopg.connect(dsn, **options)))


@pytest.fixture(params=["reference", "postgres"])
def kept(request: pytest.FixtureRequest) -> Record:
    """Give an empty record, of either kind: what works with one has to work with the other."""
    if request.param == "reference":
        return ReferenceStore().record("t")
    given: Record = request.getfixturevalue("record")
    return given
