"""What doors need whose own library brings statements of its own to our database."""

from __future__ import annotations

from keepwell.errors import UsageError
from keepwell.memory.engine import Engine
from keepwell.models import Scope
from keepwell.storage.postgres import PostgresStore
from keepwell.storage.postgres.guests import Checkpoints, Window, window


def checkpoints_of(engine: Engine) -> Checkpoints:
    """Give the checkpoints of a memory's tenant.

    Raises:
        UsageError: its store is not PostgreSQL.
    """
    store = engine.opened.store
    if not isinstance(store, PostgresStore):
        raise UsageError(f"checkpoints are kept in PostgreSQL, and {store.name} is not that")
    return Checkpoints(store, engine.tenant)


def window_of(engine: Engine, scope: Scope) -> Window:
    """Give where a scope of a memory's tenant can be read by statements of another library.

    Raises:
        UsageError: its store is not PostgreSQL 15 or newer.
    """
    store = engine.opened.store
    if not isinstance(store, PostgresStore):
        raise UsageError(f"only PostgreSQL can be read so, and {store.name} is not that")
    return window(store, engine.tenant, scope)
