"""Names as they are compared, and what can be done to the graph."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from keepwell.formation.settle import normal
from keepwell.models.fact import Source
from keepwell.models.graph import Entity, EntityType, Mention, Relation

MAX_NAME = 200
"""So many characters of a name are looked at."""


def fold(name: str) -> str:
    """Give a name as names are compared: without case, compatibility forms, punctuation and spacing.

    Example:
        >>> fold("  Priya  SHAH "), fold("O'Neill"), fold("Ångström")
        ('priya shah', 'o neill', 'ångström')
    """
    return normal(name)[:MAX_NAME]


def grams(name: str) -> frozenset[str]:
    """Give the runs of three characters of a folded name, word by word, as ends of words tell more than middles.

    Example:
        >>> sorted(grams("ada"))
        ['  a', ' ad', 'ada', 'da ']
    """
    found: set[str] = set()
    for word in name.split():
        padded = f"  {word} "
        found.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return frozenset(found)


def likeness(ours: frozenset[str], theirs: frozenset[str]) -> float:
    """Give how alike two names are by their grams: what they share of all that they have, 0 to 1."""
    every = len(ours | theirs)
    return len(ours & theirs) / every if every else 0.0


@dataclass(frozen=True, slots=True)
class AddEntity:
    """Make an entity under an id of the caller's making; where it is there already nothing happens.

    ``given``: names that a person gave it. Without any it rests on mentions and relations of the same write.
    """

    id: UUID
    name: str
    type: EntityType = "thing"
    given: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class ChangeEntity:
    """Rename an entity, or change its type or metadata; what is None stays.

    ``name`` is the new name, the old one stays an alias (``given`` where a person says so, else as long as a mention
    has it); ``given`` are names that it has besides; ``metadata`` is merged key by key, None removes a key.
    """

    id: UUID
    name: str | None = None
    type: EntityType | None = None
    given: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class MergeEntities:
    """Take an entity, and all that were merged into it, to be another one; nothing where they are one already."""

    id: UUID
    into: UUID
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class SplitEntity:
    """Make a new entity of a part of one: of these mentions (by number) and relations of it.

    ``new`` is the id of the new one. An entity that was merged is taken apart by :func:`inverse` of its merge instead.
    """

    id: UUID
    new: UUID
    name: str
    type: EntityType | None = None
    given: tuple[str, ...] = ()
    mentions: tuple[int, ...] = ()
    relations: tuple[UUID, ...] = ()
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class RemoveEntity:
    """Take an entity away (it can be restored); its mentions and relations are not seen without it."""

    id: UUID
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class RestoreEntity:
    """Put an entity back into a state that it had; ``moved`` mentions (numbers) go back to the entities named.

    What was merged into it meanwhile stays merged.
    """

    state: Entity
    moved: tuple[tuple[int, UUID], ...] = ()
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class Relate:
    """Say how one entity stands to another; ``id`` is of the caller's making.

    Where the same stands already, what it rests on joins it, and dates that were not known are filled in.
    """

    id: UUID
    subject: UUID
    predicate: str
    object: UUID
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None
    given: bool = False
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class EndRelation:
    """Say until when a relation was true; it stays, with that date. ``sources`` are who says so."""

    id: UUID
    valid_to: dt.datetime
    given: bool = False
    version: int | None = None
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class RetractRelation:
    """Say that a relation is not, and was not, true."""

    id: UUID
    version: int | None = None
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


@dataclass(frozen=True, slots=True)
class RestoreRelation:
    """Put a relation back into a state that it had, as a new version."""

    state: Relation
    reason: str = ""
    sources: tuple[Source, ...] = ()
    cause: UUID | None = None


GraphEdit: TypeAlias = (
    AddEntity
    | ChangeEntity
    | MergeEntities
    | SplitEntity
    | RemoveEntity
    | RestoreEntity
    | Relate
    | EndRelation
    | RetractRelation
    | RestoreRelation
)

_Naming = TypeVar("_Naming", bound="GraphEdit | Mention")
_IDS = ("id", "into", "new", "subject", "object", "entity")


def renamed(one: _Naming, others: Mapping[UUID, UUID]) -> _Naming:
    """Give an edit or a mention that names other ids in the place of some.

    Example:
        >>> one, two = UUID(int=1), UUID(int=2)
        >>> renamed(RemoveEntity(one), {one: two}).id == two
        True
    """
    named = {name: getattr(one, name, None) for name in _IDS}
    fields: dict[str, Any] = {
        name: others[ident] for name, ident in named.items() if ident is not None and ident in others
    }
    return replace(one, **fields)
