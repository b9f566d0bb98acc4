"""The one front door."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar
from uuid import UUID

from keepwell.errors import KeepwellError, StoreClosed, ThreadNotFound, UsageError
from keepwell.memory.engine import Engine, Models
from keepwell.memory.forming import tools_of
from keepwell.memory.holding import Holding
from keepwell.memory.opened import Opened, Registry
from keepwell.memory.opening import (
    embedder_for,
    habits_of,
    language_model_for,
    reranker_for,
    settings_now,
    worker_of,
)
from keepwell.memory.places import Place, check_dsn
from keepwell.memory.projection import GraphTools, projector_of
from keepwell.memory.scoped import ScopedMemory
from keepwell.memory.status import Status
from keepwell.memory.thread import ScopedThread
from keepwell.memory.twins import twin
from keepwell.models import Scope
from keepwell.models.message import now
from keepwell.models.scope import MAX_TENANT_BYTES, check_id
from keepwell.recall.analysis import check_language
from keepwell.recall.tokens import Counter, estimate
from keepwell.storage.base import ReadStatus, Store
from keepwell.storage.facts import ListParked, ReadFormation, ReadSpent, RetryParked
from keepwell.storage.graph import ReadGraph
from keepwell.work import Drained, FormedThread, Progress, Worker, drain, form_thread, reanalyse, reembed

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from keepwell.memory.copying import Copied
    from keepwell.memory.copying import Progress as CopyProgress
    from keepwell.memory.items import Items
    from keepwell.memory.whose import OwnerOf
    from keepwell.storage.postgres.guests import Checkpoints, Window

P = ParamSpec("P")
R = TypeVar("R")
_MEGABYTE = 2**20
_log = logging.getLogger("keepwell.memory")
_open_stores = Registry()
_named: dict[tuple[str, str], Memory] = {}
_opening = threading.RLock()


class Memory:
    """One tenant of one store: opens it, and gives views of it.

    Example:
        >>> with Memory.open() as memory:
        ...     ada = memory.scope(user_id="ada")
        ...     _ = ada.thread("holiday").append(Message.user("I can't eat peanuts."))
    """

    def __init__(self, opened: Opened, engine: Engine, name: str) -> None:
        """Made by ``open``."""
        self.name = name
        self.tenant = engine.tenant
        self.holding = Holding()
        self._opened = opened
        self._live_engine: Engine | None = engine
        self._worker: Worker | None = None
        _named[name, self.tenant] = self

    @classmethod
    def open(
        cls,
        dsn: str | None = None,
        *,
        path: str | Path | None = None,
        pool: ConnectionPool[Any] | None = None,
        read_dsn: str | None = None,
        pool_size: int | None = None,
        name: str = "default",
        schema: str | None = None,
        tenant: str | None = None,
        embedder: Any = "auto",  # noqa: ANN401 - an Embedder, or whatever embedder_of takes
        language_model: Any = None,  # noqa: ANN401 - a LanguageModel, or whatever language_model_of takes
        reranker: Any = None,  # noqa: ANN401 - a Reranker, or whatever reranker_of takes
        graph: str | None = None,
        worker: Literal["thread", "none"] | None = None,
        require_rls: bool = False,
        token_counter: Counter = estimate,
        language: str | None = None,
    ) -> Memory:
        """Open a store: the embedded PostgreSQL, the server of a DSN, or a pool's.

        What is not given comes from the settings (``KEEPWELL_*``). ``embedder="auto"`` takes the bundled one
        where the extra ``local`` is installed; None works without vectors. ``language_model`` forms facts from
        messages: an object of LangChain's or LlamaIndex's, a name, an address, or a function. ``worker="thread"``
        does what is due in the background: facts that are to be formed, names that are to be found. The embedded store
        does so by itself where there is a language model or a graph; else ``drain`` does it, or a worker of its own.
        ``worker="none"`` leaves it to these. ``reranker`` looks once more at what a recall found: a
        LangChain document compressor, a LlamaIndex node postprocessor, or a function of the question and texts.
        ``graph="record"`` (which is what the settings say where nothing else is) notes who is spoken of and how they
        stand to each other; ``"none"`` does not; ``"neo4j://..."`` does, and has it projected into that Neo4j.
        ``language`` is whose rules stem words (see ``docs/how-to/languages.md``): that of what is kept already, English
        at first; ``""`` takes what is kept, whatever the settings say.

        Raises:
            StoreUnavailable: no server answers there.
            MigrationRequired: the tables are missing or old, and the role may not make them.
            EmbedderMismatch: the store's vectors are of another model.
            LanguageMismatch: the store's words are kept by the rules of another language.
            UsageError: the arguments contradict each other.
        """
        settings = settings_now()
        if sum(given is not None for given in (dsn, path, pool)) > 1:
            raise UsageError("give one of dsn, path and pool")
        check_dsn(dsn)
        place = Place(
            dsn=dsn if dsn is not None else (None if path is not None or pool is not None else settings.dsn),
            path=None if path is None and settings.path is None else Path(path or settings.path or ""),
            pool=pool,
            read_dsn=read_dsn or settings.read_dsn,
            pool_size=settings.pool_size if pool_size is None else pool_size,
            schema=settings.db_schema if schema is None else schema,
            require_rls=require_rls,
        )
        if place.pool_size < 1:
            raise UsageError(f"pool_size is {place.pool_size}; give 1 or more")
        opened = _open_stores.take(place.key(), lambda: place.open(settings))
        try:
            model = language_model_for(settings.language_model if language_model is None else language_model)
            models = Models(
                embedder_for(embedder), token_counter, settings.embed_seconds, model, reranker_for(reranker)
            )
            chosen = check_id(settings.tenant if tenant is None else tenant, "tenant", MAX_TENANT_BYTES)
            habits = habits_of(settings, language, place.graph(graph))
            engine = Engine(opened, chosen, models, settings.snapshot_megabytes * _MEGABYTE, habits)
            projector_of(engine)  # a wrong address, or a driver that is missing, is told now
        except BaseException:
            _open_stores.release(opened)
            raise
        memory = cls(opened, engine, name)
        if (worker or settings.worker or worker_of(place, model, graph=habits.formation.graph)) == "thread":
            memory._start_worker()
        return memory

    @classmethod
    async def aopen(cls, dsn: str | None = None, **options: Any) -> Memory:  # noqa: ANN401 - those of open
        """Do what ``open`` does, without holding up the loop."""
        return await asyncio.to_thread(cls.open, dsn, **options)

    @classmethod
    def over(
        cls,
        store: Store,
        *,
        name: str = "default",
        tenant: str = "default",
        embedder: Any = None,  # noqa: ANN401 - as in open
        language_model: Any = None,  # noqa: ANN401 - as in open
        reranker: Any = None,  # noqa: ANN401 - as in open
        graph: str | None = None,
        token_counter: Counter = estimate,
        snapshot_bytes: int = 256 * _MEGABYTE,
        language: str | None = None,
    ) -> Memory:
        """Give the memory of a store that you made yourself, for tests and for backends of your own.

        Give ``graph="none"`` for one that keeps no graph.
        """
        opened = _open_stores.take(("over", id(store)), lambda: Opened(store, ("over", id(store))))
        settings = settings_now()
        model = language_model_for(language_model)
        models = Models(embedder_for(embedder), token_counter, settings.embed_seconds, model, reranker_for(reranker))
        return cls(opened, Engine(opened, tenant, models, snapshot_bytes, habits_of(settings, language, graph)), name)

    def __repr__(self) -> str:
        """Name store and tenant."""
        return f"Memory(name={self.name!r}, tenant={self.tenant!r}, place={self._opened.store.name!r})"

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same tenant of the same store."""
        return isinstance(other, Memory) and (self._opened, self.tenant) == (other._opened, other.tenant)

    def __hash__(self) -> int:
        """Hash store and tenant."""
        return hash((id(self._opened), self.tenant))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as name and tenant; never as a DSN."""
        return open_named, (self.name, self.tenant)

    def __enter__(self) -> Self:
        """Give the memory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> Self:
        """Give the memory itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    @property
    def _engine(self) -> Engine:
        if self._live_engine is None:
            raise StoreClosed(f"the memory {self.name!r} was closed; open it again")
        return self._live_engine

    def scope(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        *,
        across_users: bool = False,
    ) -> ScopedMemory:
        """Give the view of the owners that agree with these ids.

        Without a ``user_id`` it sees only what has none, unless ``across_users`` is set.

        Raises:
            InvalidScope: no id is given, or one is blank or cannot be stored.
        """
        return ScopedMemory(self, Scope(user_id, agent_id, run_id, across_users))

    def transaction(self) -> AbstractContextManager[Any]:
        """Give a connection in a transaction: ``with memory.transaction() as tx: chat.append(..., connection=tx)``.

        It is committed at the end of the block, or undone where the block raises.
        """
        return self._engine.opened.store.transaction()

    def items(
        self,
        owner: OwnerOf | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        fields: Sequence[str] = ("$",),
    ) -> Items:
        """Give a key-value store in this memory; whose its items are is said here, see :class:`Items`.

        All that are made with ``owner`` in a tenant are one tree of namespaces; those of one owner's ids are that
        owner's own.

        Raises:
            UsageError: both or neither of an owner and ids was given, or the template names no id.
        """
        from keepwell.memory.items import items_of  # noqa: PLC0415 - numpy, not at the import of keepwell

        return items_of(self, owner, {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}, fields)

    def checkpoints(self) -> Checkpoints:
        """Give what a checkpointer of LangGraph's needs to work in this store; see ``keepwell_checkpointer``.

        Raises:
            UsageError: the store is not PostgreSQL.
        """
        from keepwell.memory.guests import checkpoints_of  # noqa: PLC0415 - psycopg, when it is needed

        return checkpoints_of(self._engine)

    def window(self, view: ScopedMemory) -> Window:
        """Give where a view's messages and facts can be read by statements of another library, with their vectors.

        Raises:
            UsageError: the store is not PostgreSQL 15 or newer.
        """
        from keepwell.memory.guests import window_of  # noqa: PLC0415 - psycopg, when it is needed

        return window_of(self._engine, view.scope)

    def question_vector(self, text: str) -> list[float]:
        """Give the unit vector that a question is compared by.

        Raises:
            EmbedderFailed: there is no embedder, or it failed.
        """
        return [float(number) for number in self._engine.question_vector(text)]

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do blocking work of your own with the store on its threads, without holding up the loop."""
        return await self._engine.run(work, *args, **kwargs)

    def status(self) -> Status:
        """Give what the tenant holds, what is due, how long it takes, what could not be formed, and what it cost."""
        engine = self._engine
        embedder, language = engine.models.embedder, engine.models.language
        today = now().replace(hour=0, minute=0, second=0, microsecond=0)
        return Status(
            self.name,
            self.tenant,
            self._opened.store.name,
            None if embedder is None else embedder.model,
            self.holding.held,
            self.holding.lost,
            len(engine.cache),
            engine.cache.nbytes,
            engine.record.read(ReadStatus()),
            None if language is None else language.model,
            self._worker is not None and self._worker.running,
            engine.record.read(ReadFormation()),
            engine.record.read(ListParked(limit=20)),
            engine.record.read(ReadSpent(today)),
            engine.record.read(ReadGraph()) if engine.habits.formation.graph else None,
        )

    @property
    def graph(self) -> GraphTools:
        """What operators do with the projection of the graph in Neo4j; a view's own graph is ``scope.graph``."""
        return GraphTools(lambda: self._engine)

    def drain(self, *, early: bool = True) -> Drained:
        """Do what is due now, and give what was done: vectors, facts, what was re-opened, what is past its time.

        ``early`` forms threads though somebody may still be speaking. Without a language model no facts are formed,
        and what is due stays so.
        """
        return drain(tools_of(self._engine), early=early)

    def form(self, thread: ScopedThread | UUID) -> FormedThread | None:
        """Form the facts of one thread (or key) now; None where nothing is due, or somebody else is at it.

        This is all that another engine for background work needs to call.

        Raises:
            NoLanguageModel: the memory was opened without one.
            ThreadNotFound: the thread was never written.
        """
        key = thread.key if isinstance(thread, ScopedThread) else thread
        if key is None:
            raise ThreadNotFound("this thread was never written; there is nothing to form")
        return form_thread(tools_of(self._engine), key)

    def retry(self, scope: ScopedMemory | None = None) -> int:
        """Have messages that could not be formed tried again (those of the scope alone), and count them.

        Work that waits after a failure is due at once, too.
        """
        return self._engine.write(RetryParked(None if scope is None else scope.scope))

    def _start_worker(self) -> None:
        """Do what is due in the background of this process from now on, until the memory is closed."""
        if self._worker is None:
            # Names are found by this process's own processor: who appends must not wait for that.
            alone = self._engine.models.language is None
            quiet = (lambda: time.monotonic() - self._engine.wrote_at) if alone else None
            self._worker = Worker(lambda: tools_of(self._engine), name=self.tenant, quiet=quiet)
        self._worker.start()

    def reembed(self, embedder: Any = None, *, progress: Progress | None = None) -> int:  # noqa: ANN401 - as in open
        """Make all vectors anew with an embedder (this memory's own where none is given), and use it from then on.

        The new space is built beside the old one, which serves until the switch. Gives the number of messages.
        """
        engine = self._engine
        chosen = engine.models.embedder if embedder is None else embedder_for(embedder)
        if chosen is None:
            raise UsageError("there is no embedder to make vectors with; give one")
        count = reembed(engine.record, chosen, progress, entities=engine.habits.formation.graph)
        self._live_engine = Engine(
            engine.opened,
            engine.tenant,
            replace(engine.models, embedder=chosen),
            engine.cache.budget,
            engine.habits,
        )
        return count

    def reanalyse(self, language: str, *, progress: Progress | None = None) -> int:
        """Keep words by the rules of another language: of all messages and facts, and of what comes; count them.

        What is kept stays found meanwhile, by the rules that it is kept by. Broken off, it goes on where it was.
        Other processes follow within a minute; run it once more after that, for what they wrote by the old rules.

        Raises:
            UsageError: there are no rules for that language.

        Example:
            >>> memory.reanalyse("english")
            0
        """
        engine = self._engine
        chosen = check_language(language)
        engine.language = chosen
        count = reanalyse(engine.record, chosen, progress)
        engine.habits = replace(engine.habits, language=chosen)
        engine.cache.clear()
        return count

    def copy_to(self, target: Memory, *, progress: CopyProgress | None = None) -> Copied:
        """Carry everything of this tenant to another memory, compare the two, and give what was new there.

        Threads with their messages, numbers, policies and what is due; facts with all versions, sources and history;
        rejections with the secret that they are hashed under; vectors, where the target has none yet or uses the same
        model; the graph with its history, where both keep one (``left_out`` tells where not). What is there already
        stays, so it may be run again. Left out are idempotency keys, what model calls cost, and versions of messages
        that were replaced.

        Raises:
            UsageError: the target is this memory, or its terms are of another language.
            Conflict: the target has threads or rejections of its own that stand in the way.
        """
        if self == target:
            raise UsageError("source and target are the same tenant of the same store")
        from keepwell.memory.copying import copy  # noqa: PLC0415 - most processes never copy

        return copy(self._engine.record, target._engine.record, progress=progress)

    def close(self) -> None:
        """Let go of the store; the last memory of a store closes its connections. A second time does nothing."""
        if self._live_engine is None:
            return
        if self._worker is not None:
            self._worker.stop()
        if self.holding.held and self.holding.retry():
            _log.error(
                "%d messages that were held are lost with this memory: the store did not take them", self.holding.held
            )
        self._live_engine.cache.clear()
        self._live_engine = None
        if _named.get((self.name, self.tenant)) is self:
            del _named[self.name, self.tenant]
        _open_stores.release(self._opened)

    async def aclose(self) -> None:
        """Do what ``close`` does, without holding up the loop."""
        await asyncio.to_thread(self.close)

    astatus = twin(status)
    adrain = twin(drain)
    aform = twin(form)
    aretry = twin(retry)
    areembed = twin(reembed)
    acopy_to = twin(copy_to)
    areanalyse = twin(reanalyse)

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()


def default_memory() -> Memory:
    """Give the memory of the settings, opened once in this process."""
    return open_named("default", settings_now().tenant)


def open_named(name: str, tenant: str) -> Memory:
    """Give the memory that is open under a name and tenant, or open what the settings have under that name.

    Raises:
        KeepwellError: nothing is open under it and the settings have no such store.
    """
    with _opening:
        known = _named.get((name, tenant))
        return _open_configured(name, tenant) if known is None else known


def _open_configured(name: str, tenant: str) -> Memory:
    settings = settings_now()
    if name == "default":
        return Memory.open(tenant=tenant)
    dsn = settings.stores.get(name) or settings.stores.get(name.lower())
    if dsn is None:
        raise KeepwellError(
            f"no store named {name!r} is open here; open it with Memory.open(..., name={name!r}) "
            f"or set KEEPWELL_STORES__{name.upper()} to its DSN"
        )
    return Memory.open(dsn, name=name, tenant=tenant)
