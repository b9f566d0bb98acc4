"""How fast a graph of 100,000 entities and 500,000 relations is walked and projected: two hops, changes, all of it.

``python -m benchmarks graph`` starts a Neo4j of its own, where its jars were fetched (``make neo4j``). Each figure
stands beside that of the bare statement which does as little as can be done for the same, taken in turns with it:
on a machine that is at other work, the ratio says more than the time. ``python -m benchmarks.graph 10`` does all of it
with a tenth of the entities, relations, messages and changes.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from scripts import neo4j_jars

from benchmarks.ground import Ground, ground, quantile, show, timed
from keepwell import Memory, Message
from keepwell.storage.base import Record
from keepwell.storage.graph import SupportOf
from keepwell.testing.neo4j_server import Neo4jServer

if TYPE_CHECKING:
    from keepwell.storage.neo4j.driver import Bolt

_QUESTIONS, _ROUNDS = 400, 3
_BATCH = 2000


@dataclass(frozen=True)
class Size:
    """How much of everything; ``changed`` things in a round."""

    entities: int = 100_000
    relations: int = 500_000
    messages: int = 10_000
    changed: int = 40_000

    def shared_by(self, parts: int) -> Size:
        """Give a part of it."""
        return Size(*(getattr(self, one.name) // parts for one in fields(self)))

    def __str__(self) -> str:
        """Give it in words."""
        return f"{self.entities:,} entities, {self.relations:,} relations of one person"


_FILL = """
select set_config('keepwell.tenant', 'default', false);
create temp table someone as
    select n, gen_random_uuid() as id from generate_series(1, {entities}) n;
create index on someone (n);
create temp table spoken as
    select row_number() over (order by key) as n, key from keepwell.message;
create index on spoken (n);
insert into keepwell.entity (tenant, user_id, agent_id, run_id, id, version, name, folded, type, metadata)
    select 'default', 'ada', '', '', id, 1, 'Person ' || n, 'person ' || n, 'person', '{{}}' from someone;
insert into keepwell.name (tenant, user_id, agent_id, run_id, entity, folded, shown, given, grams, size)
    select 'default', 'ada', '', '', id, 'person ' || n, 'Person ' || n, true, '', 0 from someone;
insert into keepwell.mention (tenant, user_id, agent_id, run_id, entity, message, fact_version, span_start, span_end,
        surface, folded, at)
    select 'default', 'ada', '', '', s.id, p.key, 0, 0, 3, 'Person', 'person', now()
    from someone s join spoken p on p.n = 1 + s.n % {messages};
create temp table line as
    select gen_random_uuid() as id, 1 + floor(random() * {entities})::int as a,
        1 + floor(random() * {entities})::int as b, 1 + floor(random() * {messages})::int as m
    from generate_series(1, {relations});
insert into keepwell.relation (tenant, user_id, agent_id, run_id, id, version, subject, predicate, object,
        recorded_at, given)
    select 'default', 'ada', '', '', l.id, 1, a.id, 'knows', b.id, now() - l.m * interval '1 minute', false
    from line l join someone a on a.n = l.a join someone b on b.n = l.b;
insert into keepwell.ground (tenant, user_id, agent_id, run_id, item, version, message, span_start, span_end,
        fact_version)
    select 'default', 'ada', '', '', l.id, 1, p.key, 0, 0, 0 from line l join spoken p on p.n = l.m;
"""


_RAW_WALK = """
with first as (
    (select r.id, r.object as far from keepwell.relation r where r.subject = %(one)s
        order by r.recorded_at desc limit 32)
    union all
    (select r.id, r.subject from keepwell.relation r where r.object = %(one)s order by r.recorded_at desc limit 32)
), second as (
    select x.id, x.far from (select distinct far from first) f cross join lateral (
        (select r.id, r.object as far from keepwell.relation r where r.subject = f.far
            order by r.recorded_at desc limit 8)
        union all
        (select r.id, r.subject from keepwell.relation r where r.object = f.far order by r.recorded_at desc limit 8)
    ) x
)
select l.far, g.message from (select * from first union all select * from second) l
join keepwell.ground g on g.item = l.id and g.version = 1 limit 200
"""
_RAW_READ = """
MATCH (a:Entity)-[r:RELATED {tenant: $tenant}]->() WITH a, r LIMIT $limit
RETURN collect(DISTINCT a {.*}) AS nodes, collect(r {.*}) AS edges
"""
_RAW_NODES = """
UNWIND $rows AS row MERGE (n:Entity {tenant: $tenant, generation: row.generation, id: row.id}) SET n += row
"""
_RAW_EDGES = """
UNWIND $rows AS row MATCH ()-[r:RELATED {tenant: $tenant, generation: row.generation, id: row.id}]->() SET r += row
"""
_RAW_HOPS = """
MATCH (p:KeepwellProjection {tenant: $tenant})
MATCH (a:Entity {tenant: $tenant, generation: p.generation, id: $id})
CALL (a) { MATCH (a)-[r:RELATED]-(b) RETURN b LIMIT 64 }
CALL (b) { MATCH (b)-[r:RELATED]-(c) RETURN r, c LIMIT 16 }
RETURN c.id AS id, c.name AS name, r.grounds AS grounds
"""


def graph(place: Ground, size: Size | None = None) -> None:
    """Measure the record's graph, and its projection where there is a Neo4j to be had."""
    size = size or Size()
    with Memory.open(place.dsn, embedder=None, worker="none") as memory:
        people = _fill(place, memory, size)
        read = memory._engine.record.read  # noqa: SLF001 - what is measured lies below the face
        with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
            admin.prepare_threshold = 0
            raw = _Raw("SQL", lambda one: admin.execute(_RAW_WALK, {"one": one}).fetchall())
            show(f"The graph: {size}", [_walks("two hops in the record, p95", read, memory, people, raw, 20)])
    jars = neo4j_jars.jars()
    if jars is None or neo4j_jars.java() is None:
        print(f"no Neo4j: {neo4j_jars.lacking() or 'run make neo4j'}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-", ignore_cleanup_errors=True) as home:
        server = Neo4jServer(jars, Path(home), quick=False, heap="2g", pagecache="512m")
        try:
            server.start()
            show(f"Its projection: {size}", _projected(place, server, people, size))
        finally:
            server.remove()


@dataclass(frozen=True)
class _Raw:
    """The bare statement for a walk, in which language."""

    language: str
    ask: Callable[[UUID], object]


def _fill(place: Ground, memory: Memory, size: Size) -> list[UUID]:
    chat = memory.scope(user_id="ada").thread("talk")
    for start in range(0, size.messages, 1000):
        chat.append(*(Message.user(f"person {number} came by") for number in range(start, start + 1000)))
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        counts = {"entities": size.entities, "relations": size.relations, "messages": size.messages}
        admin.execute(_FILL.format(**counts).encode())
        admin.execute("vacuum analyze")
        found = admin.execute("select id from keepwell.entity tablesample system (5) limit 2000").fetchall()
    return [row[0] for row in found]


def _walks(  # noqa: PLR0917 - what a row of the table is made of
    what: str, read: Callable[[SupportOf], object], memory: Memory, people: list[UUID], raw: _Raw, bound: int
) -> tuple[str, str, str]:
    """Ask for the texts behind one person and another, two hops away; gives the middle of three rounds."""
    scope, chosen = memory.scope(user_id="ada").scope, random.Random(1)
    found = []
    for _ in range(_ROUNDS + 1):
        asked = [chosen.choice(people) for _ in range(_QUESTIONS)]
        ours, bare = list[float](), list[float]()
        for one in asked:
            ours.append(timed(lambda: read(SupportOf(scope, entities=(one,)))))  # noqa: B023 - at once
            bare.append(timed(lambda: raw.ask(one)))  # noqa: B023 - as above
        found.append([quantile(times, share) * 1000 for times in (ours, bare) for share in (0.95, 0.5)])
    worst, median, bare_worst, bare_median = map(statistics.median, zip(*found[1:], strict=True))  # the first warms
    beside = f"bare {raw.language} {bare_worst:.1f} ms (median {bare_median:.1f} ms)"
    return what, f"{worst:.1f} ms (median {median:.1f} ms); {beside}", f"{bound} ms"


def _projected(place: Ground, server: Neo4jServer, people: list[UUID], size: Size) -> list[tuple[str, str, str]]:
    from keepwell.storage.neo4j.driver import open_bolt  # noqa: PLC0415 - an extra
    from keepwell.storage.neo4j.projected import ProjectedGraph  # noqa: PLC0415 - an extra

    with (
        Memory.open(place.dsn, embedder=None, worker="none", graph=server.uri, name="projected") as memory,
        closing(open_bolt(server.uri)) as bolt,
    ):
        tools = memory.graph
        rebuilt = timed(tools.sync)
        things = sum(tally.count for tally in tools.status().counts.values())
        rates = [(_changes(place, memory, size), _raw_changes(bolt, memory.tenant, size)) for _ in range(_ROUNDS + 1)]
        ours, bare = (statistics.median(several) for several in zip(*rates[1:], strict=True))  # the first warms
        checked = time.perf_counter()
        clean = tools.verify().clean
        checked = time.perf_counter() - checked
        record: Record = memory._engine.record  # noqa: SLF001 - as above
        walked = ProjectedGraph(bolt, memory.tenant, record, seconds=30.0)
        raw = _Raw("Cypher", lambda one: bolt.rows(_RAW_HOPS, {"tenant": memory.tenant, "id": str(one)}))
        return [
            _walks("two hops in Neo4j, p95", walked.support, memory, people, raw, 25),
            ("changes projected a second", f"{ours:,.0f} of {size.changed:,}; bare UNWIND {bare:,.0f}", "5,000"),
            ("built from nothing", f"{rebuilt:.0f} s for {things:,} things ({things / rebuilt:,.0f} a second)", "-"),
            ("compared, thing by thing", f"{checked:.0f} s; {'nothing differs' if clean else 'IT DIFFERS'}", "-"),
        ]


def _changes(place: Ground, memory: Memory, size: Size) -> float:
    """Rename some entities and put dates on some relations, and give how many of these are projected a second."""
    half = [size.changed // 2]
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        admin.execute("select set_config('keepwell.tenant', 'default', false)")
        admin.execute(
            "update keepwell.entity set name = name || '.' where id in (select id from keepwell.entity limit %s)", half
        )
        admin.execute(
            "update keepwell.relation set valid_to = coalesce(valid_to, now()) + interval '1 day'"
            " where id in (select id from keepwell.relation limit %s)",
            half,
        )
    start = time.perf_counter()
    done = memory.graph.sync()
    assert done.skipped is None, done.skipped
    return done.changes / (time.perf_counter() - start)


def _raw_changes(bolt: Bolt, tenant: str, size: Size) -> float:
    """Write as many nodes and relations, as they are, the way one would without looking; gives how many a second."""
    found = bolt.rows(_RAW_READ, {"tenant": tenant, "limit": size.changed // 2})[0]
    took = count = 0.0
    for statement, things in ((_RAW_NODES, found["nodes"]), (_RAW_EDGES, found["edges"])):
        for start in range(0, len(things), _BATCH):
            rows = things[start : start + _BATCH]
            took += timed(lambda: bolt.write(lambda tx: tx.run(statement, rows=rows, tenant=tenant).consume()))  # noqa: B023 - at once
            count += len(rows)
    return count / took


if __name__ == "__main__":
    with ground() as here:
        graph(here, Size().shared_by(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
