"""All that is kept about a scope as JSON lines, and back.

A file has one object a line, each with its kind under ``is``: ``head``, then every ``thread`` with its ``message``
lines, ``fact`` (a line a version), ``change``, ``rejection`` (that there is one, never of what), ``policy``, those of
the graph (see :mod:`keepwell.memory.graph_exporting`), and ``end`` with the counts, so that a file that was cut off is
known as one. Values that JSON has no word for are tagged as :mod:`keepwell.models.codec` does. Who reads a file passes
over lines of a kind that it does not know: kinds may come without a new version of the format.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from keepwell.memory.graph_exporting import graph_lines
from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.memory.transfer import Transfer
from keepwell.models import Change, Fact, Message, Owner, Scope, Source, Thread, codec
from keepwell.models.message import now
from keepwell.storage.base import FetchMessages, ListThreads, ReadMessages, Record
from keepwell.storage.copying import ReadThreadCopies
from keepwell.storage.facts import ListFacts, ListRejections, RawSources, ReadHistory, SetPolicy

VERSION = 1
_PAGE = 500
_FACT_FIELDS = (
    "text", "subject", "kind", "key", "valid_from", "valid_to", "recorded_at", "retired_at", "expires_at",
    "confidence", "trust", "metadata", "reopened",
)  # fmt: skip
Line = dict[str, Any]


def export(record: Record, scope: Scope, file: str | Path | IO[str]) -> Transfer:
    """Write everything of a scope, and count it; ``facts`` counts facts, not versions."""
    with _written(file) as text:
        done = Transfer()
        text.write(f"{codec.dumps(_head(scope))}\n")
        for line, counted in _lines(record, scope):
            text.write(f"{codec.dumps(line)}\n")
            done += counted
        text.write(f"{codec.dumps({'is': 'end', **asdict(done)})}\n")
    return done


def _head(scope: Scope) -> Line:
    return {"is": "head", "keepwell": "export", "version": VERSION, "at": now().isoformat(), "scope": asdict(scope)}


def _lines(record: Record, scope: Scope) -> Iterator[tuple[Line, Transfer]]:
    owners: dict[Owner, None] = {}
    for thread in pages(record, ListThreads(scope, order="created", newest_first=False, limit=MAX_PAGE)):
        owners[thread.owner] = None
        yield {**_thread_line(thread), **_looked_through(record, thread)}, Transfer(threads=1)
        for message in _messages(record, thread):
            yield _message_line(message), Transfer(messages=1)
    known: set[UUID] = set()
    for fact, sources in _versions(record, scope):
        owners[fact.owner] = None
        yield {**_fact_line(fact), "sources": sources}, Transfer(facts=fact.id not in known)
        known.add(fact.id)
    for change, sources in _history(record, scope):
        yield {**_change_line(change), "sources": sources}, Transfer(changes=1)
    for rejection in record.read(ListRejections(scope)):
        by = {"user_id": rejection.user_id, "agent_id": rejection.agent_id, "run_id": rejection.run_id}
        yield {"is": "rejection", **by, "at": rejection.at.isoformat(), "reason": rejection.reason}, Transfer()
    for owner in owners:
        if policy := record.write(SetPolicy(owner, {})):
            yield {"is": "policy", "owner": list(owner), "policy": dict(policy)}, Transfer()
    yield from graph_lines(record, scope, lambda rows: _named(record, scope, rows), owners)


def _looked_through(record: Record, thread: Thread) -> Line:
    """Give up to which message names were looked for, where that was done."""
    found = record.read(ReadThreadCopies(UUID(int=thread.key.int - 1), 1))
    return {"seen_to": one.seen_to} if (one := next(iter(found), None)) is not None and one.seen_to else {}


def _messages(record: Record, thread: Thread) -> Iterator[Message]:
    seq: int | None = 0
    while page := record.read(ReadMessages(thread.owner, thread.id, first=_PAGE, after=seq)):
        yield from page
        seq = page[-1].seq


def _thread_line(thread: Thread) -> Line:
    return {
        "is": "thread",
        "owner": list(thread.owner),
        "id": thread.id,
        "title": thread.title,
        "metadata": dict(thread.metadata),
        "created_at": thread.created_at.isoformat(),
        "updated_at": thread.updated_at.isoformat(),
    }


def _message_line(message: Message) -> Line:
    fields = {
        "seq": message.seq,
        "id": message.id,
        "role": message.role,
        "name": message.name,
        "parts": [_given(part.__dict__) for part in message.parts],
        "tool_calls": [_given(call.__dict__) for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
        "metadata": dict(message.metadata),
        "native": None if message.native is None else dict(message.native.__dict__),
    }
    empty = {name for name in ("parts", "tool_calls", "metadata") if not fields[name]}
    told = {name: value for name, value in fields.items() if value is not None and name not in empty}
    return {"is": "message", "created_at": message.created_at.isoformat(), **told}


def _given(fields: Mapping[str, Any]) -> Line:
    return {name: value for name, value in fields.items() if value is not None or name == "args"}


def _fact_line(fact: Fact) -> Line:
    return {
        "is": "fact",
        "owner": list(fact.owner),
        "id": str(fact.id),
        "version": fact.version,
        **_given({name: _readable(getattr(fact, name)) for name in _FACT_FIELDS}),
    }


def _change_line(change: Change) -> Line:
    return {
        "is": "change",
        "owner": list(change.owner),
        "id": str(change.id),
        "kind": change.kind,
        "fact": str(change.fact),
        "before": None if change.before is None else change.before.version,
        "after": None if change.after is None else change.after.version,
        "reason": change.reason,
        "at": change.at.isoformat(),
        "actor": change.actor,
        "batch": str(change.batch),
        "cause": None if change.cause is None else str(change.cause),
    }


def _readable(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else dict(value) if isinstance(value, Mapping) else value


def _versions(record: Record, scope: Scope) -> Iterator[tuple[Fact, list[Line]]]:
    """Give every version of every fact with what it rests on."""
    facts = pages(record, ListFacts(scope, versions=True, limit=MAX_PAGE))
    while page := tuple(islice(facts, _PAGE)):
        raw = record.read(RawSources(scope, tuple({fact.id for fact in page})))
        named = [raw.get((fact.id, fact.version), ()) for fact in page]
        yield from zip(page, _named(record, scope, named), strict=True)


def _history(record: Record, scope: Scope) -> Iterator[tuple[Change, list[Line]]]:
    changes = pages(record, ReadHistory(scope, oldest_first=True, limit=MAX_PAGE))
    while page := tuple(islice(changes, _PAGE)):
        yield from zip(page, _named(record, scope, [change.sources for change in page]), strict=True)


def _named(record: Record, scope: Scope, rows: Sequence[Iterable[Source]]) -> list[list[Line]]:
    """Give sources by what names them in every store: a thread and the id of a message, the id of a fact."""
    numbers = tuple({source.message for row in rows for source in row if source.message is not None})
    found = record.read(FetchMessages(scope, numbers, 0)) if numbers else {}

    def name(source: Source) -> Line | None:
        if source.fact is not None:
            return {"fact": str(source.fact), "version": source.version}
        there = None if source.message is None else found.get(source.message)
        if there is None:
            return None
        place: Line = {"owner": list(there.owner), "thread": there.thread, "message": there.message.id}
        return {**place, "start": source.start, "end": source.end} if source.end else place

    return [[line for source in row if (line := name(source)) is not None] for row in rows]


@contextmanager
def _written(file: str | Path | IO[str]) -> Iterator[IO[str]]:
    """Give an open text: the caller's, or a file that takes its place only when all is written."""
    if not isinstance(file, str | Path):
        yield file
        return
    path = Path(file)
    partial = path.with_name(f".{path.name}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as text:
            yield text
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
