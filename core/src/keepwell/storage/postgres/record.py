"""One tenant's record in PostgreSQL: every operation of the seam, by the plan that carries it out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from inspect import GEN_CREATED, getgeneratorstate
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg import AsyncConnection, Connection
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout

from keepwell.errors import StoreUnavailable, UsageError
from keepwell.storage import base, embeddings, facts, graph, items, languages
from keepwell.storage import copying as carried
from keepwell.storage import graph_copying as carried_graph
from keepwell.storage.postgres import (
    appending,
    due,
    expiring,
    forgetting,
    forming,
    graph_copying,
    graph_due,
    graph_embeddings,
    graph_reading,
    graph_writing,
    history,
    loading,
    nearest,
    outbox,
    reading,
    settling,
    spaces,
    threads,
)
from keepwell.storage.postgres import copying as carrying
from keepwell.storage.postgres import facts as stated
from keepwell.storage.postgres import items as stored
from keepwell.storage.postgres import languages as spoken
from keepwell.storage.postgres.failures import translated
from keepwell.storage.postgres.runner import Plan, ajoin, join
from keepwell.storage.postgres.walls import Walls

if TYPE_CHECKING:
    from keepwell.storage.postgres.store import PostgresStore

R = TypeVar("R")
Planner = Callable[[Walls, Any], Plan[Any]]

_WRITES: dict[type[base.Write[Any]], Planner] = {
    base.AppendMessages: appending.append,
    base.ReplaceMessage: appending.replace,
    base.DeleteMessages: forgetting.delete,
    base.Forget: forgetting.forget,
    base.Prune: due.prune,
    base.PostTerms: appending.post,
    base.CreateThread: threads.create,
    base.UpdateThread: threads.update,
    base.CloneThread: threads.clone,
    base.MoveThread: threads.move,
    base.PutVectors: spaces.put,
    base.IndexVectors: nearest.index,
    base.OpenSpace: spaces.open_space,
    base.SwitchSpace: spaces.switch,
    facts.ApplyEdits: settling.apply,
    facts.PutHistory: history.put,
    facts.LiftRejections: history.lift,
    facts.ClaimThread: forming.claim,
    facts.FailForming: forming.fail,
    facts.RetryParked: forming.retry,
    facts.SetPolicy: forming.set_policy,
    facts.PutDue: due.put,
    facts.TakeDue: due.take,
    facts.FinishDue: due.finish,
    facts.Expire: expiring.expire,
    languages.NoteLanguage: spoken.note,
    languages.SwitchLanguage: spoken.switch,
    languages.PutTerms: spoken.put,
    carried.KeepThreadCopy: carrying.keep_thread,
    carried.KeepMessageCopies: carrying.keep_messages,
    carried.KeepSecret: carrying.keep_secret,
    carried.KeepRejectionCopies: carrying.keep_rejections,
    graph.ApplyGraph: graph_writing.apply,
    carried_graph.KeepEntityCopies: graph_copying.keep_entities,
    carried_graph.KeepRelationCopies: graph_copying.keep_relations,
    carried_graph.KeepMentionCopies: graph_copying.keep_mentions,
    carried_graph.KeepGraphChangeCopies: graph_copying.keep_changes,
    carried_graph.KeepSeen: graph_copying.keep_seen,
    graph.SetProjection: outbox.set_projection,
    embeddings.PutEntityVectors: graph_embeddings.put,
    graph.PruneOutbox: outbox.prune,
    items.PutItems: stored.put,
    items.KeepItems: stored.keep,
}
_READS: dict[type[base.Read[Any]], Planner] = {
    base.FindThread: threads.find,
    base.FindThreadByKey: threads.find_by_key,
    base.ListThreads: threads.listing,
    base.ReadMessages: reading.messages,
    base.ReadAround: reading.around,
    base.FetchMessages: reading.fetch,
    base.Weigh: loading.weigh,
    base.LoadScope: loading.load,
    base.FindCandidates: loading.candidates,
    base.MatchMetadata: loading.match,
    base.FindDue: spaces.due,
    base.FindMissing: spaces.missing,
    base.ActiveSpace: spaces.active,
    base.ReadStatus: reading.status,
    facts.ListFacts: stated.listing,
    facts.FetchFacts: stated.fetch,
    facts.ReadSources: stated.sources,
    facts.RawSources: stated.raw_sources,
    facts.MessageKeys: stated.message_keys,
    facts.FactsWithoutVectors: stated.without_vectors,
    facts.ReadHistory: history.reading,
    facts.ListRejections: history.rejections,
    facts.Remains: forgetting.remains,
    facts.FindForming: forming.find,
    facts.ReadUnformed: forming.read,
    facts.ListParked: forming.parked,
    facts.FindOwners: forming.owners,
    facts.ReadSecret: due.secret,
    facts.ReadSpent: due.spent,
    facts.ReadFormation: due.status,
    languages.ReadLanguage: spoken.read,
    languages.FindOldTerms: spoken.find,
    carried.ReadThreadCopies: carrying.read_threads,
    carried.ReadMessageCopies: carrying.read_messages,
    carried.ReadRejectionCopies: carrying.read_rejections,
    carried_graph.SizeGraph: graph_copying.size,
    carried_graph.ReadEntityCopies: graph_copying.read_entities,
    carried_graph.ReadRelationCopies: graph_copying.read_relations,
    carried_graph.ReadMentionCopies: graph_copying.read_mentions,
    carried_graph.ReadGraphChangeCopies: graph_copying.read_changes,
    carried_graph.ReadSeen: graph_copying.seen,
    graph.FindUnmentioned: graph_due.find,
    graph.FindEntities: graph_reading.find,
    embeddings.FindUnembedded: graph_embeddings.find,
    graph.NearEntities: graph_embeddings.near,
    graph.ListEntities: graph_reading.listing,
    graph.ReadEntities: graph_reading.entities,
    graph.ReadContexts: graph_reading.contexts,
    graph.ListRelations: graph_reading.relations,
    graph.ReadMentions: graph_reading.mentions,
    graph.ReadNeighbours: graph_reading.neighbours,
    graph.ReadPaths: graph_reading.paths,
    graph.GraphHistory: graph_reading.history,
    graph.SupportOf: graph_reading.support,
    graph.ReadGraph: graph_reading.counts,
    graph.ReadProjection: outbox.projection,
    graph.ReadOutbox: outbox.read,
    graph.ScanProjected: outbox.scan,
    graph.CountProjected: outbox.tally,
    items.ReadItems: stored.read,
    items.FindItems: stored.find,
    items.ListNamespaces: stored.namespaces,
}
_WAITS = (0.1, 0.4, 1.6)
"""At most so many seconds between tries where two writers stand in each other's way."""
_RECALL_READS = (base.LoadScope, base.FindCandidates, base.Weigh, base.MatchMetadata, graph.SupportOf)
"""What a read-only server may answer (DESIGN section 4): the loading of a recall, never what is returned."""


class PostgresRecord:
    """One tenant of a PostgreSQL store."""

    def __init__(self, store: PostgresStore, tenant: str) -> None:
        """Bind a store and a tenant; nothing is read."""
        self._store = store
        self._walls = Walls(tenant, store.names)

    def write(self, change: base.Write[R], connection: object = None) -> R:
        """Do it in a transaction of its own, or as part of the connection's."""
        if connection is None:
            return self._write_alone(change)
        if not isinstance(connection, Connection):
            kind = type(connection)
            raise UsageError(f"connection= takes a psycopg Connection, not {kind.__module__}.{kind.__qualname__}")
        with translated(self._store.name):
            try:
                return join(connection, self._plan(change, single=True))
            except pg.UniqueViolation:
                return join(connection, self._plan(change))

    async def awrite(self, change: base.Write[R], connection: object) -> R:
        """Do it as part of the transaction of an asynchronous connection."""
        if not isinstance(connection, AsyncConnection):
            kind = type(connection)
            raise UsageError(f"connection= takes a psycopg AsyncConnection, not {kind.__module__}.{kind.__qualname__}")
        with translated(self._store.name):
            try:
                return await ajoin(connection, self._plan(change, single=True))
            except pg.UniqueViolation:
                return await ajoin(connection, self._plan(change))

    def read(self, query: base.Read[R]) -> R:
        """Look; a connection that broke while it waited in the pool is replaced once."""
        plan = _READS[type(query)]
        standby = isinstance(query, base.FetchMessages | facts.FetchFacts) and query.standby
        if standby and not self._store.reads_elsewhere:
            raise StoreUnavailable(f"{self._store.name} does not answer, and there is no read_dsn to ask instead")
        recall = isinstance(query, _RECALL_READS) or standby
        with translated(self._store.name):
            try:
                return cast("R", self._store.run(plan(self._walls, query), single=True, recall=recall))
            except psycopg.OperationalError as error:
                standby_away = recall and self._store.reads_elsewhere and isinstance(error, PoolTimeout)
                if not (broken(error) or standby_away):
                    raise
                self._store.refresh()
                return cast("R", self._store.run(plan(self._walls, query), single=True))

    def _write_alone(self, change: base.Write[R]) -> R:
        """Do it, and once more where another writer was first: what made it fail can be seen the second time.

        Where the line broke, what cannot have reached the server is sent again; appends and vectors are in any
        case, because a second time they change nothing.
        """
        single = appending.is_plain(change) or isinstance(change, base.PutVectors | items.PutItems | items.KeepItems)
        plan = self._plan(change, single=True)
        with translated(self._store.name):
            try:
                return self._store.run(plan, single=single)
            except (pg.UniqueViolation, pg.SerializationFailure, pg.DeadlockDetected):
                return self._again(change)
            except psycopg.OperationalError as error:
                if not broken(error):
                    raise
                self._store.refresh()
                if not single and getgeneratorstate(plan) != GEN_CREATED:
                    raise
                return self._store.run(self._plan(change))

    def _again(self, change: base.Write[R]) -> R:
        """Do it once more; where it stands in another's way again, after a moment that is not the same for both."""
        for wait in _WAITS:
            try:
                return self._store.run(self._plan(change))
            except pg.DeadlockDetected:
                time.sleep(wait * random.random())  # noqa: S311 - no secret
        return self._store.run(self._plan(change))

    def _plan(self, change: base.Write[R], *, single: bool = False) -> Plan[R]:
        if single and appending.is_plain(change):
            return cast("Plan[R]", appending.append_plainly(self._walls, cast("base.AppendMessages", change)))
        if single and isinstance(change, items.PutItems):
            return cast("Plan[R]", stored.put_plainly(self._walls, change))
        return cast("Plan[R]", _WRITES[type(change)](self._walls, change))


def broken(error: psycopg.OperationalError) -> bool:
    """Tell whether the line to the server broke, rather than the server refusing something."""
    if isinstance(error, PoolTimeout | PoolClosed):
        return False
    return error.sqlstate is None or isinstance(error, pg.AdminShutdown | pg.CrashShutdown | pg.ConnectionException)
