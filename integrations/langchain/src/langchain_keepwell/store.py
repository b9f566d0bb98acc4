"""A LangGraph store whose items are memory: in the same record, with history, forgetting and recall."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

import keepwell
from keepwell import FindNamespaces, GetItem, Items, PutItem, SearchItems, default_memory, label, unlabel
from langchain_keepwell.failopen import FAILURES

if TYPE_CHECKING:
    from keepwell import Memory

__all__ = ["KeepwellStore", "label", "unlabel"]
_log = logging.getLogger("langchain_keepwell")
OwnerOf: TypeAlias = tuple[str, ...] | Callable[[tuple[str, ...]], Mapping[str, str] | None]


class KeepwellStore(BaseStore):
    """LangGraph's store in a memory of keepwell: each item is a fact of its owner, in a namespace and under a key.

    Whose the items are is said once, here, and nowhere else: by a template of namespaces
    (``owner=("memories", "{user_id}")``; an id in it is read by :func:`unlabel`), by a function from a namespace to
    ids, or as one owner's (``user_id="ada"``). Namespaces that name nobody are served as well; what lies there is no
    person's memory. ``fields`` are what items are found by (``index=`` of a put goes before). ``ttl`` is LangGraph's
    own setting: minutes, as fractions too.

    A search by a query takes vectors and words; where the store fails it gives nothing and a line in the log, unless
    ``strict`` is set. All else raises: who reads a value to change it must not take a failure for an absence.

    Example:
        >>> store = KeepwellStore(memory, owner=("memories", "{user_id}"))
        >>> store.put(("memories", "ada"), "drink", {"content": "Ada drinks tea"})
        >>> store.get(("memories", "ada"), "drink").value
        {'content': 'Ada drinks tea'}
        >>> [one.key for one in store.search(("memories", "ada"), query="which drink?")]
        ['drink']
        >>> [found.text for found in memory.scope(user_id="ada").recall("tea")]
        ['Ada drinks tea']
    """

    supports_ttl = True

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        owner: OwnerOf | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        fields: Sequence[str] = ("$",),
        ttl: TTLConfig | None = None,
        strict: bool = False,
    ) -> None:
        """Bind a memory (without one: the default of the settings, when it is first needed) and whose the items are.

        Raises:
            UsageError: both or neither of an owner and ids was given, or the template names no id.
        """
        self.ttl_config = ttl
        self._given: dict[str, Any] = {
            "owner": owner, "user_id": user_id, "agent_id": agent_id, "run_id": run_id, "fields": tuple(fields),
        }  # fmt: skip
        self._strict = strict
        self._items: Items | None = None if memory is None else memory.items(**self._given)

    @property
    def items(self) -> Items:
        """What it works with; opens the default store where none was given."""
        if self._items is None:
            self._items = default_memory().items(**self._given)
        return self._items

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations; what is read is as it was before the puts among them, and the last put of a key counts.

        Raises:
            InvalidNamespaceError: a label is one that LangGraph refuses; see :func:`label`.
        """
        given = list(ops)
        asked = [_asked(op) for op in given]
        try:
            return _answers(given, self.items.perform(asked))
        except FAILURES as error:
            return self._nothing(given, error)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what ``batch`` does, without holding up the loop; it may be called from any."""
        given = list(ops)
        asked = [_asked(op) for op in given]
        items = self._items if self._items is not None else await asyncio.to_thread(lambda: self.items)
        try:
            return _answers(given, await items.aperform(asked))
        except FAILURES as error:
            return self._nothing(given, error)

    def sweep_ttl(self) -> int:
        """Forget, with their history, items that are past their time; count them.

        They are there for no read before that. Workers and ``Memory.drain`` do this by themselves.
        """
        return self.items.sweep()

    async def asweep_ttl(self) -> int:
        """Do what ``sweep_ttl`` does, without holding up the loop."""
        items = self._items if self._items is not None else await asyncio.to_thread(lambda: self.items)
        return await items.asweep()

    def _nothing(self, ops: Sequence[Op], error: Exception) -> list[Result]:
        """Give nothing for searches by a query; raise where anything else was asked."""
        if self._strict or not all(isinstance(op, SearchOp) and op.query for op in ops):
            raise error
        _log.warning("nothing is found: %s", error)
        return [[] for _ in ops]


def _asked(op: Op) -> keepwell.ItemOp:
    validate_op_namespace(op)
    match op:
        case GetOp(namespace, key, refresh):
            return GetItem(tuple(namespace), _key(key), refresh)
        case SearchOp():
            return SearchItems(tuple(op.namespace_prefix), op.query, op.filter, op.limit, op.offset, op.refresh_ttl)
        case PutOp(namespace, key, value, index, ttl):
            if not namespace:
                raise InvalidNamespaceError("a namespace needs a label at least")
            fields = () if index is False else None if index is None else tuple(index)
            return PutItem(tuple(namespace), _key(key), value, fields, None if ttl is None else float(ttl))
        case ListNamespacesOp():
            said = op.match_conditions or ()
            prefixes, suffixes = (
                tuple(tuple(one.path) for one in said if one.match_type == kind) for kind in ("prefix", "suffix")
            )
            return FindNamespaces(prefixes, suffixes, op.max_depth, op.limit, op.offset)
    assert_never(op)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key of an item is text, not {type(key).__name__}")
    return key


def _answers(ops: Sequence[Op], found: Sequence[keepwell.ItemAnswer]) -> list[Result]:
    return [_answer(op, one) for op, one in zip(ops, found, strict=True)]


def _answer(op: Op, found: keepwell.ItemAnswer) -> Result:
    if isinstance(found, keepwell.Item):
        return Item(
            value=dict(found.value),
            key=found.key,
            namespace=found.namespace,
            created_at=found.created_at,
            updated_at=found.updated_at,
        )
    if isinstance(op, SearchOp):
        return [_hit(one) for one in found or () if isinstance(one, keepwell.Item)]
    return None if found is None else [one for one in found if isinstance(one, tuple)]


def _hit(item: keepwell.Item) -> SearchItem:
    return SearchItem(
        namespace=item.namespace,
        key=item.key,
        value=dict(item.value),
        created_at=item.created_at,
        updated_at=item.updated_at,
        score=item.score,
    )
