"""The Neo4j server of a test run: that of `NEO4J_URI`, else one of our own, started when the first test asks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from scripts import neo4j_jars

from keepwell.testing.neo4j_server import Neo4jServer


def lacking() -> str | None:
    """Say why there is no server to be had here; None where there is."""
    if neo4j_jars.jars() is None or neo4j_jars.java() is None:
        return neo4j_jars.lacking() or "the Neo4j server was not fetched: python -m scripts.neo4j_jars"
    return None


def new_server(home: Path, *, auth: bool = False) -> Neo4jServer:
    """Give a server of our own that does not run yet, or skip the test with the one reason why there is none."""
    reason = lacking()
    if reason is not None:
        pytest.skip(reason)
    jars = neo4j_jars.jars()
    assert jars is not None
    return Neo4jServer(jars, home, java=neo4j_jars.java() or "java", auth=auth)


@contextmanager
def a_server(*, auth: bool = False) -> Iterator[Neo4jServer]:
    """Give a server that runs, in a temporary folder, and remove both at the end."""
    with tempfile.TemporaryDirectory(prefix="keepwell-neo4j-", ignore_cleanup_errors=True) as home:
        server = new_server(Path(home), auth=auth)
        try:
            server.start()
            yield server
        finally:
            server.remove()


@pytest.fixture(scope="session")
def neo4j_uri() -> Iterator[str]:
    """Give the address of a Neo4j that runs; what a test writes there is in a tenant of its own."""
    given = os.environ.get("NEO4J_URI")
    if given:
        yield given
        return
    with a_server() as server:
        yield server.uri


@pytest.fixture
def own_neo4j() -> Iterator[Callable[..., Neo4jServer]]:
    """Give a function that starts servers of a test's own, which it may stop, kill or wipe."""
    with ExitStack() as stack:

        def make(*, auth: bool = False) -> Neo4jServer:
            return stack.enter_context(a_server(auth=auth))

        yield make
