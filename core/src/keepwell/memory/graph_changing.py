"""The verbs that change the graph: said by a person, recorded, and taken back when asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid4

from keepwell.errors import ChangeNotFound, EntityNotFound, InvalidScope, RelationNotFound, UsageError
from keepwell.formation.entities_settle import inverse
from keepwell.formation.graph_edits import (
    AddEntity,
    ChangeEntity,
    EndRelation,
    GraphEdit,
    MergeEntities,
    Relate,
    RemoveEntity,
    RetractRelation,
    SplitEntity,
)
from keepwell.formation.names import MAX_NAME, folded, tidy
from keepwell.memory.graph import EntityLike, GraphReading
from keepwell.memory.paging import MAX_PAGE
from keepwell.memory.twins import twin
from keepwell.models import Owner, Scope
from keepwell.models.graph import ENTITY_TYPES, Entity, EntityType, GraphChange, GraphChanges, Mention, Relation
from keepwell.models.message import utc
from keepwell.storage.graph import ApplyGraph, GraphEdits, GraphHistory, ListRelations, ReadEntities

if TYPE_CHECKING:
    from keepwell.memory.engine import Engine

ACTOR = "user"


class View(Protocol):
    """A view, as far as its graph needs it."""

    @property
    def _engine(self) -> Engine: ...


class ScopedGraph(GraphReading):
    """The graph of a view: nothing below can leave its scope. ``ada.graph`` gives it.

    What a name means is decided by the name and the company it stands in; where that went wrong, ``merge``, ``split``
    and ``rename`` put it right. Every change is recorded with its reason, and ``revert`` takes it back.

    Example:
        >>> sister = ada.graph.add("Priya", type="person")
        >>> _ = ada.graph.link(sister, "sister of", "Ada")
        >>> [one.kind for one in ada.graph.history(sister)]
        ['ADD', 'ADD']
    """

    def __init__(self, view: View, scope: Scope) -> None:
        """Made by ``ScopedMemory.graph``."""
        self._view = view
        self.scope = scope

    def __repr__(self) -> str:
        """Name the view."""
        return f"{self._view!r}.graph"

    @property
    def _engine(self) -> Engine:
        return self._view._engine  # noqa: SLF001 - the objects of the face share it

    def add(
        self,
        name: str,
        *,
        type: EntityType = "thing",  # noqa: A002 - the word of the field
        aliases: Iterable[str] = (),
        reason: str = "",
        connection: object = None,
    ) -> Entity:
        """Make an entity that stands by itself, whether anybody speaks of it or not, and give it.

        Raises:
            InvalidScope: this view has no id to write as.
            UsageError: the name is blank or too long, or the type is none.
        """
        ident = uuid4()
        self._apply(self._writer(), [_made(ident, name, type, aliases, reason)], connection)
        return self._after(ident, connection, _made(ident, name, type, aliases, reason))

    def merge(
        self, entity: EntityLike, into: EntityLike, *, reason: str = "", connection: object = None
    ) -> GraphChanges:
        """Take an entity to be another one, and give the changes; its names, mentions and relations are that one's now.

        Raises:
            EntityNotFound: there is no such entity in this view.
            UsageError: they belong to two owners.
        """
        gone, left = self.entity(entity), self.entity(into)
        if gone.owner != left.owner:
            raise UsageError("these entities belong to two owners; one of them cannot be taken to be the other")
        return self._apply(left.owner, [MergeEntities(gone.id, left.id, reason)], connection)

    def split(
        self,
        entity: EntityLike,
        name: str | None = None,
        *,
        mentions: Iterable[Mention | int] = (),
        relations: Iterable[Relation | UUID] = (),
        reason: str = "",
        connection: object = None,
    ) -> Entity:
        """Make an entity of its own of a part of one: these mentions and relations of it; and give the new one.

        Raises:
            EntityNotFound: there is no such entity in this view.
            UsageError: neither a mention nor a relation is named.
        """
        whole = self.entity(entity)
        numbers = tuple(one.number if isinstance(one, Mention) else one for one in mentions)
        ids = tuple(one.id if isinstance(one, Relation) else one for one in relations)
        if not numbers and not ids:
            raise UsageError("split() takes mentions or relations that are to be another's; none was given")
        new, called = uuid4(), _name(whole.name if name is None else name)
        given = () if name is None else (called,)
        edit = SplitEntity(whole.id, new, called, given=given, mentions=numbers, relations=ids, reason=reason)
        self._apply(whole.owner, [edit], connection)
        return self._after(new, connection, AddEntity(new, called, whole.type, given))

    def rename(
        self,
        entity: EntityLike,
        name: str,
        *,
        type: EntityType | None = None,  # noqa: A002 - the word of the field
        aliases: Iterable[str] = (),
        reason: str = "",
        connection: object = None,
    ) -> GraphChanges:
        """Give an entity another name (and type, and aliases), and give the changes; the old name stays an alias.

        Raises:
            EntityNotFound: there is no such entity in this view.
            UsageError: the name is blank or too long.
        """
        there = self.entity(entity)
        given = (_name(name), there.name, *(_name(alias) for alias in aliases))
        edit = ChangeEntity(there.id, _name(name), _kind(type), tuple(dict.fromkeys(given)), reason=reason)
        return self._apply(there.owner, [edit], connection)

    def remove(self, entity: EntityLike, *, reason: str = "", connection: object = None) -> GraphChanges:
        """Take an entity away, so that it is neither found nor made again by its name, and give the changes."""
        there = self.entity(entity)
        return self._apply(there.owner, [RemoveEntity(there.id, reason)], connection)

    def link(
        self,
        subject: EntityLike,
        predicate: str,
        other: EntityLike,
        *,
        valid_from: dt.datetime | None = None,
        valid_to: dt.datetime | None = None,
        reason: str = "",
        connection: object = None,
    ) -> GraphChanges:
        """Say how one entity stands to another, and give the changes; a name that nothing has yet makes an entity.

        Example:
            >>> ada.graph.link("Tom", "carer of", "Priya")[-1].after.predicate
            'carer of'
        """
        said = tidy(predicate)
        if not said or len(said) > MAX_NAME:
            raise UsageError("the predicate is blank or too long; say how the first stands to the second: 'sister of'")
        begin, end = (None if at is None else utc(at) for at in (valid_from, valid_to))
        if begin is not None and end is not None and end < begin:
            raise UsageError(f"valid_to ({end:%Y-%m-%d}) is before valid_from ({begin:%Y-%m-%d})")
        owner, edits, ids = self._ends(subject, other)
        edits.append(Relate(uuid4(), ids[0], said, ids[1], begin, end, given=True, reason=reason))
        return self._apply(owner, edits, connection)

    def unlink(
        self,
        relation: Relation | UUID | EntityLike,
        predicate: str | None = None,
        other: EntityLike | None = None,
        *,
        valid_to: dt.datetime | None = None,
        reason: str = "",
        connection: object = None,
    ) -> GraphChanges:
        """Say that a relation is not true, or (``valid_to``) was only until then, and give the changes.

        The relation is named by its value or id, or by its ends and predicate, as in ``link``.

        Raises:
            RelationNotFound: no such relation stands in this view.

        Example:
            >>> _ = ada.graph.link("Tom", "carer of", "Priya")
            >>> ada.graph.unlink("Tom", "carer of", "Priya")[0].kind
            'DELETE'
        """
        found = self._relations(relation, predicate, other)
        end = None if valid_to is None else utc(valid_to)
        edits: list[GraphEdit] = [
            RetractRelation(one.id, reason=reason)
            if end is None
            else EndRelation(one.id, end, given=True, reason=reason)
            for one in found
        ]
        return self._apply(found[0].owner, edits, connection)

    def revert(
        self,
        change: GraphChange | GraphChanges | UUID | None = None,
        *,
        batch: UUID | None = None,
        reason: str = "",
        connection: object = None,
    ) -> GraphChanges:
        """Take changes of the graph back, and give the changes that this makes; ``batch`` names a whole write.

        Example:
            >>> one, two = ada.graph.add("Priya"), ada.graph.add("Priya Shah")
            >>> changes = ada.graph.merge(one, two)
            >>> _ = ada.graph.revert(changes)
            >>> ada.graph.entity(one).name
            'Priya'
        """
        chosen = self._chosen(change, batch)
        owners = {one.owner for one in chosen}
        if len(owners) > 1:
            raise UsageError("these changes belong to several owners; take them back owner by owner")
        return self._apply(chosen[0].owner, inverse(chosen, reason or "taken back"), connection)

    aadd = twin(add)
    amerge = twin(merge)
    asplit = twin(split)
    arename = twin(rename)
    aremove = twin(remove)
    alink = twin(link)
    aunlink = twin(unlink)
    arevert = twin(revert)

    # Parts of the verbs

    def _writer(self) -> Owner:
        if not any(self.scope.owner):
            raise InvalidScope("this view has no id to write as; change the graph through a scope that has one")
        return self.scope.owner

    def _apply(self, owner: Owner, edits: Sequence[GraphEdit], connection: object) -> GraphChanges:
        return self._engine.write(ApplyGraph(owner, GraphEdits(tuple(edits)), ACTOR, uuid4()), connection)

    def _after(self, ident: UUID, connection: object, made: AddEntity) -> Entity:
        """Give an entity that was just made; in a caller's transaction nobody else can read it yet."""
        if connection is None:
            return self.entity(ident)
        return Entity(ident, made.name, self._writer(), made.type, given=made.given, aliases=made.given)

    def _ends(self, subject: EntityLike, other: EntityLike) -> tuple[Owner, list[GraphEdit], list[UUID]]:
        """Give whose the ends are, what makes those that there are not, and their ids."""
        found = [self._known(end) for end in (subject, other)]
        owners = {one.owner for one in found if one is not None}
        if len(owners) > 1:
            raise UsageError("these entities belong to two owners; a relation has one")
        owner = owners.pop() if owners else self._writer()
        edits: list[GraphEdit] = []
        ids: list[UUID] = []
        made: dict[str, UUID] = {}
        for end, one in zip((subject, other), found, strict=True):
            if one is not None:
                ids.append(one.id)
                continue
            name = _name(str(end))
            if folded(name) not in made:
                made[folded(name)] = uuid4()
                edits.append(AddEntity(made[folded(name)], name, given=(name,)))
            ids.append(made[folded(name)])
        return owner, edits, ids

    def _known(self, end: EntityLike) -> Entity | None:
        """Give an entity; None for a name that nothing has."""
        if isinstance(end, str) and end.strip():
            try:
                return self.entity(end)
            except EntityNotFound:
                return None
        return self.entity(end)

    def _relations(self, relation: Any, predicate: str | None, other: EntityLike | None) -> list[Relation]:  # noqa: ANN401 - as in unlink
        if predicate is None or other is None:
            ident = relation.id if isinstance(relation, Relation) else relation
            if not isinstance(ident, UUID):
                raise UsageError("unlink() takes a relation, its id, or two entities with a predicate between them")
            there = self._engine.record.read(ListRelations(self.scope, (ident,), limit=1))
            found = list(there)
        else:
            ends = self.entity(relation).id, self.entity(other).id
            standing = self._engine.record.read(ListRelations(self.scope, entity=ends[0], limit=MAX_PAGE))
            said = folded(predicate)
            alike = [one for one in standing if folded(one.predicate) == said]
            names = tuple({end for one in alike for end in (one.subject, one.object)})
            now = {ident: one.now for ident, one in self._engine.record.read(ReadEntities(self.scope, names)).items()}
            found = [one for one in alike if (now.get(one.subject), now.get(one.object)) == ends]
        if not found:
            raise RelationNotFound("no such relation stands in this scope")
        return found

    def _chosen(self, change: GraphChange | GraphChanges | UUID | None, batch: UUID | None) -> list[GraphChange]:
        if (change is None) == (batch is None):
            raise UsageError("revert() takes a change, several of them, an id, or batch=")
        ids = None
        if isinstance(change, GraphChanges):
            ids = tuple(one.id for one in change)
        elif change is not None:
            ids = (change.id if isinstance(change, GraphChange) else change,)
        query = GraphHistory(self.scope, ids=ids, batch=batch, limit=MAX_PAGE, oldest_first=True)
        page = self._engine.record.read(query)
        found = list(page)
        if not found:
            raise ChangeNotFound("nothing of that name was done in this scope; nothing was taken back")
        return found


def _made(ident: UUID, name: str, kind: EntityType, aliases: Iterable[str], reason: str) -> AddEntity:
    named = _name(name)
    given = tuple(dict.fromkeys((named, *(_name(alias) for alias in aliases))))
    return AddEntity(ident, named, _kind(kind) or "thing", given, reason=reason)


def _name(name: object) -> str:
    """Give a name as it is kept.

    Raises:
        UsageError: it is blank or too long.
    """
    if not isinstance(name, str) or not tidy(name):
        raise UsageError(f"{name!r} is no name")
    if len(name) > MAX_NAME:
        raise UsageError(f"a name has {MAX_NAME} characters at most; this one has {len(name)}")
    return tidy(name)


def _kind(kind: EntityType | None) -> EntityType | None:
    if kind is not None and kind not in ENTITY_TYPES:
        raise UsageError(f"type is {kind!r}; give one of {', '.join(ENTITY_TYPES)}")
    return kind
