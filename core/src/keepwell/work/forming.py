"""Forming one thread: read what is not formed, ask the model, and apply what it comes to, batch by batch.

The model is asked outside of any transaction. A crash or a retry repeats a call, never an effect: what is applied is
compared with the claim's lease and the thread's watermark in the transaction that writes it.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID, uuid4

from keepwell.errors import (
    AnswerInvalid,
    BudgetSpent,
    FactChanged,
    FactNotFound,
    KeepwellError,
    LeaseLost,
    NoLanguageModel,
)
from keepwell.formation import extract, reconcile
from keepwell.formation.settle import Edit
from keepwell.models import Change, ChangeKind, Message, Source
from keepwell.models.items import is_item
from keepwell.storage.facts import ApplyEdits, Claim, ClaimThread, FailForming, Formed, RawSources, ReadUnformed
from keepwell.work.asking import Asking, until_midnight
from keepwell.work.tools import Tools, filled, scope_of

if TYPE_CHECKING:
    from keepwell.formation.extract_graph import GraphFound
    from keepwell.storage.graph import GraphEdits

_log = logging.getLogger("keepwell.work")
Statements: TypeAlias = Sequence[extract.Statement]
_COUNTED: Mapping[ChangeKind, str] = {"ADD": "added", "UPDATE": "updated", "RESTORE": "updated", "DELETE": "retracted"}
_TRIES = 3
"""How often a batch is decided anew because somebody changed a fact meanwhile."""


@dataclass(frozen=True, slots=True)
class FormedThread:
    """What forming a thread did; ``error`` says why it stopped before the end, None where it did not.

    ``messages`` counts those that were read to the end, ``parked`` those that could not be formed.
    """

    thread: UUID
    messages: int = 0
    added: int = 0
    updated: int = 0
    retracted: int = 0
    parked: int = 0
    calls: int = 0
    error: str | None = None


def form_thread(tools: Tools, thread: UUID | None = None, *, early: bool = True) -> FormedThread | None:
    """Form a thread that is due (that one, where it is given) to its end; None where there is nothing to do.

    ``early`` takes it though its pause is not over. A failure of the model leaves the rest due, for later; a message
    that no answer can be used for is parked with the error.

    Raises:
        NoLanguageModel: there is no model to form with; nothing was touched.
    """
    if tools.language_model is None:
        raise NoLanguageModel("forming facts needs a language model; open the memory with one")
    claim = tools.record.write(ClaimThread(tools.settings.lease, thread, early))
    return None if claim is None else _Forming(tools, claim).run()


@dataclass(frozen=True, slots=True)
class _Read:
    """What a batch was read to say."""

    excerpt: extract.Excerpt
    statements: Statements = ()
    graph: GraphFound | None = None


@dataclass(slots=True)
class _Forming:
    """One thread on its way."""

    tools: Tools
    claim: Claim
    size: int = 0
    context: bool = True
    parked_in_a_row: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    asking: Asking = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.tools.settings.batch
        self.asking = Asking(self.tools, self.claim.owner, self.claim.policy)

    def run(self) -> FormedThread:
        error: str | None = None
        try:
            while self._step():
                pass
        except LeaseLost as lost:
            # Where only a message went meanwhile the lease is still ours; where it is not, this does nothing.
            error = self._give_back(lost, dt.timedelta(0))
        except BudgetSpent as spent:
            error = self._give_back(spent, until_midnight())
        except KeepwellError as failed:
            error = self._give_back(failed, backoff(self.claim.attempts, self.tools))
        except BaseException as failed:
            # Whoever claims next finds the thread at once, not when the lease is over.
            self._give_back(failed, backoff(self.claim.attempts, self.tools))
            raise
        return FormedThread(self.claim.thread, **self.counts, error=error)

    def _step(self) -> bool:
        """Form one batch; tell whether there may be more."""
        settings, claim = self.tools.settings, self.claim
        unformed = self.tools.record.read(ReadUnformed(claim, settings.batch, settings.before))
        chosen = _fitting(unformed.messages, self.size, settings.batch_characters)
        before = unformed.before if self.context else ()
        fresh = [message.seq or 0 for key, message in unformed.messages if key not in unformed.again]
        whole = len(chosen) == len(unformed.messages) and len(fresh) < settings.batch
        excerpt = extract.excerpt(chosen, before, settings)
        try:
            found = self._decided(excerpt)
            upto = [message.seq or 0 for key, message in chosen if key not in unformed.again]
            ends = max([claim.formed_to, *upto, *([claim.last_seq] if whole else [])])
            again = tuple(key for key, _ in chosen if key in unformed.again)
            self._apply(found, Formed(claim, ends, again, finish=whole))
        except AnswerInvalid as problem:
            return self._narrow(chosen, before, problem)
        self._count("messages", len(chosen))
        self.size = min(settings.batch, 2 * self.size)
        if excerpt.evidence:  # what passes without a model says nothing about it
            self.parked_in_a_row = 0
        return not whole

    def _narrow(self, chosen: Sequence[tuple[int, Message]], before: Sequence[Message], problem: AnswerInvalid) -> bool:
        """Try less at once, and park the one message at which no answer can be used."""
        if len(chosen) > 1:
            self.size = max(1, len(chosen) // 2)
            return True
        if before:
            # What stands ahead of it may be at fault: that is not shown any more.
            self.context = False
            return True
        if self.parked_in_a_row >= self.tools.settings.park_limit:
            # It is the model, not the messages.
            raise KeepwellError(
                f"{self.parked_in_a_row} messages in a row had no usable answer; the last: {problem}"
            ) from problem
        _log.warning("a message of thread %r is parked: %s", self.claim.thread_id, problem)
        park = tuple(key for key, _ in chosen)
        self.tools.record.write(FailForming(self.claim, str(problem), dt.timedelta(0), park, self.asking.taken()))
        self._count("parked", len(park))
        self.parked_in_a_row += 1
        claim = self.tools.record.write(ClaimThread(self.tools.settings.lease, self.claim.thread, early=True))
        if claim is None:
            return False
        self.claim = claim
        return True

    def _decided(self, excerpt: extract.Excerpt) -> _Read:
        if not excerpt.evidence:
            return _Read(excerpt)
        if self.tools.settings.graph:
            # Imported when a model is asked for a graph: the import of keepwell is to be quick.
            from keepwell.work.graph_forming import asked  # noqa: PLC0415

            answer, graph = asked(self.asking, excerpt)
        else:
            answer = self.asking.ask("extract", extract.request(excerpt, self.claim.policy), extract.Extraction)
            graph = None
        found = extract.statements_of(answer, excerpt)
        dropped = {**found.dropped, **{f"graph: {why}": n for why, n in (graph.dropped if graph else {}).items()}}
        if dropped:
            _log.info("thread %r: left out: %s", self.claim.thread_id, dropped)
        return _Read(excerpt, found.statements, graph)

    def _apply(self, found: _Read, formed: Formed) -> None:
        for _ in range(_TRIES - 1):
            edits, graph = self._together(found)
            try:
                changes = self._write(edits, graph, formed)
            except (FactChanged, FactNotFound):
                continue
            return self._note(changes, formed)
        return self._note(self._write(*self._together(found), formed), formed)

    def _together(self, found: _Read) -> tuple[tuple[Edit, ...], GraphEdits | None]:
        """Give what is written of facts, and of the graph."""
        edits = filled(self.tools, self._reconciled(found.statements))
        if not found.graph:
            return edits, None
        from keepwell.work.graph_forming import together  # noqa: PLC0415 - as above

        return together(self.tools, self.claim.owner, found.graph, found.excerpt, edits)

    def _write(self, edits: tuple[Edit, ...], graph: GraphEdits | None, formed: Formed) -> Sequence[Change]:
        owner, made = self.claim.owner, tuple(self.asking.made)
        changes = self.tools.record.write(
            ApplyEdits(
                owner, edits, self.tools.actor, uuid4(), scope_of(owner),
                formed=formed, calls=made, space=self.tools.space_key, graph=graph,
            )
        )  # fmt: skip
        self._count("calls", len(self.asking.taken()))
        return changes

    def _note(self, changes: Sequence[Change], formed: Formed) -> None:
        for change in changes:
            if (name := _COUNTED.get(change.kind)) is not None:
                self._count(name, 1)
        self.claim = replace(self.claim, formed_to=formed.upto, attempts=0)

    def _reconciled(self, statements: Statements) -> tuple[Edit, ...]:
        if not statements:
            return ()
        settings = self.tools.settings
        owner = self.claim.owner
        near = self.tools.remembered(owner, [statement.draft.text for statement in statements])
        # A view sees facts of other owners too; each owner's are reconciled among themselves, and no items of stores.
        mine = [[f for f in found if f.owner == owner and not is_item(f.kind, f.key)] for found in near]
        met = reconcile.meeting(statements, mine, settings)
        if not met.needs_model:
            return reconcile.additions(met, settings)
        answer = self.asking.ask("reconcile", reconcile.request(met, settings), reconcile.Reconciliation)
        return reconcile.edits_of(answer, met, settings, self._sources(met, answer))

    def _sources(self, met: reconcile.Meeting, answer: reconcile.Reconciliation) -> Mapping[UUID, tuple[Source, ...]]:
        """Give what old facts rest on that the model worded anew."""
        places = {d.old for d in answer.decisions if d.text and d.old is not None and 1 <= d.old <= len(met.old)}
        if not places:
            return {}
        facts = [met.old[place - 1] for place in sorted(places)]
        raw = self.tools.record.read(RawSources(scope_of(self.claim.owner), tuple(fact.id for fact in facts)))
        return {fact.id: raw.get((fact.id, fact.version), ()) for fact in facts}

    def _give_back(self, error: BaseException, retry_in: dt.timedelta) -> str:
        """Leave the rest due, for later; where even that cannot be written, the lease ends by itself."""
        said = f"{type(error).__name__}: {error}" if isinstance(error, KeepwellError) else type(error).__name__
        _log.warning("thread %r is formed later: %s", self.claim.thread_id, said)
        try:
            self.tools.record.write(FailForming(self.claim, said, retry_in, calls=self.asking.taken()))
        except KeepwellError:
            _log.warning("the lease of thread %r could not be given back", self.claim.thread_id, exc_info=True)
        return said

    def _count(self, name: str, number: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + number


def _fitting(messages: Sequence[tuple[int, Message]], size: int, characters: int) -> Sequence[tuple[int, Message]]:
    """Give the first messages that one call can read, one at least."""
    room = characters
    for place, (_, message) in enumerate(messages[:size]):
        room -= min(len(message.text), extract.MAX_SHOWN)
        if room < 0 and place:
            return messages[:place]
    return messages[:size]


def backoff(attempts: int, tools: Tools) -> dt.timedelta:
    """Give how long to wait after so many failures: twice as long each time, with chance in it, up to a bound."""
    settings = tools.settings
    seconds = min(settings.retry_most_seconds, settings.retry_seconds * 2 ** min(attempts, 20))
    return dt.timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - nothing secret
