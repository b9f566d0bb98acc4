"""What the promises stand on: how a store is made, what it claims, and a model that embeds words."""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore

Capability = Literal["search", "ttl", "async", "newest_first", "operators", "dates", "any_text"]
"""Search by a query; items that expire; awaiting; the newest first without a query; operators beyond the documented
ones (``$in $nin $and $or $not $exists``); dates as operands; any text in values and keys (NUL, lone surrogates)."""
DIMENSION = 64


class WordEmbeddings(Embeddings):
    """A model whose vectors are near where texts share words; it counts what it is asked, and can be slow.

    A question lies where its text lies, and nothing but a question is asked by ``embed_query``.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        """Take so many seconds for each call."""
        self.seconds = seconds
        self.documents = 0
        self.queries = 0
        self._lock = threading.Lock()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Give a unit vector for each text."""
        with self._lock:
            self.documents += len(texts)
        time.sleep(self.seconds)
        return [_vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Give the unit vector of a question."""
        with self._lock:
            self.queries += 1
        time.sleep(self.seconds)
        return _vector(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Do what ``embed_documents`` does, without holding up the loop."""
        with self._lock:
            self.documents += len(texts)
        await asyncio.sleep(self.seconds)
        return [_vector(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        """Do what ``embed_query`` does, without holding up the loop."""
        with self._lock:
            self.queries += 1
        await asyncio.sleep(self.seconds)
        return _vector(text)


def _vector(text: str) -> list[float]:
    cells = [0.0] * DIMENSION
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    for word in words or [""]:
        cells[int.from_bytes(hashlib.sha256(word.encode("utf-8", "replace")).digest()[:4], "big") % DIMENSION] += 1.0
    size = math.sqrt(sum(cell * cell for cell in cells))
    return [cell / size for cell in cells]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """How a store is to be made: searched by this model and these fields, with this setting of expiry."""

    embeddings: WordEmbeddings | None = None
    fields: tuple[str, ...] = ("text",)
    ttl: Mapping[str, Any] | None = None


MakeStore: TypeAlias = Callable[[StoreOptions], BaseStore]


class Promises:
    """The base of the suites; override the fixture ``make_store``, and the class variables where that is needed."""

    missing: ClassVar[frozenset[Capability]] = frozenset()
    """What this store does not claim to do; its tests are skipped."""
    known_failures: ClassVar[Mapping[str, str]] = {}
    """Tests by name that this store is known to fail, each with the reason; one that passes is reported."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Give a function that makes an empty store; all that a test makes may share one place."""
        raise NotImplementedError("a conformance test class overrides the fixture `make_store`")

    @pytest.fixture(autouse=True)
    def known_to_fail(self, request: pytest.FixtureRequest) -> None:
        """Expect the failures that are known."""
        name = request.node.name
        reason = self.known_failures.get(name, self.known_failures.get(name.split("[")[0]))
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    def needs(self, *capabilities: Capability) -> None:
        """Skip the test where the store does not claim that."""
        for one in capabilities:
            if one in self.missing:
                pytest.skip(f"this store does not claim {one}")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> BaseStore:
        """Give an empty store that is not searched by queries."""
        return make_store(StoreOptions())

    @pytest.fixture
    def embeddings(self) -> WordEmbeddings:
        """Give the model of the store that is searched."""
        return WordEmbeddings()

    @pytest.fixture
    def searched(self, make_store: MakeStore, embeddings: WordEmbeddings) -> BaseStore:
        """Give an empty store that is searched by the field ``text``."""
        self.needs("search")
        return make_store(StoreOptions(embeddings))


def keys(found: list[Any]) -> list[str]:
    """Give the keys of items."""
    return [one.key for one in found]
