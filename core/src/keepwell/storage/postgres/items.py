"""Plans for the items of key-value stores."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from keepwell.formation.settle import mark
from keepwell.models import Change, ChangeKind, Fact, Owner
from keepwell.models.codec import loads
from keepwell.models.items import ITEM, Item, namespace_of, place_of
from keepwell.storage import items as seam
from keepwell.storage.postgres import nearest, settling
from keepwell.storage.postgres.facts import row_of
from keepwell.storage.postgres.jsonpaths import jsonpath
from keepwell.storage.postgres.runner import FloatArray, Plan, Rows, Step
from keepwell.storage.postgres.walls import Walls

_NEARNESS = 0.75
"""What a vector counts beside words, where there is one."""
_FIRST = 50
"""So many of the best of a large stretch are found by the index; who asks for more has all of them compared."""
_WALKED = 100
"""How many the index gives, and how many are looked for by their words: twice as many as are asked for, at least."""
_BREADTH = 400
"""How widely the walk looks around."""
_DEARER = 6
"""What a vector costs on a walk over the index, against comparing an item (measured: 30 us against 5)."""
_ANY = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WIDTH = 10
"""How many columns ``@item`` has."""


def put(walls: Walls, change: seam.PutItems) -> Plan[tuple[ChangeKind, ...]]:
    """Put items under their owners' locks; facts that rest on a version which ends are looked at."""
    if change.space is not None:
        yield walls.step("hold_space", space=change.space)
    for owner in sorted({item.owner for item in change.items}):
        yield walls.step("hold_owner", owner)
    rows, given = _rows(change)
    found = yield walls.step("put_items", **given, alone=False)
    ended = {
        UUID(str(row[2])): _cause(change, given_row, UUID(str(row[2])))
        for row, given_row in zip(found, rows, strict=True)
        if row[1] in ("UPDATE", "DELETE")
    }
    if ended:
        yield from settling.follow(walls, ended)
    return tuple(row[1] for row in found)


def put_plainly(walls: Walls, change: seam.PutItems) -> Plan[tuple[ChangeKind, ...]]:
    """Put items by one statement.

    Raises:
        psycopg.errors.UniqueViolation: somebody else was quicker, or facts rest on what ends; see :func:`put`.
    """
    _, given = _rows(change)
    found = yield walls.step("put_items", **given, alone=True)
    return tuple(row[1] for row in found)


def _cause(change: seam.PutItems, row: Mapping[str, Any], fact: UUID) -> Change:
    owner = Owner(row["user_id"], row["agent_id"], row["run_id"])
    return Change(UUID(row["change"]), "UPDATE", fact, owner, None, None, "", _ANY, change.actor, change.batch)


def _rows(change: seam.PutItems) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Give the JSON objects that ``put_items`` reads, and all its parameters."""
    rows = [_row(item, n) for n, item in enumerate(change.items)]
    chunks = [(n, chunk, vector) for n, one in enumerate(change.items) for chunk, vector in enumerate(one.vectors)]
    return rows, {
        "items": json.dumps(rows),
        "embedded": [n for n, _, _ in chunks],
        "chunks": [chunk for _, chunk, _ in chunks],
        "vectors": FloatArray(np.concatenate([vector for _, _, vector in chunks])) if chunks else [],
        "space": -1 if change.space is None else change.space,
        **nearest.noting(),
        "actor": change.actor,
        "batch": change.batch,
    }


def _row(item: seam.ItemDraft, n: int) -> dict[str, Any]:
    place = {"n": n, **item.owner._asdict(), "path": item.path, "fingerprint": _mark(item.path).hex()}
    place |= {"id": str(uuid4()), "change": str(uuid4())}
    if item.value is None:
        return place
    fact = Fact(_NONE, 1, item.text, item.owner, _ANY, kind=ITEM, key=item.path, metadata=item.value)
    row = row_of(fact, n, item.terms, item.signals)
    return {
        **place,
        **{name: row[name] for name in ("body", "labels", "terms", "signals")},
        "ttl": item.ttl,
        "expires_at": _written(item.expires_at),
        "began_at": _written(item.created_at),
        "touched_at": _written(item.updated_at),
    }


_NONE = UUID(int=0)


def _mark(path: str) -> bytes:
    """Give what no two items of an owner have in common."""
    return mark("", ITEM, path)


def _written(at: dt.datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def keep(walls: Walls, change: seam.KeepItems) -> Plan[int]:
    """Let items live on."""
    ((count,),) = yield walls.step("keep_items", keys=list(change.numbers))
    return int(count)


def read(walls: Walls, query: seam.ReadItems) -> Plan[tuple[Item | None, ...]]:
    """Give items by their places."""
    if len(query.places) == 1:
        ((owner, path),) = query.places
        rows = yield walls.step("read_item", owner, path=path, mark=_mark(path))
        return (_item(rows[0]) if rows else None,)
    owners = [owner for owner, _ in query.places]
    rows = yield walls.step(
        "read_items",
        users=[owner.user_id for owner in owners],
        agents=[owner.agent_id for owner in owners],
        runs=[owner.run_id for owner in owners],
        paths=[path for _, path in query.places],
        marks=[_mark(path) for _, path in query.places],
    )
    found = {row[0]: _item(row[1:]) for row in rows}
    return tuple(found.get(n) for n in range(1, len(query.places) + 1))


def find(walls: Walls, query: seam.FindItems) -> Plan[tuple[Item, ...]]:
    """Give a page of items, the newest or the best first."""
    where, operands = (None, "{}") if query.where is None else jsonpath(query.where)
    given: dict[str, Any] = {
        **_stretch(query.prefix),
        "where": where,
        "operands": operands,
        "limit": query.limit,
        "offset": query.offset,
    }
    everybody = "" if query.owner is not None else "_of_all"
    if query.terms is None and query.vector is None:
        rows = yield walls.step(f"newest_items{everybody}", query.owner, **given)
        return tuple(_item(row) for row in rows)
    terms = list(dict.fromkeys(query.terms or ()))
    given |= {
        "terms": [f" {term} " for term in terms],
        "vector": None if query.vector is None else FloatArray(query.vector),
        "space": -1 if query.vector is None or query.space is None else query.space,
        "nearness": 0.0 if query.vector is None else _NEARNESS if terms else 1.0,
    }
    if query.owner is None:
        return _scored((yield walls.step("best_items_of_all", **given)))
    rows = yield walls.step("best_items", query.owner, **given, **_many(query))
    if rows or not _is_first(query):
        return _scored(rows)
    near = yield _nearest(walls, query, {**given, "terms": terms})
    if len(near) == query.limit and near[-1][_WIDTH] > near[-1][_WIDTH + 1]:
        return _scored(near)
    return _scored((yield walls.step("best_items", query.owner, **given, **{**_many(query), "first": False})))


def _is_first(query: seam.FindItems) -> bool:
    """Tell whether the index may be asked for a page: it gives the nearest only, and knows nothing of fields."""
    return query.vector is not None and query.where is None and query.offset + query.limit <= _FIRST


def _many(query: seam.FindItems) -> dict[str, Any]:
    """Give what tells whether items are too many to be compared."""
    return {
        "first": _is_first(query),
        "dimension": 0 if query.vector is None else len(query.vector),
        "large": nearest.LARGE,
        "share": _DEARER * _WALKED,
    }


def _nearest(walls: Walls, query: seam.FindItems, given: Mapping[str, Any]) -> Step:
    assert query.vector is not None  # noqa: S101 - nobody else's page is a first one
    walk = {"width": _WALKED, "breadth": _BREADTH, "scanned": nearest.MOST}
    text, values = walls.step("nearest_items", query.owner, **given, **walk)
    return nearest.for_dimension(text, walls.names, len(query.vector)), values


def _scored(rows: Rows) -> tuple[Item, ...]:
    return tuple(_item(row, row[_WIDTH]) for row in rows)


def namespaces(walls: Walls, query: seam.ListNamespaces) -> Plan[tuple[tuple[str, ...], ...]]:
    """Give the namespaces of a stretch."""
    name = "namespaces" if query.owner is not None else "namespaces_of_all"
    rows = yield walls.step(name, query.owner, **_stretch(query.prefix))
    return tuple(namespace_of(row[0]) for row in rows)


def _stretch(prefix: str) -> dict[str, str]:
    """Give the least path that begins so, and the least beyond them: a prefix ends in a slash, before the zero."""
    return {"least": prefix, "most": f"{prefix[:-1]}0"}


def _item(row: Sequence[Any], score: float | None = None) -> Item:
    key, user, agent, run, path, body, began, touched, expires, ttl = row[:_WIDTH]
    namespace, name = place_of(path)
    return Item(
        namespace,
        name,
        loads(body).get("metadata", {}),
        Owner(user, agent, run),
        began.astimezone(dt.UTC),
        touched.astimezone(dt.UTC),
        expires and expires.astimezone(dt.UTC),
        ttl,
        key,
        score,
    )
