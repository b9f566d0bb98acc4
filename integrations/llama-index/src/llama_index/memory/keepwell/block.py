"""A memory block for those who keep LlamaIndex's own memory: what is recalled, beside its conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import ConfigDict, Field

from keepwell import Message, ScopedThread
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.memory.memory import BaseMemoryBlock
from llama_index.core.utils import get_tokenizer
from llama_index.memory.keepwell.door import FAILURES, Owned
from llama_index.memory.keepwell.fence import ITEM, Fence
from llama_index.memory.keepwell.kept import ARCHIVED
from llama_index.memory.keepwell.messages import to_message

_SESSION: Final = "session_id"
"""The key under which LlamaIndex's memory writes its session into the messages that it flushes."""
_CHARACTERS: Final = 300


class KeepwellMemoryBlock(Owned, BaseMemoryBlock[str]):
    """What one owner once said and what is known of them, as far as it bears on the person's last message.

    For LlamaIndex's ``Memory(memory_blocks=[...])``. It gives one fenced and escaped text, or nothing where nothing
    was found; what stands in the conversation anyway is left out. It holds nothing itself, so one block may serve
    many sessions at once, and its scope is its own ids and never the session's.

    What the memory flushes is stored as the session's thread of this owner, to be recalled from then on. Where the
    memory's ``chat_store`` is a ``KeepwellChatStore`` it is stored already, and not stored twice.

    The text keeps to ``token_limit`` by itself. ``priority=0``, the default, tells LlamaIndex to leave it at that;
    with another priority it is shortened item by item where the whole is too long, the least fitting ones first.

    With ``strict=False`` a recall that fails gives nothing and one line in the log, and what cannot be written is
    held and tried again. ``strict=True`` raises.

    Args:
        memory: the store; the default one of the settings where it is not given.
        user_id: whose memory it is; at least one of the three ids is needed.
        agent_id: which agent's.
        run_id: of which run.
        name: the block's name, which becomes an XML tag.
        limit: how many items at most.
        token_limit: how many tokens at most.
        strict: whether failures of the store are raised.

    Raises:
        InvalidScope: the ids name nobody.

    Example:
        >>> import asyncio
        >>> receipt = chat.append(Message.user("I can't eat peanuts."), Message.assistant("Noted."))
        >>> block = KeepwellMemoryBlock(memory, user_id="ada")
        >>> found = asyncio.run(block.aget([ChatMessage("Which food can't I eat? Peanuts?")]))
        >>> "I can't eat peanuts." in found
        True
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: str = "long_term_memory"
    limit: int = Field(default=5, gt=0)
    """How many items at most."""
    token_limit: int = Field(default=700, gt=0)
    """How many tokens at most."""
    thread: str = Field(default="memory-block", min_length=1)
    """Where messages are kept that come without a session."""
    tokenizer_fn: Callable[[str], Sequence[Any]] | None = Field(default=None, exclude=True)
    """Counts tokens; LlamaIndex's default where it is not given."""

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:  # noqa: ANN401 - the contract
        """Give what is recalled for the person's last message; the empty text where nothing is."""
        del block_kwargs  # the session's id among them: it says where the conversation is, not whose it is
        query = next((said for said in map(_words, reversed(messages or [])) if said), "")
        if not query:
            return ""
        door = self._door()
        try:
            nowhere = (await door.aview()).thread()  # it has no messages: the conversation is LlamaIndex's
            context = await nowhere.acontext(query, last=1, limit=3 * self.limit, characters=_CHARACTERS)
        except FAILURES as error:
            door.survive(error, "nothing is recalled")
            return ""
        known = {message.content for message in messages or []}
        fence = Fence.of(context)
        fresh = tuple(item for item in fence.items if item.found.text not in known)
        return self._within(fence.text(fresh[: self.limit]), self.token_limit)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        """Store messages, in order, each session's in its thread: all of a session or none."""
        for session, batch in self._by_session(messages).items():
            await self._store(session, batch)

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Give the text with at least so many tokens less; None where no item is left.

        Whole items are left out, from the end, where those stand that fit least.
        """
        return self._within(content, self._count(content) - tokens_to_truncate) or None

    def _within(self, content: str, room: int) -> str:
        """Leave out items from the end until the text has room; the empty text where none has."""
        lines = content.split("\n") if content else []
        while lines and self._count("\n".join(lines)) > room:
            items = [place for place, line in enumerate(lines) if line.startswith(ITEM)]
            if len(items) <= 1:
                return ""
            del lines[items[-1]]
        return "\n".join(lines)

    def _count(self, text: str) -> int:
        return len((self.tokenizer_fn or get_tokenizer())(text))

    def _by_session(self, messages: Sequence[ChatMessage]) -> dict[str, list[Message]]:
        found: dict[str, list[Message]] = {}
        for message in messages:
            about = dict(message.additional_kwargs)
            session = about.pop(_SESSION, None)
            kept = to_message(message.model_copy(update={"additional_kwargs": about}))
            found.setdefault(session if isinstance(session, str) and session else self.thread, []).append(kept)
        return found

    async def _store(self, session: str, batch: Sequence[Message]) -> None:
        door = self._door()
        memory = await door.amemory()
        thread = door.view().thread(session)
        if await self._is_kept(thread):
            return
        if self.strict:
            await thread.aappend(*batch)
        else:
            await memory.holding.aappend(thread, batch)

    async def _is_kept(self, thread: ScopedThread) -> bool:
        """Tell whether a chat store of ours has just archived the messages, which says that they are stored."""
        try:
            known = await thread.ainfo()
        except FAILURES as error:
            self._door().survive(error, "it cannot be told whether flushed messages are stored; they are held")
            return False
        return known is not None and ARCHIVED in known.metadata


def _words(message: ChatMessage) -> str:
    return (message.content or "").strip() if message.role == MessageRole.USER else ""
