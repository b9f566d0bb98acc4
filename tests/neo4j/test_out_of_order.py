"""Two writers who commit the other way round than they began, again and again, around a projector that reads on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.neo4j.village import Village

from keepwell import Memory
from keepwell.storage.neo4j.driver import Bolt
from keepwell.storage.neo4j.projecting import Neo4jProjection
from keepwell.work.projecting import Projector

_MADE = """
begin;
insert into keepwell.entity (tenant, user_id, agent_id, run_id, id, version, name, folded, type, metadata)
    values ('{tenant}', 'ada', '', '', '{one}', 1, 'Early {number}', 'early {number}', 'person', '{{}}');
insert into keepwell.relation (tenant, user_id, agent_id, run_id, id, version, subject, predicate, object, recorded_at,
        given)
    values ('{tenant}', 'ada', '', '', '{one}', 1, '{one}', 'knows', '{known}', now(), true)
"""
_RENAMED = "begin; update keepwell.entity set name = 'Name {number}' where id = '{known}'; commit"


@contextmanager
def _writer(dsn: str, tenant: str) -> Iterator[Callable[[str], object]]:
    """Give a function that sends words of SQL as they are, so that a transaction is few round trips."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        connection.execute("select set_config('keepwell.tenant', %s, false)", [tenant])
        yield lambda words: connection.execute(words.encode())


@dataclass
class _Pairs:
    """Pairs of transactions: the first makes somebody, once and for all; the second renames whom it knows, and commits first.

    Every so often the first waits until the projector has read between the two commits.
    """

    known: list[UUID]
    count: int
    every: int
    rounds: int = 0
    made: int = 0

    def write(self, dsn: str, tenant: str) -> None:
        choose = random.Random(20240517)
        with _writer(dsn, tenant) as early, _writer(dsn, tenant) as late:
            for number in range(self.count):
                known = choose.choice(self.known)
                early(_MADE.format(tenant=tenant, one=uuid4(), known=known, number=number))
                late(_RENAMED.format(known=known, number=number))
                if number % self.every == 0:
                    self._wait()
                stays = choose.random() < 0.9
                early("commit" if stays else "rollback")
                self.made += stays

    def _wait(self) -> None:
        """Wait for a round that began and ended in here; not for ever, should there be none any more."""
        enough, until = self.rounds + 2, time.monotonic() + 60
        while self.rounds < enough and time.monotonic() < until:
            time.sleep(0.001)


@pytest.mark.timeout(3600)
def test_two_writers_that_commit_out_of_order(
    open_memory: Callable[..., Memory], tenant: str, target: Neo4jProjection, bolt: Bolt, dsn: str, *, proof: bool
) -> None:
    """However often the earlier of two transactions commits later, the projection ends equal to the record."""
    village = Village(open_memory(tenant=tenant))
    projector = Projector(village.record, target)
    projector.switch_on()
    pairs = _Pairs([village.person() for _ in range(50)], *((100_000, 100) if proof else (400, 20)))
    assert projector.sync().built
    writing = threading.Thread(target=pairs.write, args=(dsn, tenant), daemon=True)
    writing.start()
    while writing.is_alive():
        done = projector.sync()
        assert done.skipped is None, done.skipped
        pairs.rounds += 1
    until = time.monotonic() + 20  # what others in this cluster hold open holds it up
    while projector.status().waiting and time.monotonic() < until:
        projector.sync()
    early = "MATCH (e:Entity {tenant: $t})-[:RELATED]->() WHERE e.name STARTS WITH 'Early' RETURN count(e) AS count"
    assert bolt.rows(early, {"t": tenant}) == [{"count": pairs.made}]
    found = projector.verify()
    assert found.clean, found.differences[:10]
