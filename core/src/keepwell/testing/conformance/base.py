"""What every suite stands on: the two stores under test, and a few words to write promises with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Final, Literal
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from keepwell.models import Message, Owner, Scope, Thread
from keepwell.storage.base import (
    Appended,
    AppendMessages,
    DueBatch,
    FetchMessages,
    FindDue,
    FindMissing,
    FindThread,
    Found,
    ListThreads,
    OpenSpace,
    PutVectors,
    ReadAround,
    ReadMessages,
    Record,
    Space,
    Store,
    VectorRow,
)

Capability = Literal[
    "threads",
    "cloning",
    "messages",
    "appends",
    "idempotency",
    "scopes",
    "recall_loading",
    "candidates",
    "embedding",
    "forgetting",
    "transactions",
    "async_transactions",
    "races",
    "facts",
    "fact_rejections",
    "fact_sources",
    "fact_lists",
    "fact_history",
    "fact_imports",
    "fact_forgetting",
    "fact_moving",
    "fact_loading",
    "fact_races",
    "formation",
    "formation_failures",
    "due_work",
    "retention",
    "likeness",
    "items",
    "item_searches",
    "graph",
    "graph_forgetting",
    "graph_embedding",
    "projection",
    "copying",
]

ADA: Final = Owner("ada", "", "")
BOB: Final = Owner("bob", "", "")
ADAS: Final = Scope("ada")
BOBS: Final = Scope("bob")
EVERYONE: Final = Scope(across_users=True)
DIMENSION: Final = 4


class StoreConformance:
    """The base of the suites; override the fixture ``stores``, and ``missing`` where something cannot be done."""

    missing: ClassVar[frozenset[Capability]] = frozenset()
    """What this backend does not claim to do; its tests are skipped."""
    capability: ClassVar[Capability | None] = None
    """What a suite is about."""

    @pytest.fixture
    def stores(self) -> tuple[Store, Store]:
        """Give two independent stores on the same data; who gives them closes them."""
        raise NotImplementedError("a conformance test class overrides the fixture `stores`")

    async def connect(self, store: Store) -> AbstractAsyncContextManager[Any]:
        """Give an asynchronous connection in a transaction, which commits where its block ends well."""
        raise NotImplementedError("override `connect`, or name 'async_transactions' in `missing`")

    @pytest.fixture(autouse=True)
    def claimed(self) -> None:
        """Skip the suite where the backend does not claim what it is about."""
        if self.capability is not None:
            self.needs(self.capability)

    def needs(self, capability: Capability) -> None:
        """Skip the test where the backend does not claim that capability."""
        if capability in self.missing:
            pytest.skip(f"this store does not claim {capability}")

    @pytest.fixture
    def tenant(self) -> str:
        """Give a tenant that no other test has, so that one database can serve them all."""
        return f"t-{uuid4().hex}"

    @pytest.fixture
    def record(self, stores: tuple[Store, Store], tenant: str) -> Record:
        """Give the tenant's record in the first store."""
        return stores[0].record(tenant)

    @pytest.fixture
    def other(self, stores: tuple[Store, Store], tenant: str) -> Record:
        """Give the same record in the second store."""
        return stores[1].record(tenant)

    @pytest.fixture
    def stranger(self, stores: tuple[Store, Store]) -> Record:
        """Give the record of another tenant in the first store."""
        return stores[0].record(f"t-{uuid4().hex}")


def at(minute: float) -> dt.datetime:
    """Give a time some minutes into an afternoon."""
    return dt.datetime(2024, 5, 17, 14, 0, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)


def terms_of(message: Message) -> str:
    """Give the analysed terms of a message, for tests: its words in small letters."""
    return " ".join(message.text.lower().encode("utf-8", "replace").decode().replace("\x00", " ").split())


def append(
    record: Record,
    *messages: Message,
    thread: str = "t",
    owner: Owner = ADA,
    key: str | None = None,
    connection: Any = None,  # noqa: ANN401 - a driver's connection
) -> Appended:
    """Append messages with their terms."""
    change = AppendMessages(owner, thread, messages, tuple(map(terms_of, messages)), key)
    return record.write(change, connection) if connection is not None else record.write(change)


def say(record: Record, *texts: str, thread: str = "t", owner: Owner = ADA) -> Appended:
    """Append a message for each text, whose id is the text and whose time is its place in the call."""
    said = [Message.user(text, id=text, created_at=at(minute)) for minute, text in enumerate(texts)]
    return append(record, *said, thread=thread, owner=owner)


def read(record: Record, thread: str = "t", owner: Owner = ADA, **bounds: Any) -> list[Message]:  # noqa: ANN401 - fields of ReadMessages
    """Read a thread's messages."""
    return record.read(ReadMessages(owner, thread, **bounds))


def threads_of(record: Record, scope: Scope, where: Mapping[str, Any] | None = None) -> tuple[Thread, ...]:
    """Give the threads of a scope, a thousand at most."""
    page = record.read(ListThreads(scope, where or {}, limit=1000))
    return tuple(page)


def fetch(record: Record, scope: Scope, *keys: int, neighbours: int = 1) -> dict[int, Found]:
    """Fetch messages by key."""
    return record.read(FetchMessages(scope, keys, neighbours))


def around(record: Record, *ids: str, before: int = 0, after: int = 0, owner: Owner = ADA) -> list[Message]:
    """Read messages of thread ``t`` with their neighbours."""
    return record.read(ReadAround(owner, "t", ids, before, after))


def texts(messages: Iterable[Message]) -> list[str]:
    """Give the text of each message."""
    return [message.text for message in messages]


def seqs(messages: Iterable[Message]) -> list[int | None]:
    """Give the number of each message."""
    return [message.seq for message in messages]


def found(record: Record, thread: str = "t", owner: Owner = ADA) -> Thread:
    """Give a thread that must be there."""
    there = record.read(FindThread(owner, thread))
    assert there is not None, f"thread {thread!r} of {owner} is not there"
    return there


def keys_by_text(*answers: Appended) -> Mapping[str, int]:
    """Give the key of each written message by its text."""
    return {message.text: key for answer in answers for key, message in answer.written.items()}


def unit(*numbers: float) -> NDArray[np.float32]:
    """Give the unit vector in that direction, filled up with zeros to ``DIMENSION``."""
    vector = np.zeros(DIMENSION, np.float32)
    vector[: len(numbers)] = numbers
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def open_space(record: Record, model: str = "model") -> Space:
    """Give a space of that model, of ``DIMENSION`` dimensions."""
    return record.write(OpenSpace(model, DIMENSION))


def put(record: Record, space: Space, vectors: Mapping[int, NDArray[np.float32]]) -> bool:
    """Keep one vector for each message, without saying that anything is done."""
    return record.write(PutVectors(space.key, tuple(VectorRow(key, 0, vector) for key, vector in vectors.items())))


def embed(record: Record, space: Space, batch: DueBatch) -> bool:
    """Keep a vector for each text of a batch, and say that its spans are done."""
    rows = tuple(VectorRow(due.message, 0, unit(1, due.seq)) for due in batch.texts)
    return record.write(PutVectors(space.key, rows, batch.spans))


def build(record: Record, space: Space, limit: int = 2) -> list[str]:
    """Embed everything that lacks a vector in a space, active or not, and give the texts in their order."""
    done: list[str] = []
    after = 0
    while missing := record.read(FindMissing(space.key, after, limit)):
        put(record, space, {text.message: unit(1, text.seq) for text in missing})
        done += [text.text for text in missing]
        after = missing[-1].message
    return done


def drain(record: Record, space: Space, limit: int = 100) -> list[str]:
    """Embed everything that is due in the active space, and give the texts in the order in which they came."""
    done: list[str] = []
    for _ in range(100):
        batch = record.read(FindDue(space.key, limit))
        if not batch.texts and not batch.spans:
            return done
        done += [due.text for due in batch.texts]
        assert embed(record, space, batch)
    raise AssertionError("what is due does not come to an end")
