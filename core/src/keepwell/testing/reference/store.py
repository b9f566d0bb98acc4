"""The reference store itself: who may write when, and what a reader has seen."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar, cast
from uuid import uuid4

from keepwell.errors import StoreClosed, StoreFailed, UsageError
from keepwell.models.scope import MAX_TENANT_BYTES, check_id
from keepwell.recall.arrays import Delta, Mark
from keepwell.storage.base import LoadScope, Prune, Read, Write
from keepwell.storage.copying import KeepSecret
from keepwell.storage.facts import ReadSecret
from keepwell.storage.plain.graph_embeddings import drop_stale
from keepwell.storage.plain.loading import difference, whole
from keepwell.storage.plain.outbox import note
from keepwell.storage.plain.reads import READS
from keepwell.storage.plain.tables import Tables
from keepwell.storage.plain.writes import WRITES

R = TypeVar("R")
MAX_MARKS: Final = 64
"""So many states are kept for readers to compare with; who comes with an older mark gets the whole."""


class _Marked:
    """The states that readers have seen, by revision, the newest ones."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[float, Tables]] = {}
        self._lock = threading.Lock()

    def keep(self, tables: Tables, taken: float) -> None:
        with self._lock:
            self._states.pop(str(tables.revision), None)
            self._states[str(tables.revision)] = (taken, tables)
            for oldest in list(self._states)[:-MAX_MARKS]:
                del self._states[oldest]

    def find(self, revision: str) -> Tables | None:
        with self._lock:
            return self._states.get(revision, (0.0, None))[1]

    def prune(self, before: float) -> int:
        with self._lock:
            old = [revision for revision, (taken, _) in self._states.items() if taken < before]
            for revision in old:
                del self._states[revision]
            return len(old)


class _Data:
    """What stores of one place share: each tenant's tables, and the one lock of those who write.

    Readers take no lock: they hold the tables that were there when they came, which nobody changes.
    """

    def __init__(self) -> None:
        self.identity = uuid4().hex
        self.tenants: dict[str, Tables] = {}
        self._marks: dict[str, _Marked] = {}
        self._secrets: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self._revisions = itertools.count(1)
        self._lock = threading.Lock()
        self._writer: int | None = None

    def tables(self, tenant: str) -> Tables:
        return self.tenants.get(tenant) or Tables(self._numbers)

    def secret(self, tenant: str) -> bytes:
        return self._secrets.setdefault(tenant, secrets.token_bytes(32))

    def keep_secret(self, tenant: str, secret: bytes) -> bool:
        if self.tables(tenant).refusals and self.secret(tenant) != secret:
            return False
        self._secrets[tenant] = secret
        return True

    def marks(self, tenant: str) -> _Marked:
        return self._marks.setdefault(tenant, _Marked())

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until nobody else writes, and write."""
        if self._writer == threading.get_ident():
            raise StoreFailed("this write would wait for a transaction of its own thread; join it with connection=")
        with self._lock:
            self._writer = threading.get_ident()
            try:
                yield
            finally:
                self._writer = None

    def publish(self, tenant: str, tables: Tables) -> None:
        tables.revision = next(self._revisions)
        self.tenants[tenant] = tables


class Transaction:
    """A connection in a transaction: others see what is written through it when its block has ended well."""

    def __init__(self, data: _Data) -> None:
        """Begin without changes."""
        self.data = data
        self.open = True
        self._changed: dict[str, Tables] = {}
        self._lock = threading.Lock()

    def write(self, tenant: str, change: Write[R]) -> R:
        """Do it, to be seen by what is joined after it; a write that raises leaves the transaction as it was."""
        with self._lock:
            if not self.open:
                raise StoreFailed("the transaction of this connection has ended")
            tables, answer = _apply(self._changed.get(tenant) or self.data.tables(tenant), change)
            self._changed[tenant] = tables
            return answer

    def end(self, *, commit: bool) -> None:
        """Let others see the changes, or forget them."""
        with self._lock:
            self.open = False
            for tenant, tables in self._changed.items() if commit else ():
                self.data.publish(tenant, tables)


class ReferenceRecord:
    """One tenant of a :class:`ReferenceStore`."""

    def __init__(self, store: ReferenceStore, tenant: str) -> None:
        """Bind the tenant."""
        self._store = store
        self._tenant = tenant

    def write(self, change: Write[R], connection: Any = None) -> R:  # noqa: ANN401 - the seam's type
        """Do it, all or nothing: at once, or as part of the connection's transaction."""
        data = self._store.data
        if isinstance(change, Prune):
            pruned: Any = data.marks(self._tenant).prune(time.time() - change.older_than.total_seconds())
            return cast("R", pruned)
        if isinstance(change, KeepSecret):
            known: Any = data.keep_secret(self._tenant, change.secret)
            return cast("R", known)
        if connection is not None:
            return self._joined(connection).write(self._tenant, change)
        with data.turn():
            tables, answer = _apply(data.tables(self._tenant), change)
            data.publish(self._tenant, tables)
            return answer

    async def awrite(self, change: Write[R], connection: Any) -> R:  # noqa: ANN401 - the seam's type
        """Do it as part of the connection's transaction."""
        return self._joined(connection).write(self._tenant, change)

    def read(self, query: Read[R]) -> R:
        """Look at what is committed now."""
        tables = self._store.data.tables(self._tenant)
        if isinstance(query, LoadScope):
            return cast("R", self._load(tables, query))
        if isinstance(query, ReadSecret):
            return cast("R", self._store.data.secret(self._tenant))
        look = READS.get(type(query))
        if look is None:
            raise UsageError(f"{type(query).__name__} is no read of this store")
        return cast("R", look(tables, query))

    def _joined(self, connection: object) -> Transaction:
        if not isinstance(connection, Transaction) or connection.data is not self._store.data:
            raise UsageError(f"a {type(connection).__name__} is not a connection of this store")
        return connection

    def _load(self, tables: Tables, query: LoadScope) -> Delta:
        data, marks = self._store.data, self._store.data.marks(self._tenant)
        mark = Mark(str(tables.revision), data.identity, time.time())
        marks.keep(tables, mark.taken)
        since = query.since
        old = marks.find(since.snapshot) if since is not None and since.server == data.identity else None
        if old is None:
            return whole(tables, query.scope, query.space, mark)
        return difference(old, tables, query.scope, query.space, mark)


class ReferenceStore:
    """A store in the memory of this process that reads like the specification of every other one.

    ``ReferenceStore(other)`` opens the place of another store once more: the two share what is kept, and each
    is closed by itself.

    Example:
        >>> from keepwell.storage.base import ReadStatus
        >>> ReferenceStore().record("default").read(ReadStatus()).messages
        0
    """

    def __init__(self, same: ReferenceStore | None = None) -> None:
        """Open a new place, or that of another store."""
        self._data = _Data() if same is None else same.data
        self._closed = False

    @property
    def name(self) -> str:
        """The place in words."""
        return "the memory of this process"

    @property
    def size(self) -> int:
        """How many operations can be under way at once."""
        return 8

    @property
    def data(self) -> _Data:
        """What is kept.

        Raises:
            StoreClosed: this store was closed.
        """
        if self._closed:
            raise StoreClosed("the store is closed")
        return self._data

    def record(self, tenant: str) -> ReferenceRecord:
        """Give the record of a tenant."""
        return ReferenceRecord(self, check_id(tenant, "tenant", MAX_TENANT_BYTES))

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Give a connection; until its block ends, every other writer waits."""
        return self._transaction()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        data = self.data
        with data.turn():
            connection = Transaction(data)
            try:
                yield connection
            except BaseException:
                connection.end(commit=False)
                raise
            connection.end(commit=True)

    @asynccontextmanager
    async def atransaction(self) -> AsyncIterator[Transaction]:
        """Give a connection for :meth:`ReferenceRecord.awrite`."""
        with self._transaction() as connection:
            yield connection

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True


def _apply(tables: Tables, change: Write[R]) -> tuple[Tables, R]:
    """Give tables with the change made and the answer; the tables given stay as they are."""
    do = WRITES.get(type(change))
    if do is None:
        raise UsageError(f"{type(change).__name__} is no write of this store")
    copy = tables.copy()
    answer = do(copy, change)
    drop_stale(copy.graph, copy.spaces)
    note(tables, copy)
    return copy, answer
