"""Plans for LangGraph's checkpoints: where a thread's are, and removing, moving, copying and thinning them out.

LangGraph's tables know a ``thread_id`` and nothing else. Ours says whose the thread is, so that no two owners' threads
of one name meet, and a row of the table ``checkpoint_thread`` stands for each: whoever writes to a thread's checkpoints
or removes them holds that row, so that nothing is written behind the back of a removal.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from keepwell.errors import Conflict
from keepwell.models import Owner, Scope
from keepwell.storage.postgres.runner import Plan
from keepwell.storage.postgres.walls import Walls


class Lodger(NamedTuple):
    """Whose checkpoints they are, and of which thread."""

    tenant: str
    owner: Owner
    thread: str


class Entry(NamedTuple):
    """What is known of one checkpoint: where it is, what it needs, the root's checkpoint, and the run."""

    space: str
    id: str
    needs: str | None
    root: str | None
    run: str | None


def lodging(lodger: Lodger) -> str:
    """Give the ``thread_id`` under which LangGraph's tables keep a thread's checkpoints.

    Example:
        >>> lodging(Lodger("default", Owner("ada", "", ""), "a/b"))
        'default/ada///a%2Fb'
    """
    parts = (lodger.tenant, *lodger.owner, lodger.thread)
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def lodger(lodging: str) -> Lodger:
    """Give whose and which thread a ``thread_id`` of LangGraph's tables says."""
    tenant, user, agent, run, thread = (part.replace("%2F", "/").replace("%25", "%") for part in lodging.split("/"))
    return Lodger(tenant, Owner(user, agent, run), thread)


def lodge(walls: Walls, whose: Lodger, *, written: bool) -> Plan[None]:
    """Hold the row of a thread, made where it is missing; ``written`` notes the time."""
    yield walls.step("lodge", whose.owner, thread=whose.thread, lodging=lodging(whose), written=written)


def of_scope(walls: Walls, scope: Scope, age: dt.timedelta | None = None) -> Plan[list[str]]:
    """Give where a scope's checkpoints are: all, or those of threads that were not written for so long."""
    return _first((yield walls.scoped("lodgings_of_scope", scope, age=age)))


def named(walls: Walls, threads: Sequence[str]) -> Plan[list[str]]:
    """Give where the checkpoints of threads of these ids are, whoever's they are."""
    return _first((yield walls.step("lodgings_named", names=list(threads))))


def drop(walls: Walls, lodgings: Iterable[str]) -> Plan[int]:
    """Remove checkpoints and all that belongs to them, and count the checkpoints."""
    held = _first((yield walls.step("hold_lodgings", lodgings=list(lodgings))))
    return (yield from _drop_held(walls, held))


def drop_scope(walls: Walls, scope: Scope) -> Plan[int]:
    """Remove all checkpoints of a scope, and count them."""
    return (yield from _drop_held(walls, _first((yield walls.scoped("hold_lodgings_of_scope", scope)))))


def drop_threads(
    walls: Walls, threads: Sequence[UUID], ids: Sequence[str] | None = None, keys: Sequence[int] | None = None
) -> Plan[int]:
    """Remove the checkpoints of our threads, or of those that have one of these messages, and count them.

    A checkpoint holds messages where nobody can take one out, so it goes with any of them.
    """
    rows = yield walls.step(
        "hold_lodgings_of_threads",
        threads=list(threads),
        ids=None if ids is None else list(ids),
        keys=None if keys is None else list(keys),
    )
    return (yield from _drop_held(walls, _first(rows)))


def _drop_held(walls: Walls, held: list[str]) -> Plan[int]:
    """Remove what is held; in a statement of its own, which sees what was written before it was."""
    if not held:
        return 0
    ((count,),) = yield walls.step("drop_lodgings", lodgings=held)
    return int(count)


def remain(walls: Walls, scope: Scope, thread: UUID | None, message: str | None, *, whole: bool) -> Plan[int]:
    """Count the checkpoints of a scope, of one of its threads, or of those with a message."""
    if whole:
        found = yield walls.scoped("lodgings_of_scope", scope, age=None)
    elif thread is not None or message is not None:
        found = yield walls.scoped("lodgings_of_thread", scope, key=thread, message=message)
    else:
        return 0
    ((count,),) = yield walls.step("count_checkpoints", lodgings=_first(found))
    return int(count)


def move(walls: Walls, owner: Owner, to: Owner, thread: str) -> Plan[None]:
    """Give a thread's checkpoints to another owner; where that one has some under the same id, they stay instead."""
    held = _first((yield walls.step("hold_lodging", owner, thread=thread)))
    if not held:
        return
    if (yield walls.step("hold_lodging", to, thread=thread)):
        yield walls.step("drop_lodgings", lodgings=held)
        return
    whose = Lodger(walls.tenant, to, thread)
    said = {name: value for name, value in to._asdict().items() if value and name != "run_id"}
    ids = {f"to_{name}": value for name, value in to._asdict().items()}
    yield walls.step("move_lodging", lodgings=held, lodging=lodging(whose), metadata=json.dumps(said), **ids)


def copy(walls: Walls, source: str, target: Lodger) -> Plan[None]:
    """Copy a thread's checkpoints under another thread.

    Raises:
        Conflict: the other one has checkpoints already.
    """
    yield walls.step("hold_lodgings", lodgings=[source])
    yield from lodge(walls, target, written=True)
    ((count,),) = yield walls.step("count_checkpoints", lodgings=[lodging(target)])
    if count:
        raise Conflict(f"thread {target.thread!r} has checkpoints already; copy to one that has none")
    yield walls.step("copy_lodging", lodgings=[source], lodging=lodging(target))


def thin_out(walls: Walls, place: str, keep: int) -> Plan[int]:
    """Remove all but the newest checkpoints of a thread, and count them.

    Raises:
        NotImplementedError: the thread keeps a channel as differences, which older checkpoints hold.
    """
    yield walls.step("hold_lodgings", lodgings=[place])
    ((deltas,),) = yield walls.step("has_deltas", lodgings=[place])
    if deltas:
        raise NotImplementedError(
            f"thread {lodger(place).thread!r} uses a DeltaChannel, whose latest value is made of older checkpoints; "
            "only deleting the whole thread is possible"
        )
    rows = yield walls.step("list_checkpoints", lodgings=[place])
    return (yield from _trim(walls, place, doomed([Entry(*row) for row in rows], keep)))


def drop_runs(walls: Walls, place: str, runs: Sequence[str]) -> Plan[int]:
    """Remove the checkpoints of a thread that LangGraph's runs of these ids made, and count them."""
    yield walls.step("hold_lodgings", lodgings=[place])
    rows = yield walls.step("list_checkpoints", lodgings=[place])
    return (yield from _trim(walls, place, [entry for entry in (Entry(*row) for row in rows) if entry.run in runs]))


def _trim(walls: Walls, place: str, entries: Sequence[Entry]) -> Plan[int]:
    if not entries:
        return 0
    spaces, ids = [entry.space for entry in entries], [entry.id for entry in entries]
    ((count,),) = yield walls.step("trim_lodging", lodgings=[place], spaces=spaces, doomed=ids)
    return int(count)


def doomed(entries: Iterable[Entry], keep: int) -> list[Entry]:
    """Give the checkpoints that go where the newest ``keep`` of each namespace stay.

    The namespace of one call of a subgraph (it has a task's id after a colon) goes whole with the root's checkpoint
    that the call was made in; one whose root is not saved yet stays. What a checkpoint needs stays with it.
    """
    spaces: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.id, reverse=True):
        spaces.setdefault(entry.space, []).append(entry)
    roots = {entry.id for entry in spaces.get("", ())}
    staying = _staying(spaces.get("", []), keep)
    gone: list[Entry] = []
    for space, found in spaces.items():
        call_is_over = ":" in space and found[0].root in roots and found[0].root not in staying
        kept = set() if call_is_over else _staying(found, keep)
        gone += [entry for entry in found if entry.id not in kept]
    return gone


def _staying(newest_first: Sequence[Entry], keep: int) -> set[str]:
    newest = newest_first[:keep]
    return {entry.id for entry in newest} | {entry.needs for entry in newest if entry.needs is not None}


def _first(rows: Sequence[Sequence[Any]]) -> list[str]:
    return [str(row[0]) for row in rows]
