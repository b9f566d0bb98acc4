"""The seam's operations on the graph: see :mod:`keepwell.storage.base`.

Entities, relations and mentions belong to one exact owner; a relation's ends are its owner's. Whoever writes them holds
the owner's row, settles the edits by :func:`keepwell.formation.entities_settle.settle_graph` and writes everything or
nothing. Reads resolve what was merged: they name the entity that it is taken to be.

Forgetting a message, or a fact, takes its mentions; the versions of relations that rest on nothing else, so that the
version before stands again; entities that are left without a given name, a mention, a relation or one merged into them;
the names that nothing else says; and the changes of what goes, those that rest on what was forgotten, and those that
tell a name that went. Receipts and ``Remains`` count them under ``entities``, ``relations`` (versions), ``mentions``
and ``graph_changes``.

With a moved thread go its owner's entities that rest on it alone, with their relations and history. What else it said
of the graph is taken from the old owner as if it were forgotten, and is found anew by the new one.

Where a fact's version stands beside messages its key is negative, as in :mod:`keepwell.storage.facts`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID, uuid5

from keepwell.formation.graph_edits import AddEntity, GraphEdit, Relate, SplitEntity, renamed
from keepwell.models import Owner, Scope, Source
from keepwell.models.graph import (
    Entities,
    Entity,
    EntityType,
    GraphChanges,
    Mention,
    Neighbourhood,
    Path,
    Relation,
)
from keepwell.storage.base import Read, Write
from keepwell.storage.embeddings import Near

if TYPE_CHECKING:
    from keepwell.recall.arrays import Ints

_Named = TypeVar("_Named", Mention, Source)
_MAKES = (AddEntity, SplitEntity, Relate)

# --- writes


@dataclass(frozen=True, slots=True)
class GraphEdits:
    """What is to be written of the graph: edits in order, then mentions.

    Sources and mentions name messages by number and facts by id and version. As part of
    :class:`~keepwell.storage.facts.ApplyEdits` a fact's version 0 is the one that stands when the edits are made; the
    id is the one that the edit names (``Edit.fact``, which an ADD may choose), wherever the statement came to stand.
    A statement that was not taken gives no source and no mention; a relation without a source that is not ``given`` is
    not written, nor is a new entity that nothing of this write names.

    ``done`` gives per thread (key) the number ``seq`` up to which its messages were looked through; watermarks only
    rise. ``read`` gives, per message number, the version that was looked through (:attr:`TextToSee.version`): its
    mentions are kept only where that is still the message, and then take the place of those that it had, with
    ``again`` taken off it. Of messages that are not in ``read`` mentions come to those that there are. ``facts`` is up
    to which fact (key, positive) the owner's facts were looked through. A mention that is there already is not kept
    twice. An id of an :class:`~keepwell.formation.graph_edits.AddEntity`, SplitEntity or Relate that another owner's
    entity or relation has (since its thread was moved) stands for one of this owner's, see :meth:`beside`.
    """

    edits: tuple[GraphEdit, ...] = ()
    mentions: tuple[Mention, ...] = ()
    done: Mapping[UUID, int] = field(default_factory=dict)
    read: Mapping[int, str] = field(default_factory=dict)
    facts: int | None = None

    def placed(self, landed: Mapping[UUID, tuple[UUID, int] | None]) -> GraphEdits:
        """Give them with each fact of version 0 named by where its statement came to stand, without what did not.

        ``landed``: see :func:`keepwell.formation.entities_settle.landed`.
        """
        mentions = (_placed(one, landed) for one in self.mentions)
        edits = (
            replace(edit, sources=tuple(one for one in (_placed(of, landed) for of in edit.sources) if one is not None))
            for edit in self.edits
        )
        return replace(self, edits=tuple(edits), mentions=tuple(one for one in mentions if one is not None))

    @property
    def made(self) -> frozenset[UUID]:
        """The ids under which something is to be made: entities and relations."""
        ids = {
            edit.new if isinstance(edit, SplitEntity) else edit.id for edit in self.edits if isinstance(edit, _MAKES)
        }
        return frozenset(ids)

    def beside(self, owner: Owner, taken: Collection[UUID]) -> GraphEdits:
        """Give them with other ids in the place of those that another owner's things have.

        The id is made of the one that was given and the owner, so that the same edit names the same thing each time.
        """
        if not taken:
            return self
        others = {ident: uuid5(ident, "\x1f".join(owner)) for ident in taken}
        edits = tuple(renamed(edit, others) for edit in self.edits)
        return replace(self, edits=edits, mentions=tuple(renamed(one, others) for one in self.mentions))


def _placed(one: _Named, landed: Mapping[UUID, tuple[UUID, int] | None]) -> _Named | None:
    if one.fact is None or one.version:
        return one
    place = landed.get(one.fact)
    return None if place is None else replace(one, fact=place[0], version=place[1])


@dataclass(frozen=True, slots=True)
class ApplyGraph(Write[GraphChanges]):
    """Change the graph of one owner; gives the changes in the order in which they were made.

    Every message and version of a fact that is named must be there, and the owner's: where one was forgotten
    meanwhile, nothing is written and MessageNotFound or FactNotFound is raised (whoever looked through texts reads
    them again). :class:`~keepwell.errors.EntityNotFound` where an edit names what is not there;
    :class:`~keepwell.errors.FactChanged` where it was made for another version.
    """

    owner: Owner
    graph: GraphEdits
    actor: str
    batch: UUID


# --- what is due


@dataclass(frozen=True, slots=True)
class TextToSee:
    """A message (``key`` > 0) or a standing fact (``key`` < 0) that was not looked through for names yet.

    ``speaker`` is who said it (a message's name, else its role), or whom the fact is about. ``known`` are the mentions
    that it has already. ``version`` is to be given back in ``GraphEdits.read`` (of messages). ``fact`` and
    ``fact_version`` name the fact.
    """

    key: int
    text: str
    role: str
    speaker: str
    at: dt.datetime
    version: str = ""
    thread: UUID | None = None
    seq: int = 0
    fact: UUID | None = None
    fact_version: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    known: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmentioned:
    """Texts of one owner to look through, and what to say that was done (``done`` and ``facts`` of GraphEdits)."""

    owner: Owner
    texts: tuple[TextToSee, ...]
    done: Mapping[UUID, int] = field(default_factory=dict)
    facts: int | None = None


@dataclass(frozen=True, slots=True)
class FindUnmentioned(Read[tuple[Unmentioned, ...]]):
    """Texts that nobody has looked through for names: up to about ``limit``, grouped by owner, oldest threads first.

    Of a thread they come oldest first after its watermark, replaced messages too; then facts after the owner's.
    """

    limit: int = 100


# --- reads


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """An entity that was found, by which of its names, and how well that fits: 1 is the name itself."""

    entity: Entity
    asked: str
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class FindEntities(Read[tuple[FoundEntity, ...]]):
    """Entities of the scope by name, best first; those seen last first where the names fit alike.

    A name fits exactly (:func:`~keepwell.formation.graph_edits.fold`), else, with ``fuzzy``, where the runs of
    three characters are alike by at least this much (:func:`~keepwell.formation.graph_edits.likeness`). ``limit``
    is for each name. What was merged is found by its names and given as what it is taken to be. ``retired``: also what
    was taken away.
    """

    scope: Scope
    names: tuple[str, ...]
    type: EntityType | None = None
    fuzzy: float | None = None
    retired: bool = False
    limit: int = 10


@dataclass(frozen=True, slots=True)
class NearEntities(Read[tuple[FoundEntity, ...]]):
    """The scope's entities whose embeddings are close to a text, best first; ``score`` is the cosine."""

    scope: Scope
    near: Near


@dataclass(frozen=True, slots=True)
class ListEntities(Read[Entities]):
    """One page of the scope's entities, those seen last first (what was never seen comes last)."""

    scope: Scope
    type: EntityType | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ReadEntities(Read[dict[UUID, Entity]]):
    """Entities of the scope by id, as they are kept (``merged_into`` says whom one is taken to be).

    ``resolve``: each id gives what it is taken to be now. What is not there has no entry.
    """

    scope: Scope
    ids: tuple[UUID, ...]
    resolve: bool = True


@dataclass(frozen=True, slots=True)
class ReadContexts(Read[dict[UUID, "EntityContext"]]):
    """In what company entities of the scope stand: what tells two of one name apart. By the newest mentions."""

    scope: Scope
    entities: tuple[UUID, ...]
    mentions: int = 50


@dataclass(frozen=True, slots=True)
class EntityContext:
    """The company of an entity: who is named in the same texts and how often, its relations, and words around it.

    ``relations`` are (predicate, other end); ``terms`` the analysed terms of the texts with how often each comes;
    ``keys`` those texts (negative: facts), newest first.
    """

    together: Mapping[UUID, int] = field(default_factory=dict)
    relations: frozenset[tuple[str, UUID]] = frozenset()
    terms: Mapping[str, int] = field(default_factory=dict)
    keys: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ListRelations(Read[tuple[Relation, ...]]):
    """Relations of the scope that stand, those recorded last first, with what they rest on and their own ends.

    ``entity``: only those of it (and of what is taken to be it); ``valid_at``: only what was true then; ``as_of``: the
    versions that were held then; ``versions``: every version.
    """

    scope: Scope
    ids: tuple[UUID, ...] | None = None
    entity: UUID | None = None
    valid_at: dt.datetime | None = None
    as_of: dt.datetime | None = None
    versions: bool = False
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ReadMentions(Read[tuple[Mention, ...]]):
    """The mentions of an entity (and of what is taken to be it), newest first, or those in these messages and facts.

    ``keys``: numbers of messages, and negative keys of facts' versions. ``before`` is the ``number`` to go on from.
    """

    scope: Scope
    entity: UUID | None = None
    keys: tuple[int, ...] | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ReadNeighbours(Read[Neighbourhood]):
    """What lies around entities of the scope, up to ``hops`` relations away; nearest first, ``limit`` entities at most.

    ``valid_at``: along relations that were true then; ``as_of``: along those that were held then. Whom an entity is
    taken to be, and its names, are as they are now.
    """

    scope: Scope
    entities: tuple[UUID, ...]
    hops: int = 1
    valid_at: dt.datetime | None = None
    as_of: dt.datetime | None = None
    limit: int = 200


@dataclass(frozen=True, slots=True)
class ReadPaths(Read[tuple[Path, ...]]):
    """The shortest ways from one entity of the scope to another, against the direction of relations too.

    No entity comes twice in a path; only the shortest length that there is, ``limit`` paths at most.
    """

    scope: Scope
    start: UUID
    end: UUID
    max_hops: int = 3
    valid_at: dt.datetime | None = None
    as_of: dt.datetime | None = None
    limit: int = 10


@dataclass(frozen=True, slots=True)
class GraphHistory(Read[GraphChanges]):
    """One page of the scope's changes of the graph, newest first (with ``oldest_first`` the other way).

    ``entity`` also finds changes that it had a part in: merges into it, splits of it, its relations.
    """

    scope: Scope
    entity: UUID | None = None
    relation: UUID | None = None
    ids: tuple[UUID, ...] | None = None
    batch: UUID | None = None
    actor: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    after: str | None = None
    limit: int = 100
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Support:
    """Messages and facts behind entities, a row each: ``keys`` (n,) positive or negative, ``hops`` (n,) 0 to 2.

    ``entities[i]`` is the entity whose mention it is, or the farther end of ``relations[i]`` where it is what that
    relation rests on (None: a mention). A text comes once for each reason. ``names`` has the name of each entity that
    was reached, ``asked`` those that the question named. ``ways`` has, of entities of the rows that relations led to,
    the predicates of those relations. ``near`` has those of ``asked`` that were found by their embeddings, with how
    close they are.
    """

    keys: Ints
    hops: Ints
    entities: tuple[UUID, ...] = ()
    relations: tuple[UUID | None, ...] = ()
    names: Mapping[UUID, str] = field(default_factory=dict)
    predicates: Mapping[UUID, str] = field(default_factory=dict)
    asked: Mapping[UUID, str] = field(default_factory=dict)
    ways: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    near: Mapping[UUID, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SupportOf(Read[Support]):
    """The texts behind entities within some hops: the hot read of recall, one round trip.

    The entities are those of ``entities`` and those of the scope that have exactly one of ``names`` (folded here);
    where none has, or ``near`` says so, also those that are near.
    Relations are followed as in :class:`ReadNeighbours`. ``limit`` texts at most, nearest first and then newest; of
    each entity no more than ``each`` mentions, the newest. Only facts' versions that stand (with ``as_of``: stood) and
    are not re-opened.
    """

    scope: Scope
    names: tuple[str, ...] = ()
    entities: tuple[UUID, ...] = ()
    hops: int = 2
    valid_at: dt.datetime | None = None
    as_of: dt.datetime | None = None
    each: int = 20
    limit: int = 200
    near: Near | None = None


@dataclass(frozen=True, slots=True)
class GraphCounts:
    """How much graph a tenant has, and how many messages were not looked through (of facts: whether there are any)."""

    entities: int
    relations: int
    mentions: int
    changes: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ReadGraph(Read[GraphCounts]):
    """How much graph the tenant has."""


# --- the projection (docs/explanation/projection.md)

ProjectedKind = Literal["entity", "relation", "mention", "fact", "message"]
PROJECTED_KINDS: tuple[ProjectedKind, ...] = ("entity", "relation", "mention", "fact", "message")


@dataclass(frozen=True, slots=True)
class Projected:
    """The present state of one thing that is projected, or that it is gone (``properties`` is None).

    ``id`` is unique in tenant and kind: a uuid, or the number of a mention or message. ``mark`` is a number of 32 bits
    made of everything that ``properties`` says, for checksums; 0 where it is gone. Times are microseconds since 1970.

    Properties by kind; all have ``user_id``, ``agent_id``, ``run_id``:

    - entity: ``name``, ``type``, ``aliases`` (list), ``version``, ``merged_into`` (or None), ``first_seen``,
      ``last_seen``, ``embedding`` (a list of numbers in the space in use, or None). What was taken away is gone.
    - relation: ``subject``, ``object`` (ids of what they are taken to be), ``predicate``, ``version``, ``valid_from``,
      ``valid_to``, ``recorded_at``, ``grounds`` (what it rests on: a list of ``m:NUMBER`` and ``f:ID:VERSION``). The
      standing version; where there is none it is gone.
    - mention: ``entity`` (what it is taken to be), ``message`` (number) or ``fact`` (id), ``start``, ``end``,
      ``surface``, ``fact_version`` (or None), ``at``.
    - fact: the standing version: ``number`` (its key among messages, positive), ``reopened``, ``text``, ``subject``,
      ``kind``, ``key``, ``version``, ``valid_from``, ``valid_to``, ``recorded_at``, ``messages``
      (numbers that it rests on), ``facts`` (ids that it rests on).
    - message: those that are mentioned, or that a standing fact rests on: ``thread`` (key), ``thread_id``, ``seq``,
      ``message_id``, ``role``, ``speaker``, ``created_at``. Not its words: those are read from the record.
    """

    kind: ProjectedKind
    id: str
    mark: int = 0
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Projection:
    """Whether what changes is noted for a projection, since when, and for which cluster and tenant.

    ``identity`` changes where the record is another one (restored, promoted, switched off and on): what was projected
    before is to be built anew. ``stamp``: see :class:`Outbox`. ``waiting`` counts what was noted, ``oldest`` is the
    time of the first.
    """

    target: str
    identity: str
    since: dt.datetime
    stamp: int
    waiting: int
    oldest: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ReadProjection(Read[Projection | None]):
    """The tenant's projection; None where there is none."""


@dataclass(frozen=True, slots=True)
class SetProjection(Write[None]):
    """Note from now on what changes, for a projection of that name (no secret in it); with None, do not any more.

    Where the same target is set already nothing changes. Otherwise what was noted is dropped and the identity is new.
    """

    target: str | None


@dataclass(frozen=True, slots=True)
class Outbox:
    """What changed, each thing once in its present state; ``position`` is where to go on, None where nothing was read.

    ``stamp`` counts the transactions that had ended in this cluster right before the state was read: where two readers
    disagree, the one with the greater stamp is right, and what changed since is noted and comes later. ``more`` tells
    that the limit was reached.
    """

    rows: tuple[Projected, ...]
    position: str | None
    stamp: int
    identity: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class ReadOutbox(Read[Outbox]):
    """The next of what changed after a position, in the order of the transactions; only of those that have ended."""

    after: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class PruneOutbox(Write[int]):
    """Drop what was noted up to a position (inclusive); counts it."""

    upto: str


@dataclass(frozen=True, slots=True)
class ScanProjected(Read[Outbox]):
    """All that is to be projected of a kind, in the order of the ids, after one; ``position`` is the last id.

    ``ids``: only these, those that are gone included. For rebuilding, and for looking for differences.
    """

    kind: ProjectedKind
    after: str | None = None
    ids: tuple[str, ...] | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Tally:
    """How many things of a kind there are, and the sum of their marks."""

    count: int
    checksum: int


@dataclass(frozen=True, slots=True)
class CountProjected(Read[dict[ProjectedKind, Tally]]):
    """Count what is to be projected, kind by kind."""


__all__ = [
    "PROJECTED_KINDS", "ApplyGraph", "CountProjected", "EntityContext", "FindEntities", "FindUnmentioned",
    "FoundEntity", "GraphCounts", "GraphEdits", "GraphHistory", "ListEntities", "ListRelations", "NearEntities",
    "Outbox", "Projected", "ProjectedKind", "Projection", "PruneOutbox", "ReadContexts", "ReadEntities", "ReadGraph",
    "ReadMentions", "ReadNeighbours", "ReadOutbox", "ReadPaths", "ReadProjection", "ScanProjected", "SetProjection",
    "Support", "SupportOf", "Tally", "TextToSee", "Unmentioned",
]  # fmt: skip
