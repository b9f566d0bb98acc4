"""The rows that a write can touch, read into tables: exactly those, with everything that decides about them.

Whoever gathers says what is named; what else the named can touch (facts that rest on a message, facts that were formed
from those, the messages they rest on) is found here. Messages that are counted or noted on come without what they say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from keepwell.formation.settle import Draft, mark
from keepwell.models import Fact, Owner, Scope, Source
from keepwell.storage.base import Space
from keepwell.storage.neo4j import nodes, work_nodes
from keepwell.storage.neo4j.work import Row, Work
from keepwell.storage.plain.facts import Kept
from keepwell.storage.plain.tables import Entry, Tables

Vectors = Mapping[tuple[int, int], NDArray[np.float32]]


class Gathering:
    """Reads rows, and gives them as tables."""

    def __init__(self, work: Work) -> None:
        """Begin with none."""
        self.work = work
        self.tables = Tables(work.numbers)
        self.call_names: dict[int, str] = {}
        self._talks: dict[str, Row] = {}
        self._entries: dict[str, dict[str, Entry]] = defaultdict(dict)

    def done(self) -> Tables:
        """Give what was gathered."""
        for key, node in self._talks.items():
            in_order = sorted(self._entries[key].values(), key=lambda one: one.row.seq)
            self.tables.keep(nodes.talk_out(node, {one.row.id: one for one in in_order}))
        return self.tables

    # Threads and messages

    def thread(self, owner: Owner, ident: str) -> str | None:
        """Read an exact owner's thread, and give its key."""
        keys = self._threads(self.work.of_owner("thread", owner, id=ident))
        return keys[0] if keys else None

    def thread_and_hits(self, owner: Owner, ident: str, ids: Iterable[str]) -> None:
        """Read an exact owner's thread, and its messages of these ids."""
        (row,) = self.work.of_owner("thread_and_hits", owner, id=ident, ids=list(ids))
        if row["thread"] is not None:
            self._threads([row])
            self._keep_entries([{"message": message} for message in row["messages"]])

    def threads(self, keys: Iterable[str]) -> list[str]:
        """Read threads by key."""
        return self._threads(self.work.each("threads_by_key", "keys", keys))

    def threads_of(self, scope: Scope) -> list[str]:
        """Read all threads of a scope."""
        return self._threads(self.work.of_scope("threads_of_scope", scope))

    def thread_in(self, scope: Scope, key: UUID) -> list[str]:
        """Read the scope's thread of that key."""
        return self._threads(self.work.of_scope("thread_in_scope", scope, key=str(key)))

    def failing(self, scope: Scope) -> None:
        """Read threads of a scope that wait after a failure."""
        self._threads(self.work.of_scope("threads_failing", scope))

    def owners_here(self) -> set[Owner]:
        """Give the owners of the threads that were read."""
        return {nodes.owner_of(node) for node in self._talks.values()}

    def keys_here(self) -> list[int]:
        """Give the numbers of the messages that were read."""
        return [entry.row.key for entries in self._entries.values() for entry in entries.values()]

    def messages(self, thread: str, ids: Iterable[str]) -> None:
        """Read messages of a thread by id, whole."""
        self._keep_entries(self.work.each("messages_by_id", "ids", ids, thread=thread))

    def all_messages(self, thread: str, space: int | None) -> None:
        """Read all messages of a thread whole, with their vectors of all spaces where ``space`` is None."""
        rows = self.work.rows("messages_of_thread", thread=thread)
        vectors: dict[int, dict[tuple[int, int], NDArray[np.float32]]] = defaultdict(dict)
        for row in self.work.rows("vectors_of_thread", thread=thread, space=space):
            vectors[row["item"]][row["space"], row["chunk"]] = np.frombuffer(row["data"], "<f4")
        self._keep_entries(rows, vectors)

    def places(self, threads: Iterable[str]) -> None:
        """Read all messages of threads, without what they say."""
        self._keep_places(self.work.each("places_of_threads", "threads", threads))

    def places_of(self, keys: Iterable[int]) -> None:
        """Read messages by number without what they say, and their threads."""
        wanted = set(keys) - set(self.keys_here())
        rows = self.work.each("places_by_key", "keys", wanted)
        self._keep_places(rows)
        self.threads({row["message"]["thread"] for row in rows} - self._talks.keys())

    def places_by_id(self, thread: str, ids: Iterable[str]) -> None:
        """Read messages of a thread by id, without what they say."""
        self._keep_places(self.work.rows("places_by_id", thread=thread, ids=list(ids)))

    def span(self, thread: str, after: int, upto: int) -> None:
        """Read the messages of a thread in a span, without what they say."""
        self._keep_places(self.work.rows("places_of_span", thread=thread, after=after, upto=upto))

    def parked(self, scope: Scope) -> None:
        """Read messages of a scope that could not be formed, with their threads."""
        rows = self.work.of_scope("parked", scope, limit=2**40)
        self._keep_places(rows)
        self.threads({row["message"]["thread"] for row in rows} - self._talks.keys())

    def one_unformed(self, but: Iterable[str] = ()) -> None:
        """Read of each thread (``but`` some) one message that is still to be formed and was not read.

        So whoever asks whether a thread has any left gets the right answer, without reading all that it has.
        """
        threads = list(self._talks.keys() - set(but))
        keys = [entry.row.key for thread in threads for entry in self._entries[thread].values()]
        self._keep_places(self.work.rows("unformed", threads=threads, but=keys))

    def _threads(self, rows: list[Row]) -> list[str]:
        found = {row["thread"]["key"]: row["thread"] for row in rows}
        self._talks |= found
        return list(found)

    def _keep_entries(self, rows: list[Row], vectors: Mapping[int, Vectors] | None = None) -> None:
        for row in rows:
            node = row["message"]
            kept = {} if vectors is None else vectors.get(node["key"], {})
            self._entries[node["thread"]][node["id"]] = nodes.entry_out(node, kept)

    def _keep_places(self, rows: list[Row]) -> None:
        keys = [row["message"]["key"] for row in rows]
        vectors: dict[int, dict[tuple[int, int], NDArray[np.float32]]] = defaultdict(dict)
        for row in self.work.each("vector_places", "items", keys):
            vectors[row["item"]][row["space"], row["chunk"]] = nodes.NOT_LOADED
        for row in rows:
            node = row["message"]
            if node["id"] not in self._entries[node["thread"]]:
                self._entries[node["thread"]][node["id"]] = nodes.entry_out(node, vectors.get(node["key"], {}))

    # Facts

    def facts(self, ids: Iterable[UUID | str]) -> list[Kept]:
        """Read every version of facts, with what they rest on."""
        known = {str(ident) for ident, _ in self.tables.facts}
        wanted = {str(ident) for ident in ids} - known
        found = [nodes.kept_out(row["fact"]) for row in self.work.each("facts_by_id", "ids", wanted)]
        # Rows come in any order; who looks for the first of several must find the same one each time.
        for one in sorted(found, key=lambda one: one.row.number):
            self.tables.keep_fact(one)
        return found

    def resting_on(self, messages: Iterable[int], facts: Iterable[str] = ()) -> set[str]:
        """Read all facts that rest on messages or facts in any version, and what was formed from those; give ids."""
        reached = {str(fact) for fact in facts}
        fresh = reached | {row["id"] for row in self.work.each("facts_on_messages", "keys", messages)}
        reached |= fresh
        while fresh:
            fresh = {row["id"] for row in self.work.each("facts_on_facts", "ids", fresh)} - reached
            reached |= fresh
        self.facts(reached)
        return reached

    def ground(self, sources: Iterable[Source]) -> None:
        """Read the facts and messages that sources name."""
        sources = list(sources)
        self.facts({source.fact for source in sources if source.fact is not None})
        self.places_of({source.message for source in sources if source.message is not None})

    def holders(self, owner: Owner, facts: Iterable[Fact | Draft]) -> None:
        """Read the owner's facts that have the key of any of these, or say what it says."""
        given = [(fact.text, fact.kind, fact.key) for fact in facts]
        marks = {mark(*said).hex() for said in given}
        keys = {key for *_, key in given if key is not None}
        rows = self.work.of_owner("facts_by_key_or_mark", owner, marks=list(marks), fact_keys=list(keys))
        self.facts(row["id"] for row in rows)

    def changes(self, rows: Iterable[Row]) -> None:
        """Keep changes that were read."""
        for row in rows:
            event = nodes.event_out(row["change"])
            self.tables.changes[event.id] = event

    def refusals(self, rows: Iterable[Row]) -> None:
        """Keep rejections that were read."""
        found = [nodes.refusal_out(row["rejection"]) for row in rows]
        self.tables.refusals |= {one.id: one for one in sorted(found, key=lambda one: one.id)}

    def binding(self, owner: Owner, view: Scope) -> None:
        """Read the rejections that bind an owner, and those of a view."""
        ids = [list({"", *pair}) for pair in zip(owner, view.owner, strict=True)]
        self.refusals(self.work.rows("rejections_binding", users=ids[0], agents=ids[1], runs=ids[2]))

    # Work

    def lease(self, owner: Owner) -> None:
        """Read the lease and policy of an owner."""
        self._leases(self.work.of_owner("owner", owner))

    def leases(self, scope: Scope) -> None:
        """Read the leases and policies of a scope's owners."""
        self._leases(self.work.of_scope("owners_of_scope", scope))

    def due(self, rows: Iterable[Row]) -> None:
        """Keep work that was read."""
        for row in rows:
            waiting = work_nodes.waiting_out(row["due"])
            self.tables.waiting[waiting.item.kind, waiting.item.owner, waiting.item.item] = waiting

    def due_of_facts(self) -> None:
        """Read the work on the facts that were read."""
        ids = {str(ident) for ident, _ in self.tables.facts}
        self.due(self.work.each("due_of_facts", "facts", ids))

    def calls(self, scope: Scope) -> None:
        """Read the model calls of a scope."""
        rows = self.work.of_scope("calls_of_scope", scope)
        self.tables.calls = tuple(work_nodes.call_out(row["call"]) for row in rows)
        names = (row["ident"] for row in rows)
        self.call_names = {id(call): name for call, name in zip(self.tables.calls, names, strict=True)}

    def requests(self, rows: Iterable[Row]) -> None:
        """Keep idempotency keys that were read."""
        self.tables.requests |= dict(work_nodes.request_out(row["request"]) for row in rows)

    def spaces(self) -> None:
        """Read the tenant's spaces, and which one is in use."""
        spaces = [Space(row["key"], row["model"], row["dimension"]) for row in self.work.rows("spaces")]
        self.tables.spaces = {space.key: space for space in spaces}
        found = self.work.rows("tenant")
        self.tables.active = found[0]["tenant"].get("active") if found else None

    def _leases(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.tables.owners[nodes.owner_of(row["owner"])] = work_nodes.lease_out(row["owner"])
