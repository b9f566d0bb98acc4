"""What edits of facts come to, given what stands: one pure function that every store applies in its transaction.

ADD, UPDATE, DELETE and NONE are mem0's words (Chhikara et al., "Mem0: Building Production-Ready AI Agents with
Scalable Long-Term Memory", 2025); here each is settled against keys, equal statements, trust and rejections, so that
the same edit asked twice changes nothing the second time.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID, uuid4

from keepwell.errors import FactChanged, FactNotFound
from keepwell.models.fact import TRUST, Change, ChangeKind, Fact, Source, Trust
from keepwell.models.scope import Owner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_GAP = re.compile(r"[\W_]+")


def normal(text: str) -> str:
    """Give a statement without what does not change it: case, compatibility forms, punctuation and spacing.

    Example:
        >>> normal("Ada's  sister is PRIYA.")
        'ada s sister is priya'
    """
    words = _GAP.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return words or text.strip()


def fingerprint(text: str) -> bytes:
    """Give 16 bytes that are the same for statements that say the same (see :func:`normal`)."""
    return blake2b(normal(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def hashes(secret: bytes, text: str, key: str | None) -> tuple[bytes, ...]:
    """Give the keyed hashes under which a statement is rejected: with its key, and without one."""
    names = [""] if key is None else [key, ""]
    said = normal(text)
    return tuple(
        hmac.new(secret, f"{said}\x00{name}".encode("utf-8", "surrogatepass"), sha256).digest() for name in names
    )


@dataclass(frozen=True, slots=True)
class Draft:
    """What a fact is to say; the rest of a :class:`~keepwell.models.Fact` is the store's.

    ``hashes``: see :func:`hashes`. ``vectors`` are unit vectors of its chunks; where there are none, embedding it is
    due work.
    """

    text: str
    subject: str = ""
    kind: str = ""
    key: str | None = None
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    confidence: float = 1.0
    trust: Trust = "user"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    hashes: tuple[bytes, ...] = ()
    terms: str = ""
    signals: str = ""
    vectors: tuple[NDArray[np.float32], ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """One thing to be done to a fact.

    ADD makes one from ``draft``; UPDATE and RESTORE give ``fact`` what ``draft`` says; DELETE ends it; NONE only
    records the decision. ``version`` is the version that was looked at (None: whichever stands): where another
    stands now, :class:`~keepwell.errors.FactChanged` is raised. ``reject`` are hashes that become rejections with
    it. ``trust`` is that of who asks (for a draft, the draft's).
    """

    kind: ChangeKind
    fact: UUID | None = None
    draft: Draft | None = None
    version: int | None = None
    reason: str = ""
    reject: tuple[bytes, ...] = ()
    cause: UUID | None = None
    trust: Trust = "user"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the owner's record says of everything that the edits can touch.

    ``facts``: standing versions, by id, of all facts named by an edit or holding one of the drafts' keys or
    statements. ``last``: the newest version number of each fact that an edit names, standing or not. ``rejected``:
    those of the drafts' hashes that a rejection covering this owner holds.
    """

    facts: Mapping[UUID, Fact] = field(default_factory=dict)
    last: Mapping[UUID, int] = field(default_factory=dict)
    rejected: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Settled:
    """One change to write: the change, its new version's draft, and rejections to set and to lift.

    ``change.before`` ends where it is not None and the kind is not NONE; ``change.after`` begins. ``also`` are
    sources that join a version which stays (a statement that was said again).
    """

    change: Change
    draft: Draft | None = None
    reject: tuple[bytes, ...] = ()
    lift: tuple[bytes, ...] = ()
    also: tuple[Source, ...] = ()


@dataclass(slots=True)
class _Table:
    """The owner's facts while the edits are gone through."""

    facts: dict[UUID, Fact]
    last: dict[UUID, int]
    rejected: set[bytes]

    def by_key(self, key: str | None) -> Fact | None:
        return None if key is None else next((f for f in self.facts.values() if f.key == key), None)

    def by_text(self, text: str) -> Fact | None:
        mark = fingerprint(text)
        return next((f for f in self.facts.values() if fingerprint(f.text) == mark), None)


def settle(
    edits: Sequence[Edit],
    standing: Standing,
    *,
    owner: Owner,
    actor: str,
    batch: UUID,
    explicit: bool,
    at: dt.datetime,
) -> list[Settled]:
    """Give what the edits come to, in order; each sees what the ones before it did.

    - ADD under a key that stands is an UPDATE of that fact. A statement that stands already is NONE (its sources
      join the standing version). What was rejected is NONE, unless ``explicit``: that lifts the rejection.
    - UPDATE to what another fact says already is a DELETE of this one.
    - Who is less trusted than a fact changes nothing in it: NONE.

    Raises:
        FactChanged: a fact is not in the version any more that the edit was made for.
        FactNotFound: an edit names a fact that is not there (or does not stand, and is not to be restored).
    """
    table = _Table(dict(standing.facts), dict(standing.last), set(standing.rejected))
    maker = _Maker(table, owner, actor, batch, explicit, at)
    settled: list[Settled] = []
    for edit in edits:
        settled += maker.do(edit)
    return settled


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes changes, and keeps the table as they leave it."""

    table: _Table
    owner: Owner
    actor: str
    batch: UUID
    explicit: bool
    at: dt.datetime

    def do(self, edit: Edit) -> list[Settled]:
        match edit.kind:
            case "ADD":
                return self._add(edit)
            case "UPDATE":
                return self._update(edit, self._standing(edit))
            case "RESTORE":
                return self._restore(edit)
            case "DELETE":
                return self._delete(edit, self._standing(edit))
            case "NONE":
                fact = None if edit.fact is None else self.table.facts.get(edit.fact)
                return [self._none(edit, fact, edit.reason)]
        assert_never(edit.kind)

    def _standing(self, edit: Edit) -> Fact:
        fact = None if edit.fact is None else self.table.facts.get(edit.fact)
        if fact is None:
            raise FactNotFound(f"there is no fact {edit.fact} that stands here")
        if edit.version not in (None, fact.version):
            raise FactChanged(f"fact {fact.id} is in version {fact.version} now, not {edit.version}; look at it again")
        return fact

    def _add(self, edit: Edit) -> list[Settled]:
        draft = _given(edit)
        if (there := self.table.by_key(draft.key)) is not None:
            return self._update(replace(edit, kind="UPDATE", fact=there.id), there)
        if (same := self.table.by_text(draft.text)) is not None:
            if draft.key is None or same.key is not None:
                return [self._again(edit, same)]
            return self._update(replace(edit, kind="UPDATE", fact=same.id), same)
        if self._rejected(draft):
            return [self._none(edit, None, "it was rejected")]
        return [self._write(edit, "ADD", uuid4() if edit.fact is None else edit.fact, None)]

    def _update(self, edit: Edit, fact: Fact) -> list[Settled]:
        draft = _given(edit)
        if says(fact, draft):
            return [self._again(edit, fact)]
        if TRUST[draft.trust] < TRUST[fact.trust]:
            return [self._none(edit, fact, f"{draft.trust} is less trusted than {fact.trust}, whose word this is")]
        if self._rejected(draft):
            return [self._none(edit, fact, "it was rejected")]
        other = self.table.by_text(draft.text)
        if other is not None and other.id != fact.id:
            if draft.key is None or other.key is not None:
                gone = self._end(edit, fact, f"the same as fact {other.id}")
                return [gone, self._again(edit, other)]
            gone = self._end(edit, other, f"it is now said by fact {fact.id}")
            return [gone, self._write(edit, "UPDATE", fact.id, fact)]
        return [self._write(edit, "UPDATE", fact.id, fact)]

    def _restore(self, edit: Edit) -> list[Settled]:
        draft = _given(edit)
        if edit.fact is None or edit.fact not in self.table.last:
            raise FactNotFound(f"there is no fact {edit.fact} here")
        if edit.version not in (None, self.table.last[edit.fact]):
            raise FactChanged(f"fact {edit.fact} has changed meanwhile; look at it again")
        there = self.table.facts.get(edit.fact)
        if there is not None and says(there, draft) and not there.reopened:
            return [self._none(edit, there, "it stands as it was")]
        if self._rejected(draft):
            return [self._none(edit, there, "it was rejected")]
        clash = [f for f in (self.table.by_key(draft.key), self.table.by_text(draft.text)) if f is not None]
        ids = {f.id: f for f in clash if f.id != edit.fact}
        ended = [self._end(edit, other, f"fact {edit.fact} was restored in its place") for other in ids.values()]
        return [*ended, self._write(edit, "RESTORE", edit.fact, there)]

    def _delete(self, edit: Edit, fact: Fact) -> list[Settled]:
        if TRUST[edit.trust] < TRUST[fact.trust]:
            return [self._none(edit, fact, f"{edit.trust} is less trusted than {fact.trust}, whose word this is")]
        return [self._end(edit, fact, edit.reason)]

    def _rejected(self, draft: Draft) -> bool:
        return not self.explicit and not self.table.rejected.isdisjoint(draft.hashes)

    def _again(self, edit: Edit, fact: Fact) -> Settled:
        draft = edit.draft
        return replace(
            self._none(edit, fact, edit.reason or "it stands already"), also=() if draft is None else draft.sources
        )

    def _none(self, edit: Edit, fact: Fact | None, reason: str) -> Settled:
        named = fact.id if fact is not None else edit.fact or uuid4()
        change = self._change("NONE", named, fact, fact, reason, edit)
        return Settled(change, reject=edit.reject)

    def _end(self, edit: Edit, fact: Fact, reason: str) -> Settled:
        del self.table.facts[fact.id]
        self.table.last[fact.id] = fact.version
        return Settled(self._change("DELETE", fact.id, fact, None, reason, edit), reject=edit.reject)

    def _write(self, edit: Edit, kind: ChangeKind, ident: UUID, before: Fact | None) -> Settled:
        draft = _given(edit)
        version = max(self.table.last.get(ident, 0), 0 if before is None else before.version) + 1
        after = fact_of(draft, ident, version, self.owner, self.at)
        self.table.facts[ident], self.table.last[ident] = after, version
        lifted = tuple(self.table.rejected.intersection(draft.hashes)) if self.explicit else ()
        self.table.rejected.difference_update(lifted)
        reason = f"{edit.reason} (a rejection was lifted)".strip() if lifted else edit.reason
        change = self._change(kind, ident, before, after, reason, edit)
        return Settled(change, draft, edit.reject, lifted)

    def _change(  # noqa: PLR0917 - the columns of a change, in their order
        self, kind: ChangeKind, ident: UUID, before: Fact | None, after: Fact | None, reason: str, edit: Edit
    ) -> Change:
        sources = () if edit.draft is None else edit.draft.sources
        return Change(
            uuid4(),
            kind,
            ident,
            self.owner,
            before,
            after,
            reason,
            self.at,
            self.actor,
            self.batch,
            edit.cause,
            sources,
        )


def _given(edit: Edit) -> Draft:
    if edit.draft is None:
        raise TypeError(f"{edit.kind} needs a draft")
    return edit.draft


def says(fact: Fact, draft: Draft) -> bool:
    """Tell whether a fact says what a draft would have it say; where it is from does not matter."""
    if fingerprint(fact.text) != fingerprint(draft.text) or fact.text.strip() != draft.text.strip():
        return False
    names = ("key", "kind", "subject", "valid_from", "valid_to", "expires_at", "metadata")
    told = {name: getattr(draft, name) for name in names if getattr(draft, name)}
    return all(getattr(fact, name) == value for name, value in told.items())


def fact_of(draft: Draft, ident: UUID, version: int, owner: Owner, at: dt.datetime) -> Fact:
    """Give the fact that a draft makes."""
    return Fact(
        ident, version, draft.text, owner, at, draft.subject, draft.kind, draft.key, draft.valid_from, draft.valid_to,
        None, draft.expires_at, draft.confidence, draft.trust, draft.metadata,
    )  # fmt: skip


def draft_of(fact: Fact, sources: tuple[Source, ...]) -> Draft:
    """Give the draft that says what a fact says; its hashes, terms and vectors are to be filled in."""
    return Draft(
        fact.text, fact.subject, fact.kind, fact.key, fact.valid_from, fact.valid_to, fact.expires_at,
        fact.confidence, fact.trust, fact.metadata, sources,
    )  # fmt: skip
