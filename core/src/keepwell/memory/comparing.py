"""Whether two tenants hold the same: how much there is of each kind, and a checksum over it in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any
from uuid import UUID

from keepwell.memory.graph_carrying import entities_of, graph_changes_of, mentions_of, relations_of
from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.models import Fact, Scope, Source, codec
from keepwell.models.graph import Entity, GraphChange, Relation
from keepwell.storage.base import FetchMessages, Record
from keepwell.storage.copying import ReadMessageCopies, ReadRejectionCopies, ReadThreadCopies
from keepwell.storage.facts import ListFacts, RawSources, ReadHistory

Summary = Mapping[str, tuple[int, int]]
"""How many there are of each kind, and the sum of their checksums."""
KINDS = ("threads", "messages", "facts", "sources", "changes", "rejections")
GRAPH_KINDS = ("entities", "relations", "mentions", "graph_changes")
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


def summary(record: Record, *, graph: bool = False) -> dict[str, tuple[int, int]]:
    """Give how much a tenant holds, and checksums over what can be carried to another store; with ``graph`` its too."""
    sums = {kind: _Sum() for kind in (*KINDS, *(GRAPH_KINDS if graph else ()))}
    _conversations(record, sums)
    _facts(record, sums)
    for change in pages(record, ReadHistory(EVERYONE, limit=MAX_PAGE, oldest_first=True)):
        before, after = (None if fact is None else fact.version for fact in (change.before, change.after))
        told = (change.kind, change.fact, change.reason, change.at, change.actor, change.batch, change.cause)
        sums["changes"].add(change.id, tuple(change.owner), before, after, *told)
    for one in record.read(ReadRejectionCopies()):
        sums["rejections"].add(tuple(one.view.owner), one.view.across_users, one.hash)
    if graph:
        _graph(record, sums)
    return {kind: (one.count, one.mark) for kind, one in sums.items()}


def differences(one: Summary, other: Summary) -> tuple[str, ...]:
    """Give in what two tenants differ, a line each."""
    found: list[str] = []
    for kind in one:
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


# --- the graph


def _graph(record: Record, sums: Mapping[str, _Sum]) -> None:
    for entities in entities_of(record):
        for entity in entities:
            names = (sorted(entity.given), sorted(entity.aliases), entity.first_seen, entity.last_seen)
            sums["entities"].add(*_entity(entity), *names)
    for relations in relations_of(record):
        named = _places(record, (source for line in relations for source in line.sources))
        for line in relations:
            rests = sorted(repr(named(source)) for source in line.sources)
            sums["relations"].add(*_relation(line), line.retired_at, rests)
    for mentions in mentions_of(record):
        texts = [Source(one.mention.message, 0, 0, one.mention.fact, one.mention.version) for one in mentions]
        named = _places(record, texts)
        for copy, text in zip(mentions, texts, strict=True):
            one = copy.mention
            sums["mentions"].add(tuple(copy.owner), one.entity, named(text), one.start, one.end, one.surface, one.at)
    for changes in graph_changes_of(record):
        named = _places(record, (source for told in changes for source in told.change.sources))
        for told in changes:
            rests = sorted(repr(named(source)) for source in told.change.sources)
            sums["graph_changes"].add(*_change(told.change), sorted(told.told), rests)


def _entity(entity: Entity) -> tuple[object, ...]:
    state = (entity.merged_into, entity.retired_at, dict(entity.metadata))
    return (entity.id, tuple(entity.owner), entity.name, entity.type, entity.version, *state)


def _relation(line: Relation) -> tuple[object, ...]:
    ends = (line.subject, line.predicate, line.object)
    return (
        line.id,
        line.version,
        tuple(line.owner),
        *ends,
        line.valid_from,
        line.valid_to,
        line.recorded_at,
        line.given,
    )


def _change(change: GraphChange) -> Iterator[object]:
    yield from (change.id, change.kind, tuple(change.owner), change.entity, change.relation, change.other)
    yield from (change.reason, change.at, change.actor, change.batch, change.cause)
    yield sorted(str(entity) for _, entity in change.moved)
    for state in (change.before, change.after):
        yield _entity(state) if isinstance(state, Entity) else None if state is None else (state.id, state.version)


def _places(record: Record, sources: Iterable[Source]) -> Callable[[Source], tuple[object, ...]]:
    """Give a function that names what is rested on as it is named in every store."""
    numbers = {source.message for source in sources if source.message is not None}
    there = record.read(FetchMessages(EVERYONE, tuple(numbers), 0)) if numbers else {}

    def name(source: Source) -> tuple[object, ...]:
        found = None if source.message is None else there.get(source.message)
        place = None if found is None else (tuple(found.owner), found.thread, found.message.id)
        return (place, source.start, source.end, source.fact, source.version)

    return name
