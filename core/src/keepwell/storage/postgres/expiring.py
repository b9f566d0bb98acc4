"""The plan that removes what is past its time."""

from __future__ import annotations

import math

from keepwell.models import Owner, Receipt
from keepwell.storage import facts
from keepwell.storage.postgres import forgetting
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

_LONGEST = 365_000.0
"""Days: a retention beyond is no different, and a date before the calendar cannot be compared with."""


def days(retention: object) -> float | None:
    """Give a retention in days as SQL compares with it; None where it is no number that one could mean."""
    if isinstance(retention, bool) or not isinstance(retention, int | float):
        return None
    if math.isnan(retention) or retention < 0:
        return None
    return min(float(retention), _LONGEST)


def expire(walls: Walls, change: facts.Expire) -> Plan[Receipt]:
    """Forget facts past their time, and messages past their retention; owners are held before their threads."""
    old = yield walls.step("expired_facts", limit=change.limit)
    said = yield walls.step("expired_messages", days=days(change.days), limit=max(change.limit - len(old), 0))
    for ids in sorted({row[-3:] for row in (*old, *said)}):
        yield walls.step("hold_known_owner", Owner(*ids))
    threads = sorted({row[1] for row in said})
    if threads:
        yield walls.step("hold_threads", threads=threads)
    counts = yield from forgetting.remove(
        walls, threads, keys=[row[0] for row in said], roots=[row[0] for row in old], own=True
    )
    return forgetting.receipt(counts)
