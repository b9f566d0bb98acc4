"""What the doors share: a store, whose memory it is, and what happens where the store fails."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, PrivateAttr

from keepwell import Memory, Scope, ScopedMemory, default_memory, errors, open_named

FAILURES: Final = (errors.StoreError, errors.EmbeddingError)
"""What a door that is not strict survives. A wrong call is not among them: it would fail each time."""

_log = logging.getLogger("llama_index.memory.keepwell")


@dataclass(frozen=True, slots=True)
class Door:
    """A store that is looked up when it is first needed, and one person's (or agent's, or run's) view of it.

    Where no memory was given, it is the one that is open under ``store`` and ``tenant``, else the one that the
    settings have under that name; where nothing was named, the default one of the settings.
    """

    given: Memory | None
    scope: Scope
    strict: bool = False
    store: str = "default"
    tenant: str | None = None

    def memory(self) -> Memory:
        """Give the store."""
        if self.given is not None:
            return self.given
        if self.store == "default" and self.tenant is None:
            return default_memory()
        return open_named(self.store, self.tenant or "default")

    async def amemory(self) -> Memory:
        """Give the store; opening one takes place in a thread, because it may start a server."""
        return self.given if self.given is not None else await asyncio.to_thread(self.memory)

    def view(self) -> ScopedMemory:
        """Give the scope's view of the store."""
        return self._seen(self.memory())

    async def aview(self) -> ScopedMemory:
        """Give the scope's view of the store."""
        return self._seen(await self.amemory())

    def _seen(self, memory: Memory) -> ScopedMemory:
        scope = self.scope
        return memory.scope(
            user_id=scope.user_id, agent_id=scope.agent_id, run_id=scope.run_id, across_users=scope.across_users
        )

    def survive(self, error: Exception, lost: str) -> None:
        """Raise the error where the door is strict; else leave one line in the log that says what is missing."""
        if self.strict:
            raise error
        _log.warning("%s: %s", lost, error)


class Owned(BaseModel):
    """The fields of a door that pydantic validates: plain JSON, with the store's name and never its DSN.

    Raises:
        InvalidScope: the ids name nobody.
    """

    store: str = "default"
    """The name that the store was opened under, or has in the settings."""
    tenant: str | None = None
    """The tenant; that of the settings where it is not given."""
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    strict: bool = False
    """Whether failures of the store are raised."""

    _memory: Memory | None = PrivateAttr(default=None)

    def __init__(self, memory: Memory | None = None, **fields: Any) -> None:  # noqa: ANN401 - pydantic validates them
        """Keep what is needed to find the store; nothing is opened here."""
        if memory is not None:
            fields = {"store": memory.name, "tenant": memory.tenant, **fields}
        super().__init__(**fields)
        self._memory = memory
        Scope(self.user_id, self.agent_id, self.run_id)

    def _door(self) -> Door:
        """Make the door of the fields as they are now."""
        scope = Scope(self.user_id, self.agent_id, self.run_id)
        return Door(self._memory, scope, self.strict, self.store, self.tenant)
