"""Threads that are copied or given to another owner, and what hangs on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import ThreadExists
from keepwell.models import Lineage, Owner, Source, Thread
from keepwell.storage.base import CloneThread, MoveThread
from keepwell.storage.plain.facts import Kept
from keepwell.storage.plain.graph_forgetting import move_graph, remove_graph
from keepwell.storage.plain.settling import reopen
from keepwell.storage.plain.tables import Conversation, Entry, Tables, kept, now


def clone(tables: Tables, change: CloneThread) -> Thread:
    """Copy a thread with its messages, which keep ids, numbers, times and vectors, and get new keys.

    What was formed of the source counts as formed in the clone; facts stay with the source.
    """
    source = tables.find(change.owner, change.thread)
    refuse_known(tables, change.to, change.new_id)
    title = source.thread.title if change.title is None else change.title
    metadata = merged(source.thread.metadata, change.metadata)
    entries = {
        entry.row.id: Entry(
            replace(entry.row, key=next(tables.numbers), recorded=now(), versions=()),
            entry.vectors,
            entry.seen,
            entry.again,
            entry.parked,
        )
        for entry in source.in_order
        if change.until is None or entry.row.seq <= change.until
    }
    made = Conversation.new(change.to, change.new_id, title, metadata)
    taken = max((entry.row.seq for entry in entries.values()), default=0)
    made = made.changed(entries, last_seq=source.thread.last_seq, source=Lineage(source.thread.key, taken))
    made = replace(made, formed=source.formed, due_at=source.due_at, policy=source.policy)
    made = made if made.unformed else replace(made, due_at=None)
    tables.keep(made)
    return made.view


def move(tables: Tables, change: MoveThread) -> Thread:
    """Give a thread to another owner, with the keys of everything that hangs on it."""
    talk = tables.find(change.owner, change.thread)
    if change.to == change.owner:
        return talk.view
    refuse_known(tables, change.to, change.thread)
    del tables.threads[change.owner, change.thread]
    moved = talk.changed(owner=change.to)
    tables.keep(moved)
    facts = _move_facts(tables, moved, change.owner)
    move_graph(tables, change.to, moved.thread.key, {entry.row.key for entry in moved.in_order}, facts)
    return moved.view


def _move_facts(tables: Tables, talk: Conversation, old: Owner) -> set[UUID]:
    messages = {entry.row.key for entry in talk.in_order}
    going = _going(tables, messages, old)
    held = {fact for fact in going if _is_held(tables, fact, talk.thread.owner)}
    remove_graph(tables, (), held)
    for fact in held:
        _drop(tables, fact)
    for fact in going - held:
        _give(tables, fact, talk.thread.owner)
    for one in list(tables.facts.values()):
        stays = one.fact.id not in going
        _without(tables, one, messages if stays else set(), going if stays else held)
    return going - held


def _going(tables: Tables, messages: set[int], owner: Owner) -> set[UUID]:
    """Give the owner's facts that rest, in every version, on the messages and on facts that go; and on something."""
    sources: dict[UUID, list[Source]] = {}
    for (ident, _), one in tables.facts.items():
        if one.fact.owner == owner:
            sources.setdefault(ident, []).extend(one.sources)
    going: set[UUID] = set()
    while True:
        more = {
            ident
            for ident, named in sources.items()
            if ident not in going
            and named
            and all(one.message in messages or one.fact in {*going, ident} for one in named)
            and any(one.fact != ident for one in named)
        }
        if not more:
            return going
        going |= more


def _is_held(tables: Tables, fact: UUID, owner: Owner) -> bool:
    """Tell whether the owner holds the key or the statement of that fact already."""
    mine = tables.standing().get(fact)
    theirs = [one for one in tables.standing().values() if one.fact.owner == owner]
    return mine is not None and any(
        one.row.mark == mine.row.mark or (one.fact.key is not None and one.fact.key == mine.fact.key) for one in theirs
    )


def _drop(tables: Tables, fact: UUID) -> None:
    tables.facts = {name: one for name, one in tables.facts.items() if one.fact.id != fact}
    tables.changes = {ident: event for ident, event in tables.changes.items() if event.fact != fact}
    tables.waiting = {name: one for name, one in tables.waiting.items() if one.item.item != str(fact)}


def _give(tables: Tables, fact: UUID, to: Owner) -> None:
    for one in [one for one in tables.facts.values() if one.fact.id == fact]:
        tables.keep_fact(one.saying(owner=to))
    for event in [event for event in tables.changes.values() if event.fact == fact]:
        tables.changes[event.id] = replace(event, owner=to)
    for name, waiting in list(tables.waiting.items()):
        if waiting.item.item == str(fact):
            del tables.waiting[name]
            item = replace(waiting.item, owner=to)
            tables.waiting[item.kind, to, item.item] = replace(waiting, item=item)


def _without(tables: Tables, one: Kept, messages: set[int], facts: set[UUID]) -> None:
    """Take away what a version that stays rested on; it is looked at again where it stands."""
    left = tuple(source for source in one.sources if source.message not in messages and source.fact not in facts)
    if left == one.sources:
        return
    tables.keep_fact(replace(one, sources=left))
    if one.fact.stands:
        reopen(tables, tables.facts[one.fact.id, one.fact.version], now())


def refuse_known(tables: Tables, owner: Owner, thread: str) -> None:
    """Refuse to make a thread that is there.

    Raises:
        ThreadExists: the owner has a thread of that id.
    """
    if (owner, thread) in tables.threads:
        raise ThreadExists(f"there is a thread {thread!r} already")


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give metadata with other values under some keys; one that is None takes its key away."""
    both = {**old, **new}
    both = {key: value for key, value in both.items() if not (key in new and value is None)}
    return dict(kept(both))


MOVE_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {CloneThread: clone, MoveThread: move}
)
