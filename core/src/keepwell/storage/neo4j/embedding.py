"""Vectors: what is due, what is kept, and which space is in use. Whoever keeps vectors holds the tenant's revision."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from keepwell.errors import Conflict, EmbedderMismatch
from keepwell.storage.base import (
    ActiveSpace,
    DueBatch,
    DueText,
    FindDue,
    FindMissing,
    OpenSpace,
    PostTerms,
    PutVectors,
    Space,
    SwitchSpace,
    VectorRow,
)
from keepwell.storage.facts import DueFact, FactsWithoutVectors
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.nearest import note_all_large, note_large
from keepwell.storage.neo4j.work import Row, Work, column
from keepwell.storage.plain.tables import now

_NOTED_EVERY: Final = 256
"""After so many messages of a thread it is looked at whether its user has become one of those who have many."""


def spaces(work: Work) -> dict[int, Space]:
    """Give the tenant's spaces by key."""
    return {row["key"]: Space(row["key"], row["model"], row["dimension"]) for row in work.rows("spaces")}


def active(work: Work) -> int | None:
    """Give the key of the space in use."""
    found = work.rows("tenant")
    return found[0]["tenant"].get("active") if found else None


def active_space(work: Work, _: ActiveSpace) -> Space | None:
    """Give the space in use."""
    key = active(work)
    return None if key is None else spaces(work)[key]


def open_space(work: Work, change: OpenSpace) -> Space:
    """Give the space of that model and dimension; the first becomes the one in use."""
    work.ledger()
    for space in spaces(work).values():
        if (space.model, space.dimension) == (change.model, change.dimension):
            return space
    made = Space(next(work.numbers), change.model, change.dimension)
    work.rows("make_space", key=made.key, model=made.model, dimension=made.dimension)
    # Vectors of the first space are asked for as soon as it is in use: nobody may look at the tenant meanwhile.
    work.take_rev()
    if active(work) is None:
        work.rows("activate", key=made.key)
    return made


def switch_space(work: Work, change: SwitchSpace) -> None:
    """Make a complete space the only one."""
    work.ledger()
    work.take_rev()
    if change.space not in spaces(work):
        raise Conflict("there is no such space")
    (row,) = work.rows("behind", space=change.space)
    if row["behind"]:
        raise Conflict("the new space lacks vectors")
    work.rows("activate", key=change.space)
    work.rows("drop_other_vectors", space=change.space)
    work.rows("drop_other_spaces", space=change.space)
    work.rows("see_all", space=change.space)
    note_all_large(work)


def put_vectors(work: Work, change: PutVectors) -> bool:
    """Keep vectors of what is there as it was embedded, and note what was looked at in the space in use."""
    known = spaces(work)
    if change.space not in known:
        return False
    _check(known[change.space], change.rows)
    work.take_rev()
    if change.space not in spaces(work):  # it was dropped meanwhile
        return False
    kept = _keep(work, change)
    if change.space != active(work):
        return False
    if kept >= {row.message for row in change.rows if row.message > 0}:
        spans = [{"thread": str(thread), "first": first, "last": last} for thread, (first, last) in change.done.items()]
        work.each("see", "rows", spans)
    passed = [key for key, (first, last) in change.done.items() if first // _NOTED_EVERY != (last + 1) // _NOTED_EVERY]
    note_large(work, passed)
    return True


def _check(space: Space, rows: Sequence[VectorRow]) -> None:
    for row in rows:
        if row.vector.shape != (space.dimension,):
            raise EmbedderMismatch(f"a vector of shape {row.vector.shape} is not of {space.model}")


def _keep(work: Work, change: PutVectors) -> set[int]:
    """Keep what can be kept, and give the numbers of the messages whose vectors were."""
    rows: dict[int, list[VectorRow]] = defaultdict(list)
    for row in change.rows:
        rows[row.message].append(row)
    found = work.each("embeddable_messages", "items", [item for item in rows if item > 0])
    found = [node for node in found if all(row.version in ("", str(node["rev"])) for row in rows[node["item"]])]
    facts = work.each("embeddable_facts", "items", [item for item in rows if item < 0])
    for nodes_found, kind in ((found, "message"), (facts, "fact")):
        made = [_vector(work, node, row, change.space) for node in nodes_found for row in rows[node["item"]]]
        work.each(f"keep_{kind}_vectors", "rows", made)
    at = now()
    lags = [{"key": node["item"], "notes": {"found_after": _after(node, at)}} for node in found if _is_first(node)]
    work.each("note_messages", "rows", lags)
    return {node["item"] for node in found}


def _vector(work: Work, node: Row, row: VectorRow, space: int) -> dict[str, Any]:
    made = nodes.vector_in(work.tenant, nodes.owner_of(node), row.message, (space, row.chunk), row.vector)
    return {**made, "rev": work.rev}


def _is_first(node: Row) -> bool:
    return node["found_after"] is None


def _after(node: Row, at: dt.datetime) -> float:
    return max(0.0, (at - nodes.instant(node["recorded_at"])).total_seconds())


def find_due(work: Work, query: FindDue) -> DueBatch:
    """Give texts without vectors, oldest threads first, and the spans that were looked through for them."""
    name = "due_texts" if active(work) == query.space else "all_texts"
    texts: list[DueText] = []
    spans: dict[UUID, tuple[int, int]] = {}
    for row in work.rows(name, space=query.space, limit=query.limit):
        thread = UUID(row["thread"])
        first, _ = spans.get(thread, (row["seq"], 0))
        spans[thread] = (first, row["seq"])
        if row["lacks"]:
            texts.append(_due(row))
    return DueBatch(tuple(texts), spans)


def _due(row: Row) -> DueText:
    text = nodes.message_out(row["body"]).text
    return DueText(row["key"], UUID(row["thread"]), row["seq"], text, str(row["rev"]))


def find_missing(work: Work, query: FindMissing) -> tuple[DueText, ...]:
    """Give messages and then standing facts with terms and without vectors, by number."""
    found: list[DueText] = []
    if query.after >= 0:
        rows = work.rows("missing_messages", space=query.space, after=query.after, limit=query.limit)
        found = [_due(row) for row in rows]
    if len(found) < query.limit:
        after, limit = max(0, -query.after), query.limit - len(found)
        for row in work.rows("missing_facts", space=query.space, after=after, limit=limit):
            found.append(DueText(-row["number"], UUID(row["id"]), 0, nodes.text_out(row["text"])))
    return tuple(found)


def facts_without_vectors(work: Work, query: FactsWithoutVectors) -> tuple[DueFact, ...]:
    """Give the standing facts of these items that have no vectors of the space."""
    ids = [item.item for item in query.items if item.kind == "embed"]
    rows = work.rows("facts_without_vectors", space=query.space, ids=ids)
    return tuple(DueFact(-row["number"], nodes.text_out(row["text"]), "") for row in rows)


def post_terms(work: Work, change: PostTerms) -> int:
    """Note how far postings reach; here they only count in receipts."""
    if change.thread is not None:
        keys = [str(change.thread)]
    else:
        keys = column(work.rows("unposted", limit=change.limit), "key")
    if not keys:
        return 0
    (row,) = work.rows("post", keys=keys)
    note_large(work, keys)
    return int(row["count"])
