"""The face's three objects: a memory, a view of it, and a conversation in that view."""

from keepwell.memory.front import Memory, default_memory, open_named
from keepwell.memory.holding import Holding
from keepwell.memory.items import FindNamespaces, GetItem, ItemAnswer, ItemOp, Items, PutItem, SearchItems
from keepwell.memory.scoped import ScopedMemory
from keepwell.memory.status import Status
from keepwell.memory.thread import ScopedThread
from keepwell.memory.transfer import Transfer

__all__ = [
    "FindNamespaces", "GetItem", "Holding", "ItemAnswer", "ItemOp", "Items", "Memory", "PutItem", "ScopedMemory",
    "ScopedThread", "SearchItems", "Status", "Transfer", "default_memory", "open_named",
]  # fmt: skip
