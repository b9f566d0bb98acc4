"""The seam's operations on embeddings of entities: see :mod:`keepwell.storage.graph`.

An embedding is of what an entity's relations say it is ("dentist of, neighbour of"). Where none says anything it is of
the names of a place, an organisation or a work; those of people and of things of no known type mean nothing: they are
found by their letters, and beside a role they only blur it. It belongs to one space, as the vectors of messages do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from keepwell.models.graph import EntityType
from keepwell.storage.base import Read, Write

if TYPE_CHECKING:
    from keepwell.recall.arrays import Floats

MOST_WORDS_OF = 8
"""So many names, or roles, are embedded."""
_TELLING: frozenset[EntityType] = frozenset(("place", "organisation", "work"))
"""What has a name that says something of it."""


@dataclass(frozen=True, slots=True)
class DueEntity:
    """An entity whose embedding is to be made: its type, its names, and its roles.

    ``names`` begin with its own; those of what was merged into it are among them. ``roles`` are the predicates of its
    standing relations that have no end, as their subject. ``version`` is to be given back in :class:`EntityVector`.
    """

    id: UUID
    type: EntityType
    names: tuple[str, ...]
    roles: tuple[str, ...] = ()
    version: str = ""

    @property
    def text(self) -> str:
        """What is to be embedded: roles, or else names, the first eight; ``''`` where neither means anything.

        Example:
            >>> DueEntity(UUID(int=1), "person", ("Adaeze", "Dr Obi"), ("dentist of",)).text
            'dentist of'
        """
        names = self.names if self.type in _TELLING else ()
        return ", ".join((self.roles or names)[:MOST_WORDS_OF])


@dataclass(frozen=True, slots=True)
class FindUnembedded(Read[tuple[DueEntity, ...]]):
    """Entities that lack an embedding in a space: with ``after`` all of them by id, else those for which one is due.

    Due is one in the space in use. What was merged into another, or taken away, needs none.
    """

    space: int
    after: UUID | None = None
    limit: int = 256


@dataclass(frozen=True, slots=True)
class EntityVector:
    """The embedding of an entity as it was in a version (``""``: whatever it is now).

    It is zeros where nothing of the entity has a meaning: near to nothing, and not projected. Another is due once
    something changes.
    """

    entity: UUID
    vector: Floats
    version: str = ""


@dataclass(frozen=True, slots=True)
class PutEntityVectors(Write[int]):
    """Keep embeddings of entities that are still what was embedded, and count them.

    Whatever may change the words of an embedding (a name that comes or goes, a relation, a merge, another owner) takes
    it away in the same transaction, in every space; then another is due.
    """

    space: int
    rows: tuple[EntityVector, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """Which entities are close to a text: those whose embeddings have this cosine with ``vector``, and about the best.

    At most ``most``, none of which is farther off than the best by more than ``spread``. ``beside``: also where a name
    was found.
    """

    space: int
    vector: Floats
    least: float
    most: int = 3
    spread: float = 0.1
    beside: bool = False


__all__ = ["DueEntity", "EntityVector", "FindUnembedded", "Near", "PutEntityVectors"]
