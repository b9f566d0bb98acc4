"""The verbs that change facts: said outright, with no model, and each kept in the history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from keepwell.errors import ChangeNotFound, FactChanged, FactNotFound, InvalidScope, UsageError
from keepwell.formation.revert import Step
from keepwell.formation.settle import Edit, draft_of
from keepwell.memory.drafts import (
    FactLike,
    SourceLike,
    Statement,
    filled,
    ident_of,
    rejecting,
    sources_of,
    space_of,
    word,
)
from keepwell.memory.past import Past, check_facts_of
from keepwell.memory.reverting import steps_back
from keepwell.memory.twins import twin
from keepwell.models import Change, Changes, Fact, Owner
from keepwell.models.items import is_item
from keepwell.models.message import utc
from keepwell.models.scope import check_id
from keepwell.storage.facts import ApplyEdits, RawSources

ACTOR = "user"
"""Who makes the changes of these verbs: whoever calls them."""
_TRIES = 3


class Remembering(Past):
    """What can be done to the facts of a view.

    New facts belong to the view's exact owner; those of every owner that it covers can be corrected, retracted and
    restored. ``sources`` are messages that are stored, quotes of them, facts or recollections; what a fact rests on
    is told by ``sources(fact)``, and when a source is forgotten the fact goes with it.

    Example:
        >>> fact = ada.remember("Ada lives in Lisbon", key="home")
        >>> ada.remember("Ada lives in Porto", key="home").version
        2
        >>> [change.kind for change in ada.history(fact)]
        ['UPDATE', 'ADD']
    """

    def remember(
        self,
        text: str,
        *,
        key: str | None = None,
        subject: str = "",
        kind: str = "",
        valid_from: dt.datetime | None = None,
        valid_to: dt.datetime | None = None,
        expires_at: dt.datetime | None = None,
        sources: SourceLike | Iterable[SourceLike] = (),
        metadata: Mapping[str, Any] | None = None,
        confidence: float = 1.0,
        idempotency_key: str | None = None,
        connection: object = None,
    ) -> Fact:
        """Keep one short statement as a fact, and give it.

        With ``key`` it takes the place of the fact of that key, whose old version is kept. The same statement again
        changes nothing. A rejection of it is lifted. ``valid_from`` and ``valid_to`` say when it is true,
        ``expires_at`` when it is to be forgotten.

        Raises:
            InvalidScope: this view has no id to write as.
            UsageError: the text is blank, or another part cannot be kept.
            MessageNotFound: a source is not in this scope.
            IdempotencyConflict: the key was used for another write.

        Example:
            >>> ada.remember("Priya is Ada's sister", key="sister", subject="Priya").text
            "Priya is Ada's sister"
        """
        owner = self._writer()
        said = Statement(text, key, subject, kind, valid_from, valid_to, expires_at, metadata, confidence)
        draft = said.draft(sources_of(self._engine, self.scope, sources))
        (ready,) = filled(self._engine, [draft])
        changes = self._apply(owner, [Edit("ADD", draft=ready)], connection, idempotency_key=idempotency_key)
        return _after(changes)

    def correct(
        self,
        fact: FactLike,
        text: str,
        *,
        why: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        kind: str | None = None,
        valid_from: dt.datetime | None = None,
        valid_to: dt.datetime | None = None,
        expires_at: dt.datetime | None = None,
        sources: SourceLike | Iterable[SourceLike] = (),
        metadata: Mapping[str, Any] | None = None,
        confidence: float | None = None,
        reject: bool = True,
        idempotency_key: str | None = None,
        connection: object = None,
    ) -> Fact:
        """Say what is right instead, and give the fact in its new version; what is not given stays as it was.

        The old statement is rejected: it cannot be learned again, unless ``reject`` is False, for what was true and is
        not any more. What was formed from it is looked at again.

        Raises:
            FactNotFound: there is no such fact in this scope, or it does not stand.
            FactChanged: it was changed since the value given was read.
            UsageError: it is an item of a store, which is changed where it was put.

        Example:
            >>> wrong = ada.remember("Ada eats fish")
            >>> ada.correct(wrong, "Ada eats no fish", why="she said so").text
            'Ada eats no fish'
        """
        old, seen = self._present(fact, again=idempotency_key is not None)
        if is_item(old.kind, old.key):
            raise UsageError("this is an item of a store; put its new value there")
        said = Statement(
            text,
            old.key if key is None else key,
            old.subject if subject is None else subject,
            old.kind if kind is None else kind,
            valid_from or old.valid_from,
            valid_to or old.valid_to,
            expires_at or old.expires_at,
            old.metadata if metadata is None else metadata,
            old.confidence if confidence is None else confidence,
        )
        draft = said.draft(sources_of(self._engine, self.scope, sources))
        (ready,) = filled(self._engine, [draft])
        gone = rejecting(self._engine, [old], unless=ready.text) if reject else ()
        edit = Edit("UPDATE", old.id, ready, seen, why or "", gone)
        return _after(self._apply(old.owner, [edit], connection, idempotency_key=idempotency_key))

    def retract(
        self,
        fact: FactLike,
        *,
        why: str | None = None,
        reject: bool = False,
        idempotency_key: str | None = None,
        connection: object = None,
    ) -> Change:
        """Hold a fact to be true no longer, and give the change; it stays in the history.

        With ``reject`` it cannot be learned again. What was formed from it is looked at again, or goes with it.

        Raises:
            FactNotFound: there is no such fact in this scope, or it does not stand.
            FactChanged: it was changed since the value given was read.

        Example:
            >>> moved = ada.remember("Ada lives in Rome")
            >>> ada.retract(moved, why="she moved").kind
            'DELETE'
        """
        old, seen = self._present(fact, again=idempotency_key is not None)
        gone = rejecting(self._engine, [old]) if reject else ()
        edit = Edit("DELETE", old.id, None, seen, why or "", gone)
        changes = self._apply(old.owner, [edit], connection, idempotency_key=idempotency_key)
        return next(change for change in changes if change.fact == old.id)

    def restore(
        self,
        fact: FactLike,
        version: int | None = None,
        *,
        why: str | None = None,
        idempotency_key: str | None = None,
        connection: object = None,
    ) -> Fact:
        """Hold a fact to be true again, as it was in a version, and give it in its new one.

        The version is that of the value given, else the newest. A rejection of it is lifted.

        Raises:
            FactNotFound: there is no such fact or version in this scope.

        Example:
            >>> moved = ada.remember("Ada lives in Rome")
            >>> _ = ada.retract(moved)
            >>> ada.restore(moved).stands
            True
        """
        wanted = fact.version if version is None and isinstance(fact, Fact) else version
        old = self._version(ident_of(fact), wanted)
        rests_on = self._engine.record.read(RawSources(self.scope, (old.id,))).get((old.id, old.version), ())
        (ready,) = filled(self._engine, [draft_of(old, rests_on)])
        edit = Edit("RESTORE", old.id, ready, reason=why or "")
        return _after(self._apply(old.owner, [edit], connection, idempotency_key=idempotency_key))

    def revert(
        self,
        change: Change | UUID | str | None = None,
        *,
        batch: UUID | None = None,
        actor: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        since: dt.datetime | None = None,
        connection: object = None,
    ) -> Changes:
        """Take changes back, and give the changes that this makes: facts are as they were before the earliest one.

        A change is named by itself or its id; ``batch`` names a whole formation or call; ``actor``, ``agent_id`` and
        ``run_id`` name everything that was done so, ``since`` an instant. What those changes made necessary is taken
        back with them. Later changes to the same facts are undone as well, and named in the reason.

        Raises:
            UsageError: nothing is named.
            ChangeNotFound: nothing of that name was ever done in this scope.
            FactChanged: somebody keeps changing the same facts.

        Example:
            >>> tea = ada.remember("Ada drinks tea", key="drink")
            >>> coffee = ada.remember("Ada drinks coffee", key="drink")
            >>> _ = ada.revert(ada.history(coffee)[0])
            >>> ada.fact(tea.id).text
            'Ada drinks tea'
        """
        named = (change, batch, actor, agent_id, run_id, since)
        if all(one is None for one in named):
            raise UsageError("revert() takes a change, or one of batch=, actor=, agent_id=, run_id= and since=")
        known = since if since is None else utc(since)
        for tried in range(_TRIES):
            chosen = self._chosen(change, batch, actor, known, Owner("", agent_id or "", run_id or ""))
            try:
                return self._take_back(chosen, connection)
            except FactChanged:
                if tried + 1 == _TRIES or connection is not None:
                    raise
        raise AssertionError  # the last try returns or raises

    aremember = twin(remember)
    acorrect = twin(correct)
    aretract = twin(retract)
    arestore = twin(restore)
    arevert = twin(revert)

    # Parts of the verbs

    def _writer(self) -> Owner:
        if not any(self.scope.owner):
            raise InvalidScope("this view has no id to write as; remember through a scope that has one")
        return self.scope.owner

    def _present(self, fact: FactLike, *, again: bool) -> tuple[Fact, int | None]:
        """Give the fact as the caller has it, with its version, or as it stands, whatever version that is.

        ``again``: this may be a second try under one key, after which the fact does not stand any more.
        """
        if isinstance(fact, Fact):
            check_facts_of(self.scope, fact)
            return fact, fact.version
        found = self._version(ident_of(fact), None)
        if not (found.stands or again):
            raise FactNotFound(f"fact {found.id} does not stand any more; restore() brings it back")
        return found, None

    def _apply(
        self,
        owner: Owner,
        edits: Sequence[Edit],
        connection: object,
        *,
        batch: UUID | None = None,
        idempotency_key: str | None = None,
    ) -> Changes:
        if idempotency_key is not None:
            check_id(idempotency_key, "idempotency_key")
        change = ApplyEdits(
            owner,
            tuple(edits),
            ACTOR,
            batch or uuid4(),
            self.scope,
            explicit=True,
            space=space_of(self._engine, (edit.draft for edit in edits)),
            idempotency_key=idempotency_key,
        )
        return self._engine.write(change, connection)

    def _chosen(
        self, change: Change | UUID | str | None, batch: UUID | None, actor: str | None, since: dt.datetime | None,
        by: Owner,
    ) -> list[Change]:  # fmt: skip
        ids = None if change is None else (change.id if isinstance(change, Change) else ident_of(change),)
        word(actor, "actor")
        found = self._changes(ids=ids, batch=batch, actor=actor, since=since, oldest_first=True)
        chosen = [
            one for one in found if by.agent_id in {"", one.owner.agent_id} and by.run_id in {"", one.owner.run_id}
        ]
        if not chosen:
            raise ChangeNotFound("nothing of that name was done in this scope; nothing was taken back")
        return chosen

    def _take_back(self, chosen: Sequence[Change], connection: object) -> Changes:
        steps = steps_back(self._engine, self.scope, chosen)
        if len(steps) < 2 or connection is not None:  # noqa: PLR2004 - one write is a transaction by itself
            return self._take_steps(steps, connection)
        with self._engine.opened.store.transaction() as together:
            return self._take_steps(steps, together)

    def _take_steps(self, steps: Sequence[Step], connection: object) -> Changes:
        batch = uuid4()
        made = [self._apply(step.owner, step.edits, connection, batch=batch) for step in steps]
        return Changes(tuple(change for changes in made for change in changes))


def _after(changes: Changes) -> Fact:
    """Give the fact that an edit left, whatever followed from it elsewhere."""
    return next(change.after for change in reversed(changes) if change.after is not None and change.actor == ACTOR)
