"""The matrix of what LangChain's own stores lose: each case by name, written by one process and read by another."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    message_chunk_to_message,
)
from pydantic import BaseModel

from keepwell import Memory
from langchain_keepwell import KeepwellChatMessageHistory

from .test_messages import BROKEN, CALL, USAGE, V0_BLOCKS, V1_BLOCKS, same


class Seat(BaseModel):
    """What a tool gave."""

    row: int
    free: bool


MATRIX: dict[str, BaseMessage] = {
    "human, with id and name": HumanMessage("Hello", id="h", name="ada"),
    "human, without an id": HumanMessage("Hello"),
    "system": SystemMessage("Be kind.", id="s"),
    "ai": AIMessage("Hi", id="run-1"),
    "blocks of v0": HumanMessage(V0_BLOCKS, id="v0"),
    "blocks of v1, server tools among them": AIMessage(
        content_blocks=V1_BLOCKS, id="v1", response_metadata={"output_version": "v1"}
    ),
    "tool calls, invalid ones, usage and metadata": AIMessage(
        "",
        tool_calls=[CALL],
        invalid_tool_calls=[BROKEN],
        usage_metadata=USAGE,
        response_metadata={"model_provider": "openai", "output_version": "v0"},
    ),
    "reasoning beside the content": AIMessage("x", additional_kwargs={"reasoning_content": "hm"}),
    "server tool blocks": AIMessage(
        [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "https://x", "e": "enc=="}]},
        ]
    ),
    "tool with a dict": ToolMessage("42", tool_call_id="c", artifact={"rows": [1]}, status="success"),
    "tool that failed": ToolMessage("no", tool_call_id="c", status="error"),
    "tool with bytes": ToolMessage("see", tool_call_id="c", artifact=b"\x00\xff"),
    "tool with documents": ToolMessage("see", tool_call_id="c", artifact=[Document("d", id="1", metadata={"k": 1})]),
    "tool with a pydantic object": ToolMessage("see", tool_call_id="c", artifact=Seat(row=4, free=True)),
    "tool with blocks": ToolMessage(
        [{"type": "text", "text": "a"}, {"type": "image", "url": "https://i"}], tool_call_id="c"
    ),
    "remove": RemoveMessage(id="h"),
    "chat": ChatMessage("hi", role="narrator"),
    "function": FunctionMessage("42", name="lookup"),
    "datetime in kwargs": AIMessage("x", additional_kwargs={"at": dt.datetime(2024, 5, 1, tzinfo=dt.UTC)}),
    "NUL in the content": HumanMessage("a\x00b"),
    "NUL in a key": HumanMessage("x", additional_kwargs={"k\x00": "v\x00"}),
    "a lone surrogate": HumanMessage("a\ud800b"),
    "NaN and infinities in arguments": AIMessage(
        "", tool_calls=[{"name": "f", "args": {"x": math.nan, "y": math.inf}, "id": "c"}]
    ),
    "an unknown field": HumanMessage("x", example=True),
    "numbers that JSONB changes": AIMessage("x", response_metadata={"big": 1e22, "zero": -0.0, "long": 2**70}),
}
CHUNKS: dict[str, BaseMessage] = {
    "chunk of ai": AIMessageChunk("He", id="r") + AIMessageChunk("llo", id="r", chunk_position="last"),
    "chunk of ai with a call": AIMessageChunk(
        "", tool_call_chunks=[{"name": "f", "args": "{}", "id": "c", "index": 0, "type": "tool_call_chunk"}]
    ),
    "chunk of human": HumanMessageChunk("x"),
    "chunk of system": SystemMessageChunk("x"),
    "chunk of tool": ToolMessageChunk("x", tool_call_id="c", artifact=b"y"),
    "chunk of function": FunctionMessageChunk("x", name="f"),
    "chunk of chat": ChatMessageChunk("x", role="r"),
}
EXPECTED = {**MATRIX, **{name: message_chunk_to_message(chunk) for name, chunk in CHUNKS.items()}}  # type: ignore[arg-type]


@pytest.fixture
def histories(memories: tuple[Memory, Memory]) -> tuple[Any, Any]:
    """Give one session as two processes have it."""
    one, other = (KeepwellChatMessageHistory("t", memory=memory, user_id="ada", strict=True) for memory in memories)
    return one, other


@pytest.mark.parametrize("name", EXPECTED)
def test_it_comes_back_exactly(name: str, histories: tuple[Any, Any]) -> None:
    """Class and every field are the same after the database; a stream's chunk is the message that it became."""
    writing, reading = histories
    writing.add_messages([{**MATRIX, **CHUNKS}[name]])
    (read,) = reading.messages
    assert same(read, EXPECTED[name])


async def test_all_of_them_awaited(histories: tuple[Any, Any]) -> None:
    """Together, in order, by the awaited methods, and again without a double where they have ids."""
    writing, reading = histories
    given = [{**MATRIX, **CHUNKS}[name] for name in EXPECTED]
    await writing.aadd_messages(given)
    await writing.aadd_messages([message for message in given if message.id and not isinstance(message, RemoveMessage)])
    read = await reading.aget_messages()
    assert len(read) == len(EXPECTED)
    for one, expected in zip(read, EXPECTED.values(), strict=True):
        assert same(one, expected)
