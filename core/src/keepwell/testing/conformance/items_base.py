"""Words to write promises about the items of stores with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from keepwell.models import ChangeKind, Owner
from keepwell.models.filters import filter_of
from keepwell.models.items import SHARED, Item, path_of, prefix_of
from keepwell.storage.base import Record
from keepwell.storage.items import FindItems, ItemDraft, ListNamespaces, PutItems, ReadItems
from keepwell.testing.conformance.base import ADA

SPACE = ("notes", "ada")


def item(key: str, value: Any, *, namespace: Sequence[str] = SPACE, owner: Owner = ADA, **fields: Any) -> ItemDraft:  # noqa: ANN401 - a value, fields of ItemDraft
    """Give the draft of an item, which says what its field ``text`` says; a text alone is the value of that field."""
    if isinstance(value, str):
        value = {"text": value}
    text = str((value or {}).get("text", ""))
    words = {"text": text, "terms": " ".join(text.lower().split())}
    return ItemDraft(owner, path_of(SHARED, namespace, key), value, **{**words, **fields})


def put(record: Record, *items: ItemDraft, space: int | None = None) -> tuple[ChangeKind, ...]:
    """Put items."""
    return record.write(PutItems(items, "tests", uuid4(), space))


def get(record: Record, key: str, *, namespace: Sequence[str] = SPACE, owner: Owner = ADA) -> Item | None:
    """Give an item, or None."""
    (found,) = record.read(ReadItems(((owner, path_of(SHARED, namespace, key)),)))
    return found


def got(record: Record, key: str, **place: Any) -> Item:  # noqa: ANN401 - as for get
    """Give an item that must be there."""
    found = get(record, key, **place)
    assert found is not None, f"there is no item {key!r}"
    return found


def find(
    record: Record,
    namespace: Sequence[str] = SPACE,
    *,
    owner: Owner | None = ADA,
    where: dict[str, Any] | None = None,
    **asked: Any,  # noqa: ANN401 - fields of FindItems
) -> list[str]:
    """Give the keys of the items that are found, a hundred at most."""
    condition = None if where is None else filter_of(where)
    query = FindItems(prefix_of(SHARED, namespace), owner, condition, **{"limit": 100, **asked})
    return [found.key for found in record.read(query)]


def spaces(record: Record, namespace: Sequence[str] = (), owner: Owner | None = ADA) -> list[tuple[str, ...]]:
    """Give the namespaces below one."""
    found: tuple[tuple[str, ...], ...] = record.read(ListNamespaces(prefix_of(SHARED, namespace), owner))
    return list(found)
