"""Plans for work that is not of a thread, for what models cost, and for what is tidied away."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Any

from keepwell.models import Owner
from keepwell.storage import base, facts
from keepwell.storage.postgres import forgetting
from keepwell.storage.postgres.rows import storable
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls

CALLS_KEPT = dt.timedelta(days=90)
"""For how long it is known what models cost."""
_SECRET_BYTES = 32


def put(walls: Walls, change: facts.PutDue) -> Plan[None]:
    """Note work."""
    if change.items:
        yield walls.step("put_due", at=change.at, **_columns(change.items))


def put_items(walls: Walls, items: Sequence[facts.DueItem]) -> Plan[None]:
    """Note work that is due at once."""
    yield from put(walls, facts.PutDue(tuple(items)))


def take(walls: Walls, change: facts.TakeDue) -> Plan[tuple[facts.DueItem, ...]]:
    """Take work that is due, and hide it from others."""
    rows = yield walls.step("take_due", kinds=list(change.kinds), lease=change.lease, limit=change.limit)
    return tuple(facts.DueItem(kind, Owner(*ids), item, attempts) for kind, *ids, item, attempts in rows)


def finish(walls: Walls, change: facts.FinishDue) -> Plan[None]:
    """Take work off, or put it off."""
    if not change.items:
        return
    if change.error is None and change.again is None:
        yield from finish_items(walls, change.items)
    else:
        error = None if change.error is None else storable(change.error)
        yield walls.step("put_off_due", error=error, again=change.again, **_columns(change.items))
    yield from record_calls(walls, change.items[0].owner, change.calls)


def finish_items(walls: Walls, items: Sequence[facts.DueItem]) -> Plan[None]:
    """Take work off that is done; what was noted again since it was taken stays."""
    if items:
        yield walls.step("finish_due", **_columns(items))


def record_calls(walls: Walls, owner: Owner, calls: Sequence[facts.ModelCall]) -> Plan[None]:
    """Keep what models were asked for an owner, and what it cost."""
    if calls:
        yield walls.step(
            "record_calls",
            owner,
            models=[storable(call.model) for call in calls],
            purposes=[storable(call.purpose) for call in calls],
            inputs=[call.input_tokens for call in calls],
            outputs=[call.output_tokens for call in calls],
            seconds=[call.seconds for call in calls],
            oks=[call.ok for call in calls],
        )


def spent(walls: Walls, query: facts.ReadSpent) -> Plan[tuple[facts.Spent, ...]]:
    """Add up model calls, owner by owner."""
    if query.owner is None:
        rows = yield walls.step("spent", since=query.since, limit=query.limit)
    else:
        rows = yield walls.step("spent_by", query.owner, since=query.since)
    return tuple(facts.Spent(Owner(*row[:3]), *row[3:]) for row in rows)


def secret(walls: Walls, query: facts.ReadSecret) -> Plan[bytes]:  # noqa: ARG001 - it has no fields
    """Give the tenant's secret, made where it has none."""
    rows = yield walls.step("read_secret")
    if not rows:
        yield walls.step("make_secret", value=secrets.token_bytes(_SECRET_BYTES))
        rows = yield walls.step("read_secret")
    return bytes(rows[0][0])


def prune(walls: Walls, change: base.Prune) -> Plan[int]:
    """Drop marks of removals, and what model calls of long ago cost."""
    yield walls.step("drop_old_calls", age=CALLS_KEPT)
    return (yield from forgetting.prune(walls, change))


def status(walls: Walls, query: facts.ReadFormation) -> Plan[facts.FormationStatus]:  # noqa: ARG001 - see secret
    """Count what is due to be formed, and measure how long it took."""
    ((held, changes, due, oldest, failing, parked, rejections),) = yield walls.step("formation")
    items = yield walls.step("due_kinds")
    ((recall,),) = yield walls.step("recall_lag")
    ((formed,),) = yield walls.step("formed_lag")
    return facts.FormationStatus(
        facts=held,
        changes=changes,
        due_threads=due,
        oldest_due=oldest,
        due_items=dict(items),
        failing=failing,
        parked=parked,
        rejections=rejections,
        recall_lag=_pair(recall),
        formed_lag=_pair(formed),
    )


def _pair(percentiles: Sequence[float] | None) -> tuple[float, float] | None:
    return None if percentiles is None else (percentiles[0], percentiles[1])


def _columns(items: Sequence[facts.DueItem]) -> dict[str, Any]:
    return {
        "kinds": [item.kind for item in items],
        "users": [item.owner.user_id for item in items],
        "agents": [item.owner.agent_id for item in items],
        "runs": [item.owner.run_id for item in items],
        "items": [item.item for item in items],
    }
