"""Plans that take from the graph what nothing speaks for any more."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from keepwell.models import Scope
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.walls import Walls

PLACES = ("entities", "relations", "mentions", "graph_changes")
"""Where something of the graph can be, as receipts name it."""


@dataclass(slots=True)
class Going:
    """What goes, collected step by step."""

    mentions: dict[int, UUID] = field(default_factory=dict)
    said: set[tuple[UUID, str]] = field(default_factory=set)
    """What mentions that go said: entity and folded name."""
    versions: dict[tuple[UUID, int], bool] = field(default_factory=dict)
    """Of relations, with whether each stood."""
    changes: list[UUID] = field(default_factory=list)
    about: dict[UUID, UUID] = field(default_factory=dict)
    """Of those changes: the relation, or else the entity."""
    grounds: dict[tuple[UUID, int], int] = field(default_factory=dict)
    """How many grounds each version of a relation loses."""
    retracted: list[tuple[UUID, dt.datetime]] = field(default_factory=list)
    entities: set[UUID] = field(default_factory=set)
    names: set[tuple[UUID, str]] = field(default_factory=set)
    renamed: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)
    numbers: list[int] = field(default_factory=list)
    """Of changes that go."""

    @property
    def grounded(self) -> list[UUID]:
        """The relations that lose grounds."""
        return [ident for ident, _ in self.grounds]

    @property
    def items(self) -> dict[str, Any]:
        """The versions of relations as columns."""
        return {"items": [ident for ident, _ in self.versions], "versions": [number for _, number in self.versions]}

    @property
    def told(self) -> dict[str, Any]:
        """The names as columns."""
        return {"owners": [entity for entity, _ in self.names], "folds": [folded for _, folded in self.names]}

    @property
    def counts(self) -> dict[str, int]:
        """How much goes, by place."""
        found = (self.entities, self.versions, self.mentions, self.numbers)
        return dict(zip(PLACES, map(len, found), strict=True))


def remove(walls: Walls, messages: Sequence[int], facts: Sequence[UUID]) -> Plan[dict[str, int]]:
    """Remove what rests on messages and facts that go, with all that is left without a ground."""
    going = yield from resting(walls, messages, facts)
    if going is None:
        return dict.fromkeys(PLACES, 0)
    yield from drop(walls, going)
    yield walls.step("lose_grounds", messages=list(messages), facts=list(facts))
    return going.counts


def drop_mentions(walls: Walls, gone: Iterable[tuple[int, UUID]], kept: frozenset[UUID]) -> Plan[None]:
    """Remove mentions, with all that is left without a ground but these entities."""
    going = Going(mentions=dict(gone))
    going.touched = set(going.mentions.values())
    yield from drop(walls, going, kept)


def drop(walls: Walls, going: Going, kept: frozenset[UUID] = frozenset()) -> Plan[None]:
    """Remove what goes, with all that is left without a ground but these entities."""
    yield from _follow(walls, going, kept)
    yield from _delete(walls, going)


def forget(walls: Walls, scope: Scope) -> Plan[dict[str, int]]:
    """Remove the whole graph of a scope."""
    (row,) = yield walls.scoped("forget_graph", scope)
    return dict(zip(PLACES, row, strict=True))


def remain(
    walls: Walls, scope: Scope, thread: UUID | None, message: str | None, fact: UUID | None
) -> Plan[dict[str, int]]:
    """Count what a ``forget`` of these would remove."""
    if thread is None and message is None and fact is None:
        (row,) = yield walls.scoped("graph_remains", scope)
        return dict(zip(PLACES, row, strict=True))
    named: dict[str, Any] = {"thread": thread, "message": message, "fact": fact}
    ((messages, facts),) = yield walls.scoped("resting_of_thread", scope, **named)
    going = yield from resting(walls, messages, facts)
    if going is None:
        return dict.fromkeys(PLACES, 0)
    yield from _follow(walls, going, frozenset())
    return going.counts


def resting(walls: Walls, messages: Sequence[int], facts: Sequence[UUID]) -> Plan[Going | None]:
    """Give what rests on messages and facts; None where nothing does."""
    rows = yield walls.step("graph_resting", messages=list(messages), facts=list(facts))
    if not rows:
        return None
    going = Going()
    for what, number, item, version, folded in rows:
        about = UUID(str(item))
        if what == "mention":
            going.mentions[number] = about
            going.said.add((about, folded))
        elif version == 0:
            going.changes.append(about)
        else:
            going.grounds[about, version] = number
    going.touched = set(going.mentions.values())
    if going.grounds:
        items: dict[str, Any] = {"items": going.grounded, "versions": [version for _, version in going.grounds]}
        rows = yield walls.step("graph_versions", messages=list(messages), facts=list(facts), **items)
        _lose_versions(going, rows)
    if going.changes:
        rows = yield walls.step("graph_grounded", items=going.changes)
        going.about = {UUID(str(ident)): UUID(str(relation or one)) for ident, _, relation, one, _ in rows}
        going.retracted = [(UUID(str(row[2])), row[4]) for row in rows if row[2] is not None and row[1] == "DELETE"]
    return going


def _lose_versions(going: Going, rows: Rows) -> None:
    for ident, version, subject, other, given, stands, count in rows:
        name = UUID(str(ident)), version
        if not given and count == going.grounds[name]:
            going.versions[name] = stands
            going.touched |= {UUID(str(subject)), UUID(str(other))}


def _follow(walls: Walls, going: Going, kept: frozenset[UUID]) -> Plan[None]:
    """Add the entities that are left without a ground, the names that nothing says, and the changes that go with them.

    An entity whose name was said by what goes alone, and that has no other, goes with its relations.
    """
    before = -1
    while before != (before := len(going.versions) + len(going.touched)):
        found = yield from left(walls, going)
        going.touched |= {one.id for one in found}
        nameless = _judge(going, {one.id: one for one in found}, kept)
        if nameless:
            rows = yield walls.step("relations_of_gone", entities=list(nameless))
            for ident, version, subject, other in rows:
                going.versions.setdefault((UUID(str(ident)), version), False)
                going.touched |= {UUID(str(subject)), UUID(str(other))}
    asked = {"entities": list(going.entities), "changes": going.changes, **going.items, **going.told}
    going.numbers = [number for (number,) in (yield walls.step("changes_of_gone", **asked))]


def left(walls: Walls, going: Going) -> Plan[list[Left]]:
    """Give what is left of the entities that are touched, and of those that they are taken to be."""
    given = {"entities": list(going.touched), "numbers": list(going.mentions), **going.items}
    return [Left.of(row) for row in (yield walls.step("graph_left", **given))]


@dataclass(frozen=True, slots=True)
class Left:
    """An entity with what is left of its grounds; ``names``: folded, shown, given, said by something else."""

    id: UUID
    folded: str
    into: UUID | None
    mentioned: bool
    related: bool
    merged: frozenset[UUID]
    names: tuple[tuple[str, str, bool, bool], ...]

    @classmethod
    def of(cls, row: Sequence[Any]) -> Left:
        """Read a row of ``graph_left``."""
        ident, folded, into, mentioned, related, merged, names = row
        parts = frozenset(UUID(str(one)) for one in merged)
        said = tuple((one[0], one[1], one[2], one[3]) for one in json.loads(names or "[]"))
        whole = None if into is None else UUID(str(into))
        return cls(UUID(str(ident)), folded, whole, mentioned, related, parts, said)

    @property
    def given(self) -> bool:
        """Whether a person named it."""
        return any(given for _, _, given, _ in self.names)


def _judge(going: Going, found: Mapping[UUID, Left], kept: frozenset[UUID]) -> set[UUID]:
    """Note which entities and names go; give those entities that go only because nothing names them any more."""
    going.entities, going.names, going.renamed = _groundless(found.values(), kept), set(), {}
    nameless: set[UUID] = set()
    for one in found.values():
        if one.id in going.entities | kept:
            continue
        said = {(folded, shown) for folded, shown, given, backed in one.names if given or backed}
        gone = {folded for folded, *_ in one.names if (one.id, folded) in going.said} - {folded for folded, _ in said}
        going.names |= {(one.id, folded) for folded in gone}
        if one.folded in gone:
            parts = one.merged - going.entities
            going.touched |= parts
            said |= {name[:2] for part in parts & found.keys() for name in found[part].names}
            if said:
                going.renamed[one.id] = min(said)
            elif not parts:
                nameless.add(one.id)
    going.entities |= nameless
    return nameless


def _groundless(found: Iterable[Left], kept: frozenset[UUID]) -> set[UUID]:
    """Give the entities that nothing holds: no given name, no mention, no relation, nothing merged into it."""
    waiting = {one.id: one.merged for one in found if not (one.given or one.mentioned or one.related)}
    gone: set[UUID] = set()
    while more := {ident for ident, merged in waiting.items() if ident not in gone | kept and not merged - gone}:
        gone |= more
    return gone


def _delete(walls: Walls, going: Going) -> Plan[None]:
    yield walls.step(
        "delete_graph",
        numbers=list(going.mentions),
        entities=list(going.entities),
        changes=going.numbers,
        **going.items,
        **going.told,
    )
    if going.renamed:
        folds, names = zip(*going.renamed.values(), strict=True)
        given: dict[str, Any] = {"names": list(names), "folds": list(folds)}
        yield walls.step("rename_entities", entities=list(going.renamed), **given)
    again: list[tuple[UUID, dt.datetime | None]] = [
        (ident, None) for (ident, _), stood in going.versions.items() if stood
    ]
    again += going.retracted
    if again:
        yield walls.step("stand_again", ids=[ident for ident, _ in again], ats=[at for _, at in again])
    if stay := going.touched - going.entities:
        yield walls.step("see_again", entities=list(stay))
