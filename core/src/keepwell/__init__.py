"""Long-term memory for agents, kept in PostgreSQL.

Begin with :meth:`Memory.open`.
"""

from keepwell import errors
from keepwell.memory import (
    FindNamespaces,
    GetItem,
    Holding,
    ItemAnswer,
    ItemOp,
    Items,
    Memory,
    PutItem,
    ScopedMemory,
    ScopedThread,
    SearchItems,
    Status,
    Transfer,
    default_memory,
    open_named,
)
from keepwell.models import (
    Change,
    Changes,
    CitationPart,
    Context,
    DataPart,
    Diff,
    Evidence,
    Fact,
    Facts,
    Forgotten,
    Lineage,
    MediaPart,
    Message,
    Messages,
    Native,
    Owner,
    Part,
    Quote,
    ReasoningPart,
    Receipt,
    Recollection,
    Recollections,
    Rejection,
    Scope,
    Source,
    Sources,
    TextPart,
    Thread,
    Threads,
    ToolCall,
    ToolCallPart,
    codec,
)
from keepwell.models.items import Item, label, unlabel
from keepwell.providers import Embedder
from keepwell.providers.language import LanguageModel
from keepwell.work import Drained, FormedThread

__all__ = [
    "Change", "Changes", "CitationPart", "Context", "DataPart", "Diff", "Drained", "Embedder", "Evidence", "Fact",
    "Facts", "FindNamespaces", "Forgotten", "FormedThread", "GetItem", "Holding", "Item", "ItemAnswer", "ItemOp",
    "Items", "LanguageModel", "Lineage", "MediaPart", "Memory", "Message", "Messages", "Native", "Owner", "Part",
    "PutItem", "Quote", "ReasoningPart", "Receipt", "Recollection", "Recollections", "Rejection", "Scope",
    "ScopedMemory", "ScopedThread", "SearchItems", "Source", "Sources", "Status", "TextPart", "Thread", "Threads",
    "ToolCall", "ToolCallPart", "Transfer", "codec", "default_memory", "errors", "label", "open_named", "unlabel",
]  # fmt: skip
