"""A conversation of both frameworks: what each sees of the other's messages, and that neither loses its own."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
    CacheControl,
    CachePoint,
    ChatMessage,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
)

from keepwell import MediaPart, Memory, Message, ReasoningPart, TextPart, codec
from langchain_keepwell import KeepwellChatMessageHistory
from langchain_keepwell import messages as langchain
from llama_index.memory.keepwell import KeepwellMemory, to_chat_message, to_message
from llama_index.memory.keepwell.kinds import HAS_TOOL_CALLS, ThinkingBlock, ToolCallBlock, VideoBlock

if not HAS_TOOL_CALLS:
    pytest.skip("not available here: tool calls as blocks, in this LlamaIndex", allow_module_level=True)

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
    "tool call that is broken": (
        _chat("assistant", ToolCallBlock(tool_call_id="c2", tool_name="f", tool_kwargs='{"q": ')),
        AIMessage("", invalid_tool_calls=[{**BROKEN, "error": "the arguments are not a JSON object"}]),
    ),
    "tool call without an id": (
        _chat("assistant", ToolCallBlock(tool_name="f", tool_kwargs={})),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": None, "type": "tool_call"}]),
    ),
    "no blocks": (_chat("assistant"), AIMessage("")),
    "empty text": (_chat("assistant", _text("")), AIMessage("")),
    "several texts": (
        _chat("user", _text("a"), _text("b")),
        HumanMessage([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
    ),
    "image": (
        _chat("user", ImageBlock(image=b"hello", image_mimetype="image/png", detail="low")),
        HumanMessage([{"type": "image", "base64": DATA, "mime_type": "image/png", "extras": {"detail": "low"}}]),
    ),
    "audio": (
        _chat("user", AudioBlock(audio=b"hello", format="mp3")),
        HumanMessage([{"type": "audio", "base64": DATA, "mime_type": "audio/mpeg", "extras": {"format": "mp3"}}]),
    ),
    "video": (
        _chat("user", VideoBlock(url="https://v/w.mp4", video_mimetype="video/mp4", fps=2)),
        HumanMessage([{"type": "video", "url": "https://v/w.mp4", "mime_type": "video/mp4", "extras": {"fps": 2}}]),
    ),
    "document": (
        _chat("user", DocumentBlock(data=b"hello", title="a.pdf", document_mimetype="application/pdf")),
        HumanMessage([{"type": "file", "base64": DATA, "mime_type": "application/pdf", "extras": {"title": "a.pdf"}}]),
    ),
    "bytes beside the blocks": (_chat("assistant", _text("a"), thought_signatures=[b"\x00\xff"]), AIMessage("a")),
    "cache point": (
        _chat("user", _text("a"), CachePoint(cache_control=CacheControl(type="ephemeral"))),
        HumanMessage(
            [
                {"type": "text", "text": "a"},
                {
                    "type": "non_standard",
                    "value": {
                        "kind": "llama_index:cache",
                        "value": {"cache_control": {"type": "ephemeral", "ttl": "5m"}},
                    },
                },
            ]
        ),
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


def test_all_41_cases_through_a_store(memory: Memory) -> None:
    """In one conversation of both doors each reads its own messages exactly and the other's as they are to be seen."""
    assert len(FROM_LANGCHAIN) + len(FROM_LLAMA_INDEX) == 41
    theirs = KeepwellChatMessageHistory("all", memory=memory, user_id="ada")
    ours = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="all", strict=True)
    for message, _ in FROM_LANGCHAIN.values():
        theirs.add_messages([message])
    for message, _ in FROM_LLAMA_INDEX.values():
        ours.put(message)
    count = len(FROM_LANGCHAIN)
    seen_there, seen_here = theirs.messages, ours.get_all()
    assert seen_here == [*(seen for _, seen in FROM_LANGCHAIN.values()), *(own for own, _ in FROM_LLAMA_INDEX.values())]
    for message, (own, _) in zip(seen_there[:count], FROM_LANGCHAIN.values(), strict=True):
        assert message.model_copy(update={"id": own.id}) == own
    for message, (_, seen) in zip(seen_there[count:], FROM_LLAMA_INDEX.values(), strict=True):
        assert message.model_copy(update={"id": None}) == seen
    ours.set(ours.get_all())
    assert (theirs.messages, ours.get_all()) == (seen_there, seen_here)


# Any message

WORDS = st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=12)
IDS = st.uuids().map(str)
ARGS = st.dictionaries(
    WORDS, st.none() | st.booleans() | st.integers() | WORDS | st.lists(WORDS, max_size=2), max_size=3
)
PICTURE = st.binary(min_size=1, max_size=9)
LLAMA_INDEX = st.one_of(
    st.builds(
        lambda role, texts, pictures: _chat(role, *map(_text, texts), *(ImageBlock(image=one) for one in pictures)),
        st.sampled_from(["user", "system", "assistant", "developer", "model"]),
        st.lists(WORDS, max_size=3),
        st.lists(PICTURE.map(base64.b64encode), max_size=2),
    ),
    st.builds(
        lambda thought, text, calls: _chat(
            "assistant",
            ThinkingBlock(content=thought),
            _text(text),
            *(ToolCallBlock(tool_call_id=ident, tool_name=name, tool_kwargs=args) for ident, name, args in calls),
        ),
        WORDS,
        WORDS,
        st.lists(st.tuples(IDS, WORDS, ARGS), max_size=3),
    ),
    st.builds(lambda text, ident, name: _chat("tool", _text(text), tool_call_id=ident, name=name), WORDS, IDS, WORDS),
)
LANGCHAIN = st.one_of(
    st.builds(
        lambda kind, text, ident: kind(text, id=ident), st.sampled_from([HumanMessage, SystemMessage]), WORDS, IDS
    ),
    st.builds(
        lambda text, calls, pictures: AIMessage(
            [{"type": "text", "text": text}, *({"type": "image", "base64": one} for one in pictures)],
            tool_calls=[{"name": name, "args": args, "id": ident} for ident, name, args in calls],
        ),
        WORDS,
        st.lists(st.tuples(IDS, WORDS, ARGS), max_size=3),
        st.lists(PICTURE.map(lambda raw: base64.b64encode(raw).decode()), max_size=2),
    ),
    st.builds(
        lambda text, ident, status: ToolMessage(text, tool_call_id=ident, status=status),
        WORDS,
        IDS,
        st.sampled_from(["success", "error"]),
    ),
)


def said(message: Message) -> dict[str, Any]:
    """Give what both frameworks have words for, kind by kind and in order."""
    return {
        "role": message.role,
        "texts": [part.text for part in message.parts if isinstance(part, TextPart)],
        "thoughts": [part.text for part in message.parts if isinstance(part, ReasoningPart)],
        "media": [(part.type, part.data, part.url) for part in message.parts if isinstance(part, MediaPart)],
        "calls": [(call.id, call.name, call.args) for call in message.tool_calls],
        "answers": message.tool_call_id,
        "failed": message.metadata.get("status"),
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=LLAMA_INDEX)
def test_any_message_of_llama_index_in_langchain(message: ChatMessage) -> None:
    """Roles, words, thoughts, media, calls and answers are the same there; here the message is exactly as it was."""
    kept = stored(to_message(message))
    assert said(stored(langchain.to_message(langchain.to_langchain(kept)))) == said(kept)
    assert to_chat_message(kept) == message


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=LANGCHAIN)
def test_any_message_of_langchain_in_llama_index(message: BaseMessage) -> None:
    """Roles, words, media, calls and answers are the same here; there the message is exactly as it was."""
    kept = stored(langchain.to_message(message))
    assert said(stored(to_message(to_chat_message(kept)))) == said(kept)
    back = langchain.to_langchain(kept)
    assert back.model_copy(update={"id": message.id}) == message


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
