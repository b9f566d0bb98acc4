"""The graph's projection in Neo4j, as a memory uses it, and the tools that its operators have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from keepwell.errors import StoreUnavailable, UsageError
from keepwell.memory.twins import twin
from keepwell.models.graph import Neighbourhood
from keepwell.storage.graph import ReadNeighbours, Support, SupportOf
from keepwell.work.projecting import Brought, Progress, ProjectionStatus, Projector
from keepwell.work.verifying import Verified

if TYPE_CHECKING:
    from keepwell.memory.engine import Engine
    from keepwell.storage.neo4j.driver import Bolt
    from keepwell.storage.neo4j.projected import ProjectedGraph

R = TypeVar("R")
_CONNECTIONS = 4
_ROWS = 10_000


def projector_of(engine: Engine) -> Projector | None:
    """Give what keeps the projection up to the record; None where there is none.

    Raises:
        MissingExtra: the Neo4j driver is not installed.
    """
    linked = _linked(engine)
    return None if linked is None else linked.projector


def support(engine: Engine, query: SupportOf) -> Support:
    """Give the texts behind entities, from Neo4j where the setting says so, else from the record.

    Raises:
        StoreUnavailable: Neo4j does not answer, is too slow, or failed so often that it is left alone a while.
    """
    graph = _walked(engine)
    return engine.record.read(query) if graph is None else _guarded(engine, lambda: graph.support(query))


def neighbours(engine: Engine, query: ReadNeighbours) -> Neighbourhood:
    """Give what lies around entities, from where :func:`support` has its answers."""
    graph = _walked(engine)
    return engine.record.read(query) if graph is None else _guarded(engine, lambda: graph.neighbours(query))


class GraphTools:
    """What operators do with the graph of a tenant; nothing here is for a model or for a person's view."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        """Bind it to a memory's engine."""
        self._of = engine

    @property
    def _engine(self) -> Engine:
        return self._of()

    def status(self) -> ProjectionStatus:
        """Tell how far the projection is behind the record, and whether Neo4j answers.

        Raises:
            UsageError: the memory was opened without a projection.
        """
        return self._projector().status()

    def sync(self) -> Brought:
        """Bring the projection up to the record now, as ``drain`` does; builds it where there is none.

        Raises:
            UsageError: the memory was opened without a projection.
        """
        return self._projector().sync()

    def verify(self) -> Verified:
        """Compare all that Neo4j shows with the record, and name what differs.

        Raises:
            UsageError: the memory was opened without a projection.
            StoreUnavailable: Neo4j does not answer.
        """
        return self._projector().verify()

    def rebuild(self, progress: Progress | None = None) -> int:
        """Build the projection anew beside the live one, and switch to it; counts what it shows.

        Raises:
            UsageError: the memory was opened without a projection.
            LeaseLost: somebody else is building it.
            StoreUnavailable: Neo4j does not answer; the live projection stays as it was.
        """
        return self._projector().rebuild(progress)

    def remove(self, *, record_only: bool = False) -> None:
        """Remove the tenant's projection from Neo4j, and have the record note nothing for it any more.

        ``record_only`` leaves Neo4j as it is, for a server that is gone for good.

        Raises:
            UsageError: the memory was opened without a projection.
            StoreUnavailable: Neo4j does not answer; nothing was done.
        """
        self._projector().remove(record_only=record_only)

    def cypher(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        across_scopes: bool = False,
        seconds: float = 30.0,
        limit: int = _ROWS,
    ) -> list[dict[str, Any]]:
        """Give the rows (at most ``limit``) of a Cypher query of yours, in a transaction that cannot write.

        Free Cypher cannot be fenced: it reads everybody's rows, of every tenant, and ``LOAD CSV`` reads files of the
        server. So it must be said: ``across_scopes=True``. Never give it to a model.

        Raises:
            UsageError: ``across_scopes`` is not set, or the memory was opened without a projection.
            StoreFailed: Neo4j refused the query.
            StoreUnavailable: Neo4j does not answer, or not in time.
        """
        if across_scopes is not True:
            raise UsageError(
                "Cypher cannot be held to a scope: it reads what belongs to everybody; "
                "say cypher(..., across_scopes=True) if that is what you want"
            )
        bolt = self._projector().target.bolt
        given = dict(params or {})
        return bolt.read(lambda tx: [one.data() for one in islice(tx.run(query, given), limit)], seconds=seconds)

    def _projector(self) -> Projector:
        found = projector_of(self._engine)
        if found is None:
            raise UsageError("this memory has no projection; open it with graph='neo4j://...', or set KEEPWELL_GRAPH")
        return found

    astatus = twin(status)
    async_ = twin(sync)  # the name that it would have is a word of the language
    averify = twin(verify)
    arebuild = twin(rebuild)
    aremove = twin(remove)
    acypher = twin(cypher)


@dataclass(frozen=True, slots=True)
class _Linked:
    bolt: Bolt
    projector: Projector
    walked: ProjectedGraph

    def close(self) -> None:
        self.bolt.close()


def _linked(engine: Engine) -> _Linked | None:
    """Give the tenant's projector of this store and place: one in this process, since it remembers failures."""
    place = engine.habits.projection
    if place is None:
        return None

    def make() -> _Linked:
        from keepwell.storage.neo4j.driver import BoltOptions, open_bolt  # noqa: PLC0415 - an extra
        from keepwell.storage.neo4j.projected import ProjectedGraph  # noqa: PLC0415 - as above
        from keepwell.storage.neo4j.projecting import Neo4jProjection  # noqa: PLC0415 - as above

        options = BoltOptions(size=_CONNECTIONS, connect_seconds=2.0, acquire_seconds=3.0, retry_seconds=1.0)
        bolt = open_bolt(place.address, user=place.user, password=place.password, options=options)
        walked = ProjectedGraph(bolt, engine.tenant, engine.record, seconds=place.seconds)
        return _Linked(bolt, Projector(engine.record, Neo4jProjection(bolt, engine.tenant)), walked)

    linked = engine.opened.companion(("projection", engine.tenant, place), make)
    return linked if isinstance(linked, _Linked) else None


def _walked(engine: Engine) -> ProjectedGraph | None:
    place = engine.habits.projection
    linked = _linked(engine) if place is not None and place.source == "neo4j" else None
    return None if linked is None else linked.walked


def _guarded(engine: Engine, ask: Callable[[], R]) -> R:
    """Ask Neo4j within the time that a recall has for it; after failures in a row it is not asked for a while."""
    place = engine.habits.projection
    seconds = 1.0 if place is None else place.seconds
    with engine.guarded("graph", StoreUnavailable):
        return engine.opened.model_executor().submit(ask).result(seconds)
