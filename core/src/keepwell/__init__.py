"""Long-term memory for agents, kept in PostgreSQL.

Begin with :meth:`Memory.open`.
"""

from keepwell import errors
from keepwell.memory import Holding, Memory, ScopedMemory, ScopedThread, Status, default_memory, open_named
from keepwell.models import (
    CitationPart,
    Context,
    DataPart,
    Evidence,
    Lineage,
    MediaPart,
    Message,
    Messages,
    Native,
    Owner,
    Part,
    ReasoningPart,
    Receipt,
    Recollection,
    Recollections,
    Scope,
    TextPart,
    Thread,
    Threads,
    ToolCall,
    ToolCallPart,
    codec,
)
from keepwell.providers import Embedder

__all__ = [
    "CitationPart", "Context", "DataPart", "Embedder", "Evidence", "Holding", "Lineage", "MediaPart", "Memory",
    "Message", "Messages", "Native", "Owner", "Part", "ReasoningPart", "Receipt", "Recollection", "Recollections",
    "Scope", "ScopedMemory", "ScopedThread", "Status", "TextPart", "Thread", "Threads", "ToolCall", "ToolCallPart",
    "codec", "default_memory", "errors", "open_named",
]  # fmt: skip
