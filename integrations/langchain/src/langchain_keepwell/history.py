"""A chat history for LangChain that is kept in a store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from keepwell import Message, Messages, Scope, errors
from langchain_keepwell.failopen import FAILURES, Door
from langchain_keepwell.messages import to_langchain, to_message

if TYPE_CHECKING:
    from keepwell import Memory, ScopedThread

_UNREADABLE = "the history cannot be read; only what waits to be written is given"

_NOT_THERE = (errors.NotFound, errors.UsageError)
"""How the core answers when a thread is to be forgotten that was never written, or is gone since."""


class KeepwellChatMessageHistory(BaseChatMessageHistory):
    """One conversation, kept; whoever opens the same session of the same owner goes on with it.

    Making one opens nothing and costs nothing, so a factory may make one for each turn. Where no ``memory`` is
    given, the default store of the settings is opened on first use. Messages come back exactly as they were
    added; one whose id is there already is not doubled, and replaces the old one where it differs. A stream's
    chunks are kept as messages.

    With ``strict=False`` the store may fail and the conversation goes on: what cannot be written is held in this
    process and tried again before the next write (``memory.status()`` counts it), and a history that cannot be
    read gives what is held. With ``strict=True`` each failure is raised. Opening the default store, and
    ``clear``, always raise.

    Args:
        session_id: the thread's id, unique for its owner.
        memory: the store.
        user_id: whose conversation it is; at least one of the three ids is needed.
        agent_id: which agent's.
        run_id: of which run.
        last: give only the newest whole turns within so many messages; the whole conversation where not given.
        tokens: give only the newest whole turns within so many tokens.
        strict: whether failures of the store are raised.

    Raises:
        InvalidScope: the ids name nobody.

    Example:
        >>> history = KeepwellChatMessageHistory("holiday", memory=memory, user_id="ada")
        >>> history.add_user_message("I can't eat peanuts.")
        >>> history.messages[-1].content
        "I can't eat peanuts."
    """

    def __init__(
        self,
        session_id: str,
        *,
        memory: Memory | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        last: int | None = None,
        tokens: int | None = None,
        strict: bool = False,
    ) -> None:
        """Keep what is needed to find the thread."""
        self.session_id = session_id
        self._last, self._tokens = last, tokens
        self._door = Door(memory, Scope(user_id=user_id, agent_id=agent_id, run_id=run_id), strict=strict)

    @property
    def thread(self) -> ScopedThread:
        """The thread itself, for what LangChain has no word for: windows, context, clones, recall."""
        return self._door.view().thread(self.session_id)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # it is read from the store, not set
        """The conversation, or the window of it that was asked for, oldest first.

        Raises:
            InvalidQuery: the window is of less than one message or token.
            StoreError: the store cannot be read, and the history is strict.
        """
        thread = self.thread
        try:
            stored = thread.window(self._last, tokens=self._tokens) if self._bounded else thread.messages()
        except FAILURES as error:
            self._door.survive(error, _UNREADABLE)
            stored = Messages()
        return self._with_held(thread, stored)

    async def aget_messages(self) -> list[BaseMessage]:
        """Give the conversation, oldest first; see :attr:`messages`."""
        thread = (await self._door.aview()).thread(self.session_id)
        try:
            if self._bounded:
                stored = await thread.awindow(self._last, tokens=self._tokens)
            else:
                stored = await thread.amessages()
        except FAILURES as error:
            self._door.survive(error, _UNREADABLE)
            stored = Messages()
        return self._with_held(thread, stored)

    @property
    def _bounded(self) -> bool:
        return self._last is not None or self._tokens is not None

    def _with_held(self, thread: ScopedThread, stored: Sequence[Message]) -> list[BaseMessage]:
        """Put what waits to be written in its place: it was said after all that is stored."""
        held = {message.id: message for message in self._door.memory().holding.messages(thread)}
        known = {message.id for message in stored}
        messages = [*(held.get(m.id, m) for m in stored), *(m for id_, m in held.items() if id_ not in known)]
        return [to_langchain(message) for message in messages]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Put messages at the end of the conversation: all of them, in order, or none.

        Raises:
            InvalidMessage: one of them is of a kind that LangChain cannot restore.
            StoreError: the store cannot be written to, and the history is strict.
        """
        if not messages:
            return
        kept = [to_message(message) for message in messages]
        self._door.keep(self.thread, kept)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Put messages at the end of the conversation; see :meth:`add_messages`."""
        if not messages:
            return
        kept = [to_message(message) for message in messages]
        thread = (await self._door.aview()).thread(self.session_id)
        await self._door.akeep(thread, kept)

    def clear(self) -> None:
        """Delete the conversation and everything that hangs on it; a session that is not there is left at that.

        Raises:
            StoreError: the store cannot be written to, strict or not: what was to go is still there.
        """
        thread = self.thread
        with suppress(*_NOT_THERE):
            self._door.view().forget(thread)
        self._door.memory().holding.discard(thread)

    async def aclear(self) -> None:
        """Delete the conversation and everything that hangs on it; see :meth:`clear`."""
        view = await self._door.aview()
        thread = view.thread(self.session_id)
        with suppress(*_NOT_THERE):
            await view.aforget(thread)
        self._door.memory().holding.discard(thread)
