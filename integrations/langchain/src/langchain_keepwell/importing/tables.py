"""Reading tables of other libraries: one moment of them, and never a write."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg import Connection, sql
from psycopg.rows import tuple_row

from keepwell import errors

Source: TypeAlias = Connection[tuple[Any, ...]]
_COLUMNS = """
select a.attname from pg_attribute a
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
"""


@contextmanager
def reading(source: str) -> Iterator[Source]:
    """Give a connection that sees one moment of the source and cannot change it.

    Raises:
        ImportFormatError: it cannot be opened; no password is in the message.
    """
    try:
        connection = psycopg.connect(source, row_factory=tuple_row)
    except psycopg.Error as error:
        raise errors.ImportFormatError(f"the source cannot be opened: {type(error).__name__}") from None
    with closing(connection):
        connection.read_only, connection.isolation_level = True, psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def examined(connection: Source, table: str, needed: Collection[str], what: str) -> tuple[sql.Identifier, set[str]]:
    """Give a table's quoted name and its columns.

    Raises:
        ImportFormatError: there is no such table, or it lacks what is needed.
    """
    name = sql.Identifier(*table.split("."))
    columns = {str(column) for (column,) in connection.execute(_COLUMNS, [name.as_string(None)])}
    if not columns:
        raise errors.ImportFormatError(f"there is no table {table!r} at the source")
    if lacking := set(needed) - columns:
        raise errors.ImportFormatError(f"table {table!r} is {what}: it lacks {', '.join(sorted(lacking))}")
    return name, columns
