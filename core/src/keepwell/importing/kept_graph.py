"""Reading the lines of an export that tell the graph."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias, get_args
from uuid import UUID

from keepwell.models import Owner
from keepwell.models.graph import ENTITY_TYPES, Entity, GraphChangeKind, Relation
from keepwell.models.message import utc


@dataclass(frozen=True, slots=True)
class KeptEntity:
    """An entity, as it was kept."""

    entity: Entity


@dataclass(frozen=True, slots=True)
class KeptRelation:
    """A version of a relation; what it rests on is told beside it."""

    relation: Relation


@dataclass(frozen=True, slots=True)
class KeptMention:
    """Where an entity is named; its text is told beside it. ``number`` is what the file calls it."""

    owner: Owner
    number: int
    entity: UUID
    surface: str
    start: int
    end: int
    at: dt.datetime
    earlier: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptGraphChange:
    """A change of the graph: of an entity with its states, or of a relation with the numbers of its versions."""

    owner: Owner
    number: int
    id: UUID
    kind: GraphChangeKind
    entity: UUID | None
    relation: UUID | None
    before: Entity | int | None
    after: Entity | int | None
    reason: str
    at: dt.datetime
    actor: str
    batch: UUID
    cause: UUID | None
    other: UUID | None
    moved: tuple[tuple[int, UUID], ...]
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeptSeen:
    """The facts of an owner that were looked through for names."""

    owner: Owner
    facts: tuple[UUID, ...]


KeptGraph: TypeAlias = KeptEntity | KeptRelation | KeptMention | KeptGraphChange | KeptSeen
KINDS: Final = ("entity", "relation", "mention", "graph_change", "seen")


def read_graph(value: Mapping[str, Any]) -> KeptGraph:
    """Give what a line of the graph says.

    Raises:
        ValueError: a field is wrong; KeyError and TypeError where one is missing or of another type.
    """
    owner = owner_of(value["owner"])
    match value["is"]:
        case "entity":
            return KeptEntity(_entity(value, owner))
        case "relation":
            return KeptRelation(_relation(value, owner))
        case "mention":
            return _mention(value, owner)
        case "graph_change":
            return _change(value, owner)
        case _:
            return KeptSeen(owner, tuple(map(UUID, value["facts"])))


def _entity(value: Mapping[str, Any], owner: Owner) -> Entity:
    if value["type"] not in ENTITY_TYPES:
        raise ValueError(f"type is {value['type']!r}")
    return Entity(
        id=UUID(value["id"]),
        name=str(value["name"]),
        owner=owner,
        type=value["type"],
        version=int(value["version"]),
        given=tuple(map(str, value.get("given", ()))),
        merged_into=_uuid(value.get("merged_into")),
        retired_at=_moment(value.get("retired_at")),
        metadata=MappingProxyType(dict(value.get("metadata") or {})),
    )


def _relation(value: Mapping[str, Any], owner: Owner) -> Relation:
    return Relation(
        id=UUID(value["id"]),
        version=int(value["version"]),
        subject=UUID(value["subject"]),
        predicate=str(value["predicate"]),
        object=UUID(value["object"]),
        owner=owner,
        recorded_at=_at(value["recorded_at"]),
        valid_from=_moment(value.get("valid_from")),
        valid_to=_moment(value.get("valid_to")),
        retired_at=_moment(value.get("retired_at")),
        given=bool(value.get("given")),
    )


def _mention(value: Mapping[str, Any], owner: Owner) -> KeptMention:
    return KeptMention(
        owner,
        int(value["number"]),
        UUID(value["entity"]),
        str(value["surface"]),
        int(value.get("start", 0)),
        int(value.get("end", 0)),
        _at(value["at"]),
        tuple(map(UUID, value.get("earlier", ()))),
    )


def _change(value: Mapping[str, Any], owner: Owner) -> KeptGraphChange:
    if value["kind"] not in get_args(GraphChangeKind):
        raise ValueError(f"kind is {value['kind']!r}")
    return KeptGraphChange(
        owner=owner,
        number=int(value["number"]),
        id=UUID(value["id"]),
        kind=value["kind"],
        entity=_uuid(value.get("entity")),
        relation=_uuid(value.get("relation")),
        before=_state(value.get("before"), owner),
        after=_state(value.get("after"), owner),
        reason=str(value.get("reason", "")),
        at=_at(value["at"]),
        actor=str(value.get("actor", "")),
        batch=UUID(value["batch"]),
        cause=_uuid(value.get("cause")),
        other=_uuid(value.get("other")),
        moved=tuple((int(number), UUID(entity)) for number, entity in value.get("moved", ())),
        told=tuple(map(str, value.get("told", ()))),
    )


def _state(value: Mapping[str, Any] | int | None, owner: Owner) -> Entity | int | None:
    return _entity(value, owner) if isinstance(value, Mapping) else None if value is None else int(value)


def owner_of(value: list[str]) -> Owner:
    """Give the owner of a line."""
    user, agent, run = map(str, value)
    return Owner(user, agent, run)


def _uuid(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)


def _moment(value: str | None) -> dt.datetime | None:
    return None if value is None else _at(value)


def _at(value: str) -> dt.datetime:
    return utc(dt.datetime.fromisoformat(value))
