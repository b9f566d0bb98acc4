"""Forgetting, deleting, expiring and moving: what is gathered before anything is removed or given away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from uuid import UUID

from keepwell.models import Owner, Receipt, Scope, Thread
from keepwell.storage.base import DeleteMessages, Forget, MoveThread
from keepwell.storage.facts import Expire, Remains
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.gathering import Gathering
from keepwell.storage.neo4j.settling import carried_out
from keepwell.storage.neo4j.work import Work, column
from keepwell.storage.plain.forgetting import remains as plain_remains
from keepwell.storage.plain.tables import now


def forget(work: Work, change: Forget) -> Receipt:
    """Remove a scope, a thread, a message or a fact, with all that was formed from it."""
    gathering = Gathering(work)
    gathering.tables.written = work.ledger()
    work.wait(_owners(work, change))
    _named(gathering, change.scope, change.thread, change.message, change.fact, everywhere=change.everywhere)
    gathering.refusals(work.of_scope("rejections_of_scope", change.scope))
    return carried_out(gathering, change)


def _owners(work: Work, change: Forget) -> set[Owner]:
    """Give the owners of the threads that may go."""
    if change.fact is not None:
        return set()
    gathering = Gathering(work)
    if change.thread is not None:
        gathering.thread_in(change.scope, change.thread)
    else:
        gathering.threads_of(change.scope)
    return gathering.owners_here()


def remains(work: Work, query: Remains) -> dict[str, int]:
    """Count what a ``forget`` with the same fields would remove now."""
    gathering = Gathering(work)
    _named(gathering, query.scope, query.thread, query.message, query.fact, everywhere=False)
    gathering.refusals(work.of_scope("rejections_of_scope", query.scope))
    return plain_remains(gathering.done(), query)


def _named(
    gathering: Gathering,
    scope: Scope,
    thread: UUID | None,
    message: str | None,
    fact: UUID | None,
    *,
    everywhere: bool,
) -> None:
    """Gather what is named, and what goes with it."""
    work = gathering.work
    if fact is not None:
        found = column(work.of_scope("facts_in_scope", scope, ids=[str(fact)]), "id")
        versions = gathering.facts(found)
        messages = {one.message for kept in versions for one in kept.sources if one.message is not None}
        _owned(gathering, messages)
        _with_it(gathering, messages if everywhere else (), found)
        return
    threads = gathering.threads_of(scope) if thread is None else gathering.thread_in(scope, thread)
    if message is not None:
        for key in threads:
            gathering.places_by_id(key, [message])
        _with_it(gathering, gathering.keys_here())
        return
    gathering.places(threads)
    gathering.requests(work.each("requests_of_threads", "threads", threads))
    facts: list[str] = []
    if thread is None:
        facts = column(work.of_scope("fact_ids_of_scope", scope), "id")
        _of_scope(gathering, scope)
    _with_it(gathering, gathering.keys_here(), facts, whole=threads)


def _of_scope(gathering: Gathering, scope: Scope) -> None:
    """Gather what is of a whole scope and of no thread or fact."""
    work = gathering.work
    gathering.requests(work.of_scope("requests_of_scope", scope))
    gathering.changes(work.of_scope("changes_of_scope", scope))
    gathering.due(work.of_scope("due_of_scope", scope))
    gathering.leases(scope)
    gathering.calls(scope)


def _with_it(
    gathering: Gathering, messages: Iterable[int], facts: Iterable[str] = (), whole: Iterable[str] = ()
) -> None:
    """Gather the facts that rest on messages and facts, with all that hangs on them, and the messages under them.

    ``whole`` are threads that were read to the end.
    """
    work, keys = gathering.work, list(messages)
    reached = gathering.resting_on(keys, facts)
    gathering.changes(work.each("changes_of_facts", "ids", reached))
    gathering.changes(work.each("changes_naming_messages", "keys", keys))
    gathering.changes(work.each("changes_naming_facts", "ids", reached))
    gathering.due_of_facts()
    sources = [source for kept in gathering.tables.facts.values() for source in kept.sources]
    _owned(gathering, {source.message for source in sources if source.message is not None})
    gathering.one_unformed(but=whole)


def _owned(gathering: Gathering, messages: Iterable[int]) -> None:
    """Gather messages by number, after waiting until nobody else writes in their threads."""
    missing = set(messages) - set(gathering.keys_here())
    rows = gathering.work.each("threads_of_messages", "keys", missing)
    gathering.work.wait({nodes.owner_of(row["thread"]) for row in rows})
    gathering.places_of(missing)


def delete(work: Work, change: DeleteMessages) -> int:
    """Take messages out, with the facts that rest on them."""
    gathering = Gathering(work)
    gathering.tables.written = work.ledger()
    work.wait([change.owner])
    thread = gathering.thread(change.owner, change.thread)
    if thread is not None:
        gathering.places_by_id(thread, change.ids)
    if gathering.keys_here():
        _with_it(gathering, gathering.keys_here())
    return carried_out(gathering, change)


def expire(work: Work, change: Expire) -> Receipt:
    """Remove facts and messages whose time is over, the oldest first."""
    gathering = Gathering(work)
    gathering.tables.written = work.ledger()
    at = now()
    facts = column(work.rows("facts_expired", at=nodes.micros(at), limit=change.limit), "id")
    messages = _too_old(work, change, at)
    _owned(gathering, messages)
    for owner in gathering.owners_here():
        gathering.lease(owner)
    _with_it(gathering, messages, facts)
    return carried_out(gathering, change)


def _too_old(work: Work, change: Expire, at: dt.datetime) -> list[int]:
    """Give messages past their retention, the oldest first."""
    (row,) = work.rows("least_retention", days=change.days)
    if row["days"] is None:
        return []
    newest = nodes.micros(at) - int(row["days"] * nodes.DAY)
    found = work.rows("too_old", at=nodes.micros(at), newest=newest, days=change.days, limit=change.limit)
    return column(found, "key")


def move(work: Work, change: MoveThread) -> Thread:
    """Give a thread to another owner, with the facts that rest on nothing else."""
    gathering = Gathering(work)
    gathering.tables.written = work.ledger()
    work.wait([change.owner, change.to])
    thread = gathering.thread(change.owner, change.thread)
    gathering.thread(change.to, change.thread)
    if thread is not None and change.to != change.owner:
        gathering.places([thread])
        reached = gathering.resting_on(gathering.keys_here())
        gathering.changes(work.each("changes_of_facts", "ids", reached))
        gathering.holders(change.to, [kept.fact for kept in gathering.tables.facts.values() if kept.fact.stands])
        gathering.due_of_facts()
    return carried_out(gathering, change)
