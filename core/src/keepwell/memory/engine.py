"""What the three objects of the face share: one tenant's record, its models, and the threads that do the work."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from keepwell.errors import (
    EmbedderFailed,
    EmbedderMismatch,
    KeepwellError,
    LanguageMismatch,
    NotPermitted,
    RerankerFailed,
)
from keepwell.formation.options import FormationSettings
from keepwell.memory.joining import OnLoop, is_asynchronous
from keepwell.memory.opened import Opened
from keepwell.providers.embedding import Embedder, unit, unit_vector
from keepwell.providers.language import LanguageModel
from keepwell.providers.reranking import Reranked, Reranker, checked
from keepwell.recall.analysis import ENGLISH, Language, analyse, check_language
from keepwell.recall.cache import SnapshotCache
from keepwell.recall.tokens import Counter
from keepwell.storage.base import ActiveSpace, Appended, Forming, OpenSpace, PostTerms, Record, Space, Write
from keepwell.storage.facts import ReadSecret
from keepwell.storage.languages import NoteLanguage, ReadLanguage
from keepwell.work import embed_appended

if TYPE_CHECKING:
    from purgatory import AsyncCircuitBreakerFactory, SyncCircuitBreakerFactory

    from keepwell.memory.places import ProjectionPlace
    from keepwell.providers.embedding import Vectors
    from keepwell.recall.weights import Ranking

P = ParamSpec("P")
R = TypeVar("R")
Script: TypeAlias = Generator[Write[Any], Any, R]
_log = logging.getLogger("keepwell.memory")
POST_EVERY = 256
"""A thread's postings are brought up to date when its ``seq`` passes a multiple of this."""
_FAILURES, _REST_SECONDS = 5, 30.0
_LANGUAGE_SECONDS = 60.0
"""How long a process may go on by the rules of a language after another has switched the tenant to others."""


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a memory, and how long a recall waits for them."""

    embedder: Embedder | None
    counter: Counter
    seconds: float
    language: LanguageModel | None = None
    reranker: Reranker | None = None


@dataclass(frozen=True, slots=True)
class Habits:
    """How a memory goes about facts: when messages are formed, by what, and how a context shows what is recalled."""

    forming: Forming = field(default_factory=Forming)
    formation: FormationSettings = field(default_factory=FormationSettings)
    secret: bytes | None = None
    context_items: int = 5
    context_characters: int = 300
    ranking: Ranking = "learned"
    language: Language | None = None
    projection: ProjectionPlace | None = None


class Engine:
    """One tenant of one opened store, with its models."""

    def __init__(
        self, opened: Opened, tenant: str, models: Models, cache_bytes: int, habits: Habits | None = None
    ) -> None:
        """Bind them; the embedder's space is looked up, not made.

        Raises:
            EmbedderMismatch: the store's vectors were made by another model.
            LanguageMismatch: its terms were made by the rules of another language.
        """
        self.opened = opened
        self.tenant = tenant
        self.models = models
        self.habits = habits = habits or Habits()
        self.wrote_at = -math.inf
        """When this process appended last, by its clock."""
        self.record: Record = opened.store.record(tenant)
        self.cache = SnapshotCache(cache_bytes)
        self._breakers, self._async_breakers = _breakers()
        self._space: Space | None = None
        self._secret = habits.secret
        self._opening = threading.Lock()
        self.language = self._noted_language()
        self._language_read = time.monotonic()
        analyse("ready", self.language)
        self._check_space()

    def write(self, change: Write[R], connection: object = None) -> R:
        """Make one write: in a transaction of its own, or as part of the connection's."""
        if isinstance(connection, OnLoop):
            return connection.write(self.record, change)
        return self.record.write(change, connection)

    def perform(self, script: Script[R], connection: object = None) -> R:
        """Carry out a script's writes, one after the other."""
        return _drive(script, lambda change: self.write(change, connection))

    async def aperform(self, script: Script[R], connection: object = None) -> R:
        """Do the same without holding up the loop; an asynchronous connection is used on the loop itself.

        What the script works out is done elsewhere, and not on the store's threads: they may all be waiting for
        locks that the caller's transaction holds.
        """
        if not is_asynchronous(connection):
            return await self.run(self.perform, script, connection)
        answer: object = None  # to begin with
        while True:
            change, result = await asyncio.to_thread(_advance, script, answer)
            if change is None:
                return result  # type: ignore[return-value]  # an ended script's result is what it returns
            answer = await self.record.awrite(change, connection)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do database work on a thread of the store's, with the caller's context variables."""
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.opened.executor(), lambda: context.run(work, *args, **kwargs))

    # Language

    def notice_language(self) -> None:
        """Go by the rules of the language that is noted for the tenant, where another process has switched it."""
        if time.monotonic() - self._language_read < _LANGUAGE_SECONDS:
            return
        self._language_read = time.monotonic()
        noted = self.record.read(ReadLanguage())
        if noted not in (None, self.language):
            _log.warning("terms are made by the rules of %s from now on, as the tenant's are", noted)
            self.language = str(noted)

    def _noted_language(self) -> Language:
        """Give the language by whose rules this tenant's terms are made; that of the settings where it is new."""
        wanted = None if self.habits.language is None else check_language(self.habits.language)
        noted = self.record.read(ReadLanguage())
        if noted is None:
            try:
                noted = self.record.write(NoteLanguage(wanted or ENGLISH))
            except NotPermitted as error:  # a role that may only read
                _log.info("the language of terms is not noted: %s", error)
                noted = wanted or ENGLISH
        if wanted not in (None, noted):
            raise LanguageMismatch(
                f"this tenant's words are kept by the rules of {noted!r}, not of {wanted!r}; open it with "
                f"language={noted!r}, or with none, or have them made anew: keepwell reanalyse {wanted}"
            )
        return noted

    # Models

    def space(self) -> Space | None:
        """Give the embedder's space, made at the first need; None without an embedder."""
        embedder = self.models.embedder
        if embedder is None or self._space is not None:
            return self._space
        with self._opening:
            if self._space is None:
                space = self.record.write(OpenSpace(embedder.model, embedder.dimension))
                self._check_space()
                self._space = space
        return self._space

    def known_space(self) -> Space | None:
        """Give the space whose vectors a recall can use; None where there is no embedder or no vector yet."""
        if self.models.embedder is not None and self._space is None:
            self._check_space()
        return self._space

    def forget_space(self) -> None:
        """Look the space up anew at the next need."""
        self._space = None

    def secret(self) -> bytes:
        """Give the secret under which rejections are hashed: that of the settings, else the one kept for the tenant."""
        if self._secret is None:
            self._secret = self.record.read(ReadSecret())
        return self._secret

    def unit_vectors(self, texts: list[str]) -> Vectors:
        """Give the unit vectors of texts, by an embedder in this process.

        Raises:
            EmbedderFailed: the model failed, or answered nonsense.
        """
        embedder = self._embedder()
        # Lone surrogates, which no model can read, are replaced in what it is shown.
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        with _as_failure(EmbedderFailed):
            return unit(embedder.embed(readable), embedder.dimension, len(texts))

    async def aunit_vectors(self, texts: list[str]) -> Vectors:
        """Do what ``unit_vectors`` does, a model that can be awaited being asked on the caller's loop."""
        embedder = self._embedder()
        native = getattr(embedder, "aembed", None)
        if native is None:
            return await self.run(self.unit_vectors, texts)
        readable = [text.encode("utf-8", "replace").decode() for text in texts]
        with _as_failure(EmbedderFailed):
            return unit(await native(readable), embedder.dimension, len(texts))

    def after_append(self, appended: Appended) -> None:
        """Do what follows an append's commit: vectors by an embedder in this process, and postings now and then.

        A failure leaves them due.
        """
        self.wrote_at = time.monotonic()
        if appended.written:
            self.notice_language()
            self._embed(appended)
            self._post(appended)

    def _post(self, appended: Appended) -> None:
        places = [message.seq or 0 for message in appended.written.values()]
        if (min(places) - 1) // POST_EVERY == max(places) // POST_EVERY:
            return
        try:
            self.record.write(PostTerms(appended.thread))
        except KeepwellError:
            _log.warning("the postings of a thread wait for the next drain", exc_info=True)

    def _embed(self, appended: Appended) -> None:
        embedder = self.models.embedder
        if embedder is None:
            return
        try:
            space = self.space()
            if space is not None and embedder.local and not embed_appended(self.record, space, embedder, appended):
                _log.warning("the store's vectors were switched to another model; open it anew with that model")
        except Exception:  # noqa: BLE001 - a foreign model may raise anything, and the messages are safe already
            _log.warning("%d messages wait for their vectors", len(appended.written), exc_info=True)

    def question_vector(self, text: str) -> Vectors:
        """Give the unit vector of a question, within the deadline.

        Raises:
            EmbedderFailed: the model failed, is too slow, or has failed so often that it is left alone a while.
        """
        with _as_failure(EmbedderFailed), self._breakers.get_breaker("embedder"):
            return self._unit(self._ask(text))

    async def aquestion_vector(self, text: str) -> Vectors:
        """Do the same, a remote model being asked on the caller's loop."""
        embedder = self._embedder()
        if embedder.local:
            return self.question_vector(text)
        with _as_failure(EmbedderFailed):
            async with await self._async_breakers.get_breaker("embedder"):
                return self._unit(await asyncio.wait_for(embedder.aembed_query(text), self.models.seconds))

    def rerank(self, query: str, texts: Sequence[str]) -> list[Reranked]:
        """Give the texts that the reranker keeps, in its order, within the deadline.

        Raises:
            RerankerFailed: it failed, is too slow, or has failed so often that it is left alone a while.
        """
        reranker = self.models.reranker
        if reranker is None:
            raise RerankerFailed("there is no reranker")
        with _as_failure(RerankerFailed), self._breakers.get_breaker("reranker"):
            asked = self.opened.model_executor().submit(reranker.rerank, query, texts)
            return checked(asked.result(self.models.seconds), len(texts))

    @contextmanager
    def guarded(self, what: str, kind: type[KeepwellError]) -> Iterator[None]:
        """Raise whatever fails inside as an error of that kind; after failures in a row do not even try for a while."""
        with _as_failure(kind), self._breakers.get_breaker(what):
            yield

    def _ask(self, text: str) -> Vectors:
        embedder = self._embedder()
        if embedder.local:
            return embedder.embed_query(text)
        return self.opened.model_executor().submit(embedder.embed_query, text).result(self.models.seconds)

    def _unit(self, answer: object) -> Vectors:
        return unit_vector(answer, self._embedder().dimension)

    def _embedder(self) -> Embedder:
        if self.models.embedder is None:
            raise EmbedderFailed("there is no embedder")
        return self.models.embedder

    def _check_space(self) -> None:
        embedder = self.models.embedder
        active = self.record.read(ActiveSpace())
        if embedder is None or active is None:
            return
        if active.model != embedder.model or (embedder.local and active.dimension != embedder.dimension):
            raise EmbedderMismatch(
                f"this store's vectors were made by {active.model!r} ({active.dimension} numbers), not by "
                f"{embedder.model!r}; open it with that model, with embedder=None, or run: keepwell reembed"
            )
        self._space = active


@contextmanager
def _as_failure(kind: type[KeepwellError]) -> Iterator[None]:
    """Raise whatever a foreign model raises as an error of ours."""
    try:
        yield
    except kind:
        raise
    except (TimeoutError, FutureTimeout):
        raise kind("it gave no answer in time") from None
    except Exception as error:
        if type(error).__name__ == "OpenedState":  # the breaker's own, whose package is imported only when needed
            raise kind(f"it failed {_FAILURES} times and rests for {_REST_SECONDS:g} s") from None
        raise kind(f"{type(error).__name__}: {error}") from error


def _breakers() -> tuple[SyncCircuitBreakerFactory, AsyncCircuitBreakerFactory]:
    import purgatory  # noqa: PLC0415 - not at the import of keepwell, which is to be quick

    return (
        purgatory.SyncCircuitBreakerFactory(default_threshold=_FAILURES, default_ttl=_REST_SECONDS),
        purgatory.AsyncCircuitBreakerFactory(default_threshold=_FAILURES, default_ttl=_REST_SECONDS),
    )


def _drive(script: Script[R], write: Callable[[Write[Any]], Any]) -> R:
    answer: object = None  # to begin with
    while True:
        change, result = _advance(script, answer)
        if change is None:
            return result  # type: ignore[return-value]  # an ended script's result is what it returns
        answer = write(change)


def _advance(script: Script[R], answer: object) -> tuple[Write[Any] | None, R | None]:
    """Give a script's next write, or None and what it returns: no future may carry a ``StopIteration``."""
    try:
        return script.send(answer), None
    except StopIteration as end:
        return None, end.value
