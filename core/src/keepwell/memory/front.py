"""The one front door."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from keepwell.errors import KeepwellError, MissingExtra, StoreClosed, UsageError
from keepwell.memory.engine import Engine, Models
from keepwell.memory.holding import Holding
from keepwell.memory.opened import Opened, Registry
from keepwell.memory.scoped import ScopedMemory
from keepwell.memory.twins import twin
from keepwell.models import Scope
from keepwell.models.html import table
from keepwell.models.scope import MAX_TENANT_BYTES, check_id
from keepwell.providers.embedding import Embedder, embedder_of
from keepwell.recall.tokens import Counter, estimate
from keepwell.storage.base import ReadStatus, Store, TenantStatus
from keepwell.work import Drained, Progress, drain, reembed

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from keepwell.settings import Settings

_MEGABYTE = 2**20
_log = logging.getLogger("keepwell.memory")
_open_stores = Registry()
_named: dict[tuple[str, str], Memory] = {}
_opening = threading.RLock()


@dataclass(frozen=True, slots=True)
class Status:
    """How a memory is: what it holds, what is due, and what cannot be done just now."""

    name: str
    tenant: str
    place: str
    embedder: str | None
    held: int
    lost: int
    snapshots: int
    snapshot_bytes: int
    record: TenantStatus

    def rows(self) -> list[tuple[str, object]]:
        """Give all of it as pairs of a word and a value."""
        record = self.record
        space = record.space
        return [
            ("store", f"{self.name} ({self.place})"),
            ("tenant", self.tenant),
            ("server", record.server),
            ("role", record.role),
            ("row-level security", record.row_security),
            ("schema version", record.schema_version),
            ("embedder", self.embedder or "none"),
            ("vectors of", f"{space.model} ({space.dimension})" if space else "none"),
            ("owners", record.owners),
            ("threads", record.threads),
            ("messages", record.messages),
            ("vectors", record.vectors),
            ("waiting for vectors", record.due),
            ("waiting since", record.oldest_due or "-"),
            ("held in this process", self.held),
            ("given up in this process", self.lost),
            ("scopes in this process", f"{self.snapshots} ({self.snapshot_bytes / _MEGABYTE:.1f} MB)"),
        ]

    def _repr_html_(self) -> str:
        return table(("what", "value"), self.rows())


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
        require_rls: bool = False,
        token_counter: Counter = estimate,
    ) -> Memory:
        """Open a store: the embedded PostgreSQL, the server of a DSN, or a pool's.

        What is not given comes from the settings (``KEEPWELL_*``). ``embedder="auto"`` takes the bundled one
        where the extra ``local`` is installed; None works without vectors.

        Raises:
            StoreUnavailable: no server answers there.
            MigrationRequired: the tables are missing or old, and the role may not make them.
            EmbedderMismatch: the store's vectors are of another model.
            UsageError: the arguments contradict each other.
        """
        settings = _settings()
        if sum(given is not None for given in (dsn, path, pool)) > 1:
            raise UsageError("give one of dsn, path and pool")
        _check_dsn(dsn)
        place = _Place(
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
            models = Models(_embedder(embedder), token_counter, settings.embed_seconds)
            chosen = check_id(settings.tenant if tenant is None else tenant, "tenant", MAX_TENANT_BYTES)
            engine = Engine(opened, chosen, models, settings.snapshot_megabytes * _MEGABYTE)
        except BaseException:
            _open_stores.release(opened)
            raise
        return cls(opened, engine, name)

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
        token_counter: Counter = estimate,
        snapshot_bytes: int = 256 * _MEGABYTE,
    ) -> Memory:
        """Give the memory of a store that you made yourself, for tests and for backends of your own."""
        opened = _open_stores.take(("over", id(store)), lambda: Opened(store, ("over", id(store))))
        models = Models(_embedder(embedder), token_counter, _settings().embed_seconds)
        return cls(opened, Engine(opened, tenant, models, snapshot_bytes), name)

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

    def status(self) -> Status:
        """Give what the tenant holds, what is due, and how the store is."""
        engine = self._engine
        embedder = engine.models.embedder
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
        )

    def drain(self) -> Drained:
        """Do what is due now: vectors that are missing, postings that wait."""
        engine = self._engine
        return drain(engine.record, engine.space(), engine.models.embedder)

    def reembed(self, embedder: Any = None, *, progress: Progress | None = None) -> int:  # noqa: ANN401 - as in open
        """Make all vectors anew with an embedder (this memory's own where none is given), and use it from then on.

        The new space is built beside the old one, which serves until the switch. Gives the number of messages.
        """
        engine = self._engine
        chosen = engine.models.embedder if embedder is None else _embedder(embedder)
        if chosen is None:
            raise UsageError("there is no embedder to make vectors with; give one")
        count = reembed(engine.record, chosen, progress)
        self._live_engine = Engine(
            engine.opened,
            engine.tenant,
            Models(chosen, engine.models.counter, engine.models.seconds),
            engine.cache.budget,
        )
        return count

    def close(self) -> None:
        """Let go of the store; the last memory of a store closes its connections. A second time does nothing."""
        if self._live_engine is None:
            return
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
    areembed = twin(reembed)

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()


def default_memory() -> Memory:
    """Give the memory of the settings, opened once in this process."""
    return open_named("default", _settings().tenant)


def open_named(name: str, tenant: str) -> Memory:
    """Give the memory that is open under a name and tenant, or open what the settings have under that name.

    Raises:
        KeepwellError: nothing is open under it and the settings have no such store.
    """
    with _opening:
        known = _named.get((name, tenant))
        return _open_configured(name, tenant) if known is None else known


def _open_configured(name: str, tenant: str) -> Memory:
    settings = _settings()
    if name == "default":
        return Memory.open(tenant=tenant)
    dsn = settings.stores.get(name) or settings.stores.get(name.lower())
    if dsn is None:
        raise KeepwellError(
            f"no store named {name!r} is open here; open it with Memory.open(..., name={name!r}) "
            f"or set KEEPWELL_STORES__{name.upper()} to its DSN"
        )
    return Memory.open(dsn, name=name, tenant=tenant)


@dataclass(frozen=True)
class _Place:
    """Where a store is and how it is opened."""

    dsn: str | None
    path: Path | None
    pool: Any
    read_dsn: str | None
    pool_size: int
    schema: str
    require_rls: bool

    def key(self) -> Hashable:
        where = self.dsn if self.dsn is not None else id(self.pool) if self.pool is not None else str(self.path)
        return where, self.read_dsn, self.pool_size, self.schema, self.require_rls

    def open(self, settings: Settings) -> Opened:
        from keepwell.storage.postgres import PoolOptions, PostgresStore  # noqa: PLC0415 - psycopg, when it is needed

        prepare = None if settings.prepare_threshold < 0 else settings.prepare_threshold
        options = PoolOptions(self.pool_size, settings.pool_seconds, prepare)
        shared: dict[str, Any] = {"read_dsn": self.read_dsn, "schema": self.schema, "options": options}
        if self.dsn is not None and self.dsn.startswith(("neo4j:", "neo4j+", "bolt:", "bolt+")):
            raise UsageError("a Neo4j address cannot be opened as a store yet; give a PostgreSQL DSN")
        if self.pool is not None or self.dsn is not None:
            store = PostgresStore(self.dsn, pool=self.pool, require_rls=self.require_rls, **shared)
            return Opened(store, self.key())
        return self._open_embedded(shared)

    def _open_embedded(self, shared: dict[str, Any]) -> Opened:
        from keepwell.storage.postgres import PostgresStore, embedded  # noqa: PLC0415 - an extra, when it is needed

        server = embedded.start(self.path)
        try:
            store = PostgresStore(server.dsn, admin_dsn=server.admin_dsn, require_rls=self.require_rls, **shared)
        except BaseException:
            server.release()
            raise
        return Opened(store, self.key(), at_close=server.release)


def _settings() -> Settings:
    from keepwell.settings import read_settings  # noqa: PLC0415 - not at the import of keepwell, which is to be quick

    return read_settings()


def _check_dsn(dsn: object) -> None:
    """Refuse what would otherwise open another store than was meant."""
    if dsn is not None and not isinstance(dsn, str):
        raise UsageError(f"dsn= takes text, not {type(dsn).__name__}")
    if dsn is not None and not dsn.strip():
        raise UsageError("the dsn is empty; give one, or leave it out for the embedded PostgreSQL")


def _embedder(given: Any) -> Embedder | None:  # noqa: ANN401 - as in Memory.open
    from keepwell.providers.bundled import BundledEmbedder, is_installed  # noqa: PLC0415 - numpy, as above

    if given is None or isinstance(given, str):
        if given not in (None, "auto", "bundled"):
            raise UsageError(f"embedder={given!r} is not known; give an embedding object, 'bundled', 'auto' or None")
        if given == "bundled" and not is_installed():
            raise MissingExtra("local", "wordllama")
        return BundledEmbedder() if given is not None and is_installed() else None
    return embedder_of(given)
