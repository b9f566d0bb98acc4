"""Plans that read messages."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from keepwell.models import Message, Owner
from keepwell.storage import base
from keepwell.storage.postgres.rows import message_of
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.schema import latest
from keepwell.storage.postgres.walls import Walls

_NO_LIMIT = 2**62
_SLACK = 64
"""How many numbers a stretch has beyond twice what is asked: deleted messages leave gaps. Too few are read anew."""


def messages(walls: Walls, query: base.ReadMessages) -> Plan[list[Message]]:
    """Give messages of a thread, oldest first."""
    span = {
        "after": min(max(query.after or 0, 0), _NO_LIMIT // 4),
        "before": _NO_LIMIT if query.before is None else max(0, min(query.before, _NO_LIMIT)),
        "since": query.since,
        "until": query.until,
    }
    newest = query.last is not None
    limit = min(_NO_LIMIT, _NO_LIMIT if (asked := query.last if newest else query.first) is None else asked)
    bounded = limit < _NO_LIMIT and query.since is None and query.until is None
    rows: Rows = []
    for width in (2 * limit + _SLACK, _NO_LIMIT // 2) if bounded else (_NO_LIMIT // 2,):
        rows = yield walls.step(
            "read_newest" if newest else "read_oldest",
            query.owner,
            thread=query.thread,
            limit=limit,
            width=min(width, _NO_LIMIT // 2),
            **span,
        )
        if len(rows) == limit or (newest and rows and rows[-1][0] == 1):
            break
    found = [message_of(row) for row in rows]
    return found[::-1] if newest else found


def around(walls: Walls, query: base.ReadAround) -> Plan[list[Message]]:
    """Give messages by id, with neighbours."""
    rows = yield walls.step(
        "read_around",
        query.owner,
        thread=query.thread,
        ids=list(query.ids),
        before=min(query.before, _NO_LIMIT),
        after=min(query.after, _NO_LIMIT),
    )
    return [message_of(row) for row in rows]


def fetch(walls: Walls, query: base.FetchMessages) -> Plan[dict[int, base.Found]]:
    """Give recalled messages as they are now."""
    rows = yield walls.scoped("fetch", query.scope, keys=list(query.keys), neighbours=min(query.neighbours, _NO_LIMIT))
    places: dict[int, dict[int, list[tuple[Any, ...]]]] = defaultdict(lambda: {-1: [], 0: [], 1: []})
    for row in rows:
        places[row[0]][row[1]].append(row)
    return {key: _found(near) for key, near in places.items() if near[0]}


def _found(near: dict[int, list[tuple[Any, ...]]]) -> base.Found:
    hit = near[0][0]
    before, after = (tuple(message_of(row[6:]) for row in near[place]) for place in (-1, 1))
    return base.Found(message_of(hit[6:]), hit[2], Owner(*hit[3:6]), before, after)


def status(walls: Walls, query: base.ReadStatus) -> Plan[base.TenantStatus]:  # noqa: ARG001 - it has no fields
    """Count what a tenant holds."""
    ((owners, threads, count, vectors, version, role, bypassed),) = yield walls.step("status")
    ((due, oldest),) = yield walls.step("due")
    space = yield walls.step("active_space")
    return base.TenantStatus(
        server=f"PostgreSQL {version}",
        schema_version=latest(),
        row_security="bypassed" if bypassed else "enforced",
        role=role,
        owners=owners,
        threads=threads,
        messages=count,
        vectors=vectors,
        due=due,
        oldest_due=oldest,
        space=base.Space(*space[0]) if space else None,
    )
