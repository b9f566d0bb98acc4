"""The seam's operations on the items of key-value stores: see :mod:`keepwell.storage.base`.

An item is a fact of kind ``item`` whose key is its path (:mod:`keepwell.models.items`): each other value is a version,
each write a change, and forgetting, export and recall reach it as any fact. It differs in this: two may say the same;
putting what stands already only says that it was put again; nothing is rejected by deleting it, and a put asks no
rejection. Times of an item that are given (an import's) are those of the item; its history says when it came here.

An item past its time is there for no read. A put finds it gone, and begins anew, as its next version.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keepwell.models import ChangeKind, Owner
from keepwell.models.filters import Filter
from keepwell.models.items import Item
from keepwell.storage.base import Read, Write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ItemDraft:
    """What is to stand at an owner's path; a ``value`` of None: nothing.

    ``text`` is what it says of itself, by which it is found (``''``: by no query). ``vectors`` are unit vectors of
    that text's chunks; where there are none, embedding it is due work. ``ttl`` is in minutes, from this write on
    (unless ``expires_at`` says when).
    """

    owner: Owner
    path: str
    value: Mapping[str, Any] | None
    text: str = ""
    terms: str = ""
    signals: str = ""
    vectors: tuple[NDArray[np.float32], ...] = ()
    ttl: float | None = None
    expires_at: dt.datetime | None = None
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class PutItems(Write[tuple[ChangeKind, ...]]):
    """Let items stand, be other ones or be gone, all or none; gives what each came to.

    ADD, UPDATE, DELETE, or NONE: it stood like this already (it is put again: ``updated_at`` and its time to live are
    those of this write) or there was nothing to delete. Of one path there is one draft.
    """

    items: tuple[ItemDraft, ...]
    actor: str
    batch: UUID
    space: int | None = None


@dataclass(frozen=True, slots=True)
class KeepItems(Write[int]):
    """Let these items live on for their time to live from now, as far as they have one; counts them."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadItems(Read["tuple[Item | None, ...]"]):
    """The items at these places, each an owner's path, in order; None where there is nothing."""

    places: tuple[tuple[Owner, str], ...]


@dataclass(frozen=True, slots=True)
class FindItems(Read[tuple[Item, ...]]):
    """Items whose path begins with ``prefix``: of one owner, or of all of the tenant.

    Without ``terms`` and ``vector`` the one that was put last comes first. With them all that have a text come, the
    best first, each with its score (0 to 1): how near its nearest chunk is, and which of the terms it has, the rare
    ones counting more.
    """

    prefix: str
    owner: Owner | None = None
    where: Filter | None = None
    terms: tuple[str, ...] | None = None
    space: int | None = None
    vector: NDArray[np.float32] | None = field(default=None, compare=False)
    limit: int = 10
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ListNamespaces(Read["tuple[tuple[str, ...], ...]"]):
    """The namespaces of items whose path begins with ``prefix``, in the order of paths; of one owner, or of all."""

    prefix: str
    owner: Owner | None = None


__all__ = ["FindItems", "ItemDraft", "KeepItems", "ListNamespaces", "PutItems", "ReadItems"]
