"""LangChain's doors to keepwell: memory that is kept in your own PostgreSQL.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_keepwell.history import KeepwellChatMessageHistory
    from langchain_keepwell.messages import to_langchain, to_message
    from langchain_keepwell.middleware import KeepwellMiddleware
    from langchain_keepwell.retriever import KeepwellRetriever
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
    "create_forget_memory_tool",
    "create_manage_memory_tool",
    "create_memory_history_tool",
    "create_search_memory_tool",
    "memory_tools",
    "to_langchain",
    "to_message",
]

_HOMES = {
    "KeepwellChatMessageHistory": "history",
    "KeepwellMiddleware": "middleware",
    "KeepwellRetriever": "retriever",
    "create_forget_memory_tool": "tools",
    "create_manage_memory_tool": "tools",
    "create_memory_history_tool": "tools",
    "create_search_memory_tool": "tools",
    "memory_tools": "tools",
    "to_langchain": "messages",
    "to_message": "messages",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
