"""Reads of facts, of what they rest on, and of their history."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import UUID

from keepwell.errors import FactNotFound, InvalidQuery
from keepwell.models import Changes, Fact, Facts, Quote, Rejection, Scope, Source, Sources, codec
from keepwell.storage.facts import FetchFacts, ListFacts, ListRejections, RawSources, ReadHistory, ReadSources
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.gathering import Gathering
from keepwell.storage.neo4j.reading import MORE
from keepwell.storage.neo4j.work import Row, Work
from keepwell.storage.plain.fact_reads import list_rejections as plain_rejections
from keepwell.storage.plain.facts import Kept
from keepwell.storage.plain.tables import contains

Place = tuple[int | None, int | None]


def list_facts(work: Work, query: ListFacts) -> Facts:
    """Give the page of facts that comes after the mark."""
    where, asked = codec.searchable(query.where), _asked(query)
    at, number = _place(query.after)
    found: list[tuple[Row, Fact]] = []
    size = query.limit + 1 if not query.where else MORE
    while len(found) <= query.limit:
        rows = work.of_scope("page_facts", query.scope, **asked, at=at, number=number, limit=size)
        page = [(row["fact"], nodes.fact_out(row["fact"])) for row in rows]
        found += [one for one in page if contains(codec.searchable(one[1].metadata), where)]
        if len(rows) < size:
            break
        at, number = _fact_place(rows[-1]["fact"])
    following = _mark(*_fact_place(found[query.limit - 1][0])) if len(found) > query.limit else None
    return Facts(tuple(fact for _, fact in found[: query.limit]), following)


def _fact_place(node: Row) -> tuple[int, int]:
    return node["recorded_at"], node["number"]


def _asked(query: ListFacts) -> dict[str, Any]:
    rests_on = query.rests_on or Source()
    on_message = rests_on.message is not None
    return {
        "ids": None if query.ids is None else [str(ident) for ident in query.ids],
        "fact_key": query.key,
        "kind": nodes.maybe(nodes.text_in, query.kind),
        "subject": nodes.maybe(nodes.text_in, query.subject),
        "all": query.versions and query.as_of is None,
        "as_of": nodes.maybe(nodes.micros, query.as_of),
        "valid_at": nodes.maybe(nodes.micros, query.valid_at),
        "message": rests_on.message,
        "fact": None if on_message else nodes.maybe(str, rests_on.fact),
        "version": rests_on.version,
    }


def fetch_facts(work: Work, query: FetchFacts) -> dict[int, Fact]:
    """Give versions by key."""
    rows = work.of_scope("facts_by_number", query.scope, numbers=[-key for key in query.keys if key < 0])
    found = {-row["fact"]["number"]: nodes.fact_out(row["fact"]) for row in rows}
    return {key: found[key] for key in query.keys if key in found}


def read_sources(work: Work, query: ReadSources) -> Sources:
    """Give what a version rests on, as far as the scope sees it."""
    asked = [one for one in _versions(work, query.scope, [query.fact]) if query.version in (None, one.fact.version)]
    if not asked:
        raise FactNotFound(f"there is no fact {query.fact} here")
    sources = max(asked, key=lambda one: one.fact.version).sources
    keys = [source.message for source in sources if source.message is not None]
    told = {row["key"]: row for row in work.of_scope("quotes", query.scope, keys=keys)}
    quotes = [_quote(told[source.message], source) for source in sources if source.message in told]
    ids = {source.fact for source in sources if source.fact is not None}
    facts = {(one.fact.id, one.fact.version): one.fact for one in _versions(work, query.scope, ids)}
    named = (facts.get((source.fact, source.version)) for source in sources if source.fact is not None)
    return Sources(tuple(quotes), tuple(fact for fact in named if fact is not None))


def _quote(row: Row, source: Source) -> Quote:
    thread = nodes.thread_out(row["thread"])
    return Quote(nodes.message_out(row["body"]), thread.id, thread.owner, source.start, source.end)


def _versions(work: Work, scope: Scope, ids: Any) -> list[Kept]:  # noqa: ANN401 - ids of facts
    rows = work.of_scope("facts_of_scope_by_id", scope, ids=[str(ident) for ident in ids])
    return [nodes.kept_out(row["fact"]) for row in rows]


def raw_sources(work: Work, query: RawSources) -> dict[tuple[UUID, int], tuple[Source, ...]]:
    """Give the sources of every version of these facts, as they are kept."""
    return {(one.fact.id, one.fact.version): one.sources for one in _versions(work, query.scope, query.facts)}


def read_history(work: Work, query: ReadHistory) -> Changes:
    """Give the page of changes that comes after the mark."""
    at, number = _place(query.after)
    asked = {
        "fact": nodes.maybe(str, query.fact),
        "ids": None if query.ids is None else [str(ident) for ident in query.ids],
        "batch": nodes.maybe(str, query.batch),
        "actor": nodes.maybe(nodes.text_in, query.actor),
        "cause": nodes.maybe(str, query.cause),
        "since": nodes.maybe(nodes.micros, query.since),
        "until": nodes.maybe(nodes.micros, query.until),
    }
    name = "page_changes_oldest" if query.oldest_first else "page_changes_newest"
    rows = work.of_scope(name, query.scope, **asked, at=at, number=number, limit=query.limit + 1)
    page = [row["change"] for row in rows[: query.limit]]
    gathering = Gathering(work)
    gathering.facts({node["fact"] for node in page})
    following = _mark(page[-1]["at"], page[-1]["number"]) if len(rows) > query.limit else None
    return Changes(tuple(nodes.change_out(node, gathering.tables.facts) for node in page), following)


def _mark(at: int, number: int) -> str:
    return json.dumps([nodes.instant(at).isoformat(), number])


def _place(mark: str | None) -> Place:
    if mark is None:
        return None, None
    try:
        at, number = json.loads(mark)
        return nodes.micros(dt.datetime.fromisoformat(at)), int(number)
    except (ValueError, TypeError):
        raise InvalidQuery("after is not the mark of a page of facts or changes") from None


def list_rejections(work: Work, query: ListRejections) -> tuple[Rejection, ...]:
    """Give what views of the scope have rejected, newest first."""
    gathering = Gathering(work)
    gathering.refusals(work.of_scope("rejections_of_scope", query.scope))
    return plain_rejections(gathering.tables, query)
