"""One transaction of one tenant: its statements, the turns it waits for, and the numbers it takes.

Neo4j reads what is committed at the moment of each read, so whoever decides by what he read must keep others from
writing it meanwhile. He waits for a turn by writing to a node that stands for it, and holds it until he commits:

- the *ledger* of the tenant: who changes facts, removes anything, or takes due work;
- a *stripe* of owners: who writes threads and messages of these owners, leases or policies;
- the *revision* of the tenant: taken last, right before the writes, so that revisions are in the order of commits and
  a reader who asks for what is newer than one he knows misses nothing.

They are taken in this order, stripes by number, so two writers do not wait for each other; where they do after all,
the server ends one of them and the driver runs it again.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, LiteralString
from uuid import uuid4

import neo4j

from keepwell.models import Owner
from keepwell.storage.neo4j.cyphers import of_owner, scoped, statement
from keepwell.storage.neo4j.nodes import instant, maybe

if TYPE_CHECKING:
    import datetime as dt

    from keepwell.models import Scope

Runs = neo4j.ManagedTransaction | neo4j.Transaction
Row = dict[str, Any]
STRIPES: Final = 256
BATCH: Final = 2000
"""So many rows are sent with one statement."""


class Numbers(Iterator[int]):
    """The tenant's numbers, taken from the store a block at a time: none is given twice, some may be left out."""

    def __init__(self, take: Callable[[int], int], block: int = 200) -> None:
        """Begin with none."""
        self._take = take
        self._block = block
        self._left: Iterator[int] = iter(())
        self._lock = threading.Lock()

    def __next__(self) -> int:
        """Give the next number."""
        with self._lock:
            number = next(self._left, None)
            if number is None:
                first = self._take(self._block)
                self._left = iter(range(first + 1, first + self._block))
                return first
            return number


class Work:
    """A transaction of a tenant."""

    def __init__(self, tx: Runs, tenant: str, numbers: Iterator[int]) -> None:
        """Bind them; nothing is run."""
        self.tenant = tenant
        self.numbers = numbers
        self._tx = tx
        self._rev: int | None = None
        self._stripes: set[int] = set()

    def rows(self, name: str, **parameters: Any) -> list[Row]:  # noqa: ANN401 - values of Cypher
        """Give the rows of a statement of the tenant."""
        return self.run(statement(name), parameters)

    def of_owner(self, name: str, owner: Owner, **parameters: Any) -> list[Row]:  # noqa: ANN401 - as above
        """Give the rows of a statement about an exact owner."""
        return self.run(statement(name), {**of_owner(owner), **parameters})

    def of_scope(self, name: str, scope: Scope, **parameters: Any) -> list[Row]:  # noqa: ANN401 - as above
        """Give the rows of a statement about a scope."""
        text, ids = scoped(name, scope)
        return self.run(text, {**ids, **parameters})

    def lines(self, name: str, scope: Scope, **parameters: Any) -> list[list[Any]]:  # noqa: ANN401 - as above
        """Give the rows of a statement about a scope as lists, for those that are many."""
        text, ids = scoped(name, scope)
        found = self._tx.run(text, {"tenant": self.tenant, **ids, **parameters})
        return [list(record) for record in found]

    def each(self, name: str, key: str, values: Iterable[Any], **parameters: Any) -> list[Row]:  # noqa: ANN401 - as above
        """Give the rows of a statement that unwinds a list, however long it is."""
        rows = list(values)
        found: list[Row] = []
        for start in range(0, len(rows), BATCH):
            found += self.rows(name, **{key: rows[start : start + BATCH]}, **parameters)
        return found

    def run(self, text: LiteralString, parameters: Mapping[str, Any]) -> list[Row]:
        """Give the rows of a statement."""
        found = self._tx.run(text, {"tenant": self.tenant, **parameters})
        return [dict(record) for record in found]

    # Turns

    def wait(self, owners: Iterable[Owner]) -> None:
        """Wait until nobody else writes threads, messages, leases or policies of these owners."""
        stripes = sorted({_stripe(owner) for owner in owners} - self._stripes)
        if stripes:
            self.rows("turns", stripes=stripes)
            self._stripes.update(stripes)

    def ledger(self) -> dt.datetime | None:
        """Wait until nobody else changes facts or removes anything; give when facts were last written."""
        (row,) = self.rows("ledger")
        return maybe(instant, row["written"])

    def take_rev(self) -> None:
        """Wait until nobody else writes anything that is loaded, from now on."""
        _ = self.rev

    @property
    def rev(self) -> int:
        """The revision of this transaction; whoever else would write anything that is loaded waits from now on."""
        if self._rev is None:
            (row,) = self.rows("revision", **beginnings())
            self._rev = int(row["rev"])
        return self._rev


def beginnings() -> dict[str, Any]:
    """Give what a tenant is made with: by what its marks are known, and the secret of its rejections."""
    return {"identity": uuid4().hex, "secret": secrets.token_bytes(32)}


def stripe_of(user_id: str) -> int:
    """Give the number that a user shares with many others, for what must not say whose it is."""
    return _stripe(Owner(user_id, "", ""))


def _stripe(owner: Owner) -> int:
    said = "\x00".join(owner).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(said, digest_size=4).digest()) % STRIPES


def column(rows: Sequence[Row], name: str) -> list[Any]:
    """Give one value of each row."""
    return [row[name] for row in rows]
