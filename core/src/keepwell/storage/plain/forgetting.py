"""Forgetting: what goes, what goes with it, and what is to be learned anew from the rest."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import FactNotFound, MessageNotFound, ThreadNotFound
from keepwell.models import Forgotten, Owner, Receipt, Scope
from keepwell.storage.base import DeleteMessages, Forget
from keepwell.storage.facts import Expire, Remains
from keepwell.storage.plain.facts import Kept
from keepwell.storage.plain.forming import form_again
from keepwell.storage.plain.graph_forgetting import GRAPH_PLACES, forget_graph, remove_graph
from keepwell.storage.plain.settling import reject
from keepwell.storage.plain.tables import Conversation, Entry, Lease, Tables

PLACES: Final = (
    "threads", "messages", "versions", "postings", "vectors", "idempotency", "facts", "fact_versions", "changes",
    "sources", "rejections", "due", "model_calls", *GRAPH_PLACES,
)  # fmt: skip
"""Where something can be, as receipts name it."""
FORGOTTEN: Final = "forgotten"
"""The reason of rejections that come of a ``forget``."""


@dataclass(slots=True)
class Gone:
    """What goes: threads whole, messages by key, facts by id; ``scope`` where all of it goes.

    ``own`` are facts that were named themselves: their messages are not read again.
    """

    threads: list[Conversation] = field(default_factory=list)
    messages: dict[int, tuple[Conversation, Entry]] = field(default_factory=dict)
    facts: set[UUID] = field(default_factory=set)
    scope: Scope | None = None
    own: frozenset[UUID] = frozenset()


def forget(tables: Tables, change: Forget) -> Receipt:
    """Remove everything of a scope, a thread, a message or a fact, with all that was formed from it."""
    gone = _named(tables, change)
    if change.message is not None and not gone.messages:
        raise MessageNotFound(f"there is no message {change.message!r} in this thread")
    if change.fact is not None and not gone.facts:
        raise FactNotFound(f"there is no fact {change.fact} here")
    at = tables.instant()
    counts = remove(tables, gone)
    reject(tables, change.scope, change.reject, FORGOTTEN, at)
    return receipt(counts, at, _what(change))


def _named(tables: Tables, change: Forget) -> Gone:
    """Give what is named, and what goes with it."""
    talks = tables.covered(change.scope)
    if change.thread is not None:
        talks = [one for one in talks if one.thread.key == change.thread]
        if not talks:
            raise ThreadNotFound("there is no such thread here")
    if change.fact is not None:
        return _of_fact(tables, change.scope, change.fact, everywhere=change.everywhere)
    if change.message is not None:
        return whole(tables, Gone(messages=_entries(talks, {change.message})))
    return whole(tables, Gone(talks, _entries(talks), scope=change.scope if change.thread is None else None))


def _entries(talks: Iterable[Conversation], ids: set[str] | None = None) -> dict[int, tuple[Conversation, Entry]]:
    return {
        entry.row.key: (talk, entry)
        for talk in talks
        for entry in talk.in_order
        if ids is None or entry.row.id in ids
    }  # fmt: skip


def _of_fact(tables: Tables, scope: Scope, fact: UUID, *, everywhere: bool) -> Gone:
    versions = [one for one in tables.versions(scope).values() if one.fact.id == fact]
    if not versions:
        return Gone()
    gone = Gone(facts={fact}, own=frozenset({fact}))
    if everywhere:
        entries = tables.entries(scope)
        gone.messages = {key: entries[key] for key in _messages_of(versions) if key in entries}
    return whole(tables, gone)


def _messages_of(versions: Iterable[Kept]) -> set[int]:
    return {source.message for one in versions for source in one.sources if source.message is not None}


def whole(tables: Tables, gone: Gone) -> Gone:
    """Add the facts that rest on what goes, in any version and of any owner, and what was formed from those."""
    scope = gone.scope
    gone.facts |= {
        ident for (ident, _), one in tables.facts.items() if scope is not None and scope.covers(one.fact.owner)
    }
    while True:
        more = {
            ident
            for (ident, _), one in tables.facts.items()
            if ident not in gone.facts
            and any(source.message in gone.messages or source.fact in gone.facts for source in one.sources)
        }
        if not more:
            return gone
        gone.facts |= more


def remove(tables: Tables, gone: Gone) -> dict[str, int]:
    """Remove it, count it by place, and mark what is to be formed again."""
    again = _to_form_again(tables, gone)
    counts = dict.fromkeys(PLACES, 0)
    if gone.scope is not None:
        counts |= forget_graph(tables, gone.scope)
    for place, count in remove_graph(tables, gone.messages, gone.facts).items():
        counts[place] += count
    _remove_messages(tables, gone, counts)
    _remove_facts(tables, gone, counts)
    if gone.scope is not None:
        _remove_owners(tables, gone.scope, counts)
    form_again(tables, again)
    return counts


def _to_form_again(tables: Tables, gone: Gone) -> set[int]:
    """Give the messages that stay, and that facts rest on which go; not those of a fact that was named itself."""
    versions = [one for one in tables.facts.values() if one.fact.id in gone.facts]
    own = _messages_of(one for one in versions if one.fact.id in gone.own)
    return _messages_of(versions) - own - gone.messages.keys()


def _remove_messages(tables: Tables, gone: Gone, counts: dict[str, int]) -> None:
    entries = list(gone.messages.values())
    threads = {talk.thread.key for talk in gone.threads}
    for talk in gone.threads:
        del tables.threads[talk.thread.owner, talk.thread.id]
    for talk in [one for one in tables.threads.values() if any(one is of for of, _ in entries)]:
        left = talk.changed({id_: one for id_, one in talk.entries.items() if one.row.key not in gone.messages})
        tables.keep(left if left.unformed else replace(left, due_at=None))
    counts["threads"] = len(gone.threads)
    counts["messages"] = len(entries)
    counts["versions"] = sum(len(one.row.versions) for _, one in entries)
    counts["postings"] = sum(len(set(one.row.words)) for talk, one in entries if one.row.seq <= talk.posted)
    counts["vectors"] = sum(len(one.vectors) for _, one in entries)
    for name, request in list(tables.requests.items()):
        if request.thread in threads or (gone.scope is not None and gone.scope.covers(name[0])):
            del tables.requests[name]
            counts["idempotency"] += 1


def _remove_facts(tables: Tables, gone: Gone, counts: dict[str, int]) -> None:
    versions = {name: one for name, one in tables.facts.items() if name[0] in gone.facts}
    for name in versions:
        del tables.facts[name]
    counts["facts"] = len(gone.facts)
    counts["fact_versions"] = len(versions)
    counts["sources"] = sum(len(one.sources) for one in versions.values())
    counts["postings"] += sum(len(set(one.row.words)) for one in versions.values() if one.fact.stands)
    counts["vectors"] += sum(len(one.vectors) for one in versions.values())
    for ident, event in list(tables.changes.items()):
        made_nothing = event.kind in ("NONE", "DELETE")
        named = made_nothing and any(one.message in gone.messages or one.fact in gone.facts for one in event.sources)
        mine = gone.scope is not None and gone.scope.covers(event.owner)
        if event.fact in gone.facts or named or mine:
            del tables.changes[ident]
            counts["changes"] += 1
    for place, waiting in list(tables.waiting.items()):
        mine = gone.scope is not None and gone.scope.covers(waiting.item.owner)
        if mine or waiting.item.item in {str(fact) for fact in gone.facts}:
            del tables.waiting[place]
            counts["due"] += 1


def _remove_owners(tables: Tables, scope: Scope, counts: dict[str, int]) -> None:
    for number, one in list(tables.refusals.items()):
        if one.within(scope):
            del tables.refusals[number]
            counts["rejections"] += 1
    counts["model_calls"] = sum(scope.covers(one.owner) for one in tables.calls)
    tables.calls = tuple(one for one in tables.calls if not scope.covers(one.owner))
    for owner in [one for one in tables.owners if scope.covers(one)]:
        del tables.owners[owner]


def receipt(counts: dict[str, int], at: dt.datetime, what: Forgotten) -> Receipt:
    """Give a receipt with a hash over what it says."""
    text = json.dumps({"at": at.isoformat(), "counts": counts}, sort_keys=True, separators=(",", ":"))
    return Receipt(counts, at, hashlib.sha256(text.encode()).hexdigest(), what=what)


def _what(change: Forget) -> Forgotten:
    scope = change.scope
    return Forgotten(
        scope.user_id, scope.agent_id, scope.run_id, scope.across_users, change.thread, change.message, change.fact
    )


def delete(tables: Tables, change: DeleteMessages) -> int:
    """Take messages out, with the facts that rest on them; their numbers are not given again."""
    entries = _entries([tables.find(change.owner, change.thread)], set(change.ids))
    if entries:
        remove(tables, whole(tables, Gone(messages=entries)))
    return len(entries)


def remains(tables: Tables, query: Remains) -> dict[str, int]:
    """Count what a ``forget`` with the same fields would remove now."""
    try:
        gone = _named(tables, Forget(query.scope, query.thread, query.message, query.fact))
    except ThreadNotFound:
        return dict.fromkeys(PLACES, 0)
    return remove(tables.copy(), gone)


def expire(tables: Tables, change: Expire) -> Receipt:
    """Remove facts and messages whose time is over, the oldest first."""
    at = tables.instant()
    newest = {one.fact.id: one.fact for one in sorted(tables.facts.values(), key=lambda one: one.fact.version)}
    facts = [fact for fact in newest.values() if fact.expires_at is not None and fact.expires_at <= at]
    ids = [fact.id for fact in facts][: change.limit]
    old = [
        (talk, entry)
        for talk in tables.threads.values()
        for entry in talk.in_order
        if _is_over(entry, _days(tables, talk, change.days), at)
    ]
    old.sort(key=lambda pair: pair[1].row.created)
    messages = {entry.row.key: (talk, entry) for talk, entry in old[: change.limit - len(ids)]}
    counts = remove(tables, whole(tables, Gone(messages=messages, facts=set(ids), own=frozenset(ids))))
    return receipt(counts, at, Forgotten())


def _days(tables: Tables, talk: Conversation, days: float | None) -> float | None:
    owner: Owner = talk.thread.owner
    policies = (talk.policy, tables.owners.get(owner, Lease()).policy)
    return next((float(one["retention"]) for one in policies if one.get("retention") is not None), days)


def _is_over(entry: Entry, days: float | None, at: dt.datetime) -> bool:
    return days is not None and entry.row.created < at - dt.timedelta(days=days)


FORGET_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType(
    {Forget: forget, DeleteMessages: delete, Expire: expire}
)
FORGET_READS: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType({Remains: remains})
