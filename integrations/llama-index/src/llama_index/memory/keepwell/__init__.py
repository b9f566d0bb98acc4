"""LlamaIndex's doors to keepwell: memory that is kept in your own PostgreSQL.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_index.memory.keepwell.block import KeepwellMemoryBlock
    from llama_index.memory.keepwell.chat_store import KeepwellBufferChatStore, KeepwellChatStore
    from llama_index.memory.keepwell.memory import KeepwellMemory
    from llama_index.memory.keepwell.messages import to_chat_message, to_message
    from llama_index.memory.keepwell.retriever import KeepwellRetriever
    from llama_index.memory.keepwell.state import (
        SavedContext,
        aforget_context,
        aload_context,
        asave_context,
        asaved_contexts,
        forget_context,
        load_context,
        save_context,
        saved_contexts,
    )
    from llama_index.memory.keepwell.tools import memory_tools

__all__ = [
    "KeepwellBufferChatStore",
    "KeepwellChatStore",
    "KeepwellMemory",
    "KeepwellMemoryBlock",
    "KeepwellRetriever",
    "SavedContext",
    "aforget_context",
    "aload_context",
    "asave_context",
    "asaved_contexts",
    "forget_context",
    "load_context",
    "memory_tools",
    "save_context",
    "saved_contexts",
    "to_chat_message",
    "to_message",
]

_HOMES = {
    "KeepwellBufferChatStore": "chat_store",
    "KeepwellChatStore": "chat_store",
    "KeepwellMemory": "memory",
    "KeepwellMemoryBlock": "block",
    "KeepwellRetriever": "retriever",
    "SavedContext": "state",
    "aforget_context": "state",
    "aload_context": "state",
    "asave_context": "state",
    "asaved_contexts": "state",
    "forget_context": "state",
    "load_context": "state",
    "memory_tools": "tools",
    "save_context": "state",
    "saved_contexts": "state",
    "to_chat_message": "messages",
    "to_message": "messages",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
