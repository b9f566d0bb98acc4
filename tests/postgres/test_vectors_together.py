"""Vectors that come while what they are of is moved, replaced or removed: none is left with whom it does not belong to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest

from keepwell import Message
from keepwell.models import Owner, Scope
from keepwell.storage.base import AppendMessages, DeleteMessages, Forget, MoveThread, OpenSpace, PutVectors, VectorRow
from keepwell.storage.postgres.record import PostgresRecord

ADA, BOT = Owner("ada", "", ""), Owner("ada", "bot", "")
SOON = 20.0
STRAY = """
select count(*) from keepwell.vector v where v.tenant = %s and not exists (
    select from keepwell.message m where m.key = v.message and (m.user_id, m.agent_id) = (v.user_id, v.agent_id)
        and m.terms = 'nut'
)
"""
CHANGES: dict[str, Any] = {
    "moved": MoveThread(ADA, "t", BOT),
    "removed": DeleteMessages(ADA, "t", ("m",)),
    "forgotten": Forget(Scope("ada")),
    "replaced": AppendMessages(ADA, "t", (Message.user("pear", id="m"),), ("pear",)),
}


def vectors(record: PostgresRecord) -> PutVectors:
    """Give the vector of one message that was just written, as its writer makes it."""
    done = record.write(AppendMessages(ADA, "t", (Message.user("nut", id="m"),), ("nut",)))
    space = record.write(OpenSpace("model", 4))
    row = VectorRow(next(iter(done.written)), 0, np.array([1, 0, 0, 0], np.float32), done.version)
    return PutVectors(space.key, (row,), {done.thread: (1, 1)})


def strays(admin_dsn: str, record: PostgresRecord) -> int:
    """Count vectors that are of nothing, of another text, or somebody else's than what they are of."""
    with psycopg.connect(admin_dsn) as connection:
        row = connection.execute(STRAY, (record._walls.tenant,)).fetchone()
    assert row is not None
    return int(row[0])


def together(dsn: str, first: Callable[..., Any], then: Callable[[], Any]) -> None:
    """Do something, and something else while the first is not committed yet."""
    with psycopg.connect(dsn) as connection:
        first(connection)
        later = threading.Thread(target=then)
        later.start()
        time.sleep(0.3)
    later.join(SOON)
    assert not later.is_alive()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_first_leaves_no_vector(record: PostgresRecord, dsn: str, admin_dsn: str, change: Any) -> None:
    """A vector that comes while its message is taken away waits, and is of what is there then or of nothing."""
    given = vectors(record)
    together(dsn, lambda connection: record.write(change, connection), lambda: record.write(given))
    assert strays(admin_dsn, record) == 0


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_then_takes_the_vector_along(
    record: PostgresRecord, dsn: str, admin_dsn: str, change: Any
) -> None:
    """What takes a message away while its vector comes waits, and takes that with it."""
    given = vectors(record)
    together(dsn, lambda connection: record.write(given, connection), lambda: record.write(change))
    assert strays(admin_dsn, record) == 0
