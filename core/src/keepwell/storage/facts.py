"""The seam's operations on facts, their history and the work that is due: see :mod:`keepwell.storage.base`.

Keys, reconciliation and leases are per owner; watermarks are per thread. An operation that changes facts holds
the owner's row, settles its edits by :func:`keepwell.formation.settle.settle`, and writes facts, sources,
postings, vectors, changes, tombstones and due work together or not at all.

Where a fact's version stands beside messages (recall, metadata, vectors) its key is negative, ``created`` is
:attr:`Fact.at <keepwell.models.Fact.at>`, and ``retired`` is 0 while it stands re-opened, so that no recall takes it.
``Weigh`` and a scope's statistics count standing facts as messages. ``FindMissing`` gives messages by key and then
standing facts: 1, 2, 3, -1, -2; its ``after`` goes by that order. ``FindCandidates`` gives only facts that stand and
are not re-opened, and none where a thread is asked for.

An owner's changes have instants in their order, none the same for two writes: what ``as_of`` such an instant gives is
what stood after that write. ``before`` and ``after`` of a change are versions as the record has them now.

Forgetting takes facts of any owner of the tenant that rest on what goes, and the decisions (NONE, DELETE) that name it
among their sources. Messages that stay, and that a fact which goes rests on in any version, are
to be formed again, and their threads are due; not so the messages of a fact that was itself forgotten: only those of
facts formed from it that are not its own. ``everywhere`` removes the messages that the scope covers. The receipt's
``what`` repeats the operation's fields.

With a moved thread go the facts of its owner all of whose sources, in every version, go with it (messages of the
thread, facts that go). Others that rest on what goes lose those sources, and are re-opened.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from keepwell.formation.settle import Edit
from keepwell.models import Change, Changes, Fact, Facts, Message, Owner, Receipt, Rejection, Scope, Source, Sources
from keepwell.storage.base import Read, Write
from keepwell.storage.graph import GraphEdits

# --- facts: writes


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a language model; never what was said in it. ``purpose``: extract, reconcile, reform, distil."""

    model: str
    purpose: str
    input_tokens: int
    output_tokens: int
    seconds: float
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to form one thread until ``until``; ``lease`` is the number that this claim raised.

    ``formed_to`` is the thread's watermark and ``last_seq`` its last number when it was claimed; ``attempts``
    counts how often forming failed since it last went well.
    """

    owner: Owner
    lease: int
    until: dt.datetime
    thread: UUID
    thread_id: str
    formed_to: int
    last_seq: int
    attempts: int = 0
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Formed:
    """What a formation has read: the messages after the claim's watermark up to ``upto``, and those of ``again``.

    Applying it compares lease and watermark with the record; where they are not the claim's any more it raises
    :class:`~keepwell.errors.LeaseLost` and writes nothing, as where the thread is another owner's. ``due_at`` is
    cleared only where no message is left to form. What was replaced since the claim is to be formed again, though
    it is named here. ``finish`` gives the lease back.
    """

    claim: Claim
    upto: int
    again: tuple[int, ...] = ()
    finish: bool = True


@dataclass(frozen=True, slots=True)
class ApplyEdits(Write[Changes]):
    """Change facts of one owner; gives the changes in the order in which they were made, NONE among them.

    ``explicit`` says that a person asked for it, which lifts rejections in its way (they are recorded as lifted in
    the change's reason). ``view`` is the scope that speaks: a rejection binds every owner that it covers.
    With ``formed`` this is the end of a formation. ``done`` names due work that is finished by it, ``calls`` the
    model calls that led to it. Facts formed from a version that ends here are re-opened, or retracted where
    nothing they rest on stands any more (changes of actor ``cascade`` whose ``cause`` is the change), in any owner:
    those that name, when all edits are made, a version that does not stand any more. Re-opening is no change of
    history; it leaves due work ``reform``, which goes when the version ends, as ``embed`` does. The answer has the
    changes of the cascade too, last. With ``done``, what is made here is looked at in the same way: what it names may
    have ended while it was formed.

    Every message and version that a draft names as a source must be there. Where one was forgotten meanwhile,
    nothing is written: LeaseLost with ``formed``, otherwise MessageNotFound or FactNotFound. An idempotency key
    stands for what the edits say, not for ``batch``, ids of changes or vectors.
    """

    owner: Owner
    edits: tuple[Edit, ...]
    actor: str
    batch: UUID
    view: Scope
    explicit: bool = False
    formed: Formed | None = None
    done: tuple[DueItem, ...] = ()
    calls: tuple[ModelCall, ...] = ()
    space: int | None = None
    idempotency_key: str | None = None
    graph: GraphEdits | None = None


@dataclass(frozen=True, slots=True)
class PutHistory(Write[dict[str, int]]):
    """Keep facts with all their versions, sources and changes as they were exported; counts what is new.

    What is there already (by id and version, or a change's id) is left as it is, except that it ends where a later
    version comes. A fact that was rejected here is not kept, with all its versions, and counted under ``rejected``;
    one whose key or statement another fact holds here neither, under ``held``. The other counts have the names of
    places in receipts: ``facts``, ``fact_versions``, ``sources``, ``changes``. ``hashes`` gives, per fact id, the
    keyed hashes of each version's statement. ``message`` of sources are numbers of this store (the importer maps
    them); a source that is not here is left out. Everything becomes the owner's. Changes come oldest first. The
    facts are posted; their vectors are due.
    """

    owner: Owner
    facts: tuple[Fact, ...]
    terms: tuple[str, ...]
    signals: tuple[str, ...]
    sources: tuple[tuple[Source, ...], ...]
    changes: tuple[Change, ...]
    hashes: Mapping[UUID, tuple[bytes, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiftRejections(Write[int]):
    """Lift rejections by number (all of the scope where None), so that what they name may be learned again.

    A scope's rejections are those of views that see nothing which the scope does not see, see ListRejections.
    """

    scope: Scope
    ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class SetPolicy(Write[Mapping[str, Any]]):
    """Merge an owner's (with ``thread``: that thread's) policy, key by key; None removes a key; gives the whole.

    A claim's policy is its owner's with the thread's over it.

    Keys in use: ``instructions``, ``never`` (texts for the extraction), ``retention`` (days), ``tokens_per_day``,
    ``calls_per_day``.
    """

    owner: Owner
    policy: Mapping[str, Any]
    thread: str | None = None


# --- facts: reads


@dataclass(frozen=True, slots=True)
class ListFacts(Read[Facts]):
    """One page of the scope's facts, newest first by when they were recorded; those that stand, unless told otherwise.

    ``as_of``: the versions that were held then. ``valid_at``: only what was true then, as far as dates are known.
    ``versions``: every version. ``rests_on``: only facts that rest on this message, or on this fact (in that version,
    where it is not 0).
    """

    scope: Scope
    ids: tuple[UUID, ...] | None = None
    key: str | None = None
    kind: str | None = None
    subject: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    as_of: dt.datetime | None = None
    valid_at: dt.datetime | None = None
    rests_on: Source | None = None
    versions: bool = False
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class FetchFacts(Read[dict[int, Fact]]):
    """Versions of facts of the scope by (negative) key; what is gone has no entry. ``standby`` as in FetchMessages."""

    scope: Scope
    keys: tuple[int, ...]
    standby: bool = False


@dataclass(frozen=True, slots=True)
class ReadSources(Read[Sources]):
    """What a fact of the scope rests on, in the version given (the newest where None), as far as the scope sees it."""

    scope: Scope
    fact: UUID
    version: int | None = None


@dataclass(frozen=True, slots=True)
class RawSources(Read[dict[tuple[UUID, int], tuple[Source, ...]]]):
    """The sources of versions of facts, as they are kept; for exports and decisions. Messages by number, then facts."""

    scope: Scope
    facts: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ReadHistory(Read[Changes]):
    """One page of the scope's changes, newest first (with ``oldest_first`` the other way)."""

    scope: Scope
    fact: UUID | None = None
    ids: tuple[UUID, ...] | None = None
    batch: UUID | None = None
    actor: str | None = None
    cause: UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    after: str | None = None
    limit: int = 100
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class ListRejections(Read[tuple[Rejection, ...]]):
    """What views of the scope have rejected, newest first; one entry a hash."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class ReadSecret(Read[bytes]):
    """The tenant's secret under which rejections are hashed, kept since the first migration of the tenant's use."""


@dataclass(frozen=True, slots=True)
class Remains(Read[dict[str, int]]):
    """How much is there, place by place, of what a ``forget`` with the same fields removes; all 0 after it.

    The places are those of its receipt: ``threads``, ``messages``, ``versions``, ``postings``, ``vectors``,
    ``idempotency``, ``facts``, ``fact_versions``, ``changes``, ``sources``, ``rejections``, ``due``, ``model_calls``;
    and ``checkpoints`` where the store can keep them.
    """

    scope: Scope
    thread: UUID | None = None
    message: str | None = None
    fact: UUID | None = None


@dataclass(frozen=True, slots=True)
class MessageKeys(Read[dict[tuple[UUID, str], int]]):
    """The numbers of messages in the store, by thread key and message id; for sources that a caller names.

    A thread of None: that id in every thread of the scope (a message does not know its thread).
    """

    scope: Scope
    messages: tuple[tuple[UUID | None, str], ...]


# --- formation: what is due, and who does it


@dataclass(frozen=True, slots=True)
class ClaimThread(Write["Claim | None"]):
    """Take a thread that is due (that one, where ``thread`` is given; ``early``: though its pause is not over).

    The owner's row is locked without waiting; it keeps the lease's number and its end. None where nothing is to be
    done: no thread is due, its owner is leased by another, or it has nothing that is not formed. A back-off after a
    failure is waited for, ``early`` or not (RetryParked ends it): so who claims until nothing comes gets to an end.
    """

    lease: dt.timedelta
    thread: UUID | None = None
    early: bool = False


@dataclass(frozen=True, slots=True)
class FindForming(Read[tuple[UUID, ...]]):
    """Threads that are due, longest waiting first; for engines that run ``form`` for each.

    Those of an owner who is leased may be left out: they come when the lease is over.
    """

    limit: int = 100
    early: bool = False


@dataclass(frozen=True, slots=True)
class Unformed:
    """What is to be formed: messages with their numbers in the store, oldest first, and the ones right before.

    ``again`` holds the numbers of those that were replaced, or parked and are tried again.
    """

    messages: tuple[tuple[int, Message], ...]
    before: tuple[Message, ...] = ()
    again: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ReadUnformed(Read[Unformed]):
    """The claim's messages after its watermark (``limit`` at most), and those that are to be formed again.

    Parked ones are left out. ``before`` of them come from right before the first, as context.
    """

    claim: Claim
    limit: int
    before: int = 6


@dataclass(frozen=True, slots=True)
class FailForming(Write[None]):
    """Give a claim back after a failure: the error and the next time are kept on the thread; attempts go up by one.

    With ``park`` those messages (numbers) are parked with the error and left out from now on, and attempts start
    anew; the parking ends when the message is replaced. Does nothing where the lease is another's meanwhile, or was
    given back. ``calls`` were made all the same.
    """

    claim: Claim
    error: str
    retry_in: dt.timedelta
    park: tuple[int, ...] = ()
    calls: tuple[ModelCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that could not be formed, and why."""

    thread: UUID
    thread_id: str
    message: str
    owner: Owner
    error: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ListParked(Read[tuple[Parked, ...]]):
    """The tenant's (or scope's) parked messages, newest first."""

    scope: Scope | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class RetryParked(Write[int]):
    """Mark the tenant's (or scope's) parked messages to be formed again, now; counts them.

    Threads and due work that wait after a failure become due at once, too.
    """

    scope: Scope | None = None


DueKind = Literal["embed", "reform", "distil", "retain", "index"]
"""Work that is not of a thread: vectors of facts that came without, re-opened facts, distillation, retention, and
vectors of a large user that are to be indexed."""


@dataclass(frozen=True, slots=True)
class DueItem:
    """Work that is not of a thread; ``item`` is a fact's id, or ``''`` where it is the owner's."""

    kind: DueKind
    owner: Owner
    item: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class PutDue(Write[None]):
    """Note work; what is noted already keeps the earlier time.

    What is noted while somebody does it may be left to be done once more when it is finished.
    """

    items: tuple[DueItem, ...]
    at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class TakeDue(Write[tuple[DueItem, ...]]):
    """Take up to ``limit`` items of these kinds that are due, and hide them for ``lease``.

    Taking counts as an attempt. Who does not finish them (``ApplyEdits.done``, ``FinishDue``) sees them again. An
    item is named by kind, owner and item, whatever its attempts.
    """

    kinds: tuple[DueKind, ...]
    lease: dt.timedelta
    limit: int = 20


@dataclass(frozen=True, slots=True)
class FinishDue(Write[None]):
    """Take items off, or note why they failed (``error``), to be tried ``again`` in so long a time.

    ``again`` without an error: they went well and come round again, with no attempts. ``calls`` count for the
    first item's owner.
    """

    items: tuple[DueItem, ...]
    error: str | None = None
    again: dt.timedelta | None = None
    calls: tuple[ModelCall, ...] = ()


@dataclass(frozen=True, slots=True)
class DueFact:
    """A standing version of a fact that has no vector in a space yet."""

    key: int
    text: str
    version: str


@dataclass(frozen=True, slots=True)
class FactsWithoutVectors(Read[tuple[DueFact, ...]]):
    """The standing facts of these items (kind ``embed``) that lack vectors of a space.

    Their vectors are kept by PutVectors under their (negative) key.
    """

    space: int
    items: tuple[DueItem, ...]


@dataclass(frozen=True, slots=True)
class FindOwners(Read[tuple[Owner, ...]]):
    """Owners with threads, after one, in order: for distillation and other rounds."""

    after: Owner | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Expire(Write[Receipt]):
    """Forget facts past ``expires_at`` and messages past the retention of their thread, owner or store (days).

    By the same removal as ``forget``; at most about ``limit`` messages and facts at once; the counts tell. A message's
    age is counted from when it was said (``created_at``). The thread's days go before the owner's, the owner's
    before ``days``.
    """

    days: float | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Spent:
    """What an owner's model calls were."""

    owner: Owner
    calls: int
    input_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReadSpent(Read[tuple[Spent, ...]]):
    """Model calls and tokens per owner since an instant, the dearest first; of one owner, or of all."""

    since: dt.datetime
    owner: Owner | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class FormationStatus:
    """What is due to be formed, how long it takes, and what cannot be.

    Lags are seconds from a message's write to when it could be recalled by its vector, and to when its thread's
    watermark passed it, over the last thousand messages: (median, 95th percentile), None where there is none.
    """

    facts: int
    changes: int
    due_threads: int
    oldest_due: dt.datetime | None
    due_items: Mapping[str, int]
    failing: int
    parked: int
    rejections: int
    recall_lag: tuple[float, float] | None
    formed_lag: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class ReadFormation(Read[FormationStatus]):
    """What is due to be formed in the tenant, and how it went."""


__all__ = [
    "ApplyEdits", "Claim", "ClaimThread", "DueFact", "DueItem", "DueKind", "Expire", "FactsWithoutVectors",
    "FailForming", "FetchFacts", "FindForming", "FindOwners", "FinishDue", "FormationStatus", "Formed",
    "LiftRejections", "ListFacts", "ListParked", "ListRejections", "MessageKeys", "ModelCall", "Parked", "PutDue",
    "PutHistory", "RawSources", "ReadFormation", "ReadHistory", "ReadSecret", "ReadSources", "ReadSpent",
    "ReadUnformed", "Remains", "RetryParked", "SetPolicy", "Spent", "TakeDue", "Unformed",
]  # fmt: skip
