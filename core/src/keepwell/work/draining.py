"""Doing all that is due, here and now."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from keepwell.errors import KeepwellError
from keepwell.providers.embedding import Embedder
from keepwell.storage.base import PostTerms, Prune, Record, Space
from keepwell.storage.facts import FindForming
from keepwell.work.due import distil_due, embed_facts, expire, index_due, plan_distillation, reform_due
from keepwell.work.embedding import embed_due, embed_entities
from keepwell.work.forming import FormedThread, form_thread
from keepwell.work.projecting import Brought
from keepwell.work.tools import Tools

REMOVALS_KEPT = dt.timedelta(hours=24)
_PAGE = 100
_log = logging.getLogger("keepwell.work")


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain did.

    ``embedded``: vectors made, of messages and facts. ``posted``: threads whose postings were brought up to date.
    ``formed``: messages read for facts; ``added``, ``updated``, ``retracted``: facts. ``parked``: messages that
    could not be formed; ``failed``: threads that are tried again later. ``reformed``: re-opened facts that were
    settled. ``distilled``: patterns added or changed. ``expired``: messages and facts past their time. ``seen``:
    messages and facts that were looked through for names. ``projected``: changes of the graph that were brought to its
    projection; ``skipped``: what could not be done now, and why.
    """

    embedded: int = 0
    posted: int = 0
    formed: int = 0
    added: int = 0
    updated: int = 0
    retracted: int = 0
    parked: int = 0
    failed: int = 0
    reformed: int = 0
    distilled: int = 0
    expired: int = 0
    seen: int = 0
    projected: int = 0
    skipped: tuple[str, ...] = ()


def drain(
    tools: Tools, *, early: bool = True, rounds: bool = True, stopping: Callable[[], bool] = lambda: False
) -> Drained:
    """Do all that is due now, and give what was done; nothing is done twice where others drain at the same time.

    ``early`` forms threads though their pause is not over. Without a language model what needs one stays due.
    ``rounds``: also what is looked for over the whole tenant: what expired, and whose day of distillation it is.
    ``stopping`` is asked before each thread; the rest stays due.
    """
    formed = list(_form_all(tools, stopping, early=early))
    return replace(
        chores(tools, rounds=rounds, early=early, stopping=stopping),
        formed=sum(one.messages for one in formed),
        added=sum(one.added for one in formed),
        updated=sum(one.updated for one in formed),
        retracted=sum(one.retracted for one in formed),
        parked=sum(one.parked for one in formed),
        failed=sum(one.error is not None for one in formed),
    )


def chores(
    tools: Tools, *, rounds: bool = True, early: bool = False, stopping: Callable[[], bool] = lambda: False
) -> Drained:
    """Do all that is due but the forming of threads; see :func:`drain`."""
    expired = expire(tools) if rounds else 0
    posted = _post(tools, prune=rounds)
    seen = _see(tools, stopping)
    index_due(tools)
    reformed = distilled = 0
    if tools.language_model is not None:
        if rounds:
            plan_distillation(tools)
        reformed, distilled = reform_due(tools), distil_due(tools)
    embedded = 0
    if tools.embedder is not None and tools.space is not None:
        embedded = embed_due(tools.record, tools.space, tools.embedder) + embed_facts(tools)
        if tools.settings.graph:
            _embed_entities(tools.record, tools.space, tools.embedder)
    brought = Brought() if tools.projector is None else tools.projector.sync(early=early, stopping=stopping)
    return Drained(
        embedded=embedded,
        posted=posted,
        reformed=reformed,
        distilled=distilled,
        expired=expired,
        seen=seen,
        projected=brought.changes,
        skipped=() if brought.skipped is None else (f"projection: {brought.skipped}",),
    )


def _embed_entities(record: Record, space: Space, embedder: Embedder) -> None:
    try:
        embed_entities(record, space, embedder)
    except KeepwellError:
        _log.warning("entities wait for their embeddings", exc_info=True)


def _see(tools: Tools, stopping: Callable[[], bool]) -> int:
    """Look through texts for names."""
    if not tools.settings.graph:
        return 0
    # Imported when there may be names to find: the import of keepwell is to be quick.
    from keepwell.work.graph import mention_due  # noqa: PLC0415

    return mention_due(tools, stopping=stopping)


def _post(tools: Tools, *, prune: bool) -> int:
    posted = 0
    while done := tools.record.write(PostTerms(limit=50)):
        posted += done
    if prune:
        tools.record.write(Prune(REMOVALS_KEPT))
    return posted


def _form_all(tools: Tools, stopping: Callable[[], bool], *, early: bool) -> Iterator[FormedThread]:
    """Form every thread that is due, each once: what fails is not tried again right away."""
    if tools.language_model is None:
        return
    tried: set[UUID] = set()
    while True:
        found = tools.record.read(FindForming(_PAGE + len(tried), early))
        fresh = [thread for thread in found if thread not in tried]
        if not fresh:
            return
        for thread in fresh:
            if stopping():
                return
            tried.add(thread)
            formed = form_thread(tools, thread, early=early)
            if formed is not None:
                yield formed
