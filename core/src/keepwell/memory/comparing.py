"""Whether two tenants hold the same: how much there is of each kind, and a checksum over it in any order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any
from uuid import UUID

from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.models import Fact, Scope, Source, codec
from keepwell.storage.base import FetchMessages, Record
from keepwell.storage.copying import ReadMessageCopies, ReadRejectionCopies, ReadThreadCopies
from keepwell.storage.facts import ListFacts, RawSources, ReadHistory

Summary = Mapping[str, tuple[int, int]]
"""How many there are of each kind, and the sum of their checksums."""
KINDS = ("threads", "messages", "facts", "sources", "changes", "rejections")
EVERYONE = Scope(across_users=True)
_BATCH = 200
_WHOLE = 2**64


class _Sum:
    """How many rows there were, and the sum of their checksums: the same in whatever order they came."""

    def __init__(self) -> None:
        self.count = 0
        self.mark = 0

    def add(self, *said: object) -> None:
        digest = blake2b(codec.dumps(said).encode(), digest_size=8).digest()
        self.count += 1
        self.mark = (self.mark + int.from_bytes(digest)) % _WHOLE


def summary(record: Record) -> dict[str, tuple[int, int]]:
    """Give how much a tenant holds, and checksums over what can be carried to another store."""
    sums = {kind: _Sum() for kind in KINDS}
    _conversations(record, sums)
    _facts(record, sums)
    for change in pages(record, ReadHistory(EVERYONE, limit=MAX_PAGE, oldest_first=True)):
        before, after = (None if fact is None else fact.version for fact in (change.before, change.after))
        told = (change.kind, change.fact, change.reason, change.at, change.actor, change.batch, change.cause)
        sums["changes"].add(change.id, tuple(change.owner), before, after, *told)
    for one in record.read(ReadRejectionCopies()):
        sums["rejections"].add(tuple(one.view.owner), one.view.across_users, one.hash)
    return {kind: (one.count, one.mark) for kind, one in sums.items()}


def differences(one: Summary, other: Summary) -> tuple[str, ...]:
    """Give in what two tenants differ, a line each."""
    found: list[str] = []
    for kind in KINDS:
        (here, mark), (there, theirs) = one[kind], other[kind]
        if here != there:
            found.append(f"{kind}: {here:,} in the source, {there:,} in the target")
        elif mark != theirs:
            found.append(f"{kind}: {here:,} in both, but not the same")
    return tuple(found)


def _conversations(record: Record, sums: Mapping[str, _Sum]) -> None:
    after: UUID | None = None
    while threads := record.read(ReadThreadCopies(after, _BATCH)):
        for copy in threads:
            thread = copy.thread
            source = None if thread.source is None else (thread.source.thread, thread.source.seq)
            about = (thread.title, dict(thread.metadata), thread.created_at, thread.updated_at, source)
            sums["threads"].add(thread.key, tuple(thread.owner), thread.id, *about, copy.formed_to, dict(copy.policy))
            _messages(record, thread.key, sums["messages"])
        after = threads[-1].thread.key


def _messages(record: Record, thread: UUID, sum_: _Sum) -> None:
    after = 0
    while rows := record.read(ReadMessageCopies(thread, after, _BATCH)):
        for row in rows:
            said = {name: _plain(value) for name, value in row.message.__dict__.items()}
            sum_.add(thread, said, row.recorded_at, row.terms, row.signals, row.again, row.parked and row.parked[0])
        after = rows[-1].message.seq or 0


def _plain(value: Any) -> object:  # noqa: ANN401 - any field of a message
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return dict(value.__dict__) if hasattr(value, "__pydantic_fields_set__") else value


def _facts(record: Record, sums: Mapping[str, _Sum]) -> None:
    facts = pages(record, ListFacts(EVERYONE, versions=True, limit=MAX_PAGE))
    while batch := tuple(islice(facts, _BATCH)):
        raw = record.read(RawSources(EVERYONE, tuple({fact.id for fact in batch})))
        mine = {name: raw.get(name, ()) for name in ((fact.id, fact.version) for fact in batch)}
        for fact in batch:
            sums["facts"].add(*_said(fact))
        for name, said in _named(record, mine):
            sums["sources"].add(*name, *said)


def _said(fact: Fact) -> Iterator[object]:
    yield from (fact.id, fact.version, fact.text, tuple(fact.owner), fact.recorded_at, fact.subject, fact.kind)
    yield from (fact.key, fact.valid_from, fact.valid_to, fact.retired_at, fact.expires_at, fact.confidence)
    yield from (fact.trust, dict(fact.metadata), fact.reopened)


def _named(
    record: Record, raw: Mapping[tuple[UUID, int], Iterable[Source]]
) -> Iterator[tuple[tuple[UUID, int], tuple[object, ...]]]:
    """Give sources by what names them in both stores."""
    numbers = {source.message for sources in raw.values() for source in sources if source.message is not None}
    there = record.read(FetchMessages(EVERYONE, tuple(numbers), 0)) if numbers else {}
    for name, sources in raw.items():
        for source in sources:
            one = None if source.message is None else there.get(source.message)
            place = None if one is None else (tuple(one.owner), one.thread, one.message.id)
            yield name, (place, source.start, source.end, source.fact, source.version)
