"""The plans of the hot queries: they go by indexes, and never through rows of somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell import Message
from keepwell.models import Owner, Scope
from keepwell.storage.base import AppendMessages, OpenSpace, PostTerms, PutVectors, VectorRow
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.storage.postgres.runner import FloatArray

from .statements import explain, explain_generic, nodes, scans

LARGE = 20_000
SMALL = 40
DIMENSION = 8
ADA, BOB = Owner("ada", "", ""), Owner("bob", "", "")
SCOPE = Scope("ada")
HOT = ("read_newest", "read_oldest", "load_since", "load_whole", "fetch", "weigh", "term_frequencies", "candidates",
       "candidates_all", "find_thread", "known_ids", "list_by_updated_descending")  # fmt: skip


@pytest.fixture(scope="module")
def crowd(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a database with one large tenant, and a small one whose names are the same."""
    name = "crowd_" + template[:1] + str(np.random.default_rng().integers(2**40))
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        dsn = make_conninfo(server.dsn, dbname=name)
        with closing(PostgresStore(dsn, options=PoolOptions(2))) as store:
            for tenant, size in (("large", LARGE), ("small", SMALL)):
                _fill(store.record(tenant), size)
        with psycopg.connect(make_conninfo(server.admin_dsn, dbname=name), autocommit=True) as owner:
            owner.execute("vacuum analyze")
        yield dsn
        admin.execute(f"drop database {name} with (force)")


def _fill(record: PostgresRecord, size: int) -> None:
    """One thread of ada's with most, and some of bob's."""
    space = record.write(OpenSpace("model", DIMENSION))
    for owner, thread, count in ((ADA, "t", size), (BOB, "t", size // 10)):
        messages = tuple(Message.user(f"nut {n}") for n in range(count))
        terms = tuple(f"nut w{n % 1000} x{n}" for n in range(count))
        done = record.write(AppendMessages(owner, thread, messages, terms))
        one = np.eye(1, DIMENSION, dtype=np.float32)[0]
        record.write(PutVectors(space.key, tuple(VectorRow(key, 0, one) for key in done.written)))
    record.write(PostTerms(limit=10))


@contextmanager
def transaction(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a transaction that carries another tenant's setting."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('keepwell.tenant', 'large', true)")
        yield connection
        connection.rollback()


def values(connection: psycopg.Connection[Any], tenant: str) -> dict[str, Any]:
    """Give parameters for the hot queries, of ada's in a tenant."""
    connection.execute("select set_config('keepwell.tenant', %s, true)", [tenant])
    (key,) = connection.execute(
        "select key from keepwell.thread where user_id = 'ada' and tenant = %s", [tenant]
    ).fetchone() or (None,)
    keys = [k for (k,) in connection.execute("select key from keepwell.message where thread = %s limit 10", [key])]
    (newer,) = connection.execute("select pg_current_snapshot()::text").fetchone() or ("",)
    (space,) = connection.execute("select key from keepwell.space where tenant = %s", [tenant]).fetchone() or (0,)
    connection.execute("select set_config('keepwell.tenant', 'large', true)")
    return {
        "tenant": tenant, **ADA._asdict(), "thread": "t", "key": None, "at": None, "where": "{}", "keys": keys,
        "ids": ["a"], "after": 0, "before": 2**62, "since": None, "until": None, "limit": 20, "width": 104, "newest": 20,
        "neighbours": 1, "space": space, "newer": newer.split(":")[1], "running": ["3"], "within": None, "nearest": keys,
        "terms": ["w7", "x30"], "weights": [1.0, 2.0], "vector": FloatArray(np.eye(1, DIMENSION, dtype=np.float32)[0]),
    } | ({"thread_key": key})  # fmt: skip


def given(name: str, every: dict[str, Any]) -> dict[str, Any]:
    """Give the values as one statement names them."""
    return {**every, "key": every["thread_key"]} if name == "known_ids" else every


def kinds(plan: dict[str, Any], table: str) -> set[tuple[str, str | None]]:
    """Give how a table is read in a plan: the kind of scan and its index."""
    found = set()
    for node, _ in scans(plan):
        if node["Relation Name"] == table:
            below = [child.get("Index Name") for child, _ in nodes(node) if "Index Name" in child]
            found.add((node["Node Type"], below[0] if below else None))
    return found


def plans(dsn: str, name: str, tenant: str = "large") -> list[dict[str, Any]]:
    """Give the plan for these values, and the one that a prepared statement settles on."""
    with transaction(dsn) as connection:
        every = values(connection, tenant)
        return [explain(connection, name, given(name, every), SCOPE), explain_generic(connection, name, SCOPE)]


@pytest.mark.parametrize("name", ["read_newest", "read_oldest"])
def test_a_page_of_a_long_thread_is_read_by_its_primary_key(crowd: str, name: str) -> None:
    """The last 20 of 20,000 messages are reached through the index that has their order, and by no other."""
    for plan in plans(crowd, name):
        assert {index for _, index in kinds(plan, "message")} == {"message_pkey"}


@pytest.mark.parametrize("tenant", ["large", "small"])
@pytest.mark.parametrize("name", ["read_newest", "read_oldest"])
def test_a_page_costs_what_it_gives(crowd: str, name: str, tenant: str) -> None:
    """To give 20 messages of 20,000, no more than the stretch of 104 numbers is read, whatever is known of the tenant."""
    with transaction(crowd) as connection:
        plan = explain(connection, name, values(connection, tenant), SCOPE, ", analyze")
    (read,) = [node for node, _ in scans(plan) if node["Relation Name"] == "message"]
    assert read["Actual Rows"] + read.get("Rows Removed by Filter", 0) <= 104


def test_what_is_new_is_found_by_who_wrote_it(crowd: str) -> None:
    """What changed since a snapshot is looked up in the indexes on the owner and the writing transaction."""
    for plan in plans(crowd, "load_since"):
        for table in ("message", "vector"):
            assert {index for _, index in kinds(plan, table)} == {f"{table}_written"}, table


def test_nothing_new_costs_nothing(crowd: str) -> None:
    """Where nothing was written since, no message and no vector of 20,000 is read."""
    with transaction(crowd) as connection:
        plan = explain(connection, "load_since", values(connection, "large"), SCOPE, ", analyze")
    for node, _ in scans(plan):
        if node["Relation Name"] == "space":
            continue  # which space is in use is one row
        assert node["Actual Rows"] * node["Actual Loops"] == 0
        assert node.get("Rows Removed by Filter", 0) == 0


@pytest.mark.parametrize("name", ["term_frequencies", "candidates"])
def test_postings_are_looked_up_in_the_index_alone(crowd: str, name: str) -> None:
    """A keyword's messages come from the covering index; the table is not visited."""
    for plan in plans(crowd, name):
        assert {index for _, index in kinds(plan, "posting")} == {"posting_pkey"}
    with transaction(crowd) as connection:
        plan = explain(connection, name, values(connection, "large"), SCOPE, ", analyze")
    assert kinds(plan, "posting") == {("Index Only Scan", "posting_pkey")}
    (posting,) = [node for node, _ in scans(plan) if node["Relation Name"] == "posting"]
    assert posting["Actual Rows"] * posting["Actual Loops"] == LARGE // 1000 + 1


@pytest.mark.parametrize("name", HOT)
def test_a_small_tenant_does_not_pay_for_a_large_one(crowd: str, name: str) -> None:
    """Beside a tenant of 22,000 messages no hot query of one with 44 passes over more rows than it has itself."""
    with transaction(crowd) as connection:
        every = given(name, values(connection, "small"))
        plan = explain(connection, name, every, SCOPE, ", analyze")
        for node, _ in scans(plan):
            touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            touched += node.get("Rows Removed by Index Recheck", 0)
            assert touched <= SMALL + SMALL // 10, node
            large = node["Relation Name"] in ("message", "vector", "posting")
            assert not (large and node["Node Type"] == "Seq Scan"), node


@pytest.mark.parametrize("name", HOT)
def test_prepared_statements_keep_to_the_indexes(crowd: str, name: str) -> None:
    """The plan that a prepared statement settles on reads no large table from end to end."""
    with transaction(crowd) as connection:
        plan = explain_generic(connection, name, SCOPE)
    for node, _ in scans(plan):
        assert not (node["Node Type"] == "Seq Scan" and node["Relation Name"] in ("message", "vector", "posting")), node


@pytest.mark.parametrize("name", ["delete_messages", "move_thread", "keep_version"])
def test_what_hangs_on_messages_is_reached_by_key(crowd: str, name: str) -> None:
    """Removing or moving the messages of one thread passes over their own postings and vectors, not the tenant's.

    For a tenant that came after the last ANALYZE as well: the planner takes its rows for one.
    """
    fresh = f"fresh {name}"
    with closing(PostgresStore(crowd, options=PoolOptions(1))) as store:
        _fill(store.record(fresh), 2 * SMALL)
    for tenant in ("large", fresh):
        with transaction(crowd) as connection:
            connection.execute("select set_config('keepwell.tenant', %s, true)", [tenant])
            rows = connection.execute(
                "select m.thread, min(m.key), count(*) from keepwell.message m"
                " where tenant = %s and user_id = 'bob' group by 1", [tenant],
            ).fetchone()  # fmt: skip
            assert rows is not None
            thread, message, count = rows
            given = {
                "tenant": tenant, **BOB._asdict(), "threads": [thread], "ids": None, "keys": None, "message": message, "key": thread,
                "to_user_id": "zed", "to_agent_id": "", "to_run_id": "",
            }  # fmt: skip
            plan = explain(connection, name, given, Scope("bob"), ", analyze")
            for node, _ in scans(plan):
                if node["Relation Name"] == "posting":
                    touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
                    assert touched * node["Actual Loops"] <= 3 * count, node
