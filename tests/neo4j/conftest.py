"""A real Neo4j for the tests here; each works in a tenant of its own, on an empty record of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.neo4j.village import Village

from keepwell import Memory
from keepwell.storage.base import Record
from keepwell.storage.graph import ReadProjection
from keepwell.storage.neo4j.driver import Bolt, BoltOptions, open_bolt
from keepwell.storage.neo4j.projecting import Neo4jProjection
from keepwell.work.projecting import Brought, Projector


class PatientProjector(Projector):
    """Goes on until nothing waits: tests beside it write in the same cluster, and what they hold open holds it up."""

    def sync(self, **options: Any) -> Brought:
        """Bring the target up to the record, or give up after a few seconds."""
        done, until = super().sync(**options), time.monotonic() + 3
        while done.skipped is None and _waits(self.record) and time.monotonic() < until:
            time.sleep(0.02)
            done = replace(done, changes=done.changes + super().sync(**options).changes)
        return done


def drained(memory: Memory) -> int:
    """Drain a memory until its projection has everything, and count what came to it."""
    brought, until = memory.drain().projected, time.monotonic() + 20
    while _waits(memory._engine.record) and time.monotonic() < until:
        time.sleep(0.05)
        brought += memory.drain().projected
    return brought


def _waits(record: Record) -> bool:
    state = record.read(ReadProjection())
    return state is not None and state.waiting > 0


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
    projector = PatientProjector(village.record, target, batch=50)
    projector.switch_on()
    return projector
