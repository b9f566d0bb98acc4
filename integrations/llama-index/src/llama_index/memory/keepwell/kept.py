"""One conversation as LlamaIndex's chat stores see it: messages by key, of which the oldest are archived.

What is archived is noted in the thread's metadata, as spans of ``seq``; messages themselves do not change. Each
change that depends on what was read before is made under the thread's lock, and made anew where somebody else was
quicker, so that many workers can share a conversation.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from keepwell import Memory, Message, ScopedMemory, Thread, errors
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.memory.keepwell.door import FAILURES, Door
from llama_index.memory.keepwell.epochs import Hidden
from llama_index.memory.keepwell.messages import content_digest, to_chat_message, to_message

ARCHIVED: Final = "llama_index.archived"
"""The key in a thread's metadata."""
_TRIES = 50
_UNREADABLE = "the history cannot be read; what waits to be written is given"
_log = logging.getLogger("llama_index.memory.keepwell")


@dataclass(frozen=True, slots=True)
class Archived:
    """Which messages of a thread are archived: spans of ``seq``, both ends included, in order and apart."""

    spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, thread: Thread | None) -> Self:
        """Read it from a thread's metadata; nothing where somebody else wrote there."""
        noted = None if thread is None else thread.metadata.get(ARCHIVED)
        try:
            return cls(tuple((int(first), int(last)) for first, last in noted or ()))
        except (TypeError, ValueError):
            return cls()

    @property
    def floor(self) -> int:
        """The last ``seq`` of the span that the thread begins with; 0 where there is none."""
        return self.spans[0][1] if self.spans and self.spans[0][0] == 1 else 0

    @property
    def aside(self) -> Self:
        """What is archived apart from that span."""
        return type(self)(self.spans[1:] if self.floor else self.spans)

    def has(self, message: Message) -> bool:
        """Tell whether a message is archived."""
        return any(first <= _seq(message) <= last for first, last in self.spans)

    def with_span(self, first: int, last: int) -> Self:
        """Give it with one span more."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*self.spans, (first, last)]):
            if merged and start <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return type(self)(tuple(merged))

    def note(self) -> dict[str, Any]:
        """Give it as metadata; None removes the key."""
        return {ARCHIVED: [list(span) for span in self.spans] or None}


@dataclass(frozen=True, slots=True)
class Pages:
    """What was read: messages, oldest first, and up to which ``seq`` the thread was archived then."""

    messages: Sequence[Message]
    floor: int = 0


class Conversation:
    """The messages of one key: read, put at the end, replaced, archived and deleted."""

    def __init__(self, door: Door, memory: Memory, key: str) -> None:
        """Bind the key to the thread of that id."""
        self._door = door
        self._memory = memory
        self._view: ScopedMemory = door.view()
        self._thread = self._view.thread(key)

    # Reading

    def read(self, *, active: bool | None = True, limit: int | None = None, offset: int | None = None) -> Pages:
        """Give the active messages, the archived ones, or (None) all; what waits to be written is active."""
        try:
            pages = self._stored(active=active)
        except FAILURES as error:
            self._door.survive(error, _UNREADABLE)
            pages = Pages([])
        found = pages.messages if active is False else self._with_held(pages.messages)
        start = max(0, offset or 0)
        return Pages(found[start : None if limit is None else start + max(0, limit)], pages.floor)

    def count(self, *, active: bool | None = True) -> int:
        """Count messages; only those that the thread's own count cannot tell apart are read for it."""
        try:
            known = self._thread.info()
        except FAILURES as error:
            self._door.survive(error, _UNREADABLE)
            known = None
        held = len(self._memory.holding.messages(self._thread))
        total = 0 if known is None else known.message_count
        if Hidden.of(known).spans:
            return len(self.read(active=active).messages)
        if active is None or not Archived.of(known).spans:
            return 0 if active is False else total + held
        standing = len(self.read().messages)
        return standing if active else total + held - standing

    # Writing

    def append(self, messages: Sequence[ChatMessage], *, archived: bool = False) -> None:
        """Put messages at the end: all of them, in order, or none; no messages change nothing.

        Raises:
            StoreError: the store fails, and the door is strict or the messages were to be archived at once.
        """
        batch = [to_message(message) for message in messages]
        if not batch:
            return
        if archived:
            self._append_archived(batch)
        elif self._door.strict:
            self._thread.append(*batch)
        else:
            self._memory.holding.append(self._thread, batch)

    def replace(self, messages: Sequence[ChatMessage], *, archived: bool = False) -> None:
        """Make this the whole conversation, in one transaction; what it begins with already stays as it is.

        Raises:
            StoreError: the store fails, strict or not: the conversation is as it was before.
            Conflict: others write to it without a pause.
        """
        batch = [to_message(message) for message in messages]
        for _ in range(_TRIES):
            known = self._thread.info()
            stored = Hidden.of(known).shown(self._thread.messages()) if known else []
            same = 0 if archived or Archived.of(known).spans else _shared(stored, batch)
            if same == len(stored) == len(batch) or self._exchanged(known, stored[same:], batch[same:], archived):
                self._memory.holding.discard(self._thread)
                return
        raise errors.Conflict("the conversation is being written to without a pause; it was not replaced")

    def archive_oldest(self, count: int, floor: int | None) -> Pages:
        """Archive the oldest active messages, and give those that nobody else had archived.

        ``floor`` says up to where the thread was archived when the caller looked: the messages counted are those
        that it saw then. So two workers that saw the same messages archive them once.

        Raises:
            StoreError: the store fails, strict or not.
            Conflict: others archive it without a pause.
        """
        for _ in range(_TRIES):
            info = self._thread.info()
            known = Archived.of(info)
            seen = known.floor if floor is None else floor
            oldest = self._oldest(known, Hidden.of(info), seen, count)
            fresh = [message for message in oldest if _seq(message) > known.floor]
            last = _seq(oldest[-1]) if oldest else seen
            if not fresh or self._noted(known, known.with_span(1, last)):
                return Pages(fresh, last)
        raise errors.Conflict("the conversation is being archived by others without a pause; nothing was archived")

    def delete_oldest(self, count: int) -> Sequence[Message]:
        """Delete the oldest active messages, and give them."""
        return self._deleted(self._stored(active=True).messages[: max(0, count)])

    def delete_at(self, place: int, *, active: bool | None = True) -> Message | None:
        """Delete the message of that place in what ``read`` gives, and give it; None where there is none."""
        stored = self._stored(active=active).messages
        gone = self._deleted(stored[place : place + 1] if place >= 0 else [])
        return gone[0] if gone else None

    def delete_last(self) -> Message | None:
        """Delete the newest message, and give it; None where there is none."""
        gone = self._deleted(Hidden.of(self._thread.info()).shown(self._thread.messages(last=1)))
        return gone[0] if gone else None

    def delete(self, *, active: bool | None = None) -> None:
        """Delete the active messages, the archived ones, or (None) the thread and all that hangs on it."""
        if active is not None:
            self._deleted(self._stored(active=active).messages)
        else:
            try:
                self._view.forget(self._thread)
            except errors.NotFound:
                _log.debug("there is no conversation %r to delete", self._thread.id)
        if active is not False:
            self._memory.holding.discard(self._thread)

    # Parts of the verbs

    def _stored(self, *, active: bool | None) -> Pages:
        known = self._thread.info()
        archived, shown = Archived.of(known), Hidden.of(known).shown
        if known is None or (active is False and not archived.spans):
            return Pages([])
        if active is None:
            return Pages(shown(self._thread.messages()))
        if active:
            found = shown(self._thread.messages(after=archived.floor))
            return Pages([message for message in found if not archived.has(message)], archived.floor)
        found = shown(self._thread.messages(before=archived.spans[-1][1] + 1))
        return Pages([message for message in found if archived.has(message)], archived.floor)

    def _oldest(self, archived: Archived, hidden: Hidden, seen: int, count: int) -> Sequence[Message]:
        """Give the oldest messages behind what was archived then; those that were archived by themselves are not."""
        if count < 1:
            return []
        aside = archived.aside
        more = sum(last - first + 1 for first, last in (*aside.spans, *hidden.spans))
        found = hidden.shown(self._thread.messages(after=seen, limit=count + more))
        return [message for message in found if not aside.has(message)][:count]

    def _with_held(self, stored: Sequence[Message]) -> Sequence[Message]:
        """Put what waits to be written behind what is stored: it was said later."""
        held = self._memory.holding.messages(self._thread)
        known = {message.id for message in stored} if held else set()
        return [*stored, *(message for message in held if message.id not in known)]

    def _append_archived(self, batch: Sequence[Message]) -> None:
        with self._memory.transaction() as connection:
            self._write_archived(batch, connection)

    def _write_archived(self, batch: Sequence[Message], connection: object) -> None:
        places = [_seq(message) for message in self._thread.append(*batch, connection=connection)]
        now = Archived.of(self._thread.update(connection=connection))
        self._thread.update(metadata=now.with_span(places[0], places[-1]).note(), connection=connection)

    def _exchanged(self, known: Thread | None, gone: Sequence[Message], new: Sequence[Message], archived: bool) -> bool:
        """Put new messages in the place of old ones; False where the thread is not as it was known any more."""
        try:
            with self._memory.transaction() as connection:
                if not self._held_as(known, connection):
                    return False
                if gone:
                    self._thread.delete(*gone, connection=connection)
                if new and archived:
                    self._write_archived(new, connection)
                elif new:
                    self._thread.append(*new, connection=connection)
        except (errors.ThreadNotFound, errors.ThreadExists):  # it went, or came, since it was looked for
            return False
        return True

    def _held_as(self, known: Thread | None, connection: object) -> bool:
        """Take the thread's lock, made where there was none, and tell whether it is still as it was known."""
        if known is None:
            self._thread.create(connection=connection)
            return True
        held = self._thread.update(connection=connection)
        if (held.key, held.last_seq, held.message_count) != (known.key, known.last_seq, known.message_count):
            return False
        if ARCHIVED in held.metadata:
            self._thread.update(metadata={ARCHIVED: None}, connection=connection)
        return True

    def _noted(self, before: Archived, after: Archived) -> bool:
        """Note what is archived; False where somebody else noted something meanwhile."""
        with self._memory.transaction() as connection:
            held = Archived.of(self._thread.update(connection=connection))  # takes the thread's lock
            if held == before:
                self._thread.update(metadata=after.note(), connection=connection)
        return held == before

    def _deleted(self, messages: Sequence[Message]) -> Sequence[Message]:
        if messages:
            self._thread.delete(*messages)
        return messages


def given(messages: Sequence[Message]) -> list[ChatMessage]:
    """Give messages as LlamaIndex's; one that cannot be read is named, and the others are there all the same."""
    return [_readable(message) for message in messages]


def _readable(message: Message) -> ChatMessage:
    try:
        return to_chat_message(message)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        _log.warning("message %s cannot be read: %s: %s", message.id, type(error).__name__, error)
        known = message.role if message.role in MessageRole._value2member_map_ else MessageRole.USER
        return ChatMessage(role=MessageRole(known), content="[a message that cannot be read]")


def _shared(stored: Sequence[Message], wanted: Sequence[Message]) -> int:
    """Give how many messages two histories have in common from their beginning, as LlamaIndex sees them."""
    pairs = zip(given(stored[: len(wanted)]), given(wanted), strict=False)
    unlike = (place for place, (one, other) in enumerate(pairs) if content_digest(one) != content_digest(other))
    return next(unlike, min(len(stored), len(wanted)))


def _seq(message: Message) -> int:
    return message.seq or 0
