"""Running plans: statements in order, on a connection of ours or on a caller's.

A plan is a generator that yields statements and is sent their rows; it knows nothing of connections, so the
same plan runs on a pooled connection, on a caller's ``Connection`` and on a caller's ``AsyncConnection``.
Nothing is assumed of a caller's connection: the cursor brings its own adapters and row factory, the setting
that the walls need is put back, and a plan that fails is undone alone (a savepoint).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import AsyncConnection, AsyncRawCursor, Connection, Cursor, RawCursor, sql
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import Buffer

R = TypeVar("R")
Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = list[Row]
Step: TypeAlias = tuple[bytes, Mapping[str, Any]]
Plan: TypeAlias = Generator[Step, Rows, R]

_PLACE = re.compile(rb"%(?:\((\w+)\)s|%)")

_READ_SETTING = b"select current_setting('keepwell.tenant', true)"
_PUT_BACK = b"select set_config('keepwell.tenant', %(tenant)s, true)"


class _RawJson(Loader):
    """Give JSON as it came, because the codec reads it."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _RawJsonBinary(_RawJson):
    format = psycopg.pq.Format.BINARY


@dataclass(frozen=True, slots=True)
class FloatArray:
    """Numbers that go to the server as one ``real[]`` in binary, which a list of Python floats does slowly."""

    values: NDArray[np.floating]


class _FloatArrayDumper(Dumper):
    format = psycopg.pq.Format.BINARY
    oid = psycopg.adapters.types["float4"].array_oid

    def dump(self, obj: FloatArray) -> bytes:
        size = len(obj.values)
        cells = np.empty(size, dtype=[("length", ">i4"), ("value", ">f4")])
        cells["length"] = 4
        cells["value"] = obj.values
        head = struct.pack("!iiI", 1, 0, psycopg.adapters.types["float4"].oid)
        return head + struct.pack("!ii", size, 1) + cells.tobytes()


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_loader("json", _RawJson)
    adapters.register_loader("json", _RawJsonBinary)
    adapters.register_dumper(FloatArray, _FloatArrayDumper)
    return adapters


_ADAPTERS = _adapters()


class _Cursor(RawCursor[Row]):
    """A cursor that reads and writes as we do, whatever its connection was told."""

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self._adapters = AdaptersMap(_ADAPTERS)
        self._reset()
        self.format = psycopg.pq.Format.BINARY


class _AsyncCursor(AsyncRawCursor[Row]):
    """The same for an asynchronous connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=tuple_row)
        self._adapters = AdaptersMap(_ADAPTERS)
        self._reset()
        self.format = psycopg.pq.Format.BINARY


def numbered(step: Step) -> tuple[bytes, list[object]]:
    """Give a statement with PostgreSQL's own placeholders, and their values in order.

    The driver does this itself, but finds the places in long statements anew each time (measured: 0.4 ms for one of
    10,000 characters); here they are found once.
    """
    text, values = step
    written, names = _numbered(text)
    return written, [values[name] for name in names]


@lru_cache(maxsize=4096)
def _numbered(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    places: dict[bytes, int] = {}

    def write(found: re.Match[bytes]) -> bytes:
        name = found[1]
        return b"%" if name is None else b"$%d" % places.setdefault(name, len(places) + 1)

    return _PLACE.sub(write, text), tuple(name.decode() for name in places)


def ask(connection: Connection[Any], query: str | sql.Composed, parameters: Sequence[object] = ()) -> Any:  # noqa: ANN401 - a cell
    """Give the first cell of the answer, or None where there is no row."""
    statement = query.encode() if isinstance(query, str) else query
    row = Cursor(connection, row_factory=tuple_row).execute(statement, parameters).fetchone()
    return None if row is None else row[0]


def _has_rows(cursor: _Cursor | _AsyncCursor) -> bool:
    """Tell whether there is a result to fetch; ``cursor.description`` would describe every column first.

    In a caller's pipeline no answer is there before it is fetched, so there may be one.
    """
    return cursor.pgresult is None or cursor.pgresult.nfields > 0


def _no_rows(error: psycopg.ProgrammingError) -> Rows:
    """Give no rows where it was the driver that found none to fetch; raise what the server refused."""
    if error.sqlstate is not None:
        raise error
    return []


def run(connection: Connection[Any], plan: Plan[R]) -> R:
    """Run a plan's statements one after the other, and give what it returns."""
    cursor = _Cursor(connection)
    rows: Rows | None = None  # to begin with; a plan that has nothing to ask ends at once
    while True:
        try:
            step = plan.send(rows)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # a generator's value is untyped there
        cursor.execute(*numbered(step))
        try:
            rows = cursor.fetchall() if _has_rows(cursor) else []
        except psycopg.ProgrammingError as error:
            rows = _no_rows(error)


async def arun(connection: AsyncConnection[Any], plan: Plan[R]) -> R:
    """Do what :func:`run` does, on an asynchronous connection."""
    cursor = _AsyncCursor(connection)
    rows: Rows | None = None  # to begin with; a plan that has nothing to ask ends at once
    while True:
        try:
            step = plan.send(rows)  # type: ignore[arg-type]  # None begins a generator
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # see run
        await cursor.execute(*numbered(step))
        try:
            rows = await cursor.fetchall() if _has_rows(cursor) else []
        except psycopg.ProgrammingError as error:
            rows = _no_rows(error)


def join(connection: Connection[Any], plan: Plan[R]) -> R:
    """Run a plan as part of a caller's transaction, undone alone where it fails."""
    before = run(connection, _ask(_READ_SETTING))
    with connection.transaction():
        result = run(connection, plan)
        run(connection, _ask(_PUT_BACK, tenant=before or ""))
    return result


async def ajoin(connection: AsyncConnection[Any], plan: Plan[R]) -> R:
    """Do what :func:`join` does, on an asynchronous connection."""
    before = await arun(connection, _ask(_READ_SETTING))
    async with connection.transaction():
        result = await arun(connection, plan)
        await arun(connection, _ask(_PUT_BACK, tenant=before or ""))
    return result


def _ask(statement: bytes, **parameters: str) -> Plan[str | None]:
    rows = yield statement, parameters
    return rows[0][0]  # type: ignore[no-any-return]  # a row's cells are untyped


@contextmanager
def own_transaction(connection: Connection[Any], role: bytes | None, *, single: bool) -> Iterator[None]:
    """Hold a transaction of ours where one is needed: for several statements, or to take on the bound role.

    A single statement on an autocommit connection is a transaction by itself.
    """
    if single and role is None and connection.autocommit:
        yield
        return
    with connection.transaction():
        if role is not None:
            connection.execute(role)
        yield
