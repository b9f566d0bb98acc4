"""The plans of the queue's queries: what is due is found by index, whatever else waits."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell import Message
from keepwell.models import Owner
from keepwell.storage.base import AppendMessages, Forming
from keepwell.storage.facts import ClaimThread, DueItem, PutDue, SetPolicy
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.record import PostgresRecord

from .statements import explain, explain_generic, scans

THREADS = 2000
"""Of the large tenant: one in ten is due, the others are in their pause."""
LONG = 3000
SMALL = 20
MINUTE = dt.timedelta(minutes=1)
CLAIMING = ("claimable", "claimable_thread", "find_forming", "try_owner", "claim", "clear_due", "read_fresh",
            "read_again", "read_leading", "hold_claim", "note_formed", "pass_watermark", "take_due",
            "finish_due", "put_off_due", "list_parked", "find_owners", "expired_messages",
            "note_oldest", "hold_threads", "spent_by")  # fmt: skip


@pytest.fixture(scope="module")
def queue(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a database in which a tenant with many threads stands beside one with few."""
    name = f"queue_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        dsn = make_conninfo(server.dsn, dbname=name)
        with closing(PostgresStore(dsn, options=PoolOptions(1))) as store:
            _fill(store.record("large"), THREADS, LONG)
            _fill(store.record("small"), SMALL, 2)
        with psycopg.connect(make_conninfo(server.admin_dsn, dbname=name), autocommit=True) as owner:
            owner.execute("vacuum analyze")
        yield dsn
        admin.execute(f"drop database {name} with (force)")


def _fill(record: PostgresRecord, threads: int, length: int) -> None:
    """A long thread of ada's, and short ones of others; some owners are leased, and as many items are due."""
    said = tuple(Message.user(f"nut {number}") for number in range(length))
    record.write(AppendMessages(Owner("ada", "", ""), "t", said, ("nut",) * length, forming=Forming(0.0)))
    for number in range(threads):
        pause = 0.0 if number % 10 == 0 else 3600.0
        owner = Owner(f"u{number}", "", "")
        record.write(AppendMessages(owner, "t", (Message.user("nut"),), ("nut",), forming=Forming(pause)))
        record.write(SetPolicy(owner, {}))
        record.write(PutDue((DueItem("distil", owner),), dt.datetime.now(dt.UTC) + dt.timedelta(seconds=pause)))
    for _ in range(threads // 20):
        record.write(ClaimThread(MINUTE))


def values(connection: psycopg.Connection[Any], tenant: str, name: str) -> dict[str, Any]:
    """Give parameters for a statement of ada's in a tenant."""
    connection.execute("select set_config('keepwell.tenant', %s, true)", [tenant])
    found = connection.execute(
        "select key from keepwell.thread where user_id = 'ada' and tenant = %s", [tenant]
    ).fetchone()
    assert found is not None
    item = {"kinds": ["distil"], "users": ["u7"], "agents": [""], "runs": [""], "items": [""]}
    place = {"tenant": tenant, "user_id": "ada", "agent_id": "", "run_id": "", "key": found[0], "limit": 20}
    aged = {"threads": [found[0]], "ages": [1.0], "days": None, "error": None}
    claimed = {"lease": MINUTE, "early": False, "at": None, "formed_to": 0, "width": 104, "before": 10, "upto": 20,
               "since": dt.datetime.now(dt.UTC), "again": [1]}  # fmt: skip
    special: dict[str, dict[str, Any]] = {
        "claimable": {"key": None},
        "find_owners": {"user_id": "u1"},
        "put_off_due": {"again": MINUTE},
        "hold_claim": {"lease": 1},
        "take_due": {"kinds": ["distil"]},
    }
    return {**place, **claimed, **item, **aged, **special.get(name, {})}


def plans(dsn: str, name: str, tenant: str = "large") -> list[dict[str, Any]]:
    """Give the plan of a statement for these values as it was carried out, and the one that a prepared one has."""
    with psycopg.connect(dsn) as connection:
        given = values(connection, tenant, name)
        found = [explain(connection, name, given, options=", analyze"), explain_generic(connection, name)]
        connection.rollback()
    return found


def indexes(plan: dict[str, Any], table: str) -> set[str | None]:
    """Give the indexes by which a table is read, ``tid`` by place, None from end to end."""
    found: set[str | None] = set()
    for node, _ in scans(plan):
        if node["Relation Name"] == table:
            bitmaps = [child for child in node.get("Plans", []) if child["Node Type"] == "Bitmap Index Scan"]
            tid = {"tid"} if node["Node Type"] == "Tid Scan" else {None}
            found |= {step["Index Name"] for step in (node, *bitmaps) if "Index Name" in step} or tid
    return found


@pytest.mark.parametrize("name", ["claimable", "find_forming"])
def test_what_is_due_is_found_by_its_time(queue: str, name: str) -> None:
    """Due threads come from the index on their time; those in their pause are not looked at."""
    for plan in plans(queue, name):
        assert indexes(plan, "thread") == {"thread_due"}
    plan, _ = plans(queue, name)
    (read,) = [node for node, _ in scans(plan) if node["Relation Name"] == "thread"]
    assert read["Actual Rows"] + read.get("Rows Removed by Filter", 0) <= THREADS // 10 + 1


def test_due_items_are_found_by_their_time(queue: str) -> None:
    """Due work comes from the index on its kind and time; what is due later is not looked at."""
    for plan in plans(queue, "take_due"):
        assert "due_at" in indexes(plan, "due")
        assert None not in indexes(plan, "due")
    plan, _ = plans(queue, "take_due")
    for node, _ in scans(plan):
        assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= THREADS // 10


@pytest.mark.parametrize("name", CLAIMING)
@pytest.mark.parametrize("tenant", ["large", "small"])
def test_a_step_reads_no_large_table_from_end_to_end(queue: str, name: str, tenant: str) -> None:
    """Neither these values nor a prepared statement make a claim, a read or an apply pass over a whole table."""
    for plan in plans(queue, name, tenant):
        for node, _ in scans(plan):
            assert node["Node Type"] != "Seq Scan" or node["Relation Name"] not in ("thread", "message", "due"), node


@pytest.mark.parametrize("name", CLAIMING)
def test_a_small_tenant_does_not_pay_for_a_large_one(queue: str, name: str) -> None:
    """Beside a tenant of thousands of threads no step of one with 21 passes over more rows than it has itself."""
    plan, _ = plans(queue, name, "small")
    for node, _ in scans(plan):
        touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        assert touched <= SMALL + 2, node


def test_a_store_without_retention_is_not_searched(queue: str) -> None:
    """Where neither the store nor an owner or a thread has a retention, looking for what is over reads no row."""
    plan, _ = plans(queue, "expired_threads")
    for node, _ in scans(plan):
        assert node["Actual Rows"] * node["Actual Loops"] == 0
        assert node.get("Rows Removed by Filter", 0) == 0


@pytest.mark.parametrize("name", ["read_fresh", "claim", "pass_watermark", "note_formed"])
def test_a_long_thread_is_not_read_whole(queue: str, name: str) -> None:
    """Of 3,000 messages that wait, a part looks at no more than it takes; one is enough to know that more wait."""
    plan, _ = plans(queue, name)
    for node, _ in scans(plan):
        if node["Relation Name"] == "message":
            touched = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            assert touched * node["Actual Loops"] <= 104, node
