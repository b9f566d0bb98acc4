"""Chat stores for those who keep LlamaIndex's own memories: conversations by key, kept in a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import ConfigDict

from keepwell import Owner
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from llama_index.memory.keepwell.door import FAILURES, Door, Owned
from llama_index.memory.keepwell.kept import Conversation, Pages, given
from llama_index.memory.keepwell.state import PREFIX

T = TypeVar("T")
Place: TypeAlias = tuple[str, str | None, Owner, str]

_SEEN: Final[ContextVar[tuple[Place, int] | None]] = ContextVar("keepwell_seen", default=None)
"""Which conversation this task read last, and up to where it was archived then.

LlamaIndex's memory reads the active messages, decides how many are too many, and asks for that *number* to be
archived. Two workers that do so at once would archive twice as many, so the number is taken to speak of what
the same task read.
"""


class KeepwellChatStore(Owned, AsyncDBChatStore):
    """The conversations of one owner, for LlamaIndex's ``Memory(chat_store=...)``; a key is a thread's id.

    A batch and a whole history are written in one transaction. What ``Memory`` archives is still there: it is
    recalled, and ``get_messages(key, status=None)`` gives it. Any number of workers may share a conversation.
    A message that cannot be decoded any more is named in its place and does not hide the others.

    With ``strict=False`` the store may fail and the conversation goes on: what cannot be written is held in this
    process and tried again before the next write, and a history that cannot be read gives what is held.
    ``strict=True`` raises. Replacing, archiving and deleting always raise, and so does opening a store.

    Args:
        memory: the store; the default one of the settings where it is not given.
        user_id: whose conversations they are; at least one of the three ids is needed.
        agent_id: which agent's.
        run_id: of which run.
        strict: whether failures of the store are raised.

    Raises:
        InvalidScope: the ids name nobody.

    Example:
        >>> import asyncio
        >>> store = KeepwellChatStore(memory, user_id="ada")
        >>> asyncio.run(store.add_message("holiday", ChatMessage("I can't eat peanuts.")))
        >>> [message.content for message in asyncio.run(store.get_messages("holiday"))]
        ["I can't eat peanuts."]
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def class_name(cls) -> str:
        """Give the name that LlamaIndex knows it by."""
        return "KeepwellChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Give the messages of that status (all where it is None), oldest first; fresh copies."""
        active = _active(status)
        pages = await self._run(key, lambda kept: kept.read(active=active, limit=limit, offset=offset))
        if active:
            _SEEN.set((self._place(key), pages.floor))
        return given(pages.messages)

    async def count_messages(self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE) -> int:
        """Count the messages of that status (all where it is None)."""
        return await self._run(key, lambda kept: kept.count(active=_active(status)))

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE) -> None:
        """Put a message at the end."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Put messages at the end: all of them, in order, or none. No messages change nothing."""
        await self._run(key, lambda kept: kept.append(messages, archived=_is_archived(status)))

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Make these the whole conversation, in one transaction: whoever reads finds the old one or the new one."""
        await self._run(key, lambda kept: kept.replace(messages, archived=_is_archived(status)))

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message of that place (from 0) in what ``get_messages`` gives, and give it; None if none is."""
        gone = await self._run(key, lambda kept: kept.delete_at(idx))
        return None if gone is None else given([gone])[0]

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Delete the messages of that status; where it is None, the conversation and all that hangs on it."""
        await self._run(key, lambda kept: kept.delete(active=_active(status)))

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Delete the oldest active messages, and give them."""
        return given(await self._run(key, lambda kept: kept.delete_oldest(n)))

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest of the active messages that this task read last, and give those that now went.

        A task that read none archives the oldest that are active now.
        """
        place, seen = self._place(key), _SEEN.get()
        floor = seen[1] if seen is not None and seen[0] == place else None
        pages: Pages = await self._run(key, lambda kept: kept.archive_oldest(n, floor))
        if floor is not None:
            _SEEN.set((place, pages.floor))
        return given(pages.messages)

    async def get_keys(self) -> list[str]:
        """Give the keys of all conversations that have messages."""
        return await asyncio.to_thread(_keys, self._door())

    def _place(self, key: str) -> Place:
        return self.store, self.tenant, self._door().scope.owner, key

    async def _run(self, key: str, work: Callable[[Conversation], T]) -> T:
        """Do database work beside the loop: it is several statements, some of them in one transaction."""
        return await asyncio.to_thread(lambda: work(_conversation(self._door(), key)))


class KeepwellBufferChatStore(Owned, BaseChatStore):
    """The conversations of one owner, for LlamaIndex's older ``ChatMemoryBuffer(chat_store=...)`` and its like.

    It is :class:`KeepwellChatStore` by LlamaIndex's older contract, which knows no archive: both may be used on the
    same conversations. LlamaIndex restores a ``ChatMemoryBuffer`` from JSON only with its own ``SimpleChatStore``;
    a memory that is to travel is ``KeepwellMemory``.

    Args:
        memory: the store; the default one of the settings where it is not given.
        user_id: whose conversations they are; at least one of the three ids is needed.
        agent_id: which agent's.
        run_id: of which run.
        strict: whether failures of the store are raised.

    Raises:
        InvalidScope: the ids name nobody.

    Example:
        >>> store = KeepwellBufferChatStore(memory, user_id="ada")
        >>> store.add_message("holiday", ChatMessage("I can't eat peanuts."))
        >>> [message.content for message in store.get_messages("holiday")]
        ["I can't eat peanuts."]
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def class_name(cls) -> str:
        """Give the name that LlamaIndex knows it by."""
        return "KeepwellBufferChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Make these the whole conversation, in one transaction."""
        self._conversation(key).replace(messages)

    def get_messages(self, key: str, **options: Any) -> list[ChatMessage]:  # noqa: ANN401 - buffers pass theirs on
        """Give the whole conversation, oldest first; fresh copies."""
        del options
        return given(self._conversation(key).read(active=None).messages)

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Put a message at the end."""
        self._conversation(key).append([message])

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Delete the conversation and all that hangs on it, and give its messages; None where there was none."""
        kept = self._conversation(key)
        gone = given(kept.read(active=None).messages)
        kept.delete()
        return gone or None

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message of that place (from 0), and give it; None where there is none."""
        gone = self._conversation(key).delete_at(idx, active=None)
        return None if gone is None else given([gone])[0]

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Delete the newest message, and give it; None where there is none."""
        gone = self._conversation(key).delete_last()
        return None if gone is None else given([gone])[0]

    def get_keys(self) -> list[str]:
        """Give the keys of all conversations that have messages."""
        return _keys(self._door())

    def _conversation(self, key: str) -> Conversation:
        return _conversation(self._door(), key)


def _conversation(door: Door, key: str) -> Conversation:
    return Conversation(door, door.memory(), key)


def _keys(door: Door) -> list[str]:
    view = door.view()
    keys: list[str] = []
    after: str | None = None
    try:
        while True:
            page = view.threads(order="created", newest_first=False, after=after, limit=1000)
            found = [thread for thread in page if thread.owner == view.scope.owner and thread.message_count]
            keys += [thread.id for thread in found if not thread.id.startswith(PREFIX)]
            if (after := page.next) is None:
                return keys
    except FAILURES as error:
        door.survive(error, "the keys of conversations cannot be read")
    return []


def _active(status: MessageStatus | None) -> bool | None:
    return None if status is None else not _is_archived(status)


def _is_archived(status: MessageStatus) -> bool:
    return status == MessageStatus.ARCHIVED
