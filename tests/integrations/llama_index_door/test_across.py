"""A conversation of both frameworks: what each sees of the other's messages, and that neither loses its own."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages import ChatMessage as LangChainChatMessage
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from keepwell import Memory, Message, codec
from langchain_keepwell import KeepwellChatMessageHistory
from langchain_keepwell import messages as langchain
from llama_index.memory.keepwell import KeepwellMemory, to_chat_message, to_message

FIELDS = ("role", "name", "parts", "tool_calls", "tool_call_id", "metadata", "native")
DATA = base64.b64encode(b"hello").decode()
CALL: Any = {"name": "search", "args": {"q": "tea"}, "id": "c1", "type": "tool_call"}
BROKEN: Any = {"name": "f", "args": '{"q": ', "id": "c2", "error": "cut off", "type": "invalid_tool_call"}
CALLED = ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs={"q": "tea"})


def stored(message: Message) -> Message:
    """Give the message as it comes out of a store: through text, its fields and nothing else."""
    kept = {name: codec.dumps(getattr(message, name)) for name in FIELDS}
    return Message(id=message.id, **{name: codec.loads(text) for name, text in kept.items()})


def _chat(role: str, *blocks: ContentBlock, **about: Any) -> ChatMessage:
    return ChatMessage(role=role, blocks=list(blocks), additional_kwargs=about)


def _text(text: str) -> TextBlock:
    return TextBlock(text=text)


FROM_LANGCHAIN: dict[str, tuple[BaseMessage, ChatMessage]] = {
    "human": (HumanMessage("hi", id="h1", name="Ada"), _chat("user", _text("hi"))),
    "ai": (AIMessage("hello", response_metadata={"model": "m"}), _chat("assistant", _text("hello"))),
    "system": (SystemMessage("be brief"), _chat("system", _text("be brief"))),
    "developer": (
        SystemMessage("be brief", additional_kwargs={"__openai_role__": "developer"}),
        _chat("developer", _text("be brief")),
    ),
    "chat role": (LangChainChatMessage(role="narrator", content="once"), _chat("user", _text("once"))),
    "function": (FunctionMessage("3", name="add"), _chat("function", _text("3"), name="add")),
    "tool": (
        ToolMessage("3", tool_call_id="c1", name="search", artifact={"rows": [1]}),
        _chat("tool", _text("3"), tool_call_id="c1", name="search"),
    ),
    "failed tool": (
        ToolMessage("no", tool_call_id="c1", status="error"),
        _chat("tool", _text("no"), tool_call_id="c1", status="error"),
    ),
    "tool calls only": (AIMessage("", tool_calls=[CALL]), _chat("assistant", CALLED)),
    "tool calls after text": (AIMessage("so", tool_calls=[CALL]), _chat("assistant", _text("so"), CALLED)),
    "tool call in its place": (
        AIMessage([{"type": "text", "text": "a"}, CALL, {"type": "text", "text": "b"}], tool_calls=[CALL]),
        _chat("assistant", _text("a"), CALLED, _text("b")),
    ),
    "broken tool call": (
        AIMessage("", invalid_tool_calls=[BROKEN]),
        _chat("assistant", ToolCallBlock(tool_call_id="c2", tool_name="f", tool_kwargs='{"q": ')),
    ),
    "list of strings": (HumanMessage(["a", "b"]), _chat("user", _text("a"), _text("b"))),
    "media": (
        HumanMessage(
            [
                {"type": "image", "base64": DATA, "mime_type": "image/png", "extras": {"detail": "low"}},
                {"type": "audio", "base64": DATA, "mime_type": "audio/wav"},
                {"type": "video", "url": "https://v/w.mp4", "mime_type": "video/mp4", "extras": {"fps": 2}},
                {"type": "file", "base64": DATA, "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}},
            ]
        ),
        _chat(
            "user",
            ImageBlock(image=b"hello", image_mimetype="image/png", detail="low"),
            AudioBlock(audio=b"hello", format="wav"),
            VideoBlock(url="https://v/w.mp4", video_mimetype="video/mp4", fps=2),
            DocumentBlock(data=b"hello", document_mimetype="application/pdf", title="a.pdf"),
        ),
    ),
    "legacy image": (
        HumanMessage([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}]),
        _chat("user", ImageBlock(image=b"hello", image_mimetype="image/png")),
    ),
    "reasoning": (
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "So."}]),
        _chat("assistant", ThinkingBlock(content="hm", additional_information={"signature": "s"}), _text("So.")),
    ),
    "citation": (
        AIMessage(
            [
                {
                    "type": "text",
                    "text": "Hot.",
                    "annotations": [{"type": "citation", "url": "https://tea", "title": "Tea", "cited_text": "hot"}],
                }
            ]
        ),
        _chat(
            "assistant",
            _text("Hot."),
            CitationBlock(cited_content="hot", source="https://tea", title="Tea", additional_location_info={}),
        ),
    ),
    "provider's own": (
        AIMessage([{"type": "server_tool_call", "id": "s", "name": "web", "args": {}}, {"type": "text", "text": "x"}]),
        _chat("assistant", _text("[langchain:server_tool_call]"), _text("x")),
    ),
}


@pytest.mark.parametrize(("message", "expected"), FROM_LANGCHAIN.values(), ids=FROM_LANGCHAIN.keys())
def test_langchains_message_in_llama_index(message: BaseMessage, expected: ChatMessage) -> None:
    """LlamaIndex sees what LangChain stored, with calls, answers and media; LangChain reads back its own exactly."""
    kept = stored(langchain.to_message(message))
    assert to_chat_message(kept) == expected
    back = langchain.to_langchain(kept)
    assert (type(back), back.__dict__) == (type(message), message.__dict__)


def test_a_streams_chunk_is_seen_as_the_message_it_became() -> None:
    """A chunk of LangChain's is an assistant's message here."""
    assert to_chat_message(stored(langchain.to_message(AIMessageChunk("hel")))) == _chat("assistant", _text("hel"))


FROM_LLAMA_INDEX: dict[str, tuple[ChatMessage, BaseMessage]] = {
    "user": (_chat("user", _text("hi")), HumanMessage("hi")),
    "assistant": (_chat("assistant", _text("hi")), AIMessage("hi")),
    "model": (_chat("model", _text("hi")), AIMessage("hi")),
    "chatbot": (_chat("chatbot", _text("hi")), AIMessage("hi")),
    "system": (_chat("system", _text("hi")), SystemMessage("hi")),
    "developer": (
        _chat("developer", _text("hi")),
        SystemMessage("hi", additional_kwargs={"__openai_role__": "developer"}),
    ),
    "function": (_chat("function", _text("3"), name="add"), FunctionMessage("3", name="add")),
    "tool": (
        _chat("tool", _text("3"), tool_call_id="c1", name="search", status="error"),
        ToolMessage("3", tool_call_id="c1", name="search", status="error"),
    ),
    "tool without an id": (_chat("tool", _text("3")), ToolMessage("3", tool_call_id="")),
    "tool call": (_chat("assistant", _text("so"), CALLED), AIMessage("so", tool_calls=[CALL])),
    "tool call in JSON text": (
        _chat("assistant", ToolCallBlock(tool_call_id="c1", tool_name="search", tool_kwargs='{"q": "tea"}')),
        AIMessage("", tool_calls=[CALL]),
    ),
    "legacy tool call": (
        _chat("assistant", tool_calls=[{"id": "c1", "function": {"name": "search", "arguments": '{"q": "tea"}'}}]),
        AIMessage("", tool_calls=[CALL]),
    ),
}


@pytest.mark.parametrize(("message", "expected"), FROM_LLAMA_INDEX.values(), ids=FROM_LLAMA_INDEX.keys())
def test_llama_indexs_message_in_langchain(message: ChatMessage, expected: BaseMessage) -> None:
    """LangChain sees what LlamaIndex stored, with calls and answers paired; LlamaIndex reads back its own exactly."""
    kept = stored(to_message(message))
    seen = langchain.to_langchain(kept)
    assert seen.model_copy(update={"id": None}) == expected
    assert to_chat_message(kept) == message


def test_llama_indexs_blocks_in_langchain() -> None:
    """Thoughts, text, media and calls keep their order, and what has no block there is kept as it is."""
    message = _chat(
        "assistant",
        ThinkingBlock(content="hm", additional_information={"signature": "s"}),
        _text("a"),
        ImageBlock(image=b"hello", image_mimetype="image/png", detail="low"),
        CALLED,
        _text("b"),
    )
    kept = stored(to_message(message))
    seen = langchain.to_langchain(kept)
    assert seen.content == [
        {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s"}},
        {"type": "text", "text": "a"},
        {"type": "image", "base64": DATA, "mime_type": "image/png", "extras": {"detail": "low"}},
        CALL,
        {"type": "text", "text": "b"},
    ]
    assert isinstance(seen, AIMessage)
    assert seen.tool_calls == [CALL]
    assert to_chat_message(kept) == message


def test_one_conversation_through_both_doors(memory: Memory) -> None:
    """What each framework adds, the other reads at once, in order; each reads back its own exactly."""
    theirs = KeepwellChatMessageHistory("holiday", memory=memory, user_id="ada")
    ours = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="holiday")
    asked = [HumanMessage("hi", id="h1"), AIMessage("", tool_calls=[CALL], id="a1")]
    theirs.add_messages(asked)
    answered = [_chat("tool", _text("hot"), tool_call_id="c1"), _chat("assistant", _text("Tea is hot."))]
    ours.put_messages(answered)
    seen = theirs.messages
    assert seen[:2] == asked
    assert [type(message) for message in seen[2:]] == [ToolMessage, AIMessage]
    assert ours.get_all() == ours.get() == [_chat("user", _text("hi")), _chat("assistant", CALLED), *answered]
    ours.set([*ours.get_all(), _chat("user", _text("thanks"))])
    assert theirs.messages[:2] == asked
    assert theirs.messages[-1].content == "thanks"
