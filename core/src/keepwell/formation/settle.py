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
from keepwell.models.items import is_item
from keepwell.models.scope import Owner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TELLING = frozenset("#%&@")
"""Punctuation that makes another word of a word: C# is not C."""
_SIGNS = frozenset(("Mn", "Mc", "Me", "Sm", "Sc", "So"))
"""Categories of characters that are no letters and still tell: vowel signs, currencies, arrows, emoji."""
_MARK = re.compile(r"(?P<number>(?<=\d)[.,:/-](?=\d)|(?<![^\W_])-(?=\d))|[\W_]")
"""What is no letter and no digit; ``number`` where it is part of a number, time or date, or a minus."""


def normal(text: str) -> str:
    """Give a statement without what does not change it: case, compatibility forms, punctuation and spacing.

    Numbers, signs, emoji and the vowel signs that many scripts write as marks do change it.

    Example:
        >>> normal("Ada's  sister is PRIYA.")
        'ada s sister is priya'
        >>> normal("It is -5.5 degrees!"), normal("C++"), normal("C")
        ('it is -5.5 degrees', 'c++', 'c')
    """
    # Folding may leave what composing changes, and the other way round: this order is Unicode's own (its rule D146).
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold()).casefold()
    words = _MARK.sub(_telling, unicodedata.normalize("NFKC", folded)).split()
    return " ".join(words) or text.strip()


def _telling(found: re.Match[str]) -> str:
    mark = found[0]
    tells = found["number"] or mark in _TELLING or unicodedata.category(mark) in _SIGNS
    return mark if tells else " "


def fingerprint(text: str) -> bytes:
    """Give 16 bytes that are the same for statements that say the same (see :func:`normal`)."""
    return blake2b(normal(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def mark(text: str, kind: str, key: str | None) -> bytes:
    """Give what no two standing facts of an owner have in common: what they say, or of a store's item where it lies.

    Two items may say the same, and say what a fact says.
    """
    if key is not None and is_item(kind, key):
        return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, person=b"item").digest()
    return fingerprint(text)


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
    it. ``trust`` is that of who asks (for the draft of an ADD or UPDATE, the draft's).
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

    def by_text(self, draft: Draft) -> Fact | None:
        said = mark(draft.text, draft.kind, draft.key)
        return next((f for f in self.facts.values() if mark(f.text, f.kind, f.key) == said), None)


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
      join the standing version), or an UPDATE where it stands re-opened: it is looked at with that. What was rejected
      is NONE, unless ``explicit``: that lifts the rejection.
    - UPDATE to what another fact says already is a DELETE of this one, or of the other where only this one is to
      have a key. UPDATE to a key that another fact has is a DELETE of that one.
    - Who is less trusted than a fact changes nothing in it, and rejects nothing: NONE.
    - What stands when its edit is done is not rejected by it: a statement may be corrected in its spelling.

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
        if (same := self.table.by_text(draft)) is not None:
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
        if self._distrusted(draft.trust, fact):
            return [self._refused(edit, fact, draft.trust)]
        if self._rejected(draft):
            return [self._none(edit, fact, "it was rejected")]
        holder, other = self._others(draft, fact.id)
        if other is not None and not self._may_take(draft, other):
            return [self._end(edit, fact, f"the same as fact {other.id}"), _once(self._again(edit, other))]
        if holder is not None and self._distrusted(draft.trust, holder):
            return [self._refused(edit, holder, draft.trust)]
        clash = {one.id: one for one in (holder, other) if one is not None}
        ended = [self._end(edit, one, f"it is now said by fact {fact.id}") for one in clash.values()]
        return _only_first([*ended, self._write(edit, "UPDATE", fact.id, fact)])

    def _others(self, draft: Draft, ident: UUID) -> tuple[Fact | None, Fact | None]:
        """Give the facts but this one that have the draft's key and that say what it says."""
        found = self.table.by_key(draft.key), self.table.by_text(draft)
        holder, other = (None if one is None or one.id == ident else one for one in found)
        return holder, other

    def _may_take(self, draft: Draft, other: Fact) -> bool:
        """Tell whether a draft with a key may take the place of a fact that says the same without one."""
        return draft.key is not None and other.key is None and not self._distrusted(draft.trust, other)

    def _restore(self, edit: Edit) -> list[Settled]:
        draft = _given(edit)
        if edit.fact is None or edit.fact not in self.table.last:
            raise FactNotFound(f"there is no fact {edit.fact} here")
        if edit.version not in (None, self.table.last[edit.fact]):
            raise FactChanged(f"fact {edit.fact} has changed meanwhile; look at it again")
        there = self.table.facts.get(edit.fact)
        if there is not None and not there.reopened and _equal(there, draft):
            return [self._none(edit, there, "it stands as it was")]
        ids = {one.id: one for one in self._others(draft, edit.fact) if one is not None}
        for one in (*ids.values(), *(() if there is None else (there,))):
            if self._distrusted(edit.trust, one):
                return [self._refused(edit, one, edit.trust)]
        if self._rejected(draft):
            return [self._none(edit, there, "it was rejected")]
        ended = [self._end(edit, other, f"fact {edit.fact} was restored in its place") for other in ids.values()]
        return _only_first([*ended, self._write(edit, "RESTORE", edit.fact, there)])

    def _delete(self, edit: Edit, fact: Fact) -> list[Settled]:
        if self._distrusted(edit.trust, fact):
            return [self._refused(edit, fact, edit.trust)]
        return [self._end(edit, fact, edit.reason)]

    def _distrusted(self, trust: Trust, fact: Fact) -> bool:
        return TRUST[trust] < TRUST[fact.trust]

    def _refused(self, edit: Edit, fact: Fact, trust: Trust) -> Settled:
        reason = f"{trust} is less trusted than {fact.trust}, whose word this is"
        return self._none(replace(edit, reject=()), fact, reason)

    def _rejected(self, draft: Draft) -> bool:
        return not self.explicit and not self.table.rejected.isdisjoint(draft.hashes)

    def _again(self, edit: Edit, fact: Fact) -> Settled:
        draft = _given(edit)
        edit = replace(edit, reject=_without(edit.reject, draft.hashes))
        if fact.reopened and not self._distrusted(draft.trust, fact):
            return self._write(replace(edit, draft=_kept_by(fact, draft)), "UPDATE", fact.id, fact)
        return replace(self._none(edit, fact, edit.reason or "it stands already"), also=draft.sources)

    def _none(self, edit: Edit, fact: Fact | None, reason: str) -> Settled:
        named = fact.id if fact is not None else edit.fact or uuid4()
        change = self._change("NONE", named, fact, fact, reason, edit)
        self.table.rejected.update(edit.reject)
        return Settled(change, reject=edit.reject)

    def _end(self, edit: Edit, fact: Fact, reason: str) -> Settled:
        del self.table.facts[fact.id]
        self.table.last[fact.id] = fact.version
        reject = edit.reject if edit.draft is None else _without(edit.reject, edit.draft.hashes)
        self.table.rejected.update(reject)
        return Settled(self._change("DELETE", fact.id, fact, None, reason, edit), reject=reject)

    def _write(self, edit: Edit, kind: ChangeKind, ident: UUID, before: Fact | None) -> Settled:
        draft = _given(edit)
        version = max(self.table.last.get(ident, 0), 0 if before is None else before.version) + 1
        after = fact_of(draft, ident, version, self.owner, self.at)
        self.table.facts[ident], self.table.last[ident] = after, version
        lifted = tuple(self.table.rejected.intersection(draft.hashes)) if self.explicit else ()
        reject = _without(edit.reject, draft.hashes)
        self.table.rejected.difference_update(lifted)
        self.table.rejected.update(reject)
        reason = f"{edit.reason} (a rejection was lifted)".strip() if lifted else edit.reason
        change = self._change(kind, ident, before, after, reason, edit)
        return Settled(change, draft, reject, lifted)

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


def _without(hashes: tuple[bytes, ...], held: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(one for one in hashes if one not in held)


def _only_first(settled: list[Settled]) -> list[Settled]:
    """Give what one edit came to with its rejections once."""
    return [settled[0], *map(_once, settled[1:])]


def _once(settled: Settled) -> Settled:
    return replace(settled, reject=())


def _kept_by(fact: Fact, draft: Draft) -> Draft:
    """Give the draft with what it leaves open as the fact has it: the same is said again, in fewer words about it."""
    names = ("subject", "kind", "key", "valid_from", "valid_to", "expires_at", "metadata")
    return replace(draft, **{name: getattr(draft, name) or getattr(fact, name) for name in names})


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


def _equal(fact: Fact, draft: Draft) -> bool:
    """Tell whether a fact is in every field what a draft would make of it."""
    made = fact_of(draft, fact.id, fact.version, fact.owner, fact.recorded_at)
    return replace(fact, retired_at=None, metadata=dict(fact.metadata)) == replace(made, metadata=dict(made.metadata))


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
