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
    open_memory: Callable[..., Memory], own_neo4j: Callable[..., Neo4jServer], proof: bool
) -> None:
    """While Neo4j is away no write fails and no recall is late; soon after it is back nothing differs."""
    away = 60.0 if proof else 4.0
    server = own_neo4j()
    memory = open_memory(tenant="load", graph=server.uri, worker="thread")
    village = Village(memory)
    village.scope.thread("t").append(Message.user("I can't eat peanuts."))
    ending, slowest, failures = threading.Event(), [0.0], list[BaseException]()

    def write() -> None:
        while not ending.is_set():
            try:
                village.change()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is what must not be
                failures.append(error)

    def recall() -> None:
        while not ending.is_set():
            began = time.monotonic()
            try:
                assert village.scope.recall("peanuts", limit=3)
            except BaseException as error:  # noqa: BLE001 - as above
                failures.append(error)
            slowest[0] = max(slowest[0], time.monotonic() - began)
            time.sleep(0.05)

    threads = [threading.Thread(target=write), threading.Thread(target=recall)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    calm, slowest[0] = slowest[0], 0.0
    server.kill()
    time.sleep(away)
    server.start()
    time.sleep(1)
    ending.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert slowest[0] < max(2.0, 4 * calm), "a recall took longer than its deadline"
    until = time.monotonic() + 60
    while not memory.graph.verify().clean and time.monotonic() < until:
        time.sleep(0.5)
    found = memory.graph.verify()
    assert found.clean, found.differences[:10]
