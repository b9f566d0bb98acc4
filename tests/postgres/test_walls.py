"""The two walls: no statement leaves its tenant, and no read path leaves its scope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from psycopg.conninfo import make_conninfo

from keepwell import Memory
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.queries import blocks
from keepwell.testing import HashEmbedder

from .catalogs import tables_of_tenants
from .statements import DIMENSION, Keys, explain, furnish, is_gated, nodes, parameters, run, scans, unknown, with_tables
from .worlds import World, check_everything, worlds

TOUCHED = re.compile(r"\b(?:from|join|using|update)\s+\{schema\}\.\w+\s+(?:as\s+)?(\w+)")
WALLED = re.compile(r"@(?:wall|owner|scope|within|walked|met|exact|reached|lodged)\((\w+)\)")


@pytest.fixture(scope="module")
def neighbours(server: EmbeddedServer, shared_database: str) -> Iterator[dict[str, Keys]]:
    """Give two tenants that hold the same under the same names."""
    dsn = make_conninfo(server.dsn, dbname=shared_database)
    with psycopg.connect(make_conninfo(server.admin_dsn, dbname=shared_database), autocommit=True) as admin:
        found = {}
        for tenant in ("wall-left", "wall-right"):
            with Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(DIMENSION), name=tenant) as memory:
                found[tenant] = furnish(memory, admin)
        yield found


@contextmanager
def undone(dsn: str, carried: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a transaction that carries a tenant's setting, and is undone at the end."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('keepwell.tenant', %s, true)", [carried])
        yield connection
        connection.rollback()


def holdings(connection: psycopg.Connection[Any], tenant: str) -> dict[str, list[str]]:
    """Give all rows of a tenant, table by table, without what differs from run to run."""
    connection.execute("select set_config('keepwell.tenant', %s, true)", [tenant])
    changing = "array['written_by', 'stated_by', 'at', 'updated_at', 'recorded_at', 'replaced_at', 'created_at']"
    return {
        table: [
            row
            for (row,) in connection.execute(
                f"select (to_jsonb(r) - {changing})::text from keepwell.{table} r where tenant = %s order by 1",
                [tenant],
            )
        ]
        for table in tables_of_tenants(connection, "keepwell")
    }


def test_policies_are_forced_on_every_table_with_a_tenant(admin_dsn: str) -> None:
    """Each table with a tenant has row-level security, for its owner too, and a policy on the tenant for all verbs."""
    with psycopg.connect(admin_dsn) as connection:
        tables = tables_of_tenants(connection, "keepwell")
        flags = connection.execute(
            "select relname, relrowsecurity and relforcerowsecurity from pg_class"
            " where relnamespace = 'keepwell'::regnamespace and relkind in ('r', 'p') order by 1"
        ).fetchall()
        policies = connection.execute(
            "select tablename, permissive, roles::text, cmd, qual, with_check from pg_policies"
            " where schemaname = 'keepwell' order by 1"
        ).fetchall()
    assert {name for name, forced in flags if forced} == set(tables)
    assert {name for name, _ in flags} - set(tables) == {
        "migration",  # the versions of our tables, and LangGraph's tables, which are reached through checkpoint_thread
        "checkpoint_migrations",
        "checkpoints",
        "checkpoint_blobs",
        "checkpoint_writes",
    }
    rule = "(tenant = current_setting('keepwell.tenant'::text, true))"
    assert policies == [(table, "PERMISSIVE", "{public}", "ALL", rule, None) for table in tables]


def test_the_second_wall_stands_alone(dsn: str, admin_dsn: str, neighbours: dict[str, Keys]) -> None:
    """A statement with no predicate at all sees and writes one tenant's rows, or none without a setting."""
    with psycopg.connect(admin_dsn) as connection:
        tables = tables_of_tenants(connection, "keepwell")
    for carried, seen in (("wall-left", {"wall-left"}), ("", set()), ("%", set()), ("nobody", set())):
        with undone(dsn, carried) as connection:
            for table in tables:
                found = connection.execute(f"select distinct tenant from keepwell.{table}").fetchall()
                assert {tenant for (tenant,) in found} == seen, table
            if carried != "wall-right":
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                    connection.execute(
                        "insert into keepwell.removal (tenant, user_id, agent_id, run_id, message)"
                        " values ('wall-right', 'ada', '', '', 1)"
                    )
    with psycopg.connect(dsn) as connection:
        for table in tables:
            assert connection.execute(f"select count(*) from keepwell.{table}").fetchone() == (0,)


@pytest.mark.parametrize("name", with_tables())
def test_every_table_reference_has_its_wall(name: str) -> None:
    """In the SQL files each table that is read or changed has a wall of its own; what is only inserted has a gate."""
    text = blocks()[name]
    assert set(TOUCHED.findall(text)) <= set(WALLED.findall(text))
    assert WALLED.search(text) or "@gate" in text


@pytest.mark.parametrize("login", ["bound", "superuser"])
@pytest.mark.parametrize("name", with_tables())
def test_a_statement_stays_in_its_tenant(
    name: str, login: str, dsn: str, admin_dsn: str, neighbours: dict[str, Keys]
) -> None:
    """On a transaction that carries another tenant's setting a statement does its own tenant's work and no more.

    As a role that policies bind, and as one that skips them: then the statement's own predicates are all there is.
    """
    address = dsn if login == "bound" else admin_dsn
    left, right = neighbours["wall-left"], neighbours["wall-right"]
    with undone(address, "wall-left") as connection:
        lefts, rights = holdings(connection, "wall-left"), holdings(connection, "wall-right")
        connection.execute("select set_config('keepwell.tenant', 'wall-left', true)")
        rows = run(connection, name, "wall-right", right)
        assert holdings(connection, "wall-left") == lefts
        changed = holdings(connection, "wall-right") != rights
    with undone(address, "wall-left") as connection:
        nothing = run(connection, name, "nobody", unknown())
    assert changed or rows != nothing, "it did nothing for its own tenant"
    with undone(address, "wall-left") as connection:
        stolen = run(connection, name, "nobody", left)
        assert holdings(connection, "wall-left") == lefts
        if not name.startswith(
            ("append", "create_thread", "lock_thread", "open_space", "keep_mentions")
        ):  # these make new rows
            assert stolen == nothing
        assert "m0" not in repr(stolen)


@pytest.mark.parametrize("name", with_tables())
def test_the_gate_comes_first(name: str, dsn: str, neighbours: dict[str, Keys]) -> None:
    """In the plan of every statement each table is read behind a one-time filter on the gate's own sub-plan."""
    keys = neighbours["wall-right"]
    with undone(dsn, "wall-left") as connection:
        plan = explain(connection, name, parameters(name, "wall-right", keys))
        for node, above in scans(plan):
            assert is_gated(node, above), node
        gates = [node for node, _ in nodes(plan) if "InitPlan" in node.get("One-Time Filter", "")]
        assert gates
        assert not any("set_config" in str(node.get("Filter", "")) for node, _ in nodes(plan))


# The pool's own threads draw random waits meanwhile, which Hypothesis takes for the test's doing.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_leaks(proof: bool, dsn: str) -> None:
    """Whatever ids, filters and scopes are used, every public read path gives what the scope covers and no more."""

    @settings(
        max_examples=400 if proof else 12,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        print_blob=True,
    )
    @given(worlds())
    def explore(world: World) -> None:
        check_everything(world, dsn, pool_size=3)

    with Memory.open(dsn, embedder=None, pool_size=3):  # keeps the connections between the examples
        explore()
