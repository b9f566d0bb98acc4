"""Agents that call tools, with a model of our own, so that every version of LlamaIndex shows what it does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.workflow import Context, JsonSerializer
from pydantic import Field

from keepwell import Memory
from llama_index.memory.keepwell import KeepwellMemory
from llama_index.memory.keepwell.kinds import HAS_TOOL_CALLS, ToolCallBlock

# LlamaIndex's workflows look at every attribute of an agent, and so at those that pydantic has deprecated; its
# agents ask for one that its workflows have deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)
Wish = tuple[str, str, dict[str, Any]]


class Scripted(FunctionCallingLLM):
    """A model that says words, or wishes for tools (id, name, arguments), as it was told."""

    script: list[str | list[Wish]]
    shown: list[list[ChatMessage]] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        """Say that it calls tools."""
        return LLMMetadata(is_chat_model=True, is_function_calling_model=True)

    async def achat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any) -> Any:
        """Give the next of the script."""
        return self._next(chat_history)

    async def astream_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any
    ) -> AsyncIterator[ChatResponse]:
        """Give the next of the script, as a stream."""
        said = self._next(chat_history)

        async def stream() -> AsyncIterator[ChatResponse]:
            yield said

        return stream()

    def get_tool_calls_from_response(self, response: ChatResponse, **_: Any) -> list[ToolSelection]:
        """Give the wishes of an answer."""
        wishes = response.raw["wishes"] if isinstance(response.raw, dict) else []
        return [ToolSelection(tool_id=ident, tool_name=name, tool_kwargs=args) for ident, name, args in wishes]

    def _next(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        self.shown.append(list(messages))
        step = self.script.pop(0)
        if isinstance(step, str):
            return ChatResponse(message=ChatMessage(role="assistant", content=step), delta=step, raw={"wishes": []})
        if HAS_TOOL_CALLS:
            blocks = [ToolCallBlock(tool_call_id=one, tool_name=name, tool_kwargs=args) for one, name, args in step]
            message = ChatMessage(role="assistant", blocks=blocks)
        else:
            calls = [
                {"id": one, "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
                for one, name, args in step
            ]
            message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": calls})
        return ChatResponse(message=message, delta="", raw={"wishes": step})

    def _prepare_chat_with_tools(self, *args: Any, **options: Any) -> dict[str, Any]:
        raise NotImplementedError

    chat = stream_chat = achat = astream_chat = _prepare_chat_with_tools

    def complete(self, *args: Any, **options: Any) -> CompletionResponse:
        """Not asked for."""
        raise NotImplementedError

    stream_complete = acomplete = astream_complete = complete


def look_up(what: str) -> str:
    """Look something up."""
    return f"all about {what}"


def called(message: ChatMessage) -> list[str]:
    """Give the ids of the tool calls of a message."""
    beside = [call["id"] for call in message.additional_kwargs.get("tool_calls", [])]
    return [block.tool_call_id for block in message.blocks if block.block_type == "tool_call"] + beside


@pytest.fixture
def chat(memory: Memory) -> KeepwellMemory:
    """Give the memory of a new session in which nothing is recalled."""
    return KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="s", recall_limit=0)


async def test_two_turns_with_tools(chat: KeepwellMemory) -> None:
    """A turn with two calls at once is stored in order and paired, and shown to the next turn, after JSON as well."""
    wishes: list[Wish] = [("c1", "look_up", {"what": "tea"}), ("c2", "look_up", {"what": "milk"})]
    first = FunctionAgent(tools=[look_up], llm=Scripted(script=[wishes, "done"]))
    context = Context(first)
    await first.run(user_msg="q", memory=chat, ctx=context)
    stored = chat.get_all()
    assert [message.role.value for message in stored] == ["user", "assistant", "tool", "tool", "assistant"]
    assert called(stored[1]) == [one.additional_kwargs["tool_call_id"] for one in stored[2:4]] == ["c1", "c2"]
    assert [one.content for one in stored[2:]] == ["all about tea", "all about milk", "done"]
    second = FunctionAgent(tools=[look_up], llm=Scripted(script=["fine"]))
    saved = json.loads(json.dumps(context.to_dict(serializer=JsonSerializer())))
    await second.run(user_msg="and?", ctx=Context.from_dict(second, saved, serializer=JsonSerializer()))
    assert isinstance(second.llm, Scripted)
    assert [one.role for one in second.llm.shown[0]] == [*(one.role for one in stored), MessageRole.USER]
    assert [one.content for one in chat.get_all()][-2:] == ["and?", "fine"]


async def test_agents_that_hand_over(chat: KeepwellMemory) -> None:
    """Two agents share one conversation, the call that hands over and its answer included."""
    wish: list[Wish] = [("h1", "handoff", {"to_agent": "cook", "reason": "food"})]
    cook = Scripted(script=["tea is hot"])
    workflow = AgentWorkflow(
        agents=[
            FunctionAgent(name="clerk", description="asks", llm=Scripted(script=[wish]), can_handoff_to=["cook"]),
            FunctionAgent(name="cook", description="cooks", llm=cook),
        ],
        root_agent="clerk",
    )
    await workflow.run(user_msg="q", memory=chat)
    stored = chat.get_all()
    assert [message.role.value for message in stored] == ["user", "assistant", "tool", "assistant"]
    assert called(stored[1]) == [stored[2].additional_kwargs["tool_call_id"]] == ["h1"]
