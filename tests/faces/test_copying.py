"""``keepwell copy``: from one store to another."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from keepwell import Memory, Message


@pytest.fixture
def other_tenant() -> str:
    """Give a tenant that nobody else has."""
    return f"t-{uuid.uuid4().hex}"


def test_copy(
    command: Callable[..., Result], filled: Callable[..., Result], dsn: str, neo4j_uri: str, other_tenant: str
) -> None:
    """A tenant of PostgreSQL is carried to Neo4j, said to be the same, and the second time nothing is new."""
    done = command("copy", dsn, neo4j_uri, "--to-tenant", other_tenant, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["same"], told["threads"], told["messages"]) == (0, True, 16, 427)
    again = command("copy", dsn, neo4j_uri, "--to-tenant", other_tenant)
    assert "new there: 0 threads, 0 messages" in again.stdout
    assert "the target keeps none" in told["left_out"][0]


def test_what_is_left_out(
    command: Callable[..., Result], dsn: str, neo4j_uri: str, other_tenant: str, memory: Memory
) -> None:
    """A graph that the target has no place for is named in the output, and the rest is carried."""
    memory.scope(user_id="ada").graph.link("Tom", "carer of", "Priya")
    done = command("copy", dsn, neo4j_uri, "--to-tenant", other_tenant)
    assert done.exit_code == 0
    assert "left out: the graph (2 entities, 1 relations, 0 mentions): the target keeps none" in " ".join(
        done.stdout.split()
    )


def test_differences(
    command: Callable[..., Result], dsn: str, neo4j_uri: str, other_tenant: str, memory: Memory
) -> None:
    """Where the target holds something else, that is said, and the exit code is not 0."""
    memory.scope(user_id="ada").thread("t").append(Message.user("one"))
    with Memory.open(neo4j_uri, tenant=other_tenant, embedder=None, name="there") as there:
        there.scope(user_id="bob").thread("b").append(Message.user("two"))
    done = command("copy", dsn, neo4j_uri, "--to-tenant", other_tenant)
    assert done.exit_code != 0
    assert "messages: 1 in the source, 2 in the target" in done.stdout


def test_no_store(command: Callable[..., Result], dsn: str) -> None:
    """Where nobody answers, it is a line without the password."""
    done: Any = command("copy", dsn, "neo4j://ada:secret@127.0.0.1:1")
    assert done.exit_code != 0
    assert "secret" not in done.stdout + done.stderr
