"""Taking over what another memory kept: Mem0's memories in PostgreSQL, as facts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg import Connection, sql
from psycopg.rows import tuple_row

from keepwell.errors import ImportFormatError
from keepwell.importing.kept import VERSION
from keepwell.importing.mem0 import Remembered, remembered
from keepwell.models import codec
from keepwell.models.message import now
from keepwell.storage.facts import ListFacts

if TYPE_CHECKING:
    from keepwell.memory.scoped import ScopedMemory

_PAGE = 500
_SHOWN = 20
_HEAD = {"is": "head", "keepwell": "export", "version": VERSION}
_COLUMNS = """
select a.attname from pg_attribute a
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
"""


@dataclass(slots=True)
class TakenOver:
    """What was found at the source, and what came of it.

    ``found`` is ``new`` and ``there`` (already), ``elsewhere`` (of owners that the view does not cover), ``refused``
    (rejected here, or held here already under another id) and ``broken``. ``changed`` of those there have another text
    at the source now. ``missing`` counts what should be there afterwards and is not; 0 in a dry run.
    """

    dry_run: bool = False
    found: int = 0
    new: int = 0
    there: int = 0
    changed: int = 0
    elsewhere: int = 0
    refused: int = 0
    broken: int = 0
    missing: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether all that could be read is there."""
        return not self.missing and not self.broken


def import_mem0(to: ScopedMemory, source: str, table: str = "mem0", *, dry_run: bool = False) -> TakenOver:
    """Take over Mem0's memories from its pgvector table as facts, and count what was done.

    Each keeps its id, its owner (user, agent and run), its times, and all else in its metadata; its history begins with
    the change that says where it came from. What is there already stays as it is, what was rejected here stays out, so
    it can be stopped and run again. Vectors are made anew by this store's embedder (``drain``).

    Args:
        to: memories of owners that this view covers are taken; ``memory.scope(across_users=True)`` covers all.
        source: the DSN of the database with the table, which is only read.
        table: the collection's name, with its schema in front where that is not in the search path.
        dry_run: count, and write nothing.

    Raises:
        ImportFormatError: there is no such table, or it is not of that form.
        StoreError: the store cannot be written to.
    """
    done = TakenOver(dry_run)
    with _reading(source) as connection:
        rows = _rows(connection, _examined(connection, table))
        wanted = _wanted(to, rows, table, done)
        while page := tuple(islice(wanted, _PAGE)):
            _take(to, page, done)
    return done


def _take(to: ScopedMemory, page: Sequence[Remembered], done: TakenOver) -> None:
    """Take over what is not there of some memories, and look whether it is there then."""
    known = _texts(to, page)
    done.there += len(known)
    done.changed += sum(one.id in known and known[one.id] != one.text for one in page)
    new = [one for one in page if one.id not in known]
    if done.dry_run or not new:
        done.new += len(new)
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        for line in (_HEAD, *(line for one in new for line in one.lines), {"is": "end"}):
            file.write(codec.dumps(line) + "\n")
        file.seek(0)
        came = to.import_(file)
    there = _texts(to, new)
    done.new += len(there)
    done.refused += len(new) - max(came.facts, len(there))
    done.missing += max(0, came.facts - len(there))


def _texts(to: ScopedMemory, page: Sequence[Remembered]) -> dict[UUID, str]:
    """Give the texts of those that are, or were, facts here: in their newest version."""
    record, found = to._engine.record, dict[UUID, str]()  # noqa: SLF001 - a verb of the same floor
    ids, after = tuple(one.id for one in page), None
    while True:
        facts = record.read(ListFacts(to.scope, ids=ids, versions=True, after=after, limit=_PAGE))
        for fact in facts:
            found.setdefault(fact.id, fact.text)
        if (after := facts.next) is None:
            return found


def _wanted(to: ScopedMemory, rows: Iterator[tuple[Any, ...]], table: str, done: TakenOver) -> Iterator[Remembered]:
    undated = now()
    for ident, payload in rows:
        done.found += 1
        try:
            one = remembered(ident, payload, undated=undated, where=f"{table}, row {ident}")
        except ImportFormatError as error:
            done.broken += 1
            done.reasons += [str(error)] if len(done.reasons) < _SHOWN else []
            continue
        if to.scope.covers(one.owner):
            yield one
        else:
            done.elsewhere += 1


@contextmanager
def _reading(source: str) -> Iterator[Connection[tuple[Any, ...]]]:
    """Give a connection that sees one moment of the source and cannot change it."""
    try:
        connection = psycopg.connect(source, row_factory=tuple_row)
    except psycopg.Error as error:
        raise ImportFormatError(f"the source cannot be opened: {type(error).__name__}") from None  # no secrets
    with closing(connection):
        connection.read_only, connection.isolation_level = True, psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def _examined(connection: Connection[tuple[Any, ...]], table: str) -> sql.Identifier:
    name = sql.Identifier(*table.split("."))
    columns = {column for (column,) in connection.execute(_COLUMNS, [name.as_string(None)])}
    if not columns:
        raise ImportFormatError(f"there is no table {table!r} at the source")
    if lacking := {"id", "payload"} - columns:
        raise ImportFormatError(f"table {table!r} is not Mem0's: it lacks {', '.join(sorted(lacking))}")
    return name


def _rows(connection: Connection[tuple[Any, ...]], name: sql.Identifier) -> Iterator[tuple[Any, ...]]:
    """Give ids and payloads in the order of the ids, a page at a time."""
    query = sql.SQL("select id, payload from {} where id > %s order by id limit %s").format(name)
    first = sql.SQL("select id, payload from {} order by id limit %s").format(name)
    rows = connection.execute(first, [_PAGE]).fetchall()
    while rows:
        yield from rows
        rows = connection.execute(query, [rows[-1][0], _PAGE]).fetchall()
