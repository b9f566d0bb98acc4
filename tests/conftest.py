"""A real PostgreSQL for all tests, and a fresh database for each that asks."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.neo4j_server import neo4j_uri, own_neo4j  # noqa: F401 - fixtures that every test may ask for

from keepwell import Memory
from keepwell.storage.postgres import PoolOptions, PostgresStore, embedded
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.schema import migrate
from keepwell.testing import HashEmbedder

pytest.register_assert_rewrite("keepwell.testing.conformance")
TEMPLATE = "keepwell_template"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the long forms of the proofs."""
    parser.addoption("--proof", action="store_true", help="run the long forms of crash and property tests")


@pytest.fixture(scope="session")
def proof(request: pytest.FixtureRequest) -> bool:
    """Tell whether the long forms are asked for."""
    return bool(request.config.getoption("--proof"))


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("KEEPWELL_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(testrun_uid: str) -> Iterator[EmbeddedServer]:
    """Give the embedded server that all workers of this run share.

    Its folder is not among pytest's own, which are private to whoever runs the tests; a server that root starts
    runs as another OS user.
    """
    folder = Path(tempfile.gettempdir()) / f"keepwell-tests-{testrun_uid}"
    running = embedded.start(folder / "postgres")
    with psycopg.connect(running.admin_dsn, autocommit=True) as admin:
        # Tests kill clients, never this server: what a power cut would cost is not theirs to prove.
        admin.execute("alter system set fsync = off")
        admin.execute("select pg_reload_conf()")
    yield running
    running.release()
    if not embedded.status(running.path).running:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: EmbeddedServer) -> str:
    """Give a database with our tables and nothing in them, made once."""
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(1)")
        if not admin.execute("select 1 from pg_database where datname = %s", [TEMPLATE]).fetchone():
            admin.execute(f"create database {TEMPLATE}")
            with psycopg.connect(make_conninfo(server.admin_dsn, dbname=TEMPLATE), autocommit=True) as connection:
                migrate(connection, "keepwell", grant="keepwell")
    return TEMPLATE


@pytest.fixture
def database(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the name of a fresh database with our tables."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        yield name
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def worker_database(server: EmbeddedServer, template: str) -> str:
    """Give the name of a database that the tests of this worker use one after the other."""
    name = f"worker_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
    return name


@pytest.fixture
def emptied_database(server: EmbeddedServer, worker_database: str) -> str:
    """Give the worker's database with nothing in its tables: 20 ms, where a new database takes up to 500."""
    with psycopg.connect(make_conninfo(server.admin_dsn, dbname=worker_database), autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
            [worker_database],
        )
        tables = admin.execute(
            "select string_agg(format('keepwell.%I', tablename), ', ') from pg_tables"
            " where schemaname = 'keepwell' and tablename <> 'migration'"
        ).fetchone()
        assert tables is not None
        admin.execute(f"truncate {tables[0]} restart identity")
    return worker_database


@pytest.fixture
def dsn(request: pytest.FixtureRequest, server: EmbeddedServer) -> str:
    """Give the DSN of an empty database, for the role that policies bind.

    It is a new one where the test also asks for its name or for its owner's DSN, because such a test may change
    more than rows.
    """
    new = {"database", "admin_dsn"} & set(request.fixturenames)
    name = request.getfixturevalue("database" if new else "emptied_database")
    return make_conninfo(server.dsn, dbname=name)


@pytest.fixture
def admin_dsn(server: EmbeddedServer, database: str) -> str:
    """Give the DSN of the same database for the role that owns the tables."""
    return make_conninfo(server.admin_dsn, dbname=database)


@pytest.fixture
def open_memory(dsn: str) -> Iterator[Callable[..., Memory]]:
    """Give a function that opens memories on the fresh database, each with connections of its own."""
    with ExitStack() as stack:
        opened = 0

        def make(**options: object) -> Memory:
            nonlocal opened
            opened += 1
            given = {"embedder": HashEmbedder(), "pool_size": 4 + opened, "name": f"test-{opened}", **options}
            return stack.enter_context(Memory.open(dsn, **given))  # type: ignore[arg-type]  # options of open

        yield make


@pytest.fixture
def memory(open_memory: Callable[..., Memory]) -> Memory:
    """Give a memory on a fresh database, with a deterministic embedder."""
    return open_memory(name="default")


@pytest.fixture
def memories(open_memory: Callable[..., Memory]) -> tuple[Memory, Memory]:
    """Give two memories on one fresh database, as two processes would have them."""
    return open_memory(), open_memory()


@pytest.fixture
def postgres_stores(dsn: str) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Give two stores on one fresh database, each with its own pool."""
    first, second = PostgresStore(dsn, options=PoolOptions(4)), PostgresStore(dsn, options=PoolOptions(4))
    yield first, second
    first.close()
    second.close()


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """Give a folder that an embedded server may make."""
    parent = Path(tempfile.mkdtemp(prefix="keepwell-tests-"))
    parent.chmod(0o755)
    yield parent / "store"
    shutil.rmtree(parent, ignore_errors=True)
