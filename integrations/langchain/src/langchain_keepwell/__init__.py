"""LangChain's doors to keepwell: memory that is kept in your own PostgreSQL.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_keepwell.checkpoints import keepwell_checkpointer
    from langchain_keepwell.graphs import graph_extractor
    from langchain_keepwell.history import KeepwellChatMessageHistory
    from langchain_keepwell.messages import to_langchain, to_message
    from langchain_keepwell.middleware import KeepwellMiddleware
    from langchain_keepwell.retriever import KeepwellRetriever
    from langchain_keepwell.store import KeepwellStore, label, unlabel
    from langchain_keepwell.tools import (
        create_forget_memory_tool,
        create_manage_memory_tool,
        create_memory_history_tool,
        create_search_memory_tool,
        memory_tools,
    )

__all__ = [
    "KeepwellChatMessageHistory",
    "KeepwellMiddleware",
    "KeepwellRetriever",
    "KeepwellStore",
    "create_forget_memory_tool",
    "create_manage_memory_tool",
    "create_memory_history_tool",
    "create_search_memory_tool",
    "graph_extractor",
    "keepwell_checkpointer",
    "label",
    "memory_tools",
    "to_langchain",
    "to_message",
    "unlabel",
]

_HOMES = {
    "KeepwellChatMessageHistory": "history",
    "KeepwellMiddleware": "middleware",
    "KeepwellRetriever": "retriever",
    "KeepwellStore": "store",
    "create_forget_memory_tool": "tools",
    "create_manage_memory_tool": "tools",
    "create_memory_history_tool": "tools",
    "create_search_memory_tool": "tools",
    "graph_extractor": "graphs",
    "keepwell_checkpointer": "checkpoints",
    "label": "store",
    "memory_tools": "tools",
    "to_langchain": "messages",
    "to_message": "messages",
    "unlabel": "store",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
