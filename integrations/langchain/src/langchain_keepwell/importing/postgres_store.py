"""Taking over LangGraph's store in PostgreSQL: items with their namespaces, times and time to live."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from psycopg import sql

from keepwell import GetItem, Items, PutItem, ScopedMemory, errors
from langchain_keepwell.importing.tables import Source, examined, reading
from langchain_keepwell.importing.tally import Imported, Tally
from langchain_keepwell.store import KeepwellStore

PAGE = 500
_NEEDED = ("prefix", "key", "value", "created_at", "updated_at")
Into: TypeAlias = "KeepwellStore | Items | ScopedMemory"


def import_postgres_store(to: Into, source: str, table: str = "store", *, dry_run: bool = False) -> Imported:
    """Take over the items of LangGraph's ``PostgresStore``, and count what was done.

    Each keeps its namespace, key, value, times and time to live; what is past its time stays behind. An item that is
    here already is replaced only where the source has a later one. Vectors are made anew, of the whole value or of the
    fields that the store was given.

    Args:
        to: a store, whose template says whose each namespace is; or a view, whose items they all become.
        source: the DSN of the database with the table, which is only read.
        table: the table, with its schema in front where that is not in the search path.
        dry_run: count, and write nothing.

    Raises:
        ImportFormatError: there is no such table, or it is not of that form.
        StoreError: the store cannot be written to.
    """
    items, tally = _items(to), Tally(dry_run)
    with reading(source) as connection:
        name, columns = examined(connection, table, _NEEDED, "no store of LangGraph's")
        rows = _rows(connection, name, lives="expires_at" in columns)
        spaces: set[tuple[str, ...]] = set()
        while page := list(islice(rows, PAGE)):
            puts = [put for row in page if (put := _put(row, tally)) is not None]
            spaces.update(put.namespace for put in puts)
            _take(items, puts, tally)
        tally.places = len(spaces)
    return tally.done()


def _items(to: Into) -> Items:
    if isinstance(to, KeepwellStore):
        return to.items
    if isinstance(to, ScopedMemory):
        return to.memory.items(user_id=to.user_id, agent_id=to.agent_id, run_id=to.run_id)
    return to


def _take(items: Items, puts: Sequence[PutItem], tally: Tally) -> None:
    """Put what is not there, or is older there, and look afterwards whether all is."""
    wanted: list[PutItem] = []
    for put, there in zip(puts, _there(items, puts), strict=True):
        if there is not None and put.updated_at is not None and there >= put.updated_at:
            tally.there += 1
        else:
            wanted.append(put)
    if not tally.dry_run:
        wanted = _written(items, wanted, tally)
        tally.missing += sum(at is None for at in _there(items, wanted))
    tally.new += len(wanted)


def _written(items: Items, puts: list[PutItem], tally: Tally) -> list[PutItem]:
    """Put items together, or where one of them cannot be kept one by one; give those that were put."""
    try:
        items.perform(puts)
    except errors.UsageError:
        return [put for put in puts if _is_written(items, put, tally)]
    return puts


def _is_written(items: Items, put: PutItem, tally: Tally) -> bool:
    try:
        items.perform([put])
    except errors.UsageError as error:
        tally.break_(f"{'.'.join(put.namespace)} {put.key}", str(error))
        return False
    return True


def _there(items: Items, puts: Sequence[PutItem]) -> list[dt.datetime | None]:
    """Give when each item was put last; None where there is none, or where its name is none that can be kept."""
    try:
        found: list[Any] = items.perform([GetItem(put.namespace, put.key, keep=False) for put in puts])
    except errors.UsageError:
        return [None] if len(puts) == 1 else [at for put in puts for at in _there(items, [put])]
    return [None if one is None else one.updated_at for one in found]


def _put(row: tuple[Any, ...], tally: Tally) -> PutItem | None:
    prefix, key, value, created_at, updated_at, expires_at, ttl = row
    tally.found += 1
    if not isinstance(value, Mapping) or not prefix:
        tally.break_(f"{prefix} {key}", "its value is no object" if prefix else "it has no namespace")
        return None
    minutes = None if ttl is None else float(ttl)
    return PutItem(tuple(prefix.split(".")), key, value, None, minutes, created_at, updated_at, expires_at)


def _rows(connection: Source, name: sql.Identifier, *, lives: bool) -> Iterator[tuple[Any, ...]]:
    """Give the items that are not past their time, in order, a page at a time."""
    lifetime = sql.SQL("expires_at, ttl_minutes" if lives else "null::timestamptz, null::integer")
    living = sql.SQL("(expires_at is null or expires_at > now())" if lives else "true")
    query = sql.SQL(
        "select prefix, key, value, created_at, updated_at, {} from {} where {} and (prefix, key) > (%s, %s)"
        " order by prefix, key limit %s"
    ).format(lifetime, name, living)
    last: tuple[str, str] = ("", "")
    while rows := connection.execute(query, [*last, PAGE]).fetchall():
        yield from rows
        last = rows[-1][0], rows[-1][1]
