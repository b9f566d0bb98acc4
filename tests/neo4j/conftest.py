"""A real Neo4j for the tests here; each works in a tenant of its own, on an empty record of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from tests.neo4j.village import Village

from keepwell import Memory
from keepwell.storage.neo4j.driver import Bolt, BoltOptions, open_bolt
from keepwell.storage.neo4j.projecting import Neo4jProjection
from keepwell.work.projecting import Projector


@pytest.fixture
def tenant() -> str:
    """Give a name that no other test has."""
    return f"t-{uuid.uuid4().hex}"


@pytest.fixture
def bolt(neo4j_uri: str) -> Iterator[Bolt]:
    """Give the server, with connections of this test's own."""
    opened = open_bolt(neo4j_uri, options=BoltOptions(size=4, retry_seconds=5.0))
    yield opened
    opened.close()


@pytest.fixture
def target(bolt: Bolt, tenant: str) -> Iterator[Neo4jProjection]:
    """Give the tenant's place in Neo4j; it is empty, and emptied at the end."""
    projection = Neo4jProjection(bolt, tenant, lease_seconds=2.0)
    yield projection
    projection.wipe()


@pytest.fixture
def memory(open_memory: Callable[..., Memory], tenant: str) -> Memory:
    """Give a memory of the tenant."""
    return open_memory(tenant=tenant)


@pytest.fixture
def village(memory: Memory) -> Village:
    """Give people who speak about each other, in that memory."""
    return Village(memory)


@pytest.fixture
def projector(village: Village, target: Neo4jProjection) -> Projector:
    """Give the projector of the village, switched on before anything is said."""
    projector = Projector(village.record, target, batch=50)
    projector.switch_on()
    return projector
