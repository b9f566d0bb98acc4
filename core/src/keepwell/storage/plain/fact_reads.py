"""Every read of facts, their sources and their history, as a function on tables."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import FactNotFound, InvalidQuery
from keepwell.models import Changes, Fact, Facts, Quote, Rejection, Scope, Source, Sources, codec
from keepwell.storage.facts import (
    FetchFacts,
    ListFacts,
    ListRejections,
    MessageKeys,
    RawSources,
    ReadHistory,
    ReadSources,
)
from keepwell.storage.plain.facts import Event, Kept
from keepwell.storage.plain.tables import Tables, contains

Place = tuple[dt.datetime, int]


def list_facts(tables: Tables, query: ListFacts) -> Facts:
    """Give the page of facts that comes after the mark."""
    start = _place(query.after)
    found = [one for one in tables.versions(query.scope).values() if _held(one, query) and _asked(one, query)]
    found = [one for one in found if start is None or _fact_place(one) < start]
    found.sort(key=_fact_place, reverse=True)
    page = found[: query.limit]
    following = _mark(_fact_place(page[-1])) if page and len(found) > query.limit else None
    return Facts(tuple(one.row.view for one in page), following)


def _fact_place(one: Kept) -> Place:
    return one.fact.recorded_at, one.row.number


def _held(one: Kept, query: ListFacts) -> bool:
    """Tell whether it is one of the versions that are asked for."""
    if query.as_of is not None:
        return one.row.held(query.as_of)
    return query.versions or one.fact.stands


def _asked(one: Kept, query: ListFacts) -> bool:
    fact = one.fact
    return (
        (query.ids is None or fact.id in query.ids)
        and query.key in (None, fact.key)
        and query.kind in (None, fact.kind)
        and query.subject in (None, fact.subject)
        and (query.valid_at is None or _true(fact, query.valid_at))
        and (query.rests_on is None or any(_names(source, query.rests_on) for source in one.sources))
        and contains(one.row.labels, codec.searchable(query.where))
    )


def _true(fact: Fact, at: dt.datetime) -> bool:
    """Tell whether it was true at that instant, as far as dates are known."""
    began = fact.valid_from is None or fact.valid_from <= at
    return began and (fact.valid_to is None or at < fact.valid_to)


def _names(source: Source, asked: Source) -> bool:
    if asked.message is not None:
        return source.message == asked.message
    return source.fact == asked.fact and asked.version in (0, source.version)


def fetch_facts(tables: Tables, query: FetchFacts) -> dict[int, Fact]:
    """Give versions by key."""
    versions = tables.versions(query.scope)
    return {key: versions[key].row.view for key in query.keys if key in versions}


def read_sources(tables: Tables, query: ReadSources) -> Sources:
    """Give what a version rests on, as far as the scope sees it."""
    mine = [one for one in tables.versions(query.scope).values() if one.fact.id == query.fact]
    asked = [one for one in mine if query.version in (None, one.fact.version)]
    if not asked:
        raise FactNotFound(f"there is no fact {query.fact} here")
    return _sources(tables, query.scope, max(asked, key=lambda one: one.fact.version).sources)


def _sources(tables: Tables, scope: Scope, sources: tuple[Source, ...]) -> Sources:
    entries = tables.entries(scope)
    quotes = [
        Quote(entry.row.message, talk.thread.id, talk.thread.owner, source.start, source.end)
        for source in sources
        if source.message in entries
        for talk, entry in (entries[source.message],)
    ]
    named = (tables.facts.get((source.fact, source.version)) for source in sources if source.fact is not None)
    facts = [one.row.view for one in named if one is not None and scope.covers(one.fact.owner)]
    return Sources(tuple(quotes), tuple(facts))


def raw_sources(tables: Tables, query: RawSources) -> dict[tuple[UUID, int], tuple[Source, ...]]:
    """Give the sources of every version of these facts, as they are kept."""
    versions = tables.versions(query.scope).values()
    return {(one.fact.id, one.fact.version): one.sources for one in versions if one.fact.id in query.facts}


def read_history(tables: Tables, query: ReadHistory) -> Changes:
    """Give the page of changes that comes after the mark."""
    start = _place(query.after)
    found = [one for one in tables.changes.values() if query.scope.covers(one.owner) and _told(one, query)]
    if start is not None:
        found = [one for one in found if (_place_of(one) > start if query.oldest_first else _place_of(one) < start)]
    found.sort(key=_place_of, reverse=not query.oldest_first)
    page = found[: query.limit]
    following = _mark(_place_of(page[-1])) if page and len(found) > query.limit else None
    return Changes(tuple(one.view(tables.facts) for one in page), following)


def _place_of(one: Event) -> Place:
    return one.at, one.number


def _told(one: Event, query: ReadHistory) -> bool:
    return (
        query.fact in (None, one.fact)
        and (query.ids is None or one.id in query.ids)
        and query.batch in (None, one.batch)
        and query.actor in (None, one.actor)
        and query.cause in (None, one.cause)
        and (query.since is None or one.at >= query.since)
        and (query.until is None or one.at < query.until)
    )


def _mark(place: Place) -> str:
    return json.dumps([place[0].isoformat(), place[1]])


def _place(mark: str | None) -> Place | None:
    if mark is None:
        return None
    try:
        at, number = json.loads(mark)
        return dt.datetime.fromisoformat(at), int(number)
    except (ValueError, TypeError):
        raise InvalidQuery("after is not the mark of a page of facts or changes") from None


def list_rejections(tables: Tables, query: ListRejections) -> tuple[Rejection, ...]:
    """Give what views of the scope have rejected, newest first."""
    found = [one.seen for one in tables.refusals.values() if one.within(query.scope)]
    return tuple(sorted(found, key=lambda one: (one.at, one.id), reverse=True))


def message_keys(tables: Tables, query: MessageKeys) -> dict[tuple[UUID, str], int]:
    """Give the numbers of messages of the scope."""
    talks = list(tables.covered(query.scope))
    return {
        (talk.thread.key, message): talk.entries[message].row.key
        for thread, message in query.messages
        for talk in talks
        if thread in (None, talk.thread.key) and message in talk.entries
    }


FACT_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {
        ListFacts: list_facts,
        FetchFacts: fetch_facts,
        ReadSources: read_sources,
        RawSources: raw_sources,
        ReadHistory: read_history,
        ListRejections: list_rejections,
        MessageKeys: message_keys,
    }
)
