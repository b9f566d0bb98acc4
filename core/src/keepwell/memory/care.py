"""The verbs that look after what is kept about somebody: forgetting it, bounding it, taking it elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import EllipsisType
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from keepwell.errors import InvalidScope, ThreadNotFound, UsageError
from keepwell.memory.drafts import rejecting
from keepwell.memory.past import Past, check_facts_of
from keepwell.memory.policy import checked_policy, days
from keepwell.memory.thread import ScopedThread
from keepwell.memory.twins import twin
from keepwell.models import Fact, Message, Receipt, Scope, Source
from keepwell.models.items import NOBODY
from keepwell.storage import base
from keepwell.storage.facts import MessageKeys, RawSources, SetPolicy

if TYPE_CHECKING:
    from keepwell.memory.transfer import Transfer

_BATCH = 500


class Care(Past):
    """What can be done with all that is kept about somebody.

    Example:
        >>> fact = ada.remember("Ada is allergic to peanuts")
        >>> receipt = ada.forget(fact)
        >>> sum(ada.verify(receipt).values())
        0
    """

    def forget(
        self,
        *one: ScopedThread | Message | Fact,
        everywhere: bool = False,
        never_again: bool = False,
        connection: object = None,
    ) -> Receipt:
        """Remove the whole scope, or one thread, one message (and its copies in clones) or one fact, for good.

        Facts that rest on what is removed go with it, every version and the history of them. A fact leaves a
        rejection, so that it cannot be learned again; ``everywhere`` removes the messages it rests on as well.
        ``never_again`` leaves rejections of all facts that go with a scope, a thread or a message. Gives a receipt of
        what went, which ``verify`` takes.

        Raises:
            UsageError: more than one value is given, or one that is no thread, message or fact.
            NotFound: the thread, message or fact is not there.
        """
        change = self._forgetting(one, everywhere=everywhere, never_again=never_again)
        left = () if one else self._not_covered()
        return replace(self._engine.write(change, connection), not_covered=left)

    def configure(
        self,
        *,
        instructions: str | EllipsisType | None = ...,
        never: str | EllipsisType | None = ...,
        retention: float | dt.timedelta | EllipsisType | None = ...,
        tokens_per_day: int | EllipsisType | None = ...,
        calls_per_day: int | EllipsisType | None = ...,
        connection: object = None,
    ) -> Mapping[str, Any]:
        """Set how facts of this view's exact owner are formed and how long messages stay; give all that is set.

        ``instructions`` and ``never`` tell the extraction what to store and what not, in your words. ``retention``
        is in days. The budgets bound the language model's work. What is not given stays, None takes it off.

        Raises:
            InvalidScope: this view has no id to write as.
            UsageError: a value means nothing.

        Example:
            >>> dict(ada.configure(never="anything about health", calls_per_day=200))
            {'never': 'anything about health', 'calls_per_day': 200}
        """
        if not any(self.scope.owner):
            raise InvalidScope("this view has no id to write as; configure through a scope that has one")
        given = {
            "instructions": instructions,
            "never": never,
            "retention": retention if isinstance(retention, EllipsisType) else days(retention),
            "tokens_per_day": tokens_per_day,
            "calls_per_day": calls_per_day,
        }
        return self._engine.write(SetPolicy(self.scope.owner, checked_policy(given)), connection)

    def export(self, file: str | Path | IO[str]) -> Transfer:
        """Write all that is kept about this scope as JSON lines, to a path or an open text file; count what went.

        Threads, messages, facts in every version with sources and history, what was configured, and that something
        was rejected (never what). A file at a path is readable by its owner alone.
        """
        from keepwell.memory.exporting import export  # noqa: PLC0415 - exports are rare

        return export(self._engine.record, self.scope, file)

    def import_(self, file: str | Path | IO[str], *, form: bool = False) -> Transfer:
        """Take in what ``export`` wrote, here or in another store; count what is new.

        What is there already stays as it is, so the same file again changes nothing. Rows keep their agent and run;
        each must belong to an owner that this view covers. What was rejected here is not taken in. With ``form`` the
        messages are formed anew; without it they count as formed, because their facts came along.

        Raises:
            ImportFormatError: the file is no such export, or is of somebody else.
        """
        from keepwell.memory.taking_in import take_in  # noqa: PLC0415 - as above

        return take_in(self._engine, self.scope, file, form=form)

    aforget = twin(forget)
    aconfigure = twin(configure)
    aexport = twin(export)
    aimport_ = twin(import_)

    # Parts of the verbs

    def _forgetting(self, one: tuple[object, ...], *, everywhere: bool, never_again: bool) -> base.Forget:
        if len(one) > 1:
            raise UsageError("forget() takes nothing, or one thread, message or fact")
        if everywhere and not (one and isinstance(one[0], Fact)):
            raise UsageError("everywhere= is for a fact, whose messages go as well; nothing was forgotten")
        match one:
            case ():
                reject = self._said(self._facts(versions=True)) if never_again else ()
                return base.Forget(self.scope, reject=reject)
            case (ScopedThread() as thread,):
                key = self._own_key(thread)
                reject = self._resting_on(self._numbers(thread, key)) if never_again else ()
                return base.Forget(self.scope, key, reject=reject)
            case (Message() as message,):
                found = self._engine.record.read(MessageKeys(self.scope, ((None, message.id),))) if never_again else {}
                return base.Forget(self.scope, None, message.id, reject=self._resting_on(found.values()))
            case (Fact() as fact,):
                check_facts_of(self.scope, fact)
                versions = self._facts(ids=(fact.id,), versions=True)
                return base.Forget(self.scope, fact=fact.id, everywhere=everywhere, reject=self._said(versions))
            case _:
                raise UsageError(
                    "forget() takes a ScopedThread, a Message or a Fact, "
                    f"not {type(one[0]).__name__}; nothing was forgotten"
                )

    def _not_covered(self) -> tuple[str, ...]:
        """Say what no forgetting of a person reaches: items of stores whose namespace names nobody."""
        if self.scope.covers(NOBODY):
            return ()
        left = self._engine.record.read(base.Weigh(Scope(agent_id=NOBODY.agent_id))).messages
        return (f"{left} items of stores in namespaces that name nobody",) if left else ()

    def _own_key(self, thread: ScopedThread) -> UUID:
        if not self.scope.covers(thread.owner):
            raise UsageError(f"thread {thread.id!r} is not in this scope; nothing was forgotten")
        if (key := thread.key) is None:
            raise ThreadNotFound(f"thread {thread.id!r} was never written; there is nothing to forget")
        return key

    def _said(self, facts: Iterable[Fact]) -> tuple[bytes, ...]:
        return rejecting(self._engine, facts)

    def _numbers(self, thread: ScopedThread, key: UUID) -> Iterator[int]:
        messages = thread.iterate(_BATCH)
        while batch := tuple(islice(messages, _BATCH)):
            yield from self._engine.record.read(
                MessageKeys(self.scope, tuple((key, message.id) for message in batch))
            ).values()

    def _resting_on(self, messages: Iterable[int]) -> tuple[bytes, ...]:
        """Give the hashes of all facts that rest on messages, or on facts that do."""
        gone = set(messages)
        if not gone:
            return ()
        facts = list(self._facts(versions=True))
        sources = self._engine.record.read(RawSources(self.scope, tuple({fact.id for fact in facts})))
        falling = _falling(gone, sources)
        return self._said(fact for fact in facts if fact.id in falling)


def _falling(messages: set[int], sources: Mapping[tuple[UUID, int], Sequence[Source]]) -> set[UUID]:
    falling: set[UUID] = set()
    while more := {
        ident
        for (ident, _), below in sources.items()
        if ident not in falling and any(source.message in messages or source.fact in falling for source in below)
    }:
        falling |= more
    return falling
