"""The plans of statements on facts: by indexes, whatever the planner knows of a tenant, and beside a large one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell.formation.settle import fingerprint
from keepwell.models import Fact
from keepwell.storage.base import OpenSpace
from keepwell.storage.facts import ListFacts, PutHistory
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing.conformance.base import ADA, ADAS, BOB
from keepwell.testing.conformance.facts_base import add, apply, formed_from, resting, said, update

from .statements import explain, explain_generic, scans

LARGE = 3_000
SMALL = 30
DIMENSION = 8
TABLES = ("fact", "source", "change", "rejection", "posting", "vector", "due", "message")
VECTOR = (np.eye(1, DIMENSION, dtype=np.float32)[0],)
WRITING = ("rejected", "standing", "hold_messages", "hold_versions", "end_facts", "dependents", "reopen")
READING = ("fetch_facts", "facts_by_version", "raw_sources", "quoted", "message_keys", "unembedded_facts", "history_of")
PAGES = ("list_facts", "history_newest")
FORGETTING = (
    "facts_resting",
    "form_again",
    "delete_changes",
    "delete_facts",
    "lose_sources",
    "held_elsewhere",
    "move_facts",
)
LOADING = ("weigh", "load_since", "load_facts")


@pytest.fixture(scope="module")
def crowd(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a database with facts of a large tenant, of a small one, and of one that was never analysed."""
    name = f"facts_{uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        dsn = make_conninfo(server.dsn, dbname=name)
        with closing(PostgresStore(dsn, options=PoolOptions(2))) as store:
            for tenant, size in (("large", LARGE), ("small", SMALL)):
                _fill(store.record(tenant), size)
            with psycopg.connect(make_conninfo(server.admin_dsn, dbname=name), autocommit=True) as owner:
                owner.execute("vacuum analyze")
            _fill(store.record("fresh"), SMALL * 10)
        yield dsn
        admin.execute(f"drop database {name} with (force)")


def _fill(record: PostgresRecord, size: int) -> None:
    """Give ada facts that rest on messages, with vectors for half of them; some were changed, some formed from others."""
    space = record.write(OpenSpace("model", DIMENSION))
    keys = said(record, *(f"message {n}" for n in range(size // 5)))
    made: list[Fact] = []
    for start in range(0, size, 300):
        numbers = range(start, min(start + 300, size))
        edits = [
            add(
                f"fact number {n} of w{n % 50}",
                key=f"key {n}",
                sources=resting(keys[n % len(keys)]),
                vectors=VECTOR[: n % 2],
            )
            for n in numbers
        ]
        made += [change.after for change in apply(record, *edits, space=space.key) if change.after]
    apply(record, *(add(f"from fact {n}", sources=formed_from(made[n])) for n in range(size // 10)), owner=BOB)
    apply(record, *(update(made[n], f"fact anew {n}", reject=(f"hash {n}".encode(),)) for n in range(size // 10)))


@contextmanager
def transaction(dsn: str, tenant: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a transaction that carries a tenant's setting, and is undone."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('keepwell.tenant', %s, true)", [tenant])
        yield connection
        connection.rollback()


def values(connection: psycopg.Connection[Any], tenant: str) -> dict[str, Any]:
    """Give parameters that name one or two of a tenant's facts."""

    def one(query: str) -> Any:
        row = connection.execute(query, {"tenant": tenant}).fetchone()
        assert row is not None
        return row[0]

    key = one("select max(key) from keepwell.fact where tenant = %(tenant)s and user_id = 'ada' and version = 1")
    ident = one(f"select id from keepwell.fact where tenant = %(tenant)s and key = {key}")
    source = one(
        "select source_fact from keepwell.source where tenant = %(tenant)s and source_fact is not null limit 1"
    )
    message = one("select max(key) from keepwell.message where tenant = %(tenant)s")
    now = one("select pg_current_snapshot()::text")
    return {
        "tenant": tenant, **ADA._asdict(), "to_user_id": "zed", "to_agent_id": "", "to_run_id": "",
        "keys": [key], "facts": [ident, source], "ids": [ident], "versions": [1, 1], "messages": [message],
        "fingerprints": [fingerprint("fact number 7 of w7")], "hashes": [b"hash 1"], "ends": [dt.datetime.now(dt.UTC)],
        "own": [], "fact": ident, "batch": None, "cause": None, "threads": [], "actor": None, "since": None,
        "until": None, "space": one("select key from keepwell.space where tenant = %(tenant)s"),
        "newer": now.split(":")[1], "running": ["3"], "at": dt.datetime(9999, 1, 1, tzinfo=dt.UTC), "number": 0,
        "limit": 20, "as_of": None, "valid_at": None, "fact_key": None, "kind": None, "subject": None, "where": None,
        "key": 0,
    }  # fmt: skip


def given(name: str, every: dict[str, Any]) -> dict[str, Any]:
    """Give the values as one statement names them."""
    special: dict[str, dict[str, Any]] = {
        "standing": {"keys": ["key 3"]},
        "quoted": {"keys": every["messages"]},
        "message_keys": {"threads": [uuid4()], "ids": ["message 1"]},
        "list_facts": {"versions": False},
        "history_of": {"ids": None},
    }
    return {**every, **special.get(name, {})}


def touched(plan: dict[str, Any]) -> dict[str, int]:
    """Give how many rows of each table a run passed over."""
    found: dict[str, int] = {}
    for node, _ in scans(plan):
        rows = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        table = node["Relation Name"]
        found[table] = found.get(table, 0) + int(rows * node["Actual Loops"])
    return found


@pytest.mark.parametrize("tenant", ["large", "fresh"])
@pytest.mark.parametrize("name", [*WRITING, *READING, *FORGETTING, *LOADING])
def test_what_is_named_is_reached_by_name(crowd: str, name: str, tenant: str) -> None:
    """A statement that names a fact or two passes over few rows, not over thousands; so for a tenant just made."""
    with transaction(crowd, tenant) as connection:
        plan = explain(connection, name, given(name, values(connection, tenant)), ADAS, ", analyze")
    assert sum(rows for table, rows in touched(plan).items() if table in TABLES) <= 200, touched(plan)


@pytest.mark.parametrize("name", [*WRITING, *READING, *PAGES, *LOADING])
def test_no_large_table_is_read_from_end_to_end(crowd: str, name: str) -> None:
    """Neither for these values nor in the plan that a prepared statement settles on."""
    with transaction(crowd, "large") as connection:
        for plan in (
            explain(connection, name, given(name, values(connection, "large")), ADAS),
            explain_generic(connection, name, ADAS),
        ):
            whole = [node["Relation Name"] for node, _ in scans(plan) if node["Node Type"] == "Seq Scan"]
            assert not set(whole) & {"fact", "source", "change"}, whole


@pytest.mark.parametrize("name", PAGES)
def test_a_page_costs_what_it_gives(crowd: str, name: str) -> None:
    """The newest 20 of thousands are read off an index that has their order."""
    with transaction(crowd, "large") as connection:
        plan = explain(connection, name, given(name, values(connection, "large")), ADAS, ", analyze")
    assert sum(touched(plan).values()) <= 400, touched(plan)


@pytest.mark.parametrize("name", [*WRITING, *READING, *PAGES, *FORGETTING, *LOADING])
def test_a_small_tenant_does_not_pay_for_a_large_one(crowd: str, name: str) -> None:
    """Beside a tenant with a hundred times as much, no statement passes over more rows than the small one has."""
    with transaction(crowd, "large") as connection:
        connection.execute("select set_config('keepwell.tenant', 'small', true)")
        every = values(connection, "small")
        connection.execute("select set_config('keepwell.tenant', 'large', true)")
        plan = explain(connection, name, given(name, every), ADAS, ", analyze")
    for table, rows in touched(plan).items():
        assert rows <= 3 * SMALL, (table, rows)


def test_nothing_new_costs_nothing(crowd: str) -> None:
    """To ask what is new does not touch the facts at all: what was written is told by marks, of which there is none."""
    with transaction(crowd, "large") as connection:
        plan = explain(connection, "load_since", values(connection, "large"), ADAS, ", analyze")
    rows = touched(plan)
    assert "fact" not in rows
    assert rows["removal"] == 0


def test_a_large_history_is_written_in_few_statements(crowd: str) -> None:
    """A thousand facts come in by a handful of statements, and are posted."""
    with closing(PostgresStore(crowd, options=PoolOptions(1))) as store:
        record = store.record("imported")
        now = dt.datetime.now(dt.UTC)
        facts = tuple(Fact(uuid4(), 1, f"import {n}", ADA, now) for n in range(1_000))
        counts = record.write(
            PutHistory(ADA, facts, tuple(fact.text for fact in facts), ("",) * 1000, ((),) * 1000, ())
        )
        assert counts["fact_versions"] == 1_000
        assert len(record.read(ListFacts(ADAS, limit=2_000))) == 1_000
