"""The graph: who and what is spoken of, how they stand to each other, and what became of that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, overload
from uuid import UUID

from keepwell.models.fact import Source
from keepwell.models.html import table
from keepwell.models.scope import Owner

EntityType = Literal["person", "place", "organisation", "work", "handle", "thing"]
"""What an entity is; a ``work`` has a title (a book, a film), a ``handle`` is an address like a mail's."""
ENTITY_TYPES: tuple[EntityType, ...] = get_args(EntityType)
GraphChangeKind = Literal["ADD", "UPDATE", "DELETE", "RESTORE", "MERGE", "SPLIT"]


@dataclass(frozen=True, slots=True)
class Entity:
    """Somebody or something that is spoken of.

    ``aliases`` are its other names: those in ``given``, which a person gave it, and the words of the mentions that
    there are; of an entity that others were merged into, theirs too. With ``given`` names it stands by itself, without
    it rests on its mentions and relations. ``first_seen`` and ``last_seen`` are the times of its first and last
    mention. ``merged_into`` names the one that it is taken to be: never one that is merged itself. ``retired_at``: it
    was taken away.
    """

    id: UUID
    name: str
    owner: Owner
    type: EntityType = "thing"
    version: int = 1
    given: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    first_seen: dt.datetime | None = None
    last_seen: dt.datetime | None = None
    merged_into: UUID | None = None
    retired_at: dt.datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_itself(self) -> bool:
        """Tell whether it is there and not taken to be another one."""
        return self.merged_into is None and self.retired_at is None

    @property
    def now(self) -> UUID:
        """The id of what it is taken to be: its own, where it was not merged."""
        return self.merged_into or self.id

    def _repr_html_(self) -> str:
        return Entities((self,))._repr_html_()


@dataclass(frozen=True, slots=True)
class Relation:
    """How one entity stands to another: ``subject`` ``predicate`` ``object``, as in "Priya", "sister of", "Ada".

    ``id`` stays through every version. ``valid_from`` and ``valid_to`` say when it is true, ``recorded_at`` and
    ``retired_at`` when this version was held (``retired_at`` is None while it stands). ``sources`` are what this
    version rests on; one that was ``given`` by a person stands without any. ``subject`` and ``object`` are what was
    named: where that was merged since, :attr:`Entity.now` tells whom it is about.
    """

    id: UUID
    version: int
    subject: UUID
    predicate: str
    object: UUID
    owner: Owner
    recorded_at: dt.datetime
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None
    retired_at: dt.datetime | None = None
    given: bool = False
    sources: tuple[Source, ...] = ()

    @property
    def stands(self) -> bool:
        """Tell whether this version is the one that is held to be true now."""
        return self.retired_at is None

    def valid_at(self, at: dt.datetime) -> bool:
        """Tell whether it is true at an instant, as far as its dates are known."""
        return (self.valid_from is None or self.valid_from <= at) and (self.valid_to is None or self.valid_to > at)


@dataclass(frozen=True, slots=True)
class Mention:
    """Where an entity is named: in a message (by its number in the store) or in a version of a fact.

    ``start`` and ``end`` count characters of the text, ``surface`` is what stands there. ``number`` is the store's,
    0 where it is not kept yet; ``at`` is when it was said.
    """

    entity: UUID
    surface: str
    start: int = 0
    end: int = 0
    message: int | None = None
    fact: UUID | None = None
    version: int = 0
    number: int = 0
    at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class GraphChange:
    """One row of the graph's history: what an entity or a relation was before and is after, why, and who did it.

    Exactly one of ``entity`` and ``relation`` is given. ``other`` is whom a MERGE went into, or whom a SPLIT was made
    from; ``moved`` are the mentions (numbers) that a SPLIT took along, each with the entity that it was of. ``batch``
    is shared by the changes of one write; ``cause`` is the change that made this one necessary.
    """

    id: UUID
    kind: GraphChangeKind
    owner: Owner
    entity: UUID | None
    relation: UUID | None
    before: Entity | Relation | None
    after: Entity | Relation | None
    reason: str
    at: dt.datetime
    actor: str
    batch: UUID
    cause: UUID | None = None
    other: UUID | None = None
    moved: tuple[tuple[int, UUID], ...] = ()
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Entities(Sequence[Entity]):
    """Some entities; ``next`` is what to pass as ``after`` for the following page, None at the end."""

    entities: tuple[Entity, ...] = ()
    next: str | None = None

    def __len__(self) -> int:
        """Count the entities."""
        return len(self.entities)

    @overload
    def __getitem__(self, index: int) -> Entity: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Entity]: ...
    def __getitem__(self, index: int | slice) -> Entity | Sequence[Entity]:
        """Give one of them, or a slice of them."""
        return self.entities[index]

    def _repr_html_(self) -> str:
        rows = [(e.name, e.type, ", ".join(e.aliases), f"{e.last_seen:%Y-%m-%d}" if e.last_seen else "") for e in self]
        return table(("name", "type", "also", "last seen"), rows)


@dataclass(frozen=True, slots=True)
class GraphChanges(Sequence[GraphChange]):
    """Some changes of the graph, newest first unless said otherwise; ``next`` is the mark of the following page."""

    changes: tuple[GraphChange, ...] = ()
    next: str | None = None

    def __len__(self) -> int:
        """Count the changes."""
        return len(self.changes)

    @overload
    def __getitem__(self, index: int) -> GraphChange: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[GraphChange]: ...
    def __getitem__(self, index: int | slice) -> GraphChange | Sequence[GraphChange]:
        """Give one of them, or a slice of them."""
        return self.changes[index]

    def _repr_html_(self) -> str:
        rows = [(f"{c.at:%Y-%m-%d %H:%M}", c.kind, _words(c.before), _words(c.after), c.actor, c.reason) for c in self]
        return table(("when", "what", "before", "after", "who", "why"), rows)


def _words(thing: Entity | Relation | None) -> str:
    match thing:
        case None:
            return ""
        case Entity():
            return thing.name
        case Relation():
            return thing.predicate


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What lies around some entities: each with how many relations away it is (0: asked for), and the relations.

    The ends of the relations are given as the entities that they are taken to be.
    """

    entities: Mapping[UUID, Entity] = field(default_factory=dict)
    hops: Mapping[UUID, int] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()

    def __len__(self) -> int:
        """Count the entities."""
        return len(self.entities)

    def _repr_html_(self) -> str:
        names = {ident: one.name for ident, one in self.entities.items()}
        rows = [(names.get(r.subject, ""), r.predicate, names.get(r.object, "")) for r in self.relations]
        return table(("who", "stands as", "to"), rows)


@dataclass(frozen=True, slots=True)
class Path:
    """One way from an entity to another: the entities passed, ends included, and the relations between them."""

    entities: tuple[Entity, ...]
    relations: tuple[Relation, ...]

    def __len__(self) -> int:
        """Count the relations."""
        return len(self.relations)
