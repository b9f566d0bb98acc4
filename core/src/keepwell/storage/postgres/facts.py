"""Facts as rows: what is written for a version, the fact that a row gives back, and the plans that read them."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from keepwell.errors import FactNotFound, InvalidQuery
from keepwell.formation.settle import mark
from keepwell.models import Fact, Facts, Owner, Quote, Source, Sources
from keepwell.models.codec import dumps, loads, searchable
from keepwell.storage import facts as seam
from keepwell.storage.postgres.rows import message_of
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

FACT_WIDTH = 14
"""How many columns ``@fact`` has."""
_PLAIN: Mapping[str, Any] = {"subject": "", "kind": "", "confidence": 1.0, "trust": "user", "metadata": {}}
"""What the body of a fact leaves out where it is so."""


def fact_of(row: Sequence[Any]) -> Fact:
    """Give the fact of a row of ``@fact`` columns."""
    _, ident, version, raw, user, agent, run, key, since, until, recorded, retired, expires, reopened = row[:FACT_WIDTH]
    body = {**_PLAIN, **loads(raw)}
    return Fact(
        id=UUID(str(ident)),
        version=version,
        text=body["text"],
        owner=Owner(user, agent, run),
        recorded_at=_utc(recorded),
        subject=body["subject"],
        kind=body["kind"],
        key=key or None,
        valid_from=since and _utc(since),
        valid_to=until and _utc(until),
        retired_at=retired and _utc(retired),
        expires_at=expires and _utc(expires),
        confidence=body["confidence"],
        trust=body["trust"],
        metadata=body["metadata"],
        reopened=reopened,
    )


def row_of(fact: Fact, n: int, terms: str, signals: str) -> dict[str, Any]:
    """Give the JSON object that ``write_facts`` reads; the body is text in it, see ``rows.Draft.row``."""
    body = {"text": fact.text} | {
        name: value for name, plain in _PLAIN.items() if (value := getattr(fact, name)) != plain
    }
    return {
        "n": n,
        "id": str(fact.id),
        "version": fact.version,
        "body": dumps(body),
        "fact_key": fact.key or "",
        "kind": plain_text(fact.kind),
        "actor": plain_text(fact.subject),
        "labels": json.dumps(searchable(fact.metadata)) if fact.metadata else None,
        "fingerprint": mark(fact.text, fact.kind, fact.key).hex(),
        "valid_from": _written(fact.valid_from),
        "valid_to": _written(fact.valid_to),
        "recorded_at": _written(fact.recorded_at),
        "retired_at": _written(fact.retired_at),
        "expires_at": _written(fact.expires_at),
        "reopened": fact.reopened,
        "terms": terms,
        "signals": signals,
    }


def source_rows(fact: UUID, version: int, sources: Iterable[Source]) -> list[dict[str, Any]]:
    """Give the JSON objects of a version's sources, each once."""
    return [
        {
            "fact": str(fact),
            "version": version,
            "message": source.message,
            "span_start": source.start,
            "span_end": source.end,
            "source_fact": None if source.fact is None else str(source.fact),
            "source_version": source.version,
        }
        for source in dict.fromkeys(sources)
    ]


def plain_text(text: str) -> str:
    """Give a text as columns of text can hold it: on one line, without what the database refuses."""
    return " ".join(str(searchable(text)).split())


def listing(walls: Walls, query: seam.ListFacts) -> Plan[Facts]:
    """Give one page of facts, and the mark of the next."""
    at, key = _read_mark(query.after)
    given: dict[str, Any] = {
        "at": at,
        "key": key,
        "versions": query.versions,
        "as_of": query.as_of,
        "valid_at": query.valid_at,
        "fact_key": query.key,
        "kind": None if query.kind is None else plain_text(query.kind),
        "subject": None if query.subject is None else plain_text(query.subject),
        "where": json.dumps(searchable(query.where)) if query.where else None,
        "limit": query.limit + 1,
    }
    if query.ids is None and query.rests_on is None:
        rows = yield walls.scoped("list_facts", query.scope, **given)
    else:
        on = query.rests_on or Source()
        rows = yield walls.scoped(
            "list_facts_of",
            query.scope,
            ids=None if query.ids is None else list(query.ids),
            message=on.message,
            source_fact=on.fact,
            source_version=on.version,
            resting=query.rests_on is not None,
            **given,
        )
    page = [fact_of(row) for row in rows[: query.limit]]
    return Facts(tuple(page), _mark(rows[query.limit - 1]) if len(rows) > query.limit else None)


def by_version(walls: Walls, scope: Any, named: Iterable[tuple[UUID, int]]) -> Plan[list[tuple[int, Fact]]]:  # noqa: ANN401 - a Scope
    """Give versions of facts that the scope sees, with their keys."""
    wanted = list(dict.fromkeys(named))
    if not wanted:
        return []
    rows = yield walls.scoped(
        "facts_by_version", scope, facts=[ident for ident, _ in wanted], versions=[number for _, number in wanted]
    )
    return [(row[0], fact_of(row)) for row in rows]


def fetch(walls: Walls, query: seam.FetchFacts) -> Plan[dict[int, Fact]]:
    """Give versions of facts by their negative keys."""
    rows = yield walls.scoped("fetch_facts", query.scope, keys=[-key for key in query.keys])
    return {-row[0]: fact_of(row) for row in rows}


def raw_sources(walls: Walls, query: seam.RawSources) -> Plan[dict[tuple[UUID, int], tuple[Source, ...]]]:
    """Give the sources of all versions of facts."""
    rows = yield walls.scoped("raw_sources", query.scope, facts=list(query.facts))
    found: dict[tuple[UUID, int], list[Source]] = {}
    for row in rows:
        rests = found.setdefault((UUID(str(row[0])), row[1]), [])
        if row[2] is not None or row[5] is not None:
            rests.append(source_of(row[2:]))
    return {name: tuple(sources) for name, sources in found.items()}


def source_of(row: Sequence[Any]) -> Source:
    """Give the source of a row: message, span, fact and version."""
    message, start, end, fact, version = row
    return Source(message, start, end, None if fact is None else UUID(str(fact)), version)


def sources(walls: Walls, query: seam.ReadSources) -> Plan[Sources]:
    """Give quotes and facts that a fact's version rests on, as far as the scope sees them."""
    raw = yield from raw_sources(walls, seam.RawSources(query.scope, (query.fact,)))
    version = max((known for _, known in raw), default=0) if query.version is None else query.version
    if (query.fact, version) not in raw:
        raise FactNotFound(f"there is no fact {query.fact} here")
    named = raw[query.fact, version]
    found = yield from by_version(walls, query.scope, ((s.fact, s.version) for s in named if s.fact is not None))
    messages = [source.message for source in named if source.message is not None]
    rows = []
    if messages:
        rows = yield walls.scoped("quoted", query.scope, keys=messages)
    places = {row[0]: row[1:] for row in rows}
    quotes = (
        Quote(message_of(place[4:]), place[0], Owner(*place[1:4]), source.start, source.end)
        for source in named
        if source.message is not None and (place := places.get(source.message))
    )
    return Sources(tuple(quotes), tuple(fact for _, fact in found))


def message_keys(walls: Walls, query: seam.MessageKeys) -> Plan[dict[tuple[UUID, str], int]]:
    """Give the numbers of messages."""
    placed = [(thread, ident) for thread, ident in query.messages if thread is not None]
    loose = [ident for thread, ident in query.messages if thread is None]
    rows = []
    if placed:
        threads, ids = [thread for thread, _ in placed], [ident for _, ident in placed]
        rows += yield walls.scoped("message_keys", query.scope, threads=threads, ids=ids)
    if loose:
        rows += yield walls.scoped("message_keys_anywhere", query.scope, ids=loose)
    return {(UUID(str(thread)), ident): key for thread, ident, key in rows}


def without_vectors(walls: Walls, query: seam.FactsWithoutVectors) -> Plan[tuple[seam.DueFact, ...]]:
    """Give the standing facts of due items that lack vectors."""
    wanted = {(item.owner, item.item) for item in query.items if item.kind == "embed"}
    ids = [UUID(item) for _, item in wanted if item]
    rows = yield walls.step("unembedded_facts", ids=ids, space=query.space)
    return tuple(
        seam.DueFact(-key, loads(body)["text"], str(version))
        for key, body, version, *owner, item in rows
        if (Owner(*owner), item) in wanted
    )


def _utc(at: dt.datetime) -> dt.datetime:
    return at.astimezone(dt.UTC)


def _written(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _mark(row: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(f"{_utc(row[10]).isoformat()} {row[0]}".encode()).decode()


def _read_mark(mark: str | None) -> tuple[dt.datetime | None, int | None]:
    if mark is None:
        return None, None
    try:
        at, key = base64.urlsafe_b64decode(mark).decode().split(" ")
        return dt.datetime.fromisoformat(at), int(key)
    except ValueError:
        raise InvalidQuery("after= takes the `next` of the page before") from None
