"""Plans for a projection of the graph: what changed, in its present state, and all that there is."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from keepwell.errors import InvalidQuery
from keepwell.models.codec import loads
from keepwell.storage import graph as seam
from keepwell.storage.postgres.nearest import floats
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.walls import Walls

_MARK_DIGITS = 8
"""Of the hexadecimal digits of a hash: 32 bits."""


def projection(walls: Walls, query: seam.ReadProjection) -> Plan[seam.Projection | None]:  # noqa: ARG001 - it has no fields
    """Give the tenant's projection."""
    rows = yield walls.step("read_projection")
    return seam.Projection(*rows[0]) if rows else None


def set_projection(walls: Walls, change: seam.SetProjection) -> Plan[None]:
    """Begin or end to note what changes."""
    held = yield walls.step("hold_projection")
    if held and held[0][0] == change.target:
        return
    yield walls.step("drop_outbox")
    if change.target is None:
        yield walls.step("drop_projection")
    else:
        yield walls.step("set_projection", target=change.target)


def read(walls: Walls, query: seam.ReadOutbox) -> Plan[seam.Outbox]:
    """Give the next of what changed."""
    stamp, identity = yield from _stamp(walls)
    xid, number = _position(query.after)
    rows = yield walls.step("read_outbox", xid=xid, number=number, limit=query.limit)
    names = dict.fromkeys((kind, ident) for kind, ident, _, _ in rows)
    states = yield from _states(walls, names)
    position = f"{rows[-1][2]}/{rows[-1][3]}" if rows else None
    found = tuple(states.get(name, seam.Projected(*name)) for name in names)
    return seam.Outbox(found, position, stamp, identity, more=len(rows) == query.limit)


def prune(walls: Walls, change: seam.PruneOutbox) -> Plan[int]:
    """Drop what was noted up to a position."""
    xid, number = _position(change.upto)
    ((count,),) = yield walls.step("prune_outbox", xid=xid, number=number)
    return int(count)


def scan(walls: Walls, query: seam.ScanProjected) -> Plan[seam.Outbox]:
    """Give a page of all that there is of a kind, or those of these ids."""
    stamp, identity = yield from _stamp(walls)
    if query.ids is not None:
        names = dict.fromkeys((query.kind, ident) for ident in query.ids)
        states = yield from _states(walls, names)
        found = tuple(states.get(name, seam.Projected(*name)) for name in names)
        return seam.Outbox(found, None, stamp, identity)
    # The page first, and then what each says: states are dear, and a plan that sorts would make all of them.
    rows = yield walls.step(f"scan_{query.kind}", after=query.after, limit=query.limit)
    states = yield from _states(walls, ((query.kind, row[0]) for row in rows))
    page = tuple(states[query.kind, row[0]] for row in rows if (query.kind, row[0]) in states)
    return seam.Outbox(page, rows[-1][0] if rows else None, stamp, identity, more=len(rows) == query.limit)


def tally(walls: Walls, query: seam.CountProjected) -> Plan[dict[seam.ProjectedKind, seam.Tally]]:  # noqa: ARG001 - see projection
    """Count all that there is, kind by kind."""
    found: dict[seam.ProjectedKind, seam.Tally] = {}
    for kind in seam.PROJECTED_KINDS:
        ((count, checksum),) = yield walls.step(f"tally_{kind}")
        found[kind] = seam.Tally(count, checksum)
    return found


def _stamp(walls: Walls) -> Plan[tuple[int, str]]:
    """Give how many transactions had ended, before anything else is read."""
    ((stamp, identity),) = yield walls.step("stamp")
    return stamp, identity or ""


_Name = tuple[seam.ProjectedKind, str]


def _states(walls: Walls, names: Iterable[_Name]) -> Plan[dict[_Name, seam.Projected]]:
    """Give the states of what is there."""
    ids: dict[seam.ProjectedKind, list[str]] = defaultdict(list)
    for kind, ident in names:
        ids[kind].append(ident)
    found: dict[_Name, seam.Projected] = {}
    for kind, wanted in ids.items():
        rows: Rows = yield walls.step(f"projected_{kind}", ids=wanted)
        found |= {(kind, row[0]): _projected(kind, *row) for row in rows}
    return found


def _projected(kind: seam.ProjectedKind, ident: str, state: str, embedding: bytes | None = None) -> seam.Projected:
    mark = int(sha256(state.encode()).hexdigest()[:_MARK_DIGITS], 16)
    properties = _properties(state)
    if kind == "entity":
        vector = floats(embedding)
        properties["embedding"] = None if vector is None else vector.tolist()
    return seam.Projected(kind, ident, mark, properties)


def _properties(state: str) -> dict[str, Any]:
    """Read a state; what only the codec can say (a text's lone surrogates) is said by it."""
    said = json.loads(state)
    return {name: loads(json.dumps(value)) if name == "text" else value for name, value in said.items()}


def _position(mark: str | None) -> tuple[str, int]:
    if mark is None:
        return "0", 0
    xid, _, number = mark.partition("/")
    if not (xid.isdigit() and number.isdigit()):
        raise InvalidQuery("a position of the outbox is what an earlier reading gave")
    return xid, int(number)
