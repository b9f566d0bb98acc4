"""Whose memory: a view that nothing below can leave."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from keepwell.errors import InvalidQuery, InvalidScope, KeepwellError, UsageError
from keepwell.memory.care import Care
from keepwell.memory.engine import Engine
from keepwell.memory.paging import MAX_PAGE
from keepwell.memory.remembering import Remembering
from keepwell.memory.request import Request
from keepwell.memory.thread import ScopedThread
from keepwell.memory.twins import twin
from keepwell.models import Kind, Recollections, Scope, Threads
from keepwell.models.message import new_id, utc
from keepwell.storage import base

if TYPE_CHECKING:
    from keepwell.memory.front import Memory
    from keepwell.memory.graph_changing import ScopedGraph
    from keepwell.providers.embedding import Vectors


class ScopedMemory(Remembering, Care):
    """The memory of some owners: cheap to make, safe to share between threads, picklable.

    It sees all owners that agree with the ids given, and writes as their exact triple.

    Example:
        >>> ada = memory.scope(user_id="ada")
        >>> _ = ada.thread("holiday").append(Message.user("I can't eat peanuts."))
        >>> ada.recall("what must I not eat?")[0].text
        "I can't eat peanuts."
    """

    def __init__(self, memory: Memory, scope: Scope) -> None:
        """Made by ``Memory.scope``."""
        self.memory = memory
        self.scope = scope

    def __repr__(self) -> str:
        """Name the ids."""
        ids = {name: getattr(self.scope, name) for name in ("user_id", "agent_id", "run_id")}
        given = [f"{name}={value!r}" for name, value in ids.items() if value is not None]
        return f"ScopedMemory({', '.join(given + ['across_users=True'] * self.scope.across_users)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the store's name and tenant and the ids."""
        return _scoped, (self.memory, self.scope)

    @property
    def user_id(self) -> str | None:
        """The user, where one was given."""
        return self.scope.user_id

    @property
    def agent_id(self) -> str | None:
        """The agent, where one was given."""
        return self.scope.agent_id

    @property
    def run_id(self) -> str | None:
        """The run, where one was given."""
        return self.scope.run_id

    @property
    def _engine(self) -> Engine:
        return self.memory._engine  # noqa: SLF001 - the three objects of the face share it

    @property
    def graph(self) -> ScopedGraph:
        """Who and what is spoken of in this view, and how they stand to each other.

        Raises:
            UsageError: the memory was opened without the graph.
        """
        from keepwell.memory.graph_changing import ScopedGraph  # noqa: PLC0415 - most processes never ask

        if not self._engine.habits.formation.graph:
            raise UsageError('this memory was opened with graph="none"; open it without that to ask for the graph')
        return ScopedGraph(self, self.scope)

    # Threads

    def thread(self, ident: str | None = None, *, incognito: bool = False) -> ScopedThread:
        """Give the exact owner's thread of that id, or of a new one; nothing is written yet.

        With ``incognito`` nothing is read or written through it.

        Raises:
            InvalidScope: this view has no id to write as.
        """
        if not any(self.scope.owner):
            raise InvalidScope("this view has no id to write as; open a thread through a scope that has one")
        return ScopedThread(self, new_id() if ident is None else ident, incognito=incognito)

    def find(self, key: UUID) -> ScopedThread | None:
        """Give the scope's thread of that key; None where there is none."""
        found = self._engine.record.read(base.FindThreadByKey(self.scope, key))
        if found is None:
            return None
        user, agent, run = (value or None for value in found.owner)
        return self.memory.scope(user, agent, run).thread(found.id)

    def threads(
        self,
        *,
        where: Mapping[str, Any] | None = None,
        order: Literal["updated", "created"] = "updated",
        newest_first: bool = True,
        after: str | None = None,
        limit: int = 50,
    ) -> Threads:
        """Give a page of the scope's threads whose metadata contains ``where``.

        ``after=page.next`` gives the page after; a page's ``next`` is None at the end.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidQuery(f"limit is {limit}; give 1 to {MAX_PAGE}")
        if order not in ("updated", "created"):
            raise InvalidQuery(f"order is {order!r}; give 'updated' or 'created'")
        return self._engine.record.read(base.ListThreads(self.scope, where or {}, order, newest_first, after, limit))

    # Recall

    def recall(
        self,
        query: str,
        *,
        limit: int = 10,
        kinds: tuple[Kind, ...] = ("fact", "message"),
        thread: ScopedThread | None = None,
        where: Mapping[str, Any] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        as_of: dt.datetime | None = None,
        neighbours: int = 1,
        min_score: float | None = None,
        max_tokens: int | None = None,
        explain: bool = False,
        incognito: bool = False,
    ) -> Recollections:
        """Find the few facts and messages that fit a question, best first, each message with its neighbours.

        ``kinds`` takes one of them alone; in a ``thread`` there are only messages. ``where`` is matched against
        metadata; ``since`` and ``until`` against when it was said, or since when a fact is true; ``as_of`` leaves
        out what was recorded later, and gives facts as they were then. ``explain`` adds each source's rank. A source
        that cannot answer (an embedder that is away) is left out and named in ``skipped``.

        Raises:
            InvalidQuery: the query is blank, or an option is out of range.
        """
        request = self._request(
            query,
            limit=limit,
            kinds=kinds,
            thread=thread,
            where=where,
            since=since,
            until=until,
            as_of=as_of,
            neighbours=neighbours,
            min_score=min_score,
            max_tokens=max_tokens,
            explain=explain,
        )
        return Recollections() if request is None or incognito else self.recall_request(request)

    async def arecall(
        self,
        query: str,
        *,
        limit: int = 10,
        kinds: tuple[Kind, ...] = ("fact", "message"),
        thread: ScopedThread | None = None,
        where: Mapping[str, Any] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        as_of: dt.datetime | None = None,
        neighbours: int = 1,
        min_score: float | None = None,
        max_tokens: int | None = None,
        explain: bool = False,
        incognito: bool = False,
    ) -> Recollections:
        """Do what ``recall`` does, without holding up the loop."""
        request = await self._engine.run(
            self._request,
            query,
            limit=limit,
            kinds=kinds,
            thread=thread,
            where=where,
            since=since,
            until=until,
            as_of=as_of,
            neighbours=neighbours,
            min_score=min_score,
            max_tokens=max_tokens,
            explain=explain,
        )
        return Recollections() if request is None or incognito else await self.arecall_request(request)

    def recall_request(self, request: Request) -> Recollections:
        """Answer a request that was made already."""
        vector, skipped = None, {}
        if self._asks_embedder():
            try:
                vector = self._engine.question_vector(self._readable(request))
            except KeepwellError as error:
                skipped = {"vector": str(error)}
        return self._find(request, vector, skipped)

    async def arecall_request(self, request: Request) -> Recollections:
        """Do what ``recall_request`` does, without holding up the loop."""
        vector, skipped = None, {}
        if self._asks_embedder():
            try:
                vector = await self._engine.aquestion_vector(await self._areadable(request))
            except KeepwellError as error:
                skipped = {"vector": str(error)}
        return await self._engine.run(self._find, request, vector, skipped)

    afind = twin(find)
    athreads = twin(threads)

    # Parts of the verbs

    def _asks_embedder(self) -> bool:
        return self._engine.models.embedder is not None

    def _readable(self, request: Request) -> str:
        from keepwell.memory.recalling import readable  # noqa: PLC0415 - numpy, not at the import of keepwell

        return readable(self._engine, self.scope, request)

    async def _areadable(self, request: Request) -> str:
        from keepwell.memory.recalling import is_readable_at_once  # noqa: PLC0415 - as above

        if is_readable_at_once(self._engine, self.scope):
            return self._readable(request)
        return await self._engine.run(self._readable, request)

    def _find(self, request: Request, vector: Vectors | None, skipped: dict[str, str]) -> Recollections:
        from keepwell.memory.recalling import recall  # noqa: PLC0415 - numpy, not at the import of keepwell

        return recall(self._engine, self.scope, request, vector, skipped)

    def _request(
        self,
        query: str,
        *,
        limit: int,
        kinds: tuple[Kind, ...],
        thread: ScopedThread | None,
        where: Mapping[str, Any] | None,
        since: dt.datetime | None,
        until: dt.datetime | None,
        as_of: dt.datetime | None,
        neighbours: int,
        min_score: float | None,
        max_tokens: int | None,
        explain: bool,
    ) -> Request | None:
        """Give the request; None where it asks in a thread that has nothing."""
        key: UUID | None = None
        if thread is not None:
            if not self.scope.covers(thread.owner) or thread.scope.memory != self.memory:
                raise InvalidQuery(f"thread {thread.id!r} is not in this scope")
            key = thread.key
        request = Request(
            query,
            limit,
            tuple(kinds),
            key,
            where or {},
            since=None if since is None else utc(since),
            until=None if until is None else utc(until),
            as_of=None if as_of is None else utc(as_of),
            neighbours=neighbours,
            min_score=min_score,
            max_tokens=max_tokens,
            explain=explain,
        )
        return None if thread is not None and (key is None or thread.incognito) else request

    def _repr_html_(self) -> str:
        return self.threads()._repr_html_()


def _scoped(memory: Memory, scope: Scope) -> ScopedMemory:
    return ScopedMemory(memory, scope)
