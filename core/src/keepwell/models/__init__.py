"""The values that keepwell's verbs take and give: frozen, and free of any input or output."""

from keepwell.models.message import (
    CitationPart,
    DataPart,
    MediaPart,
    Message,
    Native,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from keepwell.models.recollection import Context, Evidence, Kind, Receipt, Recollection, Recollections
from keepwell.models.scope import Owner, Scope
from keepwell.models.thread import Lineage, Messages, Thread, Threads

__all__ = [
    "CitationPart",
    "Context",
    "DataPart",
    "Evidence",
    "Kind",
    "Lineage",
    "MediaPart",
    "Message",
    "Messages",
    "Native",
    "Owner",
    "Part",
    "ReasoningPart",
    "Receipt",
    "Recollection",
    "Recollections",
    "Scope",
    "TextPart",
    "Thread",
    "Threads",
    "ToolCall",
    "ToolCallPart",
]
