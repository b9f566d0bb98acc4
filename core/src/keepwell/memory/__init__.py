"""The face's three objects: a memory, a view of it, and a conversation in that view."""

from keepwell.memory.front import Memory, Status, default_memory, open_named
from keepwell.memory.holding import Holding
from keepwell.memory.scoped import ScopedMemory
from keepwell.memory.thread import ScopedThread

__all__ = ["Holding", "Memory", "ScopedMemory", "ScopedThread", "Status", "default_memory", "open_named"]
