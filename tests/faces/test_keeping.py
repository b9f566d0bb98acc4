"""``keepwell status``, ``schema``, ``migrate``, ``reembed``, ``drain``, ``stop`` and ``upgrade``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from typer.testing import Result

from keepwell import Memory, Message
from keepwell.storage.postgres import embedded


def test_status_says_what_there_is(filled: Callable[..., Result], answer: Callable[..., Any]) -> None:
    """Counts, embedder, role and walls are told, to people and to scripts."""
    told = answer("status")
    assert (told["record"]["threads"], told["record"]["messages"], told["trouble"]) == (16, 427, None)
    shown = filled("status").stdout
    assert "row-level security" in shown
    assert "427" in shown


def test_status_speaks_where_the_embedder_does_not_fit(memory: Memory, keepwell: Callable[..., Result]) -> None:
    """A store of another model's vectors still says how it is, and what to do about it; a recall refuses."""
    memory.scope(user_id="ada").thread("t").append(Message.user("Hello"))
    done = keepwell("status", "--json")
    assert "keepwell reembed" in json.loads(done.stdout)["trouble"]
    assert "keepwell reembed" in keepwell("status").stdout
    refused = keepwell("recall", "Hello", "--user", "ada")
    assert refused.exit_code == 4
    assert "keepwell reembed" in refused.stderr


def test_reembed_makes_the_store_fit(memory: Memory, answer: Callable[..., Any]) -> None:
    """After ``reembed``, vectors are the bundled embedder's, and what was said is found with them."""
    memory.scope(user_id="ada").thread("t").append(Message.user("I keep bees."))
    told = answer("reembed")
    assert (told["messages"], told["model"]) == (1, "wordllama-l2-supercat-256")
    found = answer("recall", "insects that make honey", "--user", "ada")
    assert found["skipped"] == {}
    assert found["found"][0]["sources"]["vector"]["score"] > 0


def test_drain_makes_what_is_due(open_memory: Callable[..., Memory], answer: Callable[..., Any]) -> None:
    """Messages that were written without an embedder get their vectors."""
    answer("reembed")
    chat = open_memory(embedder=None).scope(user_id="ada").thread("t")
    chat.append(Message.user("one"), Message.user("two"))
    assert answer("status")["record"]["due"] == 2
    assert answer("drain")["embedded"] == 2
    assert answer("status")["record"]["due"] == 0


def test_schema_asks_no_server(command: Callable[..., Result]) -> None:
    """The tables are printed, under the schema asked for, though no server is there."""
    away = "postgresql://nobody@127.0.0.1:1/nowhere"
    done = command("--dsn", away, "schema", "--schema", "elsewhere")
    assert done.exit_code == 0
    assert 'create table "elsewhere".message' in done.stdout
    told = json.loads(command("schema", "--json", "--dsn", away).stdout)
    assert (told["schema"], told["version"] > 0) == ("keepwell", True)
    assert "row level security" in told["ddl"]


def test_schema_refuses_a_name_that_is_none(command: Callable[..., Result]) -> None:
    """A schema name that could be anything else than a name is a usage error."""
    assert command("schema", "--schema", 'x"; drop').exit_code == 2


def test_migrate_makes_tables_that_an_ordinary_role_uses(
    keepwell: Callable[..., Result], command: Callable[..., Result], dsn: str, admin_dsn: str
) -> None:
    """Where the ordinary role lacks tables it is told how to get them; after ``migrate --grant`` it works."""
    with psycopg.connect(dsn) as ordinary:
        role = str(ordinary.info.user)
    before = keepwell("status", "--schema", "second")
    assert before.exit_code == 4
    assert "keepwell migrate --admin-dsn" in before.stderr
    made = command("migrate", "--admin-dsn", admin_dsn, "--grant", role, "--schema", "second", "--json")
    assert json.loads(made.stdout)["steps"]
    again = command("migrate", "--admin-dsn", admin_dsn, "--schema", "second", "--json")
    assert json.loads(again.stdout)["steps"] == []
    assert keepwell("status", "--schema", "second").exit_code == 0


def test_migrate_never_shows_the_password(command: Callable[..., Result]) -> None:
    """A privileged DSN that does not work is one line, without its secret."""
    for dsn in (
        "postgresql://root:s3cret@127.0.0.1:1/x",
        "host=127.0.0.1 port=1 password=s3cret user",
        "s3cret nonsense",
    ):
        done = command("migrate", "--admin-dsn", dsn)
        assert done.exit_code in {2, 4}
        assert done.stderr.count("\n") == 1
    assert "s3cret" not in command("migrate", "--admin-dsn", "postgresql://root:s3cret@127.0.0.1:1/x").output


def test_stop_stops_the_embedded_server(command: Callable[..., Result], server: object, data_folder: Path) -> None:
    """A running server is stopped whoever uses it, and a second time there is nothing to stop."""
    used = embedded.start(data_folder)
    stopped = json.loads(command("stop", "--path", data_folder, "--json").stdout)
    assert stopped["stopped"] is True
    assert not embedded.status(data_folder).running
    used.release()
    assert "it was not running" in command("stop", "--path", data_folder).stdout


def test_upgrade_says_where_there_is_nothing_to_do(
    command: Callable[..., Result], server: object, data_folder: Path
) -> None:
    """A folder that is not there, or of the version installed, is told so with code 4, and stays as it is."""
    done = command("upgrade", "--path", data_folder)
    assert (done.exit_code, data_folder.exists()) == (4, False)
    embedded.start(data_folder).release()
    current = command("upgrade", "--path", data_folder)
    assert current.exit_code == 4
    assert "nothing to upgrade" in current.stderr


def test_servers_elsewhere_are_not_ours_to_stop(keepwell: Callable[..., Result]) -> None:
    """``stop`` and ``upgrade`` are for the embedded server: with a DSN they refuse."""
    assert keepwell("stop").exit_code == 2
    assert keepwell("upgrade").exit_code == 2
