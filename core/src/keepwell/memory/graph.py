"""The graph of a view: who and what is spoken of in it, and how they stand to each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from keepwell.errors import EntityNotFound, InvalidQuery, MissingExtra, UsageError
from keepwell.formation import entities
from keepwell.formation.names import folded, tidy
from keepwell.memory.paging import MAX_PAGE
from keepwell.memory.twins import twin
from keepwell.models import Scope
from keepwell.models.graph import (
    ENTITY_TYPES,
    Entities,
    Entity,
    EntityType,
    GraphChanges,
    Mention,
    Neighbourhood,
    Path,
    Relation,
)
from keepwell.models.message import utc
from keepwell.storage.graph import (
    FindEntities,
    GraphHistory,
    ListEntities,
    ListRelations,
    ReadEntities,
    ReadMentions,
    ReadNeighbours,
    ReadPaths,
)

if TYPE_CHECKING:
    from keepwell.memory.drawing import Drawing
    from keepwell.memory.engine import Engine

EntityLike: TypeAlias = Entity | UUID | str
_FUZZY = 0.3
_MOST_HOPS = 6


class GraphReading:
    """What can be asked of the graph of a view.

    An entity is named by its value, its id, or a name of it that nothing else in the view has.

    Example:
        >>> _ = ada.graph.link("Priya", "sister of", "Ada")
        >>> [one.name for one in ada.graph.find("priya")]
        ['Priya']
        >>> len(ada.graph.neighbours("Ada"))
        2
    """

    scope: Scope

    @property
    def _engine(self) -> Engine:
        raise NotImplementedError  # the view's

    def find(self, text: str | None = None, *, type: EntityType | None = None, limit: int = 10) -> Entities:  # noqa: A002 - the word of the field
        """Give entities that a name fits, or the names in a question; best first. Without a text, those seen last.

        A name fits as it is, by an alias, or where it is nearly the same.

        Raises:
            InvalidQuery: the text is blank, the type is none, or the limit is out of range.
        """
        _check(type, limit)
        if text is None:
            return self._engine.record.read(ListEntities(self.scope, type, limit=limit))
        if not text.strip():
            raise InvalidQuery("the text is blank; give a name, or nothing for all")
        names = tuple(dict.fromkeys((tidy(text), *(one.name for one in entities.names_in(text)))))
        hits = self._engine.record.read(FindEntities(self.scope, names, type, _FUZZY, limit=limit))
        best = {hit.entity.id: hit.entity for hit in sorted(hits, key=lambda hit: -hit.score)}
        return Entities(tuple(best.values())[:limit])

    def entities(
        self,
        *,
        type: EntityType | None = None,  # noqa: A002 - as in find
        limit: int = 100,
        after: str | None = None,
    ) -> Entities:
        """Give a page of the view's entities, those seen last first; ``after=page.next`` gives the page after."""
        _check(type, limit)
        return self._engine.record.read(ListEntities(self.scope, type, after, limit))

    def entity(self, entity: EntityLike) -> Entity:
        """Give an entity as it is now: of one that was merged, what it is taken to be.

        Raises:
            EntityNotFound: there is none of that id or name in this view.
            UsageError: several have that name; name one by its id.
        """
        ident = self._ident(entity)
        found = self._engine.record.read(ReadEntities(self.scope, (ident,), resolve=True)).get(ident)
        if found is None:
            raise EntityNotFound(f"there is no entity {ident} in this scope")
        return found

    def neighbours(
        self,
        entity: EntityLike,
        *,
        hops: int = 1,
        valid_at: dt.datetime | None = None,
        as_of: dt.datetime | None = None,
        limit: int = 50,
    ) -> Neighbourhood:
        """Give what lies around an entity: who stands to it how, up to so many relations away, nearest first.

        ``valid_at``: along what was true then, as far as dates are known; ``as_of``: along what was held then.

        Raises:
            EntityNotFound: there is no such entity in this view.
        """
        _check(None, limit)
        query = ReadNeighbours(
            self.scope, (self._ident(entity),), _hops(hops), _instant(valid_at), _instant(as_of), limit
        )
        return self._engine.record.read(query)

    def paths(
        self,
        start: EntityLike,
        end: EntityLike,
        *,
        max_hops: int = 3,
        valid_at: dt.datetime | None = None,
        as_of: dt.datetime | None = None,
        limit: int = 10,
    ) -> tuple[Path, ...]:
        """Give the shortest ways from one entity to another, whichever way the relations go; none where there is none.

        Raises:
            EntityNotFound: there is no such entity in this view.
        """
        _check(None, limit)
        ends = self._ident(start), self._ident(end)
        query = ReadPaths(self.scope, *ends, _hops(max_hops), _instant(valid_at), _instant(as_of), limit)
        return self._engine.record.read(query)

    def overview(self, *, limit: int = 60) -> Neighbourhood:
        """Give the entities seen last, with what lies around them and the relations between all of these."""
        return self._around(None, 1, limit)

    def relations(
        self,
        entity: EntityLike | None = None,
        *,
        valid_at: dt.datetime | None = None,
        as_of: dt.datetime | None = None,
        versions: bool = False,
        limit: int = 100,
    ) -> tuple[Relation, ...]:
        """Give the relations that stand (of one entity, where it is given), those recorded last first.

        ``versions`` gives every version that there ever was.
        """
        _check(None, limit)
        ident = None if entity is None else self._ident(entity)
        query = ListRelations(
            self.scope, None, ident, _instant(valid_at), _instant(as_of), versions=versions, limit=limit
        )
        return self._engine.record.read(query)

    def mentions(self, entity: EntityLike, *, limit: int = 100) -> tuple[Mention, ...]:
        """Give where an entity is named, newest first."""
        _check(None, limit)
        return self._engine.record.read(ReadMentions(self.scope, self._ident(entity), limit=limit))

    def history(
        self,
        entity: EntityLike | None = None,
        *,
        relation: Relation | UUID | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> GraphChanges:
        """Give a page of what was changed in the graph, newest first: of one entity or relation, or of all."""
        _check(None, limit)
        query = GraphHistory(
            self.scope,
            None if entity is None else self._ident(entity),
            relation.id if isinstance(relation, Relation) else relation,
            since=_instant(since),
            until=_instant(until),
            after=after,
            limit=limit,
        )
        return self._engine.record.read(query)

    def to_networkx(self, entity: EntityLike | None = None, *, hops: int = 1, limit: int = 1000) -> Any:  # noqa: ANN401 - networkx has no types
        """Give the graph (around an entity, where it is given) as a ``networkx.MultiDiGraph``.

        Nodes are ids as text with ``name``, ``type`` and ``aliases``; edges have ``predicate``, ``valid_from`` and
        ``valid_to``, and the relation's id as their key.

        Raises:
            MissingExtra: networkx is not installed.
        """
        networkx = _networkx()
        around = self._around(entity, hops, limit)
        graph = networkx.MultiDiGraph()
        for ident, one in around.entities.items():
            graph.add_node(str(ident), name=one.name, type=one.type, aliases=list(one.aliases))
        for said in around.relations:
            times = {"valid_from": said.valid_from, "valid_to": said.valid_to}
            graph.add_edge(str(said.subject), str(said.object), str(said.id), predicate=said.predicate, **times)
        return graph

    def draw(self, entity: EntityLike | None = None, *, hops: int = 1, limit: int = 60) -> Drawing:
        """Give a drawing of the graph (around an entity, where it is given), which notebooks show.

        ``save`` writes it as SVG, or as PNG where matplotlib is installed.

        Example:
            >>> _ = ada.graph.link("Priya", "sister of", "Ada")
            >>> ada.graph.draw("Ada").svg[:4]
            '<svg'
        """
        from keepwell.memory.drawing import drawn  # noqa: PLC0415 - numpy, not at the import of keepwell

        return drawn(self._around(entity, hops, limit))

    afind = twin(find)
    aentities = twin(entities)
    aentity = twin(entity)
    aneighbours = twin(neighbours)
    apaths = twin(paths)
    aoverview = twin(overview)
    arelations = twin(relations)
    amentions = twin(mentions)
    ahistory = twin(history)
    ato_networkx = twin(to_networkx)
    adraw = twin(draw)

    # Parts of the verbs

    def _around(self, entity: EntityLike | None, hops: int, limit: int) -> Neighbourhood:
        """Give the neighbourhood of an entity, or of those seen last."""
        if entity is not None:
            return self.neighbours(entity, hops=hops, limit=limit)
        _check(None, limit)
        seen = self._engine.record.read(ListEntities(self.scope, limit=min(limit, MAX_PAGE)))
        if not seen:
            return Neighbourhood()
        ids = tuple(one.id for one in seen)
        around = self._engine.record.read(ReadNeighbours(self.scope, ids, 1, limit=limit))
        lone = {one.id: one for one in seen}
        return Neighbourhood({**lone, **around.entities}, around.hops, around.relations)

    def _ident(self, entity: EntityLike) -> UUID:
        """Give the id of what is named.

        Raises:
            EntityNotFound: nothing in this view has that name.
            UsageError: several have it.
        """
        given: object = entity
        if isinstance(given, Entity):
            return given.id
        if isinstance(given, UUID):
            return self._there(given)
        if not isinstance(given, str) or not given.strip():
            raise UsageError(f"{entity!r} is neither an entity, nor the id or a name of one")
        known = _as_id(given)
        if known is not None:
            return self._there(known)
        found = self._named(given)
        if not found:
            raise EntityNotFound(f"nothing in this scope is called {entity!r}")
        if len(found) > 1:
            raise UsageError(f"{len(found)} entities here are called {entity!r}; name one by its id: {_listed(found)}")
        return found[0].id

    def _there(self, ident: UUID) -> UUID:
        if ident not in self._engine.record.read(ReadEntities(self.scope, (ident,))):
            raise EntityNotFound(f"there is no entity {ident} in this scope")
        return ident

    def _named(self, name: str) -> list[Entity]:
        """Give the entities that have exactly this name: their own, or else an alias."""
        hits = self._engine.record.read(FindEntities(self.scope, (name,), limit=10))
        found = list({hit.entity.id: hit.entity for hit in hits}.values())
        own = [one for one in found if folded(one.name) == folded(name)]
        return own or found


def _listed(found: Sequence[Entity]) -> str:
    return ", ".join(f"{one.id} ({one.type})" for one in found)


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _check(kind: object, limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidQuery(f"limit is {limit}; give 1 to {MAX_PAGE}")
    if kind is not None and kind not in ENTITY_TYPES:
        raise InvalidQuery(f"type is {kind!r}; give one of {', '.join(ENTITY_TYPES)}")


def _hops(hops: int) -> int:
    if not 1 <= hops <= _MOST_HOPS:
        raise InvalidQuery(f"{hops} hops; give 1 to {_MOST_HOPS}")
    return hops


def _instant(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else utc(moment)


def _networkx() -> Any:  # noqa: ANN401 - a module without types
    try:
        import networkx as nx  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional package
    except ImportError:
        raise MissingExtra("graph", "networkx") from None
    return nx
