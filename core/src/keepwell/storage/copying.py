"""The seam's operations that carry a tenant from one store to another: what no other operation tells or takes.

Facts, history and policies go by the operations that there are for them (:mod:`keepwell.storage.facts`), vectors by
:class:`~keepwell.storage.base.PutVectors`. Keys of threads are kept; messages and facts get numbers of their new store.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from keepwell.models import Message, Owner, Scope, Thread
from keepwell.storage.base import Read, Write


@dataclass(frozen=True, slots=True)
class ThreadCopy:
    """A thread with its watermark, when it is due to be formed, and its own policy.

    ``seen_to``: up to this ``seq`` its messages were looked through for names. Who keeps the thread does not keep that:
    see :class:`~keepwell.storage.graph_copying.KeepSeen`.
    """

    thread: Thread
    formed_to: int = 0
    due_at: dt.datetime | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    seen_to: int = 0


@dataclass(frozen=True, slots=True)
class MessageCopy:
    """A message with what its store noted on it; ``message`` has its ``seq``.

    ``again``: it is to be formed again; ``parked``: why it could not be, and since when.
    """

    message: Message
    terms: str
    signals: str
    recorded_at: dt.datetime
    again: bool = False
    parked: tuple[str, dt.datetime] | None = None


@dataclass(frozen=True, slots=True)
class RejectionCopy:
    """A rejection with its hash, which says something only under the secret of its tenant."""

    view: Scope
    hash: bytes
    at: dt.datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReadThreadCopies(Read[tuple[ThreadCopy, ...]]):
    """The tenant's threads in the order of their keys, after one."""

    after: UUID | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ReadMessageCopies(Read[tuple[MessageCopy, ...]]):
    """A thread's messages in their order, after a ``seq``."""

    thread: UUID
    after: int = 0
    limit: int = 500


@dataclass(frozen=True, slots=True)
class ReadRejectionCopies(Read[tuple[RejectionCopy, ...]]):
    """The tenant's rejections, oldest first."""


@dataclass(frozen=True, slots=True)
class KeepThreadCopy(Write[bool]):
    """Keep a thread under its own key, or bring one that is there up to date; tells whether it is new.

    ``message_count`` stays the number of messages that are there. :class:`~keepwell.errors.ThreadExists` where its
    owner has a thread of that id under another key, or somebody else one of that key.
    """

    copy: ThreadCopy


@dataclass(frozen=True, slots=True)
class KeepMessageCopies(Write[int]):
    """Keep messages of a thread under their own ``seq``; what is there already, by id, stays. Counts the new.

    They are posted, and their vectors are due, as those of an append.
    """

    owner: Owner
    thread: UUID
    rows: tuple[MessageCopy, ...]


@dataclass(frozen=True, slots=True)
class KeepSecret(Write[bool]):
    """Take over the secret under which rejections are hashed; False where something was rejected under another one."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeepRejectionCopies(Write[int]):
    """Keep rejections; what is there already (by view and hash) is left as it is. Counts the new."""

    rows: tuple[RejectionCopy, ...]
