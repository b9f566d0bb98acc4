"""The seam between keepwell and the place where memory is kept.

Everything that is done to a record is a value: a :class:`Write` or a :class:`Read`, with the type of its
answer. A backend implements three methods (:class:`Record`) and the life of the connection (:class:`Store`).
A ``Record`` is bound to one tenant; no operation can name another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

from keepwell.models import Message, Owner, Receipt, Scope, Thread, Threads

if TYPE_CHECKING:
    # numpy is not imported before a store is opened: it is half of the time that the import would take.
    import numpy as np
    from numpy.typing import NDArray

    from keepwell.recall.arrays import CandidateColumns, Delta, Ints, Mark  # noqa: F401 - named in quotes below

R = TypeVar("R")


class Write(Generic[R]):
    """Something that changes the record, all of it or nothing; ``R`` is the answer."""


class Read(Generic[R]):
    """Something that only looks; ``R`` is the answer."""


# --- conversations: writes


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: every message with its ``seq``, and by key those that are new or changed.

    ``version`` marks this write of them, see :class:`VectorRow`.
    """

    thread: UUID
    messages: tuple[Message, ...]
    written: Mapping[int, Message]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Forming:
    """When appended messages are due to be formed: after a pause of so many seconds, or at once with ``every``.

    ``every``: so many messages not formed yet end the pause. A ``pause`` of None: never (the watermark passes them).
    """

    pause: float | None = 30.0
    every: int = 20


@dataclass(frozen=True, slots=True)
class AppendMessages(Write[Appended]):
    """Put messages at the end of a thread, in order; make the thread where it is not there yet.

    A message whose id and content are there already is left as it is; one with a known id and other content
    replaces the old version in its place, and is to be formed again. ``terms`` has the analysed terms of each
    message, ``signals`` its signals (none where empty). With
    ``idempotency_key``, the same append again gives the first answer; another one under that key raises
    :class:`~keepwell.errors.IdempotencyConflict`.
    """

    owner: Owner
    thread: str
    messages: tuple[Message, ...]
    terms: tuple[str, ...]
    idempotency_key: str | None = None
    signals: tuple[str, ...] = ()
    forming: Forming = Forming()


@dataclass(frozen=True, slots=True)
class ReplaceMessage(Write[Appended]):
    """Replace the message of that id; :class:`~keepwell.errors.MessageNotFound` where there is none."""

    owner: Owner
    thread: str
    message: Message
    terms: str
    signals: str = ""
    forming: Forming = Forming()


@dataclass(frozen=True, slots=True)
class DeleteMessages(Write[int]):
    """Delete messages by id, with their versions, postings and vectors; the answer counts those that were there.

    Facts that rest on them go as they go when the message is forgotten, see :class:`Forget`.
    """

    owner: Owner
    thread: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateThread(Write[Thread]):
    """Make a thread; :class:`~keepwell.errors.ThreadExists` where it is there already."""

    owner: Owner
    thread: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpdateThread(Write[Thread]):
    """Change the title (where not None) and merge the metadata, key by key; a key set to None is removed."""

    owner: Owner
    thread: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CloneThread(Write[Thread]):
    """Copy a thread and its messages (up to ``until`` where given) under a new id, with its lineage."""

    owner: Owner
    thread: str
    to: Owner
    new_id: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    until: int | None = None


@dataclass(frozen=True, slots=True)
class MoveThread(Write[Thread]):
    """Give a thread, with all that hangs on it, to another owner, who must not have one of that id.

    Facts whose messages all lie in it go with it, their history too (one whose key or statement the other owner
    has already is removed). Facts that rest on other messages as well stay and are re-opened without it.
    """

    owner: Owner
    thread: str
    to: Owner


@dataclass(frozen=True, slots=True)
class Forget(Write[Receipt]):
    """Remove a whole scope, or one thread of it (by key), one message of that thread (by id), or one fact.

    With a message go all facts (every version, history, vectors) any version of which rests on it, and what was
    formed from those; the other messages that they rest on are to be formed again, so that what still stands is
    learned anew. With a fact go its versions and history and what was formed from it; ``everywhere``: also the
    messages it rests on. ``reject`` are hashes of statements that nobody covered by the scope may learn again.
    A scope's rejections go with it, except those of ``reject``.
    """

    scope: Scope
    thread: UUID | None = None
    message: str | None = None
    fact: UUID | None = None
    everywhere: bool = False
    reject: tuple[bytes, ...] = ()


# --- conversations: reads


@dataclass(frozen=True, slots=True)
class FindThread(Read[Thread | None]):
    """The exact owner's thread of that id."""

    owner: Owner
    thread: str


@dataclass(frozen=True, slots=True)
class FindThreadByKey(Read[Thread | None]):
    """The scope's thread of that key."""

    scope: Scope
    key: UUID


@dataclass(frozen=True, slots=True)
class ListThreads(Read[Threads]):
    """One page of the scope's threads; ``after`` is the mark of the page before."""

    scope: Scope
    where: Mapping[str, Any] = field(default_factory=dict)
    order: Literal["updated", "created"] = "updated"
    newest_first: bool = True
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ReadMessages(Read[list[Message]]):
    """Messages of a thread, oldest first: those with ``after < seq < before`` in the span of time.

    With ``last``, the newest that many of them; with ``first``, the oldest.
    """

    owner: Owner
    thread: str
    last: int | None = None
    first: int | None = None
    after: int | None = None
    before: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class ReadAround(Read[list[Message]]):
    """Messages by id, each with its neighbours; oldest first, without repeats; unknown ids give nothing."""

    owner: Owner
    thread: str
    ids: tuple[str, ...]
    before: int = 0
    after: int = 0


# --- recall


@dataclass(frozen=True, slots=True)
class Space:
    """One embedding model, dimension and metric; ``key`` names it in the store."""

    key: int
    model: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Weight:
    """How large a scope is: messages, and analysed terms in all of them."""

    messages: int
    length: int


@dataclass(frozen=True, slots=True)
class Weigh(Read[Weight]):
    """Count what a scope holds."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class LoadScope(Read["Delta"]):
    """What a scope holds, or what changed since the mark; the whole again where the mark is of no use."""

    scope: Scope
    space: int | None
    since: Mark | None


@dataclass(frozen=True, slots=True)
class FindCandidates(Read["CandidateColumns"]):
    """The best by vector and by keyword, the newest, and the neighbours of all of them."""

    scope: Scope
    space: int | None
    vector: NDArray[np.float32] | None
    terms: tuple[str, ...]
    limit: int
    thread: UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    as_of: dt.datetime | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MatchMetadata(Read["Ints"]):
    """Keys of the scope's messages whose metadata contains the filter."""

    scope: Scope
    where: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A recalled message as the record has it now, with its neighbours."""

    message: Message
    thread: str
    owner: Owner
    before: tuple[Message, ...]
    after: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class FetchMessages(Read[dict[int, Found]]):
    """Messages of the scope by (positive) key, with neighbours; a key that is gone has no entry.

    ``standby`` asks the read-only server where there is one, and otherwise fails as the store that is away does.
    """

    scope: Scope
    keys: tuple[int, ...]
    neighbours: int
    standby: bool = False


# --- embedding (a message without a term has no words in it, and needs no vector)


@dataclass(frozen=True, slots=True)
class VectorRow:
    """One chunk's unit vector.

    ``version`` is that of the message which was embedded: where the message was written anew meanwhile the
    vector is not kept. ``''`` is not compared.
    """

    message: int
    chunk: int
    vector: NDArray[np.float32]
    version: str = ""


@dataclass(frozen=True, slots=True)
class PutVectors(Write[bool]):
    """Keep vectors of messages that are there as they were embedded; a message's chunks come together.

    ``done`` gives, per thread, the span of ``seq`` (first, last) whose messages all have their vectors now; it
    counts only where every row was kept. The answer tells whether the space is the one in use: vectors of one
    that is being built are kept, of one that is not there they are not.
    """

    space: int
    rows: tuple[VectorRow, ...]
    done: Mapping[UUID, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexVectors(Write[int]):
    """Bring up to ``limit`` vectors of a user in a space into the approximate index, and count them.

    It is a copy behind the writes: whatever is not in it yet is compared one by one. A store without one gives 0.
    """

    user_id: str
    space: int
    limit: int = 2000


@dataclass(frozen=True, slots=True)
class PostTerms(Write[int]):
    """Bring the postings of a thread (or of up to ``limit`` threads that wait) up to date; count the threads.

    Keywords are found without it, only slower: what has no postings yet is looked through.
    """

    thread: UUID | None = None
    limit: int = 1


@dataclass(frozen=True, slots=True)
class DueText:
    """A message that has no vector in a space yet."""

    message: int
    thread: UUID
    seq: int
    text: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class DueBatch:
    """Texts to embed, and per thread the span of ``seq`` that was looked through to find them."""

    texts: tuple[DueText, ...]
    spans: Mapping[UUID, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FindDue(Read[DueBatch]):
    """The tenant's messages that lack vectors of a space, oldest threads first."""

    space: int
    limit: int


@dataclass(frozen=True, slots=True)
class FindMissing(Read[tuple[DueText, ...]]):
    """Messages with terms that have no vector in a space (active or not), by key, after one."""

    space: int
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class ActiveSpace(Read[Space | None]):
    """The space whose vectors are in use; None before the first."""


@dataclass(frozen=True, slots=True)
class OpenSpace(Write[Space]):
    """Give the space of that model and dimension, made where it is missing; the first becomes the active one."""

    model: str
    dimension: int


@dataclass(frozen=True, slots=True)
class SwitchSpace(Write[None]):
    """Make a space the active one and drop the others; :class:`~keepwell.errors.Conflict` where it lacks vectors."""

    space: int


# --- upkeep


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """What a tenant holds and what is due."""

    server: str
    schema_version: int
    row_security: Literal["enforced", "bypassed"]
    role: str
    owners: int
    threads: int
    messages: int
    vectors: int
    due: int
    oldest_due: dt.datetime | None
    space: Space | None


@dataclass(frozen=True, slots=True)
class ReadStatus(Read[TenantStatus]):
    """What a tenant holds and what is due."""


@dataclass(frozen=True, slots=True)
class Prune(Write[int]):
    """Drop marks of removals that no reader needs any more; the answer counts them."""

    older_than: dt.timedelta


class Record(Protocol):
    """One tenant of one store."""

    def write(self, change: Write[R], connection: Any = None) -> R:  # noqa: ANN401 - a driver's connection
        """Do it in a transaction of its own, or as part of the connection's."""

    async def awrite(self, change: Write[R], connection: Any) -> R:  # noqa: ANN401 - a driver's connection
        """Do it as part of the transaction of an asynchronous connection."""

    def read(self, query: Read[R]) -> R:
        """Look."""


class Store(Protocol):
    """A place where the records of tenants are kept, and its connections."""

    @property
    def name(self) -> str:
        """The place in words that hold no secret, for messages."""

    @property
    def size(self) -> int:
        """How many operations can be under way at once."""

    def record(self, tenant: str) -> Record:
        """Give the record of a tenant; costs nothing."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Give a connection in a transaction, to be passed as ``connection=``."""

    def close(self) -> None:
        """Let go of every connection; a second time does nothing."""
