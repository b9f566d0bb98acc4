"""The plan that removes what is past its time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from keepwell.models import Owner, Receipt
from keepwell.storage import facts
from keepwell.storage.postgres import forgetting
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.walls import Walls

_LONGEST = 365_000.0
"""Days: a retention beyond is no different, and a date before the calendar cannot be compared with."""

_THREADS = 200
"""So many threads are looked at in one step."""


def days(retention: object) -> float | None:
    """Give a retention in days as SQL compares with it; None where it is no number that one could mean."""
    if isinstance(retention, bool) or not isinstance(retention, int | float):
        return None
    if math.isnan(retention) or retention < 0:
        return None
    return min(float(retention), _LONGEST)


def expire(walls: Walls, change: facts.Expire) -> Plan[Receipt]:
    """Forget facts past their time, and messages past their retention; owners are held before their threads.

    How old a thread's messages are is known by a bound that may be too early: such threads are looked at, the bound
    is put right, and the next ones come.
    """
    old = yield walls.step("expired_facts", limit=change.limit)
    room = change.limit - len(old)
    while True:
        threads: Rows = []
        if room > 0:
            threads = yield walls.step("expired_threads", days=days(change.days), limit=_THREADS)
        for ids in sorted({tuple(row[1:4]) for row in (*old, *threads)}):
            yield walls.step("hold_known_owner", Owner(*ids))
        # An item may have been put again before its owner was held.
        over = [key for (key,) in (yield walls.step("expired_still", facts=[row[0] for row in old]))] if old else []
        gone = yield from _remove(walls, threads, over, room)
        if sum(gone.values()) or not threads:
            return forgetting.receipt(gone)


def _remove(walls: Walls, threads: Rows, old: Sequence[UUID], room: int) -> Plan[dict[str, int]]:
    if not threads:
        return (yield from forgetting.remove(walls, (), roots=old, own=True))
    named = [row[0] for row in threads]
    yield walls.step("hold_threads", threads=named)
    rows = yield walls.step("expired_messages", threads=named, ages=[row[4] for row in threads], limit=room)
    gone = yield from forgetting.remove(walls, named, keys=[key for (key,) in rows], roots=old, own=True)
    yield walls.step("note_oldest", threads=named)
    return gone
