"""Opening a Neo4j server and running work on it: 5.26 and later, Aura; driver 5.28 and 6.

The driver retries what is passing (a lost connection, a deadlock, a change of leader) until ``retry_seconds`` are
over; what remains is an error of ours. A user's name and password never leave :class:`Address`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import neo4j
import tenacity
from neo4j.exceptions import Neo4jError, TransientError

from keepwell.errors import StoreClosed, StoreFailed, UsageError
from keepwell.storage.neo4j.errors import translated

R = TypeVar("R")
Transaction: TypeAlias = neo4j.ManagedTransaction
Row: TypeAlias = dict[str, Any]
_MADE_MEANWHILE: Final = frozenset(
    f"Neo.ClientError.Schema.{kind}AlreadyExists" for kind in ("EquivalentSchemaRule", "Index", "Constraint")
)
_ARRANGED_IN: Final = 300.0
SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and as whom to go in; without a user it is one that asks for none."""

    uri: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None

    @property
    def place(self) -> str:
        """The server in words that hold no secret."""
        parts = urlsplit(self.uri)
        where = f"{parts.hostname}:{parts.port}" if parts.port else f"{parts.hostname}"
        return f"Neo4j at {where}" + (f", database {self.database}" if self.database else "")


@dataclass(frozen=True, slots=True)
class BoltOptions:
    """How many connections, and how long each thing may take, in seconds."""

    size: int = 8
    connect_seconds: float = 5.0
    acquire_seconds: float = 10.0
    retry_seconds: float = 15.0
    query_seconds: float = 60.0


def is_neo4j(address: str) -> bool:
    """Tell whether an address is that of a Neo4j server."""
    return address.split("://", 1)[0].lower() in SCHEMES and "://" in address


def address_of(text: str, *, user: str | None = None, password: str | None = None) -> Address:
    """Give the parts of ``neo4j://user:password@host:port/database``; what it lacks comes from the arguments.

    Raises:
        UsageError: it is no address of a Neo4j server.
    """
    if not is_neo4j(text):
        raise UsageError(f"this is not the address of a Neo4j server; it begins with one of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:  # its words would repeat the address, with the password
        raise UsageError("the address of the Neo4j server cannot be read") from None
    if not parts.hostname:
        raise UsageError("the address of the Neo4j server names no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port else host
    given = Address(
        urlunsplit((parts.scheme, place, "", parts.query, "")),
        unquote(parts.username) if parts.username else user,
        unquote(parts.password) if parts.password else password,
        unquote(parts.path.strip("/")) or None,
    )
    return given if given.user or not given.password else replace(given, user="neo4j")


class Bolt:
    """A Neo4j server with its connections; opened at the first use, and anew after a fork."""

    def __init__(self, address: Address, options: BoltOptions | None = None) -> None:
        """Bind them; nothing is connected yet."""
        self.address = address
        self.options = options or BoltOptions()
        self._driver: neo4j.Driver | None = None
        self._pid = os.getpid()
        self._opening = threading.Lock()
        self._closed = False

    @property
    def name(self) -> str:
        """The server in words that hold no secret."""
        return self.address.place

    def check(self) -> None:
        """Return where the server answers.

        Raises:
            StoreUnavailable: it does not, or does not let this user in.
        """
        with translated(self.name):
            self._open().verify_connectivity()

    def read(self, work: Callable[[Transaction], R], *, seconds: float | None = None) -> R:
        """Give what the work returns, in a transaction that cannot write; it may be run again after a failure."""
        with translated(self.name), self._session() as session:
            return session.execute_read(self._timed(work, seconds))

    def write(self, work: Callable[[Transaction], R], *, seconds: float | None = None) -> R:
        """Give what the work returns, in a transaction that is committed; it may be run again after a failure."""
        with translated(self.name), self._session() as session:
            return session.execute_write(self._timed(work, seconds))

    @contextmanager
    def transaction(self) -> Iterator[neo4j.Transaction]:
        """Give a transaction that is committed at the end of the block, or undone by an error; never tried again."""
        with translated(self.name), self._session() as session, session.begin_transaction() as tx:
            yield tx
            tx.commit()

    def rows(
        self, cypher: str, parameters: Mapping[str, Any] | None = None, *, seconds: float | None = None
    ) -> list[Row]:
        """Give the rows of one reading statement."""
        return self.read(lambda tx: rows(tx, cypher, **(parameters or {})), seconds=seconds)

    def alone(
        self, cypher: str, parameters: Mapping[str, Any] | None = None, *, seconds: float | None = None
    ) -> list[Row]:
        """Give the rows of one statement that makes its own transactions: a schema's, or ``CALL IN TRANSACTIONS``.

        It is not tried again.
        """
        query = neo4j.Query(cypher, timeout=self.options.query_seconds if seconds is None else seconds)
        with translated(self.name), self._session() as session:
            return [record.data() for record in session.run(query, dict(parameters or {}))]

    def arrange(self, cypher: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run one statement about constraints or indexes; again where somebody else's got in its way.

        Two programs that make the same constraint hold each other's lock, and the server ends one of them. The driver
        would wait a second before each try, and the statements are many.
        """
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_in_the_way),
            wait=tenacity.wait_random(0.02, 0.5),
            stop=tenacity.stop_after_delay(_ARRANGED_IN),
            reraise=True,
        )
        try:
            again(self.alone, cypher, parameters, seconds=_ARRANGED_IN)
        except StoreFailed as error:  # "if not exists" was looked at before the other one's was there
            if not isinstance(error.__cause__, Neo4jError) or error.__cause__.code not in _MADE_MEANWHILE:
                raise

    def close(self) -> None:
        """Close its connections; a second time does nothing."""
        self._closed = True
        driver, self._driver = self._driver, None
        if driver is not None and self._pid == os.getpid():
            driver.close()

    def _timed(self, work: Callable[[Transaction], R], seconds: float | None) -> Callable[[Transaction], R]:
        timeout = self.options.query_seconds if seconds is None else seconds

        @neo4j.unit_of_work(timeout=timeout)
        def timed(tx: Transaction) -> R:
            return work(tx)

        return timed

    def _session(self) -> neo4j.Session:
        return self._open().session(database=self.address.database)

    def _open(self) -> neo4j.Driver:
        with self._opening:
            if self._closed:
                raise StoreClosed(f"{self.name} was closed; open it again")
            if self._driver is None or self._pid != os.getpid():  # a parent's sockets are the parent's
                self._driver, self._pid = self._connect(), os.getpid()
            return self._driver

    def _connect(self) -> neo4j.Driver:
        given, options = self.address, self.options
        return neo4j.GraphDatabase.driver(
            given.uri,
            auth=None if given.user is None else (given.user, given.password or ""),
            user_agent="keepwell",
            max_connection_pool_size=options.size,
            connection_timeout=options.connect_seconds,
            connection_acquisition_timeout=options.acquire_seconds,
            max_transaction_retry_time=options.retry_seconds,
            liveness_check_timeout=5.0,  # a server that was started anew has closed what waits in the pool
            notifications_min_severity="OFF",  # hints for whoever writes Cypher; they would repeat our statements
            telemetry_disabled=True,
        )


def _in_the_way(error: BaseException) -> bool:
    """Tell whether somebody else's transaction ended one of ours."""
    return isinstance(error.__cause__, TransientError)


def rows(tx: Transaction, cypher: str, **parameters: Any) -> list[Row]:  # noqa: ANN401 - values of Cypher
    """Give a statement's rows, each as a dictionary."""
    return tx.run(cypher, parameters).data()


def open_bolt(
    address: str, *, user: str | None = None, password: str | None = None, options: BoltOptions | None = None
) -> Bolt:
    """Give the server of an address; nothing is connected yet.

    Raises:
        UsageError: it is no address of a Neo4j server.
    """
    return Bolt(address_of(address, user=user, password=password), options)
