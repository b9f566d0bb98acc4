"""The plans of the graph's hot queries: they go by what is named, whoever else has however much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from keepwell.models import Scope
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.queries import statement

from .statements import NAMES, explain, explain_generic, scans

SIZE = 4000
ADA = Scope("ada")
HOT = ("support", "names_exactly", "edges", "texts_of", "entities_by_id", "standing_entities", "standing_relations",
       "graph_resting", "graph_left", "changes_of_gone", "read_mentions", "known_mentions", "list_entities",
       "relations_on_facts", "facts_grounding", "mentions_at", "known_relations", "own_entities")  # fmt: skip
LARGE = {"entity", "name", "name_gram", "mention", "relation", "ground", "graph_change", "fact", "message"}


@pytest.fixture(scope="module")
def crowd(server: EmbeddedServer, template: str) -> Iterator[str]:
    """Give the DSN of a database with two tenants' graphs, one of them analysed, one that came after."""
    name = f"graph_{template[-4:]}_{id(server)}"
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
        with psycopg.connect(make_conninfo(server.admin_dsn, dbname=name), autocommit=True) as owner:
            _fill(owner, "large")
            owner.execute("vacuum analyze")
            _fill(owner, "fresh")
        yield make_conninfo(server.dsn, dbname=name)
        admin.execute(f"drop database {name} with (force)")


def _fill(owner: psycopg.Connection[Any], tenant: str) -> None:
    """Give a tenant entities in a row, each related to the next, with a mention, a ground and a change for each."""
    own = "tenant, user_id, agent_id, run_id"
    given = {"t": tenant, "n": SIZE}
    owner.execute(
        f"insert into keepwell.entity ({own}, id, version, name, folded, type, metadata, last_seen)"
        " select %(t)s, 'ada', '', '', gen_random_uuid(), 1, 'n' || i, 'n' || i, 'thing', '{}', now()"
        " from generate_series(1, %(n)s) i",
        given,
    )
    owner.execute(
        f"insert into keepwell.name ({own}, entity, folded, shown, given, grams, size)"
        " select tenant, user_id, '', '', id, folded, name, false, '', 0 from keepwell.entity where tenant = %(t)s",
        given,
    )
    owner.execute(
        f"insert into keepwell.relation ({own}, id, version, subject, predicate, object, recorded_at, given)"
        " select tenant, user_id, '', '', gen_random_uuid(), 1, id, 'is', coalesce(lead(id) over (order by id), id),"
        " now(), true from keepwell.entity where tenant = %(t)s",
        given,
    )
    owner.execute(
        f"insert into keepwell.mention ({own}, entity, message, fact_version, span_start, span_end, surface, folded, at)"
        " select tenant, user_id, '', '', id, row_number() over (), 0, 0, 1, name, folded, now()"
        " from keepwell.entity where tenant = %(t)s",
        given,
    )
    owner.execute(
        f"insert into keepwell.ground ({own}, item, version, message, span_start, span_end, fact_version)"
        " select tenant, user_id, '', '', id, 1, row_number() over (), 0, 0, 0"
        " from keepwell.relation where tenant = %(t)s",
        given,
    )
    owner.execute(
        f"insert into keepwell.graph_change ({own}, id, kind, one, moved, told, reason, actor, batch, at)"
        " select tenant, user_id, '', '', gen_random_uuid(), 'ADD', id, '[]', folded, '\"\"', 'a', gen_random_uuid(),"
        " now() from keepwell.entity where tenant = %(t)s",
        given,
    )


@contextmanager
def transaction(dsn: str, tenant: str) -> Iterator[tuple[psycopg.Connection[Any], dict[str, Any]]]:
    """Give a transaction, and parameters for the hot queries of a tenant."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('keepwell.tenant', %s, true)", [tenant])
        row = connection.execute("select id from keepwell.entity where tenant = %s limit 1", [tenant]).fetchone()
        line = connection.execute("select id from keepwell.relation where tenant = %s limit 1", [tenant]).fetchone()
        assert row is not None
        assert line is not None
        yield connection, {
            "tenant": tenant, "user_id": "ada", "agent_id": "", "run_id": "", "folds": ["n7"], "entities": [row[0]],
            "members": [row[0]], "ids": [row[0]], "subjects": [row[0]], "objects": [row[0]], "messages": [5],
            "facts": [], "items": [line[0]], "versions": [1], "numbers": [], "changes": [], "owners": [row[0]],
            "hops": 2, "each": 10, "fan": 32, "limit": 100, "valid_at": None, "as_of": None, "before": None,
            "type": None, "id": None, "at": None, "space": None, "vector": None, "least": 1.0, "most": 0, "spread": 0.0,
            "beside": False,
        }  # fmt: skip
        connection.rollback()


@pytest.mark.parametrize("tenant", ["large", "fresh"])
@pytest.mark.parametrize("name", HOT)
def test_what_is_named_is_reached_by_name(crowd: str, name: str, tenant: str) -> None:
    """No more rows are read than lie around what is named, whether or not anything is known of the tenant."""
    with transaction(crowd, tenant) as (connection, values):
        plan = explain(connection, name, values, ADA, ", analyze")
        for node, _ in scans(plan):
            removed = node.get("Rows Removed by Filter", 0)
            assert (node["Actual Rows"] + removed) * node["Actual Loops"] <= 1000, node


@pytest.mark.parametrize("name", HOT)
def test_no_large_table_is_read_from_end_to_end(crowd: str, name: str) -> None:
    """The plan that a prepared statement settles on has an index for every large table."""
    with transaction(crowd, "large") as (connection, _):
        plan = explain_generic(connection, name, ADA)
        found = {node["Relation Name"] for node, _ in scans(plan) if node["Node Type"] == "Seq Scan"}
        assert not found & LARGE - {"message", "fact"}, plan


def test_a_walk_is_planned_once(crowd: str) -> None:
    """A recall's walk is not planned anew for each question, which takes longer than to walk: after a few its plan stays."""
    with transaction(crowd, "large") as (connection, values):
        for _ in range(8):
            connection.execute(statement("support", NAMES, ADA), values, prepare=True)
        kept = connection.execute(
            "select max(generic_plans) from pg_prepared_statements where statement like '%farther%'"
        ).fetchone()
        assert kept is not None
        assert kept[0] > 0
