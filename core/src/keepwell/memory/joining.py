"""Writes of a thread on a caller's asynchronous connection."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypeVar

from keepwell.errors import StoreClosed
from keepwell.storage.base import Record, Write

R = TypeVar("R")


class OnLoop:
    """A caller's asynchronous connection, for a verb that runs on a thread: its writes are made on the caller's loop.

    So one synchronous verb serves both kinds of connection. The loop is free meanwhile: it awaits the verb.
    """

    def __init__(self, connection: object) -> None:
        """Bind the connection to the loop that is running."""
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._left = False

    def write(self, record: Record, change: Write[R]) -> R:
        """Make one write as part of the connection's transaction, from another thread.

        Raises:
            StoreClosed: the caller was cancelled meanwhile, and its transaction may be over.
        """
        return asyncio.run_coroutine_threadsafe(self._make(record, change), self._loop).result()

    async def _make(self, record: Record, change: Write[R]) -> R:
        if self._left:
            raise StoreClosed("the caller was cancelled; nothing more is written on its connection")
        self._task = asyncio.current_task()
        try:
            return await record.awrite(change, self._connection)
        finally:
            self._task = None

    async def leave(self) -> None:
        """Let nothing more be written, because the caller was cancelled; what is under way is undone first."""
        self._left = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})


def is_asynchronous(connection: object) -> bool:
    """Tell whether a connection is one that is awaited."""
    return connection is not None and inspect.iscoroutinefunction(getattr(connection, "execute", None))
