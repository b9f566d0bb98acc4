"""Opening a Neo4j server: addresses, passwords, errors, and what survives a restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from keepwell.errors import StoreClosed, StoreFailed, StoreUnavailable, UsageError
from keepwell.storage.neo4j.driver import Address, Bolt, BoltOptions, address_of, open_bolt, rows
from keepwell.storage.neo4j.migrations import migrations
from keepwell.storage.neo4j.store import Neo4jStore
from keepwell.testing.neo4j_server import Neo4jServer

_NOWHERE = "bolt://127.0.0.1:1"
_SHORT = BoltOptions(connect_seconds=1.0, acquire_seconds=1.0, retry_seconds=1.0)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("neo4j://host", Address("neo4j://host")),
        ("neo4j+s://x.databases.example:7687", Address("neo4j+s://x.databases.example:7687")),
        ("bolt://ada:p%40ss@host:7687", Address("bolt://host:7687", "ada", "p@ss")),
        ("neo4j://ada:pw@host/people", Address("neo4j://host", "ada", "pw", "people")),
        ("bolt://:pw@[::1]:7687", Address("bolt://[::1]:7687", "neo4j", "pw")),
        ("neo4j://host?policy=eu", Address("neo4j://host?policy=eu")),
    ],
)
def test_an_address_is_taken_apart(text: str, address: Address) -> None:
    """Host, user, password and database may all stand in the address."""
    assert address_of(text) == address


def test_user_and_password_may_come_apart_from_the_address() -> None:
    """What the address lacks comes from the arguments; what it has is not overruled."""
    assert address_of("bolt://host", user="ada", password="pw") == Address("bolt://host", "ada", "pw")
    assert address_of("bolt://bob:other@host", user="ada", password="pw").user == "bob"


@pytest.mark.parametrize("text", ["postgresql://host", "host:7687", "bolt://", "bolt://ada:secret@host:port", ""])
def test_what_is_no_address_is_refused_without_repeating_it(text: str) -> None:
    """An address that cannot be read may hold a password, so the error does not repeat it."""
    with pytest.raises(UsageError) as caught:
        address_of(text)
    assert "secret" not in str(caught.value)


def test_a_password_is_in_no_words_of_ours() -> None:
    """Neither the address, nor the name of the server, nor the error shows the password."""
    bolt = open_bolt(_NOWHERE.replace("//", "//ada:hush-hush@"), options=_SHORT)
    with pytest.raises(StoreUnavailable) as caught:
        bolt.check()
    said = repr(bolt.address) + bolt.name + str(caught.value) + repr(caught.value.__cause__)
    assert "hush-hush" not in said
    bolt.close()


def test_a_server_with_passwords_lets_in_who_knows_it(
    own_neo4j: Callable[..., Neo4jServer], caplog: pytest.LogCaptureFixture
) -> None:
    """With the right password work is done; with a wrong one the error says so, and no log line has either."""
    caplog.set_level(logging.DEBUG)
    server = own_neo4j(auth=True)
    first = open_bolt(server.uri, user="neo4j", password="neo4j")
    first.address = Address(server.uri, "neo4j", "neo4j", "system")
    first.alone("ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO 'throw-away-1'")
    first.close()
    caplog.clear()
    good = open_bolt(server.uri.replace("//", "//neo4j:throw-away-1@"))
    assert good.rows("RETURN 1 AS one") == [{"one": 1}]
    good.close()
    bad = open_bolt(server.uri.replace("//", "//neo4j:guessed-wrong@"), options=_SHORT)
    with pytest.raises(StoreUnavailable, match="does not let this user in"):
        bad.check()
    bad.close()
    assert "throw-away-1" not in caplog.text
    assert "guessed-wrong" not in caplog.text


def test_a_restart_is_survived(own_neo4j: Callable[..., Neo4jServer]) -> None:
    """Connections that a restart broke are replaced; while the server is away the error says that it is."""
    server = own_neo4j()
    bolt = open_bolt(server.uri, options=_SHORT)
    bolt.write(lambda tx: rows(tx, "CREATE (:Left {here: 1})"))
    server.kill()  # to stop it in good order takes ten seconds
    with pytest.raises(StoreUnavailable, match="does not answer"):
        bolt.rows("MATCH (n:Left) RETURN n.here AS here")
    server.start()
    assert bolt.rows("MATCH (n:Left) RETURN n.here AS here") == [{"here": 1}]
    bolt.close()


def test_a_reading_transaction_cannot_write(neo4j_uri: str) -> None:
    """The server refuses a write in a transaction that was begun for reading."""
    bolt = open_bolt(neo4j_uri)
    with pytest.raises(StoreFailed, match=r"(?i)writing in read access mode"):
        bolt.rows("CREATE (:Nothing)")
    bolt.close()


def test_a_query_that_takes_too_long_is_ended(neo4j_uri: str) -> None:
    """A query's time is bounded on the server, and the error says that there was no answer in time."""
    bolt = open_bolt(neo4j_uri)
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        bolt.rows("UNWIND range(1, 100000000) AS a UNWIND range(1, 1000) AS b RETURN sum(a * b) AS s", seconds=0.5)
    bolt.close()


def test_what_was_closed_says_so() -> None:
    """After close every use raises that error; closing twice does nothing."""
    bolt = Bolt(Address(_NOWHERE))
    bolt.close()
    bolt.close()
    with pytest.raises(StoreClosed):
        bolt.check()


def test_several_may_open_a_new_server_at_once(own_neo4j: Callable[..., Neo4jServer]) -> None:
    """Programs that come to an empty server together make its constraints and indexes once, and none of them fails."""
    uri, ready = own_neo4j().uri, threading.Barrier(6)

    def open_one(_: int) -> None:
        ready.wait(30)
        Neo4jStore(uri).close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_one, range(6)))
    bolt = open_bolt(uri)
    named = {row["name"] for row in bolt.rows("SHOW INDEXES YIELD name, state WHERE state = 'ONLINE'")}
    ran = [row["name"] for row in bolt.rows("MATCH (m:KeepwellMigration) RETURN m.name AS name ORDER BY name")]
    bolt.close()
    assert {"keepwell_store_message_key", "keepwell_store_vector_loose", "keepwell_store_gone_rev"} <= named
    assert "keepwell_store_gone" not in named
    assert ran == [one.name for one in migrations()]
