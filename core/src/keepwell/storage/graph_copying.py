"""The seam's operations that carry a tenant's graph from one store to another: see :mod:`keepwell.storage.base`.

Entities, relations and changes keep their ids; mentions and messages get numbers of their new store, so whoever carries
them gives messages by the target's numbers, and learns what numbers mentions have there. A store that keeps no graph
has none of these operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from keepwell.models import Owner, Scope
from keepwell.models.graph import Entity, GraphChange, Mention, Relation
from keepwell.storage.base import Read, Write

EVERYONE = Scope(across_users=True)


@dataclass(frozen=True, slots=True)
class GraphSize:
    """How many rows a scope's graph has: what was merged or taken away, and versions that are past, are counted too."""

    entities: int = 0
    relations: int = 0
    mentions: int = 0
    changes: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.entities + self.relations + self.mentions + self.changes


@dataclass(frozen=True, slots=True)
class MentionCopy:
    """A mention and whose it is; ``earlier`` are entities that it was of before it was moved."""

    owner: Owner
    mention: Mention
    earlier: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphChangeCopy:
    """A change with its place in the order of changes, and the folded names that it tells."""

    number: int
    change: GraphChange
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SizeGraph(Read[GraphSize]):
    """How many rows the graph of a scope has."""

    scope: Scope = EVERYONE


@dataclass(frozen=True, slots=True)
class ReadEntityCopies(Read[tuple[Entity, ...]]):
    """The scope's entities as they are kept, by their ids, after one; also what was merged or taken away."""

    scope: Scope = EVERYONE
    after: UUID | None = None
    limit: int = 500


@dataclass(frozen=True, slots=True)
class ReadRelationCopies(Read[tuple[Relation, ...]]):
    """Every version of the scope's relations with what it rests on, in the order of ids and versions, after one."""

    scope: Scope = EVERYONE
    after: tuple[UUID, int] | None = None
    limit: int = 500


@dataclass(frozen=True, slots=True)
class ReadMentionCopies(Read[tuple[MentionCopy, ...]]):
    """The scope's mentions in the order of their numbers, after one."""

    scope: Scope = EVERYONE
    after: int = 0
    limit: int = 500


@dataclass(frozen=True, slots=True)
class ReadGraphChangeCopies(Read[tuple[GraphChangeCopy, ...]]):
    """The scope's changes of the graph in their order, after a number."""

    scope: Scope = EVERYONE
    after: int = 0
    limit: int = 500


@dataclass(frozen=True, slots=True)
class ReadSeen(Read[frozenset[UUID]]):
    """The exact owner's standing facts that were looked through for names."""

    owner: Owner


@dataclass(frozen=True, slots=True)
class KeepEntityCopies(Write[int]):
    """Keep one owner's entities with the names that were given; counts the new.

    One that is there in a lower version takes over what is said of it, another stays as it is. One that is another
    owner's is not kept.
    """

    owner: Owner
    rows: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class KeepRelationCopies(Write[int]):
    """Keep versions of one owner's relations, whose ends are there; counts the new.

    A version that is there stays, but that it ends as the one given did; none begins to stand again, and a version
    that a later one is here of is kept as past. What is rested on and not here is left out; a version that has nothing
    left of what it rested on, and that nobody gave, is not kept.
    """

    owner: Owner
    rows: tuple[Relation, ...]


@dataclass(frozen=True, slots=True)
class KeptMentions:
    """Which numbers mentions have here, in the order given (None: not kept), and how many are new."""

    numbers: tuple[int | None, ...]
    new: int


@dataclass(frozen=True, slots=True)
class KeepMentionCopies(Write[KeptMentions]):
    """Keep mentions of one owner's entities, whose texts are there, with the names that they say.

    The same one (entity, text and start) is kept once; one that an entity of ``earlier`` has here becomes that of the
    entity given. ``mention.at`` is kept.
    """

    owner: Owner
    rows: tuple[MentionCopy, ...]


@dataclass(frozen=True, slots=True)
class KeepGraphChangeCopies(Write[int]):
    """Keep changes of one owner's graph in their order; what is there already, by id, stays. Counts the new.

    ``moved`` has the numbers that mentions have here. Not kept is a change of what is not here.
    """

    owner: Owner
    rows: tuple[GraphChangeCopy, ...]


@dataclass(frozen=True, slots=True)
class KeepSeen(Write[None]):
    """Say which texts of one owner need not be looked through for names, as that was done where they come from.

    ``messages`` gives ids by the key of the thread, ``facts`` are ids. Watermarks rise up to the first text that is not
    named.
    """

    owner: Owner
    messages: Mapping[UUID, tuple[str, ...]] = field(default_factory=dict)
    facts: tuple[UUID, ...] | None = None


__all__ = [
    "EVERYONE", "GraphChangeCopy", "GraphSize", "KeepEntityCopies", "KeepGraphChangeCopies", "KeepMentionCopies",
    "KeepRelationCopies", "KeepSeen", "KeptMentions", "MentionCopy", "ReadEntityCopies", "ReadGraphChangeCopies",
    "ReadMentionCopies", "ReadRelationCopies", "ReadSeen", "SizeGraph",
]  # fmt: skip
