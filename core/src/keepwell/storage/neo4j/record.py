"""One tenant of a Neo4j store: every operation of the seam, each a function in the module of its domain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final, NoReturn, Protocol, TypeVar, cast

from keepwell.errors import StoreUnavailable, UsageError
from keepwell.models.scope import MAX_TENANT_BYTES, check_id
from keepwell.storage import base, facts
from keepwell.storage import copying as carrying
from keepwell.storage import languages as tongues
from keepwell.storage.neo4j import (
    candidates,
    copying,
    embedding,
    fact_reads,
    languages,
    loading,
    nearest,
    reading,
    removing,
    settling,
)
from keepwell.storage.neo4j.work import Work

R = TypeVar("R")
WRITES: Final[Mapping[type, Callable[[Work, Any], Any]]] = MappingProxyType(
    {
        base.AppendMessages: settling.append,
        base.ReplaceMessage: settling.replace_message,
        base.CreateThread: settling.of_thread,
        base.UpdateThread: settling.of_thread,
        base.CloneThread: settling.clone,
        base.MoveThread: removing.move,
        base.DeleteMessages: removing.delete,
        base.Forget: removing.forget,
        base.PutVectors: embedding.put_vectors,
        base.IndexVectors: nearest.index_vectors,
        base.PostTerms: embedding.post_terms,
        base.OpenSpace: embedding.open_space,
        base.SwitchSpace: embedding.switch_space,
        base.Prune: loading.prune,
        facts.ApplyEdits: settling.apply_edits,
        facts.PutHistory: settling.put_history,
        facts.LiftRejections: settling.lift_rejections,
        facts.SetPolicy: settling.set_policy,
        facts.ClaimThread: settling.claim_thread,
        facts.FailForming: settling.fail_forming,
        facts.RetryParked: settling.retry_parked,
        facts.PutDue: settling.put_due,
        facts.TakeDue: settling.take_due,
        facts.FinishDue: settling.finish_due,
        facts.Expire: removing.expire,
        tongues.NoteLanguage: languages.note_language,
        tongues.SwitchLanguage: languages.switch_language,
        tongues.PutTerms: languages.put_terms,
        carrying.KeepThreadCopy: copying.keep_thread,
        carrying.KeepMessageCopies: copying.keep_messages,
        carrying.KeepSecret: copying.keep_secret,
        carrying.KeepRejectionCopies: copying.keep_rejections,
    }
)
READS: Final[Mapping[type, Callable[[Work, Any], Any]]] = MappingProxyType(
    {
        base.FindThread: reading.find_thread,
        base.FindThreadByKey: reading.find_thread_by_key,
        base.ListThreads: reading.list_threads,
        base.ReadMessages: reading.read_messages,
        base.ReadAround: reading.read_around,
        base.MatchMetadata: reading.match_metadata,
        base.FetchMessages: reading.fetch_messages,
        base.Weigh: loading.weigh,
        base.LoadScope: loading.load_scope,
        base.FindCandidates: candidates.find_candidates,
        base.FindDue: embedding.find_due,
        base.FindMissing: embedding.find_missing,
        base.ActiveSpace: embedding.active_space,
        base.ReadStatus: reading.read_status,
        facts.ListFacts: fact_reads.list_facts,
        facts.FetchFacts: fact_reads.fetch_facts,
        facts.ReadSources: fact_reads.read_sources,
        facts.RawSources: fact_reads.raw_sources,
        facts.ReadHistory: fact_reads.read_history,
        facts.ListRejections: fact_reads.list_rejections,
        facts.MessageKeys: reading.message_keys,
        facts.ReadSecret: reading.read_secret,
        facts.Remains: removing.remains,
        facts.FindForming: reading.find_forming,
        facts.ReadUnformed: reading.read_unformed,
        facts.ListParked: reading.list_parked,
        facts.FactsWithoutVectors: embedding.facts_without_vectors,
        facts.FindOwners: reading.find_owners,
        facts.ReadSpent: reading.spent,
        facts.ReadFormation: reading.read_formation,
        tongues.ReadLanguage: languages.read_language,
        tongues.FindOldTerms: languages.find_old_terms,
        carrying.ReadThreadCopies: copying.read_threads,
        carrying.ReadMessageCopies: copying.read_messages,
        carrying.ReadRejectionCopies: copying.read_rejections,
    }
)


class Transactions(nearest.Indexes, Protocol):
    """What a record needs of its store."""

    name: str

    def write(self, tenant: str, do: Callable[[Work], R]) -> R:
        """Do it in a transaction of its own."""

    def read(self, tenant: str, look: Callable[[Work], R]) -> R:
        """Look."""

    def join(self, tenant: str, connection: object, do: Callable[[Work], R]) -> R:
        """Do it as part of a transaction that the store gave."""


class Neo4jRecord:
    """One tenant of a :class:`~keepwell.storage.neo4j.store.Neo4jStore`."""

    def __init__(self, store: Transactions, tenant: str) -> None:
        """Bind a store and a tenant; nothing is read."""
        self._store = store
        self._tenant = check_id(tenant, "tenant", MAX_TENANT_BYTES)

    def write(self, change: base.Write[R], connection: object = None) -> R:
        """Do it in a transaction of its own, or as part of one that the store gave."""
        do = WRITES.get(type(change))
        if do is None:
            _refuse(change)
        if connection is not None:
            return cast("R", self._store.join(self._tenant, connection, lambda work: do(work, change)))
        with self._index_of(change):
            return cast("R", self._store.write(self._tenant, lambda work: do(work, change)))

    @contextmanager
    def _index_of(self, change: base.Write[Any]) -> Iterator[None]:
        """Make the index that a write needs before it, and drop those that it leaves without a space after it."""
        read, dropped = self._store.read, []
        if isinstance(change, base.IndexVectors):
            dimension = read(self._tenant, lambda work: nearest.lacking(work, change))
            if dimension is not None:
                nearest.make(self._store, change.space, dimension)
        elif isinstance(change, base.SwitchSpace):
            dropped = read(self._tenant, lambda work: nearest.others(work, change))
        yield
        nearest.drop(self._store, dropped)

    async def awrite(self, change: base.Write[R], connection: object) -> R:  # noqa: ARG002 - the seam's
        """Refuse: Neo4j has no transaction that an asynchronous caller could share."""
        kind = type(connection)
        raise UsageError(f"a Neo4j store cannot write on a connection of {kind.__module__}.{kind.__qualname__}")

    def read(self, query: base.Read[R]) -> R:
        """Look."""
        look = READS.get(type(query))
        if look is None:
            _refuse(query)
        if isinstance(query, base.FetchMessages | facts.FetchFacts) and query.standby:
            raise StoreUnavailable(f"{self._store.name} does not answer, and there is no other server to ask instead")
        return cast("R", self._store.read(self._tenant, lambda work: look(work, query)))


def _refuse(operation: object) -> NoReturn:
    raise UsageError(f"a Neo4j store has no {type(operation).__name__}; use a PostgreSQL store for that")
