"""A key-value store in the record: items in namespaces, which belong to people and are facts of theirs."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import uuid4

from keepwell.errors import EmbedderMismatch, KeepwellError, StoreError, UsageError
from keepwell.memory.engine import Engine
from keepwell.memory.twins import HasEngine, twin
from keepwell.memory.whose import Namespace, OwnerOf, Whose
from keepwell.models import Owner
from keepwell.models.filters import filter_of
from keepwell.models.items import Item, path_of, prefix_of
from keepwell.recall.analysis import analyse, analysed
from keepwell.recall.chunks import chunks
from keepwell.recall.fields import WHOLE, text_of
from keepwell.storage.facts import Expire
from keepwell.storage.items import FindItems, ItemDraft, KeepItems, ListNamespaces, PutItems, ReadItems

if TYPE_CHECKING:
    from keepwell.providers.embedding import Vectors

ACTOR: Final = "store"
"""Who makes the changes of items, in their history."""
_BATCH = 1000
"""So many items are put by one statement."""
_log = logging.getLogger("keepwell.items")


@dataclass(frozen=True, slots=True)
class GetItem:
    """Read an item; with ``keep`` one that has a time to live lives on from now."""

    namespace: Namespace
    key: str
    keep: bool = True


@dataclass(frozen=True, slots=True)
class SearchItems:
    """Find items in a namespace and below it: by their fields, and by a query in words."""

    namespace: Namespace = ()
    query: str | None = None
    where: Mapping[str, Any] | None = None
    limit: int = 10
    offset: int = 0
    keep: bool = True


@dataclass(frozen=True, slots=True)
class PutItem:
    """Put a value under a key, or with None take away what is there.

    It is found by the texts of ``fields`` (None: those of the store; ``()``: by no query). ``ttl`` is in minutes. The
    times are for what comes from elsewhere with times of its own.
    """

    namespace: Namespace
    key: str
    value: Mapping[str, Any] | None
    fields: Sequence[str] | None = None
    ttl: float | None = None
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class FindNamespaces:
    """List namespaces that begin and end so (``*`` is any label), cut to ``depth`` labels, each once, in order."""

    prefixes: tuple[Namespace, ...] = ()
    suffixes: tuple[Namespace, ...] = ()
    depth: int | None = None
    limit: int = 100
    offset: int = 0


ItemOp: TypeAlias = GetItem | SearchItems | PutItem | FindNamespaces
ItemAnswer: TypeAlias = Item | list[Item] | list[Namespace] | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """Operations with what was made ready for them outside of any connection."""

    ops: tuple[ItemOp, ...]
    drafts: tuple[ItemDraft, ...] = ()
    questions: Mapping[str, Vectors] = field(default_factory=dict)
    space: int | None = None


class Items:
    """Items of a key-value store that is part of a memory: each is a fact of its owner, with its history.

    Whose the items are is said once, here: ``owner`` is a template of namespaces (``("memories", "{user_id}")``) or a
    function from a namespace to ids; or they are one owner's. What fits no template is nobody's: it is served as the
    rest, and no person's recall sees it. ``fields`` are the texts by which items are found.

    Example:
        >>> notes = memory.items(owner=("notes", "{user_id}"))
        >>> notes.put(("notes", "ada"), "drink", {"text": "Ada drinks tea"})
        >>> notes.get(("notes", "ada"), "drink").value
        {'text': 'Ada drinks tea'}
        >>> [one.key for one in notes.search(("notes",), query="what does she drink?")]
        ['drink']
    """

    def __init__(self, memory: HasEngine, whose: Whose, fields: Sequence[str] = (WHOLE,)) -> None:
        """Made by ``Memory.items``."""
        self.memory = memory
        self._whose = whose
        self._fields = tuple(fields)

    @property
    def _engine(self) -> Engine:
        return self.memory._engine  # noqa: SLF001 - the objects of the face share it

    def get(self, namespace: Namespace, key: str, *, keep: bool = True) -> Item | None:
        """Give an item, or None; with ``keep`` one that has a time to live lives on from now."""
        (found,) = self.perform((GetItem(tuple(namespace), key, keep),))
        return found  # type: ignore[return-value]  # that is what a GetItem gives

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        *,
        fields: Sequence[str] | None = None,
        ttl: float | None = None,
        connection: object = None,
    ) -> None:
        """Put a value under a key; what was there before is kept in its history.

        Raises:
            UsageError: namespace and key are too long, or the namespace is empty.
        """
        self.perform((PutItem(tuple(namespace), key, value, fields, ttl),), connection=connection)

    def delete(self, namespace: Namespace, key: str, *, connection: object = None) -> None:
        """Take an item away; its history stays, until its owner is forgotten."""
        self.perform((PutItem(tuple(namespace), key, None),), connection=connection)

    def search(
        self,
        namespace: Namespace = (),
        *,
        query: str | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        keep: bool = True,
    ) -> list[Item]:
        """Give a page of the items in a namespace and below it: the best first, or without a query the newest.

        Raises:
            InvalidQuery: the filter is none.
        """
        (found,) = self.perform((SearchItems(tuple(namespace), query, where, limit, offset, keep),))
        return found  # type: ignore[return-value]  # that is what a SearchItems gives

    def namespaces(self, prefix: Namespace = (), *, depth: int | None = None, limit: int = 100) -> list[Namespace]:
        """Give the namespaces that begin so."""
        (found,) = self.perform((FindNamespaces((tuple(prefix),), (), depth, limit),))
        return found  # type: ignore[return-value]  # that is what a FindNamespaces gives

    def sweep(self) -> int:
        """Forget what is past its time, for good: items, and other facts and messages as well; count them.

        Whoever drains the memory does this; no read sees those items before.
        """
        counts = self._engine.record.write(Expire()).counts
        return counts.get("facts", 0) + counts.get("messages", 0)

    aget = twin(get)
    asweep = twin(sweep)
    asearch = twin(search)
    adelete = twin(delete)
    anamespaces = twin(namespaces)

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        *,
        fields: Sequence[str] | None = None,
        ttl: float | None = None,
        connection: object = None,
    ) -> None:
        """Do what ``put`` does, without holding up the loop."""
        await self.aperform((PutItem(tuple(namespace), key, value, fields, ttl),), connection=connection)

    def perform(self, ops: Iterable[ItemOp], *, connection: object = None) -> list[ItemAnswer]:
        """Carry out operations, and give their answers in order.

        What is read is as it was before the puts among them; of one key the last put counts. Texts are embedded
        before anything else, where no connection waits for it.
        """
        asked, texts = self._begin(tuple(ops))
        if texts:
            asked = self._embedded(asked, texts, self._vectors(texts))
        questions = {query: vector for query in _queries(asked) if (vector := self._question(query)) is not None}
        return self._perform(replace(asked, questions=questions), connection=connection)

    async def aperform(self, ops: Iterable[ItemOp], *, connection: object = None) -> list[ItemAnswer]:
        """Do what ``perform`` does, without holding up the loop; models that can be awaited are."""
        asked, texts = self._begin(tuple(ops))
        if texts:
            asked = self._embedded(asked, texts, await self._avectors(texts))
        found = [(query, await self._aquestion(query)) for query in _queries(asked)]
        questions = {query: vector for query, vector in found if vector is not None}
        return await self._aperform(replace(asked, questions=questions), connection=connection)

    # Parts of the verbs

    def _begin(self, ops: tuple[ItemOp, ...]) -> tuple[_Asked, list[str]]:
        """Give the drafts of what is to be put, and the texts to embed, each once."""
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutItem)}
        drafts = tuple(map(self._draft, puts.values()))
        texts: list[str] = []
        if self._engine.models.embedder is not None:
            texts = list(dict.fromkeys(piece for draft in drafts if draft.terms for piece in chunks(draft.text)))
        return _Asked(ops, drafts), texts

    def _draft(self, op: PutItem) -> ItemDraft:
        if not op.namespace:
            raise UsageError("an item is put in a namespace that has a label at least")
        owner, path = self._place(op.namespace, op.key)
        if op.value is None:
            return ItemDraft(owner, path, None)
        text = text_of(op.value, self._fields if op.fields is None else op.fields)
        times = (op.expires_at, op.created_at, op.updated_at)
        told = analysed(text, self._engine.language)
        return ItemDraft(owner, path, dict(op.value), text, told.terms, told.signals, (), op.ttl, *times)

    def _place(self, namespace: Namespace, key: str) -> tuple[Owner, str]:
        return self._whose.owner_of(namespace), path_of(self._whose.tree, namespace, key)

    def _embedded(self, asked: _Asked, texts: list[str], vectors: tuple[Vectors, int] | None) -> _Asked:
        if vectors is None:
            return asked
        rows = dict(zip(texts, vectors[0], strict=True))
        drafts = tuple(
            replace(draft, vectors=tuple(rows[piece] for piece in chunks(draft.text))) if draft.terms else draft
            for draft in asked.drafts
        )
        return replace(asked, drafts=drafts, space=vectors[1])

    def _vectors(self, texts: list[str]) -> tuple[Vectors, int] | None:
        """Give the vectors of texts with the number of their space; None where they have to be made later."""
        try:
            space = self._engine.space()
            return None if space is None else (self._engine.unit_vectors(texts), space.key)
        except KeepwellError as error:
            _later(texts, error)
            return None

    async def _avectors(self, texts: list[str]) -> tuple[Vectors, int] | None:
        try:
            space = await self._engine.run(self._engine.space)
            return None if space is None else (await self._engine.aunit_vectors(texts), space.key)
        except KeepwellError as error:
            _later(texts, error)
            return None

    def _question(self, query: str) -> Vectors | None:
        try:
            return None if self._engine.models.embedder is None else self._engine.question_vector(query)
        except KeepwellError as error:
            _without(error)
            return None

    async def _aquestion(self, query: str) -> Vectors | None:
        try:
            return None if self._engine.models.embedder is None else await self._engine.aquestion_vector(query)
        except KeepwellError as error:
            _without(error)
            return None

    def _perform(self, asked: _Asked, *, connection: object = None) -> list[ItemAnswer]:
        answers: list[ItemAnswer] = [None] * len(asked.ops)
        gets = [(n, op) for n, op in enumerate(asked.ops) if isinstance(op, GetItem)]
        if gets:
            places = tuple(self._place(op.namespace, op.key) for _, op in gets)
            found: tuple[Item | None, ...] = self._engine.record.read(ReadItems(places))
            for (n, _), one in zip(gets, found, strict=True):
                answers[n] = one
        for n, op in enumerate(asked.ops):
            if isinstance(op, SearchItems):
                answers[n] = self._search(op, asked.questions)
            elif isinstance(op, FindNamespaces):
                answers[n] = self._namespaces(op)
        self._keep(asked.ops, answers)
        self._write(asked, connection)
        return answers

    _aperform = twin(_perform)

    def _search(self, op: SearchItems, questions: Mapping[str, Vectors]) -> list[Item]:
        if op.limit <= 0:
            return []
        query = FindItems(
            prefix_of(self._whose.tree, op.namespace),
            self._whose.owner_below(op.namespace),
            None if not op.where else filter_of(op.where),
            limit=op.limit,
            offset=max(0, op.offset),
        )
        if (op.query or "").strip():
            vector = questions.get(op.query or "")
            space = None if vector is None else self._space()
            words = tuple(analyse(op.query or "", self._engine.language).split())
            query = replace(query, terms=words, space=space, vector=None if space is None else vector)
        found: tuple[Item, ...] = self._engine.record.read(query)
        return list(found)

    def _space(self) -> int | None:
        try:
            space = self._engine.known_space()
        except EmbedderMismatch as error:
            _without(error)
            return None
        return None if space is None else space.key

    def _namespaces(self, op: FindNamespaces) -> list[Namespace]:
        known = max((_plain(prefix) for prefix in op.prefixes), key=len, default=())
        query = ListNamespaces(prefix_of(self._whose.tree, known), self._whose.owner_below(known))
        found = [
            space
            for space in self._engine.record.read(query)
            if all(_matches(space[: len(prefix)], prefix) for prefix in op.prefixes)
            and all(_matches(space[max(0, len(space) - len(suffix)) :], suffix) for suffix in op.suffixes)
        ]
        cut = sorted({space[: op.depth] if op.depth is not None else space for space in found})
        return cut[op.offset : op.offset + op.limit]

    def _keep(self, ops: Sequence[ItemOp], answers: Sequence[ItemAnswer]) -> None:
        """Let what was read live on, where it has a time to live; a store that can only be read lets it be."""
        found = [
            one
            for op, answer in zip(ops, answers, strict=True)
            if isinstance(op, GetItem | SearchItems) and op.keep
            for one in (answer if isinstance(answer, list) else [answer])
        ]
        numbers = tuple({one.number for one in found if isinstance(one, Item) and one.ttl is not None})
        if not numbers:
            return
        try:
            self._engine.record.write(KeepItems(numbers))
        except StoreError as error:
            _log.info("%d items were read and do not live longer for it: %s", len(numbers), error)

    def _write(self, asked: _Asked, connection: object) -> None:
        batch = uuid4()
        for start in range(0, len(asked.drafts), _BATCH):
            drafts = asked.drafts[start : start + _BATCH]
            self._engine.write(PutItems(drafts, ACTOR, batch, asked.space), connection)


def _queries(asked: _Asked) -> list[str]:
    """Give what is searched for, each once."""
    return list(dict.fromkeys(op.query for op in asked.ops if isinstance(op, SearchItems) and (op.query or "").strip()))  # type: ignore[misc]  # those that are None are left out


def _plain(prefix: Namespace) -> Namespace:
    """Give the labels before the first that may be any."""
    return prefix[: prefix.index("*")] if "*" in prefix else prefix


def _matches(labels: Namespace, pattern: Namespace) -> bool:
    return len(labels) == len(pattern) and all(want in ("*", have) for have, want in zip(labels, pattern, strict=True))


def _later(texts: Sequence[str], error: KeepwellError) -> None:
    _log.warning("%d texts of items wait for their vectors: %s", len(texts), error)


def _without(error: KeepwellError) -> None:
    _log.info("items are searched without vectors: %s", error)


def items_of(
    memory: HasEngine,
    owner: OwnerOf | None,
    ids: Mapping[str, str | None],
    fields: Sequence[str],
) -> Items:
    """Give the items of a memory; see ``Memory.items``."""
    return Items(memory, Whose.of(owner, ids), fields)
