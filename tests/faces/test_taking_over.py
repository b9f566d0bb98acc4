"""``keepwell import`` where what is taken over lies in another library's database."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from langchain_core.messages import HumanMessage, message_to_dict
from psycopg.types.json import Jsonb
from typer.testing import Result

from keepwell import Memory
from keepwell.cli.taking_over import without_password


@pytest.fixture
def origin(admin_dsn: str) -> str:
    """Give the DSN of a database with a chat history and Mem0's memories."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(
            "create table chat_history (id serial primary key, session_id uuid not null, message jsonb not null,"
            " created_at timestamptz not null default now())"
        )
        connection.execute(
            "insert into chat_history (session_id, message) select %s, %s from generate_series(1, 3)",
            [uuid.UUID(int=1), Jsonb(message_to_dict(HumanMessage("hello")))],
        )
        connection.execute("create table mem0 (id uuid primary key, vector public.vector(3), payload jsonb)")
        connection.execute(
            "insert into mem0 values (%s, '[1,2,3]', %s)",
            [uuid.UUID(int=2), Jsonb({"data": "Ada likes tea", "user_id": "ada"})],
        )
    return admin_dsn


def test_a_chat_history(answer: Callable[..., Any], open_memory: Callable[..., Memory], origin: str) -> None:
    """It is counted first, then taken over, and again without a change."""
    command = ("import", "postgres-chat-history", "--from", origin, "--user", "ada")
    dry = answer(*command, "--dry-run")
    assert (dry["finished"], dry["dry_run"], dry["found"], dry["new"]) == (True, True, 3, 3)
    told = answer(*command, "--thread-prefix", "old-")
    assert (told["new"], told["missing"], told["source"]) == (3, 0, "postgres-chat-history")
    again = answer(*command, "--thread-prefix", "old-", "--session", str(uuid.UUID(int=1)))
    assert (again["new"], again["there"]) == (0, 3)
    chat = open_memory(embedder=None).scope("ada").thread(f"old-{uuid.UUID(int=1)}")
    assert [message.text for message in chat.messages()] == ["hello"] * 3


def test_mem0(answer: Callable[..., Any], open_memory: Callable[..., Memory], origin: str) -> None:
    """Without a user all memories come, each to its owner."""
    assert answer("import", "mem0", "--from", origin)["new"] == 1
    assert [fact.text for fact in open_memory(embedder=None).scope("ada").facts()] == ["Ada likes tea"]


def test_what_is_missing_is_said(keepwell: Callable[..., Result], origin: str) -> None:
    """An address that is missing, a user that is missing and options for the wrong kind are told in words."""
    assert "give --from" in keepwell("import", "mem0").output
    assert "whose memory? give --user" in keepwell("import", "postgres-chat-history", "--from", origin).output
    assert "--from and --dry-run are for" in keepwell("import", "file.json", "--dry-run", "--user", "ada").output
    assert "there is no table 'x'" in keepwell("import", "mem0", "--from", origin, "--table", "x").output


def test_a_password_in_an_address_is_taken_out_of_it() -> None:
    """Neo4j's driver takes name and password beside the address."""
    assert without_password("bolt://u:p%40@host:7687/x") == ("bolt://host:7687/x", ("u", "p@"))
    assert without_password("neo4j://host") == ("neo4j://host", None)
