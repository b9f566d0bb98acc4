"""LlamaIndex's kinds of content; one that the installed version does not have yet is a class that nothing is of.

Films, thoughts and tool calls became blocks between 0.14.0 and 0.14.10. Before that, tool calls stood beside the
blocks, as OpenAI's service takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from llama_index.core.base.llms import types

HAS_THOUGHTS: Final = hasattr(types, "ThinkingBlock")
HAS_TOOL_CALLS: Final = hasattr(types, "ToolCallBlock")

if TYPE_CHECKING:
    from llama_index.core.base.llms.types import BaseContentBlock, ThinkingBlock, ToolCallBlock, VideoBlock
else:

    def _kind(name: str) -> type[BaseModel]:
        return getattr(types, name, None) or type(name, (BaseModel,), {"__doc__": "Not in this LlamaIndex."})

    BaseContentBlock = getattr(types, "BaseContentBlock", BaseModel)
    ThinkingBlock = _kind("ThinkingBlock")
    ToolCallBlock = _kind("ToolCallBlock")
    VideoBlock = _kind("VideoBlock")

__all__ = ["HAS_THOUGHTS", "HAS_TOOL_CALLS", "BaseContentBlock", "ThinkingBlock", "ToolCallBlock", "VideoBlock"]
