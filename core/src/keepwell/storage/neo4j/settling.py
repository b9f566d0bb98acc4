"""Writes that are decided by the semantics that all stores share: gathered, carried out on tables, and kept.

Each function waits for its turns, gathers what its write can touch, and hands it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from keepwell.models import Changes, Scope, Thread
from keepwell.storage.base import (
    Appended,
    AppendMessages,
    CloneThread,
    CreateThread,
    ReplaceMessage,
    UpdateThread,
    Write,
)
from keepwell.storage.facts import (
    ApplyEdits,
    Claim,
    ClaimThread,
    DueItem,
    FailForming,
    FinishDue,
    Formed,
    LiftRejections,
    PutDue,
    PutHistory,
    RetryParked,
    SetPolicy,
    TakeDue,
)
from keepwell.storage.neo4j import nodes, work_nodes
from keepwell.storage.neo4j.gathering import Gathering
from keepwell.storage.neo4j.keeping import Keeping
from keepwell.storage.neo4j.work import Work
from keepwell.storage.plain.tables import now
from keepwell.storage.plain.writes import WRITES

R = TypeVar("R")
EVERYONE = Scope(across_users=True)


def carried_out(gathering: Gathering, change: Write[R]) -> R:
    """Carry out a write on what was gathered, keep what it changed, and give its answer."""
    before = gathering.done()
    after = before.copy()
    answer = WRITES[type(change)](after, change)
    Keeping(gathering.work, before, after, gathering.call_names).write()
    return cast("R", answer)


# --- conversations


def append(work: Work, change: AppendMessages) -> Appended:
    """Put messages at the end; only those are read whose ids are said again."""
    work.wait([change.owner])
    gathering = Gathering(work)
    if change.idempotency_key is not None:
        _request(gathering, change.owner, "append", change.idempotency_key)
        for known in list(gathering.tables.requests.values()):
            thread = str(known.thread)
            gathering.threads([thread])
            gathering.messages(thread, known.ids)
    if not gathering.tables.requests:
        gathering.thread_and_hits(change.owner, change.thread, (message.id for message in change.messages))
    return _marked(work, carried_out(gathering, change))


def replace_message(work: Work, change: ReplaceMessage) -> Appended:
    """Replace one message in its place."""
    work.wait([change.owner])
    gathering = Gathering(work)
    gathering.thread_and_hits(change.owner, change.thread, [change.message.id])
    return _marked(work, carried_out(gathering, change))


def _marked(work: Work, answer: Appended) -> Appended:
    return replace(answer, version=str(work.rev)) if answer.written else answer


def _request(gathering: Gathering, owner: Any, kind: str, key: str) -> None:  # noqa: ANN401 - an owner
    gathering.requests(gathering.work.of_owner("request", owner, kind=kind, key=nodes.text_in(key)))


def of_thread(work: Work, change: CreateThread | UpdateThread) -> Thread:
    """Make a thread, or change what is said about it."""
    work.wait([change.owner])
    gathering = Gathering(work)
    gathering.thread(change.owner, change.thread)
    return carried_out(gathering, change)


def clone(work: Work, change: CloneThread) -> Thread:
    """Copy a thread with its messages and their vectors."""
    work.wait([change.owner, change.to])
    gathering = Gathering(work)
    thread = gathering.thread(change.owner, change.thread)
    known = gathering.thread(change.to, change.new_id)
    if thread is not None and known is None:
        gathering.all_messages(thread, None)
    return carried_out(gathering, change)


# --- facts


def apply_edits(work: Work, change: ApplyEdits) -> Changes:
    """Change facts of one owner, and what was formed from those that end."""
    gathering = Gathering(work)
    gathering.tables.written = work.ledger()
    if change.idempotency_key is not None:
        _request(gathering, change.owner, "edits", change.idempotency_key)
    if gathering.tables.requests:
        _answered(gathering)
    else:
        if change.formed is not None:
            _claimed(gathering, change.formed)
        if change.space is not None:
            gathering.spaces()
        _touched(gathering, change)
        gathering.binding(change.owner, change.view)
        gathering.due(_items(work, change.done))
        gathering.due_of_facts()
    return carried_out(gathering, change)


def _answered(gathering: Gathering) -> None:
    """Gather the changes that an idempotency key stands for."""
    ids = [ident for known in gathering.tables.requests.values() for ident in known.ids]
    gathering.changes(gathering.work.each("changes_by_id", "ids", ids))
    gathering.facts({event.fact for event in gathering.tables.changes.values()})


def _claimed(gathering: Gathering, formed: Formed) -> None:
    """Gather the claim's thread with what was read of it, and the lease."""
    claim = formed.claim
    gathering.work.wait([claim.owner])
    gathering.lease(claim.owner)
    gathering.threads([str(claim.thread)])
    gathering.span(str(claim.thread), claim.formed_to, formed.upto)
    gathering.places_of(formed.again)
    gathering.one_unformed()


def _touched(gathering: Gathering, change: ApplyEdits) -> None:
    """Gather the facts that the edits name, those that rest on them, and what those rest on."""
    drafts = [edit.draft for edit in change.edits if edit.draft is not None]
    sources = [source for draft in drafts for source in draft.sources]
    gathering.facts({edit.fact for edit in change.edits if edit.fact is not None})
    gathering.holders(change.owner, drafts)
    gathering.ground(sources)
    roots = {str(ident) for ident, _ in gathering.tables.facts}
    reached = gathering.resting_on((), roots) - roots
    dependants = [kept for kept in gathering.tables.facts.values() if str(kept.fact.id) in reached | roots]
    gathering.ground(source for kept in dependants if kept.fact.stands for source in kept.sources)


def put_history(work: Work, change: PutHistory) -> dict[str, int]:
    """Keep what is new of an export."""
    gathering = Gathering(work)
    gathering.tables.written = work.ledger()
    gathering.facts({fact.id for fact in change.facts})
    gathering.holders(change.owner, change.facts)
    gathering.ground(source for sources in change.sources for source in sources)
    gathering.changes(work.each("changes_by_id", "ids", [str(one.id) for one in change.changes]))
    gathering.binding(change.owner, EVERYONE)
    gathering.due_of_facts()
    return carried_out(gathering, change)


def lift_rejections(work: Work, change: LiftRejections) -> int:
    """Drop rejections of the scope."""
    gathering = Gathering(work)
    work.ledger()
    gathering.refusals(work.of_scope("rejections_of_scope", change.scope))
    return carried_out(gathering, change)


# --- formation


def claim_thread(work: Work, change: ClaimThread) -> Claim | None:
    """Take the thread that has waited longest, of an owner that nobody holds."""
    at = nodes.micros(now())
    thread = None if change.thread is None else str(change.thread)
    for row in work.rows("claimable", at=at, early=change.early, thread=thread, limit=20):
        owner = nodes.owner_of(row["thread"])
        work.wait([owner])
        gathering = Gathering(work)
        gathering.threads([row["thread"]["key"]])
        gathering.lease(owner)
        gathering.one_unformed()
        if (claim := carried_out(gathering, change)) is not None:
            return claim
    return None


def fail_forming(work: Work, change: FailForming) -> None:
    """Give a claim back, and note why it failed."""
    work.wait([change.claim.owner])
    gathering = Gathering(work)
    gathering.lease(change.claim.owner)
    gathering.threads([str(change.claim.thread)])
    gathering.places_of(change.park)
    gathering.one_unformed()
    carried_out(gathering, change)


def retry_parked(work: Work, change: RetryParked) -> int:
    """Let parked messages be formed again, and end every back-off."""
    scope = change.scope or EVERYONE
    work.ledger()
    waiting = Gathering(work)
    waiting.parked(scope)
    waiting.failing(scope)
    work.wait(waiting.owners_here())
    gathering = Gathering(work)
    gathering.parked(scope)
    gathering.failing(scope)
    gathering.due(work.rows("due_failed"))
    return carried_out(gathering, change)


# --- other work


def put_due(work: Work, change: PutDue) -> None:
    """Note work."""
    _of_items(work, change, change.items)


def finish_due(work: Work, change: FinishDue) -> None:
    """Take work off, let it come round again, or note why it failed."""
    _of_items(work, change, change.items)


def _of_items(work: Work, change: PutDue | FinishDue, items: tuple[DueItem, ...]) -> None:
    work.ledger()
    gathering = Gathering(work)
    gathering.due(_items(work, items))
    carried_out(gathering, change)


def _items(work: Work, items: tuple[DueItem, ...]) -> list[dict[str, Any]]:
    return work.each("due_items", "rows", [work_nodes.due_name(item) for item in items])


def take_due(work: Work, change: TakeDue) -> tuple[DueItem, ...]:
    """Take work that is due, the longest waiting first; who finds none waits for nobody."""
    asked = {"kinds": list(change.kinds), "limit": change.limit}
    if not work.rows("due_now", at=nodes.micros(now()), **asked):
        return ()
    work.ledger()
    gathering = Gathering(work)
    gathering.due(work.rows("due_now", at=nodes.micros(now()), **asked))
    return carried_out(gathering, change)


def set_policy(work: Work, change: SetPolicy) -> Mapping[str, Any]:
    """Merge a policy of an owner or a thread, and give the whole."""
    work.wait([change.owner])
    gathering = Gathering(work)
    if change.thread is None:
        gathering.lease(change.owner)
    else:
        gathering.thread(change.owner, change.thread)
    return carried_out(gathering, change)
