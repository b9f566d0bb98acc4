"""What every door has: a store, whose memory it is, and what happens where the store fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from keepwell import Scope, default_memory, errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keepwell import Memory, Message, ScopedMemory, ScopedThread

FAILURES = (errors.StoreError, errors.EmbeddingError)
"""What a door that is not strict survives. A wrong call is not among them: it would fail each time."""

_log = logging.getLogger("langchain_keepwell")


class Door:
    """A store that is looked up when it is first needed, and one person's (or agent's, or run's) view of it.

    Raises:
        InvalidScope: the ids name nobody.
    """

    def __init__(self, memory: Memory | None, scope: Scope, *, strict: bool) -> None:
        """Keep what is needed to open the store; nothing is opened here."""
        self._memory = memory
        self._scope = scope
        self._strict = strict

    def memory(self) -> Memory:
        """Give the store; where none was given, the default one of the settings, opened once in the process."""
        if self._memory is None:
            self._memory = default_memory()
        return self._memory

    async def amemory(self) -> Memory:
        """Give the store; opening one takes place in a thread, because it may start a server."""
        return self._memory if self._memory is not None else await asyncio.to_thread(self.memory)

    def view(self) -> ScopedMemory:
        """Give the scope's view of the store."""
        return self._seen(self.memory())

    async def aview(self) -> ScopedMemory:
        """Give the scope's view of the store."""
        return self._seen(await self.amemory())

    def _seen(self, memory: Memory) -> ScopedMemory:
        scope = self._scope
        return memory.scope(
            user_id=scope.user_id, agent_id=scope.agent_id, run_id=scope.run_id, across_users=scope.across_users
        )

    def keep(self, thread: ScopedThread, messages: Sequence[Message]) -> None:
        """Append messages; where the door is not strict and the store fails, hold them to be tried again."""
        if self._strict:
            thread.append(*messages)
        else:
            self.memory().holding.append(thread, messages)

    async def akeep(self, thread: ScopedThread, messages: Sequence[Message]) -> None:
        """Do what ``keep`` does, without holding up the loop."""
        if self._strict:
            await thread.aappend(*messages)
        else:
            await (await self.amemory()).holding.aappend(thread, messages)

    def survive(self, error: Exception, lost: str) -> None:
        """Raise the error where the door is strict; else leave one line in the log that says what is missing."""
        if self._strict:
            raise error
        _log.warning("%s: %s", lost, error)
