"""A projector that is killed at any moment, and a Neo4j that goes away and comes back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from tests.neo4j.village import Village

from keepwell import Memory, Message
from keepwell.storage.neo4j.driver import Bolt
from keepwell.testing.neo4j_server import Neo4jServer
from keepwell.work.projecting import Projector

_DEADLINE = 2.0
"""Seconds: what Neo4j is waited for is one, and the rest of a recall takes its own time."""
_PROJECTOR = """
import sys
from keepwell.storage.neo4j.driver import BoltOptions, open_bolt
from keepwell.storage.neo4j.projecting import Neo4jProjection
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.work.projecting import Projector
dsn, uri, tenant = sys.argv[1:]
record = PostgresStore(dsn, options=PoolOptions(2)).record(tenant)
projector = Projector(record, Neo4jProjection(open_bolt(uri), tenant, lease_seconds=0.5), batch=20)
print("ready", flush=True)
while True:
    projector.sync()
"""


def _projector(dsn: str, uri: str, tenant: str) -> subprocess.Popen[str]:
    started = subprocess.Popen([sys.executable, "-c", _PROJECTOR, dsn, uri, tenant], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


@pytest.mark.timeout(1800)
def test_a_projector_killed_again_and_again_leaves_nothing_out(  # noqa: PLR0917 - fixtures
    village: Village, projector: Projector, dsn: str, neo4j_uri: str, bolt: Bolt, tenant: str, proof: bool
) -> None:
    """However often its process is killed while changes flow, the projection ends equal, each change applied once."""
    kills, changes = (100, 5000) if proof else (10, 300)
    village.person()
    assert projector.sync().built
    ending = threading.Event()

    def write() -> None:
        for _ in range(changes):
            village.change()
        ending.set()

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(kills):
        process = _projector(dsn, neo4j_uri, tenant)
        time.sleep(random.uniform(0.1, 0.8))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    writer.join()
    applied = projector.target.standing()
    assert applied is not None
    assert applied.applied > 0, "nobody lived long enough to do anything"
    until = time.monotonic() + 60
    while (projector.sync().skipped or projector.status().waiting) and time.monotonic() < until:
        time.sleep(0.2)
    found = projector.verify()
    assert found.clean, found.differences[:10]
    assert found.record == found.projection
    twice = (
        "MATCH (n {tenant: $t}) WITH n.generation AS g, n.id AS i, labels(n) AS l, count(*) AS c WHERE c > 1 RETURN i"
    )
    assert [row for row in bolt.rows(twice, {"t": tenant}) if row["i"] is not None] == []


@pytest.mark.timeout(600)
def test_neo4j_stopped_under_load_holds_up_nobody(
    open_memory: Callable[..., Memory],
    own_neo4j: Callable[..., Neo4jServer],
    monkeypatch: pytest.MonkeyPatch,
    *,
    proof: bool,
) -> None:
    """While Neo4j is away no write fails and no recall that asks it is late; soon after it is back nothing differs."""
    monkeypatch.setenv("KEEPWELL_GRAPH_SOURCE", "neo4j")
    server = own_neo4j()
    memory = open_memory(tenant="load", graph=server.uri, worker="thread")
    load = _Load(Village(memory))
    load.recall_once()
    with load:
        time.sleep(3)
        calm = load.slowest
        server.kill()
        load.skipped, load.slowest = False, 0.0
        time.sleep(60.0 if proof else 4.0)
        away, missed = load.slowest, load.skipped
        server.start()
        time.sleep(1)
    assert load.failures == []
    assert missed, "no recall asked the graph"
    assert away < max(_DEADLINE, 4 * calm), "a recall took longer than its deadline"
    until = time.monotonic() + 60
    while not memory.graph.verify().clean and time.monotonic() < until:
        time.sleep(0.5)
    found = memory.graph.verify()
    assert found.clean, found.differences[:10]


class _Load:
    """Somebody who writes and somebody who recalls, as fast as they can, until the end of a block."""

    def __init__(self, village: Village) -> None:
        self.village, self.failures = village, list[BaseException]()
        self.slowest, self.skipped, self.ended = 0.0, False, threading.Event()
        village.entities.remove(village.person("Priya"))  # of those that may be taken away
        village.scope.thread("t").append(Message.user("Priya can't eat peanuts."))
        self._threads = [threading.Thread(target=self._go_on, args=(do,)) for do in (self._write, self.recall_once)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_error: object) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join()

    def recall_once(self) -> None:
        """Ask for something that names somebody whom the graph knows."""
        began = time.monotonic()
        found = self.village.scope.recall("Can Priya eat peanuts?", limit=3)
        self.slowest = max(self.slowest, time.monotonic() - began)
        assert len(found) > 0
        self.skipped = self.skipped or "graph" in found.skipped

    def _write(self) -> None:
        self.village.change()

    def _go_on(self, do: Callable[[], None]) -> None:
        while not self.ended.is_set():
            try:
                do()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is what must not be
                self.failures.append(error)
            time.sleep(0.02)
