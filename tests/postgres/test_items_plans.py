"""The plans of the statements on items: a namespace costs what it holds, however many items lie beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell.models import Owner
from keepwell.models.items import SHARED, path_of, prefix_of
from keepwell.storage.base import OpenSpace
from keepwell.storage.items import ItemDraft, PutItems
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.items import _mark
from keepwell.storage.postgres.runner import FloatArray

from .item_statements import item_parameters
from .statements import explain, explain_generic, scans

OWNERS, EACH, DIMENSION = 100, 50, 8
HOT = ("read_item", "read_items", "newest_items", "newest_items_of_all", "best_items", "best_items_of_all", "namespaces",
       "namespaces_of_all", "put_items")  # fmt: skip
ONE = np.eye(1, DIMENSION, dtype=np.float32)[0]


@pytest.fixture(scope="module")
def crowd(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a database with 5,000 items of a hundred owners, in a namespace each."""
    name = f"items_{uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        dsn = make_conninfo(server.dsn, dbname=name)
        with closing(PostgresStore(dsn, options=PoolOptions(2))) as store:
            record = store.record("t")
            space = record.write(OpenSpace("model", DIMENSION)).key
            for owner in ("ada", *(f"u{n}" for n in range(OWNERS - 1))):
                record.write(PutItems(tuple(_draft(owner, n) for n in range(EACH)), "tests", uuid4(), space))
        with psycopg.connect(make_conninfo(server.admin_dsn, dbname=name), autocommit=True) as admin_of_it:
            admin_of_it.execute("vacuum analyze")
        yield dsn
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def fresh(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a database with 4,000 items of Ada's with long names, of which the planner knows nothing."""
    name = f"fresh_{uuid4().hex}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        with psycopg.connect(make_conninfo(server.admin_dsn, dbname=name), autocommit=True) as admin_of_it:
            admin_of_it.execute("alter table keepwell.fact set (autovacuum_enabled = false)")
        dsn = make_conninfo(server.dsn, dbname=name)
        with closing(PostgresStore(dsn, options=PoolOptions(2))) as store:
            record = store.record("t")
            space = record.write(OpenSpace("model", DIMENSION)).key
            for first in range(0, 4_000, 500):
                drafts = tuple(_draft("ada", n, "long" * 50) for n in range(first, first + 500))
                record.write(PutItems(drafts, "tests", uuid4(), space))
        yield dsn
        admin.execute(f"drop database {name} with (force)")


def _draft(owner: str, n: int, name: str = "") -> ItemDraft:
    text = f"nut w{n % 7} {owner}"
    path = path_of(SHARED, ("notes", owner), f"k{n}{name}")
    return ItemDraft(Owner(owner, "", ""), path, {"text": text}, text, text, "", (ONE,))


def _given(connection: psycopg.Connection[Any], name: str) -> dict[str, Any]:
    connection.execute("select set_config('keepwell.tenant', 't', true)")
    row = connection.execute("select key from keepwell.space").fetchone()
    assert row is not None
    given = item_parameters(1, row[0], FloatArray(ONE), uuid4())[name]
    path = path_of(SHARED, ("notes", "ada"), "k3")
    whole = {"least": prefix_of(SHARED, ("notes", "ada")), "most": prefix_of(SHARED, ("notes", "ada"))[:-1] + "0"}
    places = {"path": path, "paths": [path], "mark": _mark(path), "marks": [_mark(path)]}
    given |= {key: value for key, value in {**whole, **places}.items() if key in given}
    return {"tenant": "t", "user_id": "ada", "agent_id": "", "run_id": "", **given}


@pytest.mark.parametrize("name", HOT)
def test_a_namespace_costs_what_it_holds(crowd: str, name: str) -> None:
    """Of 5,000 items, vectors and postings a statement passes over about as many as lie in its namespace."""
    with psycopg.connect(crowd) as connection:
        plan = explain(connection, name, _given(connection, name), options=", analyze")
        connection.rollback()
    for node, _ in scans(plan):
        if node["Relation Name"] in {"fact", "vector", "posting"}:
            touched = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            assert touched <= 2 * EACH, node


@pytest.mark.parametrize("name", ["read_item", "read_items", "put_items"])
def test_an_item_costs_what_it_is_before_the_first_analyze(fresh: str, name: str) -> None:
    """While nothing is known of the tables, an item among its owner's four thousand is found alone."""
    with psycopg.connect(fresh) as connection:
        plan = explain(connection, name, _given(connection, name), options=", analyze")
        connection.rollback()
    for node, _ in scans(plan):
        if node["Relation Name"] == "fact" and node["Node Type"] != "ModifyTable":
            touched = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            assert touched <= 20, node


@pytest.mark.parametrize("name", HOT)
def test_prepared_statements_keep_to_the_indexes(crowd: str, name: str) -> None:
    """The plan that a prepared statement settles on reads no large table from end to end."""
    with psycopg.connect(crowd) as connection:
        plan = explain_generic(connection, name)
    for node, _ in scans(plan):
        assert not (node["Node Type"] == "Seq Scan" and node["Relation Name"] in {"fact", "vector", "posting"}), node
