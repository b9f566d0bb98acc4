"""Work that is not of a thread: vectors of facts, re-opened facts, distillation, retention."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID, uuid4

from keepwell.errors import BudgetSpent, FactChanged, FactNotFound, KeepwellError
from keepwell.formation import distil, reform
from keepwell.formation.options import DISTIL_AGENT
from keepwell.formation.settle import Edit
from keepwell.models import Fact, Message, Owner, Scope, Source, Thread
from keepwell.storage.base import DueText, IndexVectors, ListThreads, PutVectors, ReadMessages
from keepwell.storage.facts import (
    ApplyEdits,
    DueItem,
    DueKind,
    Expire,
    FactsWithoutVectors,
    FindOwners,
    FinishDue,
    ListFacts,
    MessageKeys,
    PutDue,
    RawSources,
    ReadSources,
    ReadSpent,
    TakeDue,
)
from keepwell.work.asking import Asking, until_midnight
from keepwell.work.embedding import vectors_of
from keepwell.work.forming import backoff
from keepwell.work.tools import Tools, filled, scope_of, standing

_log = logging.getLogger("keepwell.work")
_BATCH = 50
_EXPIRE = 1000
_NOWHERE = UUID(int=0)
_DISTILLED_THREADS, _DISTILLED_MESSAGES = 50, 40


def embed_facts(tools: Tools) -> int:
    """Make the vectors of facts that came without; counts the facts."""
    if tools.embedder is None or tools.space is None:
        return 0
    count = 0
    while items := tools.record.write(TakeDue(("embed",), tools.settings.lease, _BATCH)):
        due = tools.record.read(FactsWithoutVectors(tools.space.key, items))
        texts = [DueText(fact.key, _NOWHERE, 0, fact.text, fact.version) for fact in due]
        try:
            tools.record.write(PutVectors(tools.space.key, vectors_of(texts, tools.embedder)))
        except KeepwellError as error:
            _later(tools, items, error)
            return count
        tools.record.write(FinishDue(items))
        count += len(due)
    return count


def index_due(tools: Tools) -> int:
    """Bring vectors of users who have many into the approximate index; counts them."""
    count = 0
    while items := tools.record.write(TakeDue(("index",), tools.settings.lease, 1)):
        if tools.space is not None:
            while copied := tools.record.write(IndexVectors(items[0].owner.user_id, tools.space.key)):
                count += copied
        tools.record.write(FinishDue(items))
    return count


def reform_due(tools: Tools) -> int:
    """Look at re-opened facts again; counts those that were settled."""
    return sum(_each(tools, "reform", _reform_one))


def distil_due(tools: Tools) -> int:
    """Look for patterns over the conversations of those whose day it is; counts the changes."""
    return sum(_each(tools, "distil", _distil_one))


def _each(tools: Tools, kind: DueKind, work: Callable[[Asking, DueItem], int]) -> Iterator[int]:
    """Do all due work of a kind, one by one; what fails is noted, and not tried again in this round."""
    failed: dict[tuple[Owner, str], tuple[str, dt.timedelta]] = {}
    while items := tools.record.write(TakeDue((kind,), tools.settings.lease, _BATCH)):
        known = len(failed)
        for item in items:
            place = (item.owner, item.item)
            asking = Asking(tools, item.owner, {})
            if place not in failed:
                try:
                    yield work(asking, item)
                    continue
                except BudgetSpent as spent:
                    failed[place] = str(spent), until_midnight()
                except KeepwellError as error:
                    failed[place] = f"{type(error).__name__}: {error}", backoff(max(0, item.attempts - 1), tools)
                    _log.warning("%s is done later: %s", kind, failed[place][0])
            tools.record.write(FinishDue((item,), *failed[place], calls=asking.taken()))
        if known == len(failed) and any((item.owner, item.item) in failed for item in items):
            return


def _later(tools: Tools, items: Sequence[DueItem], error: KeepwellError) -> None:
    said = f"{type(error).__name__}: {error}"
    attempts = max(item.attempts for item in items)
    _log.warning("%s is done later: %s", items[0].kind, said)
    tools.record.write(FinishDue(tuple(items), said, backoff(max(0, attempts - 1), tools)))


# --- re-opened facts


def _reform_one(asking: Asking, item: DueItem) -> int:
    tools = asking.tools
    fact = _reopened_fact(tools, item)
    if fact is None:
        tools.record.write(FinishDue((item,)))
        return 0
    given = reform.Reopened(fact, _grounds(tools, fact))
    edit = reform.without_model(given)
    try:
        if edit is None:
            answer = asking.ask("reform", reform.request(given, tools.settings), reform.Reformation)
            edit = reform.edit_of(answer, given, tools.settings)
        _apply(asking, (edit,), item)
    except (FactChanged, FactNotFound):
        # Somebody was quicker; where it is still open, it is still due.
        _log.info("a re-opened fact was changed meanwhile")
        return 0
    return 1


def _reopened_fact(tools: Tools, item: DueItem) -> Fact | None:
    found = tools.record.read(ListFacts(scope_of(item.owner), ids=(UUID(item.item),)))
    return next((fact for fact in found if fact.reopened), None)


def _grounds(tools: Tools, fact: Fact) -> tuple[reform.Ground, ...]:
    """Give what a fact rests on, then and now."""
    scope = scope_of(fact.owner)
    raw = tools.record.read(RawSources(scope, (fact.id,))).get((fact.id, fact.version), ())
    seen = _everything(fact.owner)
    read = tools.record.read(ReadSources(seen, fact.id, fact.version))
    then = {(one.id, one.version): one for one in read.facts}
    named = tuple({source.fact for source in raw if source.fact is not None})
    now = {one.id: one for one in tools.record.read(ListFacts(seen, ids=named))} if named else {}
    grounds = [_of_fact(source, then, now) for source in raw if source.fact is not None]
    messages = [source for source in raw if source.message is not None]
    # A message that is a source is there: with it goes the fact. Which words are whose makes no difference here.
    words = [(quote.text, f"{quote.message.created_at:%Y-%m-%d}") for quote in read.quotes]
    words += [("", "")] * (len(messages) - len(words))
    grounds += [reform.Ground(text, text, source, at) for source, (text, at) in zip(messages, words, strict=False)]
    return tuple(grounds)


def _everything(owner: Owner) -> Scope:
    """Give the view of all that a fact of this owner can rest on: everything of its user."""
    return Scope(owner.user_id) if owner.user_id else scope_of(owner)


def _of_fact(source: Source, then: Mapping[tuple[UUID, int], Fact], now: Mapping[UUID, Fact]) -> reform.Ground:
    old = then.get((source.fact, source.version)) if source.fact is not None else None
    new = now.get(source.fact) if source.fact is not None else None
    if new is None or new.reopened:
        return reform.Ground("" if old is None else old.text, None, None)
    return reform.Ground(new.text if old is None else old.text, new.text, Source(fact=new.id, version=new.version))


def _apply(asking: Asking, edits: Sequence[Edit], item: DueItem) -> int:
    tools, owner = asking.tools, asking.owner
    changes = tools.record.write(
        ApplyEdits(
            owner,
            filled(tools, edits), tools.actor, uuid4(), scope_of(owner),
            done=(item,), calls=tuple(asking.made), space=tools.space_key,
        )
    )  # fmt: skip
    asking.taken()
    return sum(change.kind != "NONE" for change in changes)


# --- distillation


def plan_distillation(tools: Tools, now: dt.datetime | None = None) -> None:
    """Note distillation for everybody who has threads, for the coming night; what is noted already stays."""
    if tools.settings.distil_hour is None or tools.language_model is None:
        return
    night = next_night(tools.settings.distil_hour, now)
    last: Owner | None = None
    while owners := tools.record.read(FindOwners(last)):
        users = {patterns_of(owner) for owner in owners if owner.user_id}
        if users:
            tools.record.write(PutDue(tuple(DueItem("distil", user) for user in sorted(users)), night))
        last = owners[-1]


def patterns_of(owner: Owner) -> Owner:
    """Give the owner of the patterns of somebody, whichever agents they talk to."""
    return Owner(owner.user_id, DISTIL_AGENT, "")


def next_night(hour: int, now: dt.datetime | None = None) -> dt.datetime:
    """Give when it is that hour (UTC) the next time."""
    here = now or dt.datetime.now(dt.UTC)
    night = here.replace(hour=hour, minute=0, second=0, microsecond=0)
    return night if night > here else night + dt.timedelta(days=1)


def _distil_one(asking: Asking, item: DueItem) -> int:
    tools, seen = asking.tools, _everything(item.owner)
    known = [fact for fact in standing(tools.record, item.owner) if fact.kind == distil.KIND]
    threads = tools.record.read(ListThreads(seen, limit=_DISTILLED_THREADS))
    given = distil.lookback([said for thread in threads for said in _said_in(tools, thread)], known, tools.settings)
    edits: tuple[Edit, ...] = ()
    if given.is_worth_it and not _is_looked_over(tools, item, threads):
        answer = asking.ask("distil", distil.request(given, tools.settings), distil.Distillation)
        edits = distil.edits_of(answer, given, tools.settings)
    if edits:
        return _apply(asking, edits, item)
    tools.record.write(FinishDue((item,), calls=asking.taken()))
    return 0


def _is_looked_over(tools: Tools, item: DueItem, threads: Sequence[Thread]) -> bool:
    """Tell whether a model was asked since anything was said; what failed the last time was not looked over."""
    if item.attempts > 1:
        return False
    spoken = max(thread.updated_at for thread in threads)
    return any(spent.calls for spent in tools.record.read(ReadSpent(spoken, item.owner)))


def _said_in(tools: Tools, thread: Thread) -> Iterator[distil.Said]:
    """Give what a person said lately in a conversation."""
    messages: list[Message] = tools.record.read(ReadMessages(thread.owner, thread.id, last=_DISTILLED_MESSAGES))
    spoken = [message for message in messages if message.role == "user" and message.text.strip()]
    keys = tools.record.read(MessageKeys(scope_of(thread.owner), tuple((thread.key, message.id) for message in spoken)))
    for message in spoken:
        key = keys.get((thread.key, message.id))
        if key is not None:
            yield distil.Said(message.text, message.created_at, Source(key))


# --- retention


def expire(tools: Tools) -> int:
    """Forget what is past its time; counts facts and messages."""
    total = 0
    while True:
        receipt = tools.record.write(Expire(tools.settings.retention_days, _EXPIRE))
        gone = sum(receipt.counts.get(place, 0) for place in ("messages", "facts"))
        total += gone
        if gone == 0:
            return total
