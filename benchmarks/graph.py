"""How fast a graph of 100,000 entities and 500,000 relations is walked and projected: two hops, changes, all of it.

``python -m benchmarks graph`` starts a Neo4j of its own, where its jars were fetched (``make neo4j``).
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
from scripts import neo4j_jars

from benchmarks.ground import Ground, quantile, show, timed
from keepwell import Memory, Message
from keepwell.storage.base import Record
from keepwell.storage.graph import SupportOf
from keepwell.testing.neo4j_server import Neo4jServer

ENTITIES, RELATIONS, MESSAGES = 100_000, 500_000, 10_000
_CHANGED = 40_000
_QUESTIONS = 400

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


def graph(place: Ground) -> None:
    """Measure the record's graph, and its projection where there is a Neo4j to be had."""
    title = f"{ENTITIES:,} entities, {RELATIONS:,} relations of one person"
    with Memory.open(place.dsn, embedder=None, worker="none") as memory:
        people = _fill(place, memory)
        read = memory._engine.record.read  # noqa: SLF001 - what is measured lies below the face
        show(f"The graph: {title}", [_walks("two hops in the record, p95", read, memory, people, 20)])
    jars = neo4j_jars.jars()
    if jars is None or neo4j_jars.java() is None:
        print(f"no Neo4j: {neo4j_jars.lacking() or 'run make neo4j'}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-", ignore_cleanup_errors=True) as home:
        server = Neo4jServer(jars, Path(home), quick=False, heap="2g", pagecache="512m")
        try:
            server.start()
            show(f"Its projection: {title}", _projected(place, server, people))
        finally:
            server.remove()


def _fill(place: Ground, memory: Memory) -> list[UUID]:
    chat = memory.scope(user_id="ada").thread("talk")
    for start in range(0, MESSAGES, 2000):
        chat.append(*(Message.user(f"person {number} came by") for number in range(start, start + 2000)))
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        admin.execute(_FILL.format(entities=ENTITIES, relations=RELATIONS, messages=MESSAGES).encode())
        admin.execute("vacuum analyze")
        found = admin.execute("select id from keepwell.entity tablesample system (5) limit 2000").fetchall()
    return [row[0] for row in found]


def _walks(
    what: str, read: Callable[[SupportOf], object], memory: Memory, people: list[UUID], bound: int
) -> tuple[str, str, str]:
    """Ask for the texts behind one person and another, two hops away."""
    scope, chosen = memory.scope(user_id="ada").scope, random.Random(1)
    times = [timed(lambda: read(SupportOf(scope, entities=(chosen.choice(people),)))) for _ in range(_QUESTIONS)]
    late = times[_QUESTIONS // 4 :]  # the first warm caches and compilers
    median, worst = quantile(late, 0.5) * 1000, quantile(late, 0.95) * 1000
    return what, f"{worst:.1f} ms (median {median:.1f} ms)", f"{bound} ms"


def _projected(place: Ground, server: Neo4jServer, people: list[UUID]) -> list[tuple[str, str, str]]:
    from keepwell.storage.neo4j.driver import open_bolt  # noqa: PLC0415 - an extra
    from keepwell.storage.neo4j.projected import ProjectedGraph  # noqa: PLC0415 - an extra

    with Memory.open(place.dsn, embedder=None, worker="none", graph=server.uri, name="projected") as memory:
        tools = memory.graph
        rebuilt = timed(tools.sync)
        things = sum(tally.count for tally in tools.status().counts.values())
        rates = [_changes(place, memory) for _ in range(3)]
        checked = time.perf_counter()
        clean = tools.verify().clean
        checked = time.perf_counter() - checked
        record: Record = memory._engine.record  # noqa: SLF001 - as above
        walked = ProjectedGraph(open_bolt(server.uri), memory.tenant, record, seconds=30.0)
        walks = _walks("two hops in Neo4j, p95", walked.support, memory, people, 25)
        walked.bolt.close()
        return [
            walks,
            ("changes projected a second", f"{max(rates):,.0f} (of three times {_CHANGED:,})", "5,000"),
            ("built from nothing", f"{rebuilt:.0f} s for {things:,} things ({things / rebuilt:,.0f} a second)", "-"),
            ("compared, thing by thing", f"{checked:.0f} s; {'nothing differs' if clean else 'IT DIFFERS'}", "-"),
        ]


def _changes(place: Ground, memory: Memory) -> float:
    """Rename some entities and put dates on some relations, and give how many of these are projected a second."""
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        admin.execute("select set_config('keepwell.tenant', 'default', false)")
        admin.execute(
            "update keepwell.entity set name = name || '.' where id in (select id from keepwell.entity limit %s)",
            [_CHANGED // 2],
        )
        admin.execute(
            "update keepwell.relation set valid_to = coalesce(valid_to, now()) + interval '1 day'"
            " where id in (select id from keepwell.relation limit %s)",
            [_CHANGED // 2],
        )
    start = time.perf_counter()
    done = memory.graph.sync()
    assert done.skipped is None, done.skipped
    return done.changes / (time.perf_counter() - start)
