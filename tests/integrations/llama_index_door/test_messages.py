"""LlamaIndex's messages in a store: what comes back, what other frameworks see, and what an edit does."""

from __future__ import annotations

import base64
import copy
import io
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
)
from pydantic import BaseModel

from keepwell import (
    CitationPart,
    DataPart,
    MediaPart,
    Message,
    Native,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
    codec,
    errors,
)
from llama_index.memory.keepwell import messages, to_chat_message, to_message
from llama_index.memory.keepwell.kinds import HAS_TOOL_CALLS, ThinkingBlock, ToolCallBlock, VideoBlock

if not HAS_TOOL_CALLS:
    pytest.skip("not available here: tool calls as blocks, in this LlamaIndex", allow_module_level=True)

FIELDS = ("role", "name", "parts", "tool_calls", "tool_call_id", "metadata", "native")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))


class Function(BaseModel):
    """What OpenAI's library has in a tool call."""

    name: str
    arguments: str


class SdkCall(BaseModel):
    """A tool call as OpenAI's library has it."""

    id: str
    function: Function


def stored(message: Message) -> Message:
    """Give the message as it comes out of a store: through text, its fields and nothing else."""
    kept = {name: codec.dumps(getattr(message, name)) for name in FIELDS}
    return Message(id=message.id, **{name: codec.loads(text) for name, text in kept.items()})


def words(message: ChatMessage) -> str:
    """Give every field with its type, where NaN equals NaN and True is not 1."""
    about = codec.dumps([type(message.role).__name__, message.role, message.additional_kwargs])
    return about + repr([(type(block).__name__, block.__dict__) for block in message.blocks])


def round_trip(message: ChatMessage) -> ChatMessage:
    """Send a message into the store and back, and see that the caller's own was left alone."""
    before = copy.deepcopy(message)
    back = to_chat_message(stored(to_message(message)))
    assert words(message) == words(before)
    return back


def _assistant(*blocks: Any, **about: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(blocks), additional_kwargs=about)


CALL = ToolCallBlock(tool_call_id="call_1", tool_name="search", tool_kwargs={"q": "tea", "deep": {"n": [1, 2.5, None]}})
LEGACY = [{"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "tea"}'}}]
ODD: dict[str, Any] = {
    "thought_signatures": [b"\x00\xff", None],
    "pair": (1, 2),
    "tags": {"a"},
    "by_number": {1: "one"},
    "nan": math.nan,
    "far": math.inf,
    "sdk": SdkCall(id="x", function=Function(name="f", arguments="{}")),
    "$keepwell": ["bytes", "not a tag"],
}

CASES: dict[str, ChatMessage] = {
    "user": ChatMessage("I can't eat peanuts."),
    "assistant": ChatMessage("Noted.", role="assistant"),
    "system": ChatMessage("Be brief.", role="system"),
    "developer": ChatMessage("Be brief.", role="developer"),
    "chatbot": ChatMessage("Hello.", role="chatbot"),
    "model": ChatMessage("Hello.", role="model"),
    "function": ChatMessage("3", role="function", additional_kwargs={"name": "add"}),
    "tool": ChatMessage(
        "3", role="tool", additional_kwargs={"tool_call_id": "call_1", "name": "add", "status": "error"}
    ),
    "no blocks": ChatMessage(role="assistant", blocks=[]),
    "empty text": ChatMessage(""),
    "several texts, NUL and lone surrogates": ChatMessage(blocks=[TextBlock(text="a\x00"), TextBlock(text="\ud800")]),
    "image of bytes": ChatMessage(blocks=[TextBlock(text="look"), ImageBlock(image=PNG)]),
    "image at a URL": ChatMessage(blocks=[ImageBlock(url="https://img/a.png?q=1", detail="low")]),
    "audio": ChatMessage(blocks=[AudioBlock(audio=b"RIFF\x00\x00", format="mp3"), AudioBlock(url="https://a/b.wav")]),
    "video": ChatMessage(blocks=[VideoBlock(video=b"\x00\x01", video_mimetype="video/mp4", fps=2, detail="high")]),
    "document": ChatMessage(
        blocks=[
            DocumentBlock(data=b"%PDF-1.4 words", title="Recipes"),
            DocumentBlock(url="https://d/x.pdf"),
            DocumentBlock(path="not-there.txt", document_mimetype="text/plain"),
        ]
    ),
    "thinking": _assistant(
        ThinkingBlock(content="hm", num_tokens=3, additional_information={"signature": "s", "raw": b"\x01"}),
        ThinkingBlock(),
        TextBlock(text="So."),
    ),
    "citations": _assistant(
        TextBlock(text="Tea is hot."),
        CitationBlock(
            cited_content=TextBlock(text="hot"),
            source="https://tea",
            title="Tea",
            additional_location_info={"start": 7},
        ),
        CitationBlock(cited_content=ImageBlock(image=PNG), source="i", title="I", additional_location_info={}),
        CitableBlock(title="T", source="s", content=[TextBlock(text="x"), ImageBlock(url="https://i/j.png")]),
    ),
    "cache point": ChatMessage(
        blocks=[TextBlock(text="long"), CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))]
    ),
    "tool call among text": _assistant(TextBlock(text="a"), CALL, TextBlock(text="b")),
    "tool call with JSON text": _assistant(
        ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs='{ "q":\t1e22}'),
        ToolCallBlock(tool_call_id="d", tool_name="g", tool_kwargs=""),
    ),
    "tool call with broken text and no id": _assistant(
        ToolCallBlock(tool_name="f", tool_kwargs='{"q": '), ToolCallBlock(tool_name="f", tool_kwargs="[1]")
    ),
    "legacy tool calls": _assistant(TextBlock(text="a"), tool_calls=LEGACY, reference_audio_id="r", **ODD),
}


@pytest.mark.parametrize("message", CASES.values(), ids=CASES.keys())
def test_comes_back_exactly(message: ChatMessage) -> None:
    """What LlamaIndex stored is what LlamaIndex reads, in every field and type."""
    assert words(round_trip(message)) == words(message)


def test_every_kind_of_block_is_tried() -> None:
    """The cases hold each of LlamaIndex's roles and blocks."""
    kinds = {block.block_type for message in CASES.values() for block in message.blocks}
    known = ("text image audio video document cache citable citation thinking tool_call").split()
    assert kinds == set(known)
    assert {message.role for message in CASES.values()} == set(MessageRole)


def test_objects_of_a_provider_come_back_as_objects() -> None:
    """A tool call that a provider's library made is still one of its objects."""
    call = SdkCall(id="x", function=Function(name="f", arguments='{"a": 1}'))
    message = _assistant(tool_calls=[call])
    assert round_trip(message).additional_kwargs["tool_calls"] == [call]
    assert to_message(message).tool_calls == (ToolCall(id="x", name="f", args={"a": 1}),)


def test_images_beside_the_blocks_are_not_doubled(tmp_path: Path) -> None:
    """LlamaIndex appends the images of ``additional_kwargs`` each time it validates; reading must not."""
    from llama_index.core.schema import ImageDocument

    image = ImageDocument(image=base64.b64encode(PNG).decode())
    message = ChatMessage("look", additional_kwargs={"images": [image]})
    assert len(message.blocks) == 2
    assert len(round_trip(message).blocks) == 2


def test_a_stream_is_read_and_left_where_it_stood() -> None:
    """A block made of a stream is stored with its bytes; the caller can go on reading."""
    stream = io.BytesIO(PNG)
    stream.seek(3)
    back = to_chat_message(stored(to_message(ChatMessage(blocks=[ImageBlock(image=stream)]))))
    assert stream.tell() == 3
    assert back.blocks[0].resolve_image().read() == PNG


def test_a_role_that_was_assigned_comes_back() -> None:
    """LlamaIndex lets anything be assigned as a role; a known word means the role."""
    message = ChatMessage("x")
    message.role = "model"  # type: ignore[assignment]
    assert to_message(message).role == "assistant"
    assert round_trip_role(message) is MessageRole.MODEL


def round_trip_role(message: ChatMessage) -> MessageRole:
    """Give the role that comes back."""
    return to_chat_message(stored(to_message(message))).role


def test_nothing_is_shared_with_the_caller() -> None:
    """Changing a message, before or after, changes neither what is stored nor what is read next."""
    message = _assistant(TextBlock(text="a"), CALL.model_copy(deep=True), deep={"list": [1]})
    kept = to_message(message)
    message.blocks[0].text = "changed"
    message.blocks[1].tool_kwargs["q"] = "changed"
    message.additional_kwargs["deep"]["list"].append(2)
    first = to_chat_message(kept)
    first.blocks.clear()
    first.additional_kwargs["deep"]["list"].append(3)
    second = to_chat_message(kept)
    assert [second.blocks[0].text, second.blocks[1].tool_kwargs["q"]] == ["a", "tea"]
    assert second.additional_kwargs == {"deep": {"list": [1]}}


def test_each_message_is_a_new_one() -> None:
    """LlamaIndex's messages have no id, so the same words twice are two messages."""
    assert to_message(ChatMessage("yes")).id != to_message(ChatMessage("yes")).id


# What others see


def test_the_neutral_form_of_each_block() -> None:
    """Another framework sees text, media, thoughts, citations, calls in their places, and named data."""
    message = _assistant(
        ThinkingBlock(content="hm", num_tokens=3, additional_information={"signature": "s", "b": 1}),
        TextBlock(text="Tea."),
        ImageBlock(image=PNG, detail="low"),
        AudioBlock(audio=b"xx?", format="mp3"),
        VideoBlock(url="https://v/w.mp4", fps=2),
        DocumentBlock(data=b"words", title="T"),
        CALL,
        CitationBlock(cited_content="hot", source="https://tea", title="Tea", additional_location_info={"start": 7}),
        CachePoint(cache_control=CacheControl(type="ephemeral")),
    )
    kept = to_message(message)
    assert kept.parts == (
        ReasoningPart(text="hm", extras={"signature": "s", "num_tokens": 3, "additional_information": {"b": 1}}),
        TextPart(text="Tea."),
        MediaPart(type="image", data=PNG, mime_type="image/png", extras={"detail": "low"}),
        MediaPart(type="audio", data=b"xx?", mime_type="audio/mpeg", extras={"format": "mp3"}),
        MediaPart(type="video", url="https://v/w.mp4", mime_type="video/mp4", extras={"fps": 2}),
        MediaPart(type="file", data=b"words", extras={"title": "T"}),
        ToolCallPart(index=0),
        CitationPart(text="hot", source="https://tea", title="Tea", extras={"additional_location_info": {"start": 7}}),
        DataPart(kind="llama_index:cache", value={"cache_control": {"type": "ephemeral", "ttl": "5m"}}),
    )
    assert kept.tool_calls == (ToolCall(id="call_1", name="search", args=CALL.tool_kwargs),)
    assert kept.text == "Tea."
    assert kept.native is not None
    assert (kept.native.kind, kept.native.version.count(".")) == ("llama_index:ChatMessage", 2)


def test_a_tools_answer_names_its_call() -> None:
    """A tool's answer carries the id of its call, the tool's name and whether it failed."""
    kept = to_message(CASES["tool"])
    assert (kept.role, kept.name, kept.tool_call_id, kept.metadata) == ("tool", "add", "call_1", {"status": "error"})
    assert to_message(CASES["function"]).name == "add"
    assert to_message(ChatMessage("x", additional_kwargs={"name": "n", "tool_call_id": "t"})).tool_call_id is None


def test_arguments_in_text_become_what_they_say() -> None:
    """Arguments in JSON text are an object for others; text that says no object stays text, with an error."""
    assert to_message(CASES["tool call with JSON text"]).tool_calls == (
        ToolCall(id="c", name="f", args={"q": 1e22}),
        ToolCall(id="d", name="g", args={}),
    )
    broken, listed = to_message(CASES["tool call with broken text and no id"]).tool_calls
    assert (broken.args, bool(broken.error), broken.id) == ('{"q": ', True, None)
    assert (listed.args, bool(listed.error)) == ("[1]", True)


def test_legacy_tool_calls_are_tool_calls() -> None:
    """Calls beside the blocks are seen by others, once, also where the blocks have them too."""
    assert to_message(CASES["legacy tool calls"]).tool_calls == (ToolCall(id="c1", name="search", args={"q": "tea"}),)
    assert len(to_message(_assistant(CALL, tool_calls=LEGACY)).tool_calls) == 1
    assert not any(isinstance(part, ToolCallPart) for part in to_message(CASES["legacy tool calls"]).parts)


def test_bytes_are_stored_once() -> None:
    """The native form does not repeat the bytes of an image, nor the words of a text."""
    data = bytes(30_000)
    kept = to_message(ChatMessage(blocks=[TextBlock(text="a word that is long"), ImageBlock(image=data)]))
    assert kept.native is not None
    assert len(codec.dumps(kept.native.data)) < 500
    assert "long" not in codec.dumps(kept.native.data)


def test_a_message_nested_too_deeply_is_refused() -> None:
    """What cannot be walked is an error of ours, before anything is stored."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(errors.InvalidMessage, match="nested too deeply"):
        to_message(ChatMessage("x", additional_kwargs={"deep": deep}))


# What an edit, another framework or a lost file does


def test_an_edit_counts() -> None:
    """A message whose words were changed in the store is read with the new words."""
    kept = to_message(_assistant(TextBlock(text="a"), CALL, cache="x"))
    edited = kept.model_copy(update={"parts": (TextPart(text="b"), ToolCallPart(index=0))})
    back = to_chat_message(stored(edited))
    assert back.content == "b"
    assert back.blocks[1] == CALL
    assert back.additional_kwargs == {}


def test_a_message_of_no_framework_is_built() -> None:
    """Every neutral part has a block; calls without a place come last, and no key is left beside the blocks."""
    message = Message.assistant(
        [
            ReasoningPart(text="hm", extras={"signature": "s", "id": "r1"}),
            TextPart(text="Tea.", extras={"annotations": []}),
            MediaPart(type="image", data=b"YWJj", mime_type="image/png"),
            MediaPart(type="audio", data=b"a", mime_type="audio/mpeg"),
            MediaPart(type="file", url="https://d/x.pdf", name="x.pdf"),
            CitationPart(text="hot", source="s", extras={"start_index": 1}),
            ToolCallPart(index=1),
        ],
        tool_calls=(ToolCall(id="a", name="f", args={"x": 1}), ToolCall(id="b", name="g", args="{", error="cut")),
    )
    back = to_chat_message(message)
    assert back.blocks == [
        ThinkingBlock(content="hm", additional_information={"signature": "s"}),
        TextBlock(text="Tea."),
        ImageBlock(image=base64.b64encode(b"YWJj"), image_mimetype="image/png"),
        AudioBlock(audio=b"a", format="mp3"),
        DocumentBlock(url="https://d/x.pdf", title="x.pdf"),
        CitationBlock(cited_content="hot", source="s", title="", additional_location_info={}),
        ToolCallBlock(tool_call_id="b", tool_name="g", tool_kwargs="{"),
        ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={"x": 1}),
    ]
    assert back.blocks[2].resolve_image().read() == b"YWJj"
    assert back.additional_kwargs == {}


@pytest.mark.parametrize(
    ("role", "expected"),
    [("human", "user"), ("ai", "assistant"), ("developer", "developer"), ("narrator", "user"), ("remove", "user")],
)
def test_roles_of_elsewhere(role: str, expected: str) -> None:
    """A role that LlamaIndex does not have is a user's."""
    assert to_chat_message(Message(role=role, parts=(TextPart(text="x"),))).role == expected


def test_a_tools_answer_of_elsewhere_is_paired() -> None:
    """The id of the call, the name and the failure stand where LlamaIndex's adapters look for them."""
    message = Message.tool("3", tool_call_id="c", name="add", metadata={"status": "error"})
    about = to_chat_message(message).additional_kwargs
    assert about == {"tool_call_id": "c", "name": "add", "status": "error"}


def test_what_llama_index_has_no_block_for_is_named() -> None:
    """Data of another framework, a provider's file and a call that is not there are words in brackets."""
    message = Message.user(
        [
            DataPart(kind="langchain:server_tool_call", value={"id": "s"}),
            MediaPart(type="file", file_id="f-1"),
            MediaPart(type="image", path="/not/there.png"),
            ToolCallPart(index=3),
            DataPart(kind="llama_index:from_the_future", value={}),
        ]
    )
    assert [block.text for block in to_chat_message(message).blocks] == [
        "[langchain:server_tool_call]",
        "[file: f-1]",
        "[image: /not/there.png]",
        "[tool call]",
        "[llama_index:from_the_future]",
    ]


def test_in_an_older_llama_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no blocks for thoughts and calls, calls stand beside the blocks, as OpenAI takes them."""
    monkeypatch.setattr(messages, "HAS_TOOL_CALLS", False)
    monkeypatch.setattr(messages, "HAS_THOUGHTS", False)
    parts = (ReasoningPart(text="hm"), TextPart(text="so"), ToolCallPart(index=0))
    asked = Message(role="assistant", parts=parts, tool_calls=(ToolCall(id="a", name="f", args={"x": 1}),))
    seen = to_chat_message(asked)
    assert seen.blocks == [TextBlock(text="so")]
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    assert seen.additional_kwargs == {"tool_calls": [call]}
    assert to_message(seen).tool_calls == asked.tool_calls


def test_a_cache_point_survives_an_edit() -> None:
    """LlamaIndex's own data is built again from its neutral form."""
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    kept = to_message(ChatMessage(blocks=[TextBlock(text="a"), point]))
    edited = kept.model_copy(update={"parts": (TextPart(text="b"), *kept.parts[1:])})
    assert to_chat_message(edited).blocks == [TextBlock(text="b"), point]


def test_a_file_that_is_gone_does_not_cost_the_conversation(tmp_path: Path) -> None:
    """A picture whose file was deleted is named in words; while it is there, and again when it is back, it is read."""
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    inner = ImageBlock(path=path)
    message = ChatMessage(
        blocks=[TextBlock(text="look"), ImageBlock(path=path), CitableBlock(title="t", source="s", content=[inner])]
    )
    kept = stored(to_message(message))
    assert words(to_chat_message(kept)) == words(message)
    path.unlink()
    back = to_chat_message(kept)
    assert back.blocks[1] == TextBlock(text=f"[image: {path}] (no longer there)")
    assert back.blocks[2].content == [TextBlock(text=f"[image: {path}] (no longer there)")]
    path.write_bytes(PNG)
    assert words(to_chat_message(kept)) == words(message)


@pytest.mark.parametrize(
    "data",
    [
        {"blocks": [{"class": "HologramBlock", "plain": {}}]},
        {"blocks": [{"class": "ToolCallBlock", "plain": {}}]},
        {"blocks": [None, None]},
        {"blocks": 3},
        {"kwargs": 3},
    ],
)
def test_an_unreadable_native_form_is_survived(data: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A native form that today's classes cannot hold gives the neutral one, and one line in the log."""
    kept = to_message(ChatMessage("I can't eat peanuts."))
    assert kept.native is not None
    native = Native(kind=kept.native.kind, version="99.0.0", data={**kept.native.data, **data})
    broken = kept.model_copy(update={"native": native})
    with caplog.at_level(logging.WARNING, "llama_index.memory.keepwell"):
        assert to_chat_message(broken).content == "I can't eat peanuts."
        assert to_chat_message(broken).content == "I can't eat peanuts."
    assert len(caplog.records) == 1


# Any message

TEXT = st.text(st.characters(categories=("L", "N", "P", "S", "Z", "Cc", "Cs")), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary(max_size=6)
VALUE = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ABOUT = st.dictionaries(TEXT.filter(lambda name: name != "images"), VALUE, max_size=3)
URL = st.none() | st.sampled_from(["https://a/b.png", "data:image/png;base64,aGk=", "http://x.y"])
BINARY = st.none() | st.binary(max_size=9)
MIME = st.none() | st.sampled_from(["image/png", "video/mp4", "text/plain"])
IMAGE = st.builds(ImageBlock, image=BINARY, url=URL, image_mimetype=MIME, detail=st.none() | TEXT)
DOCUMENT = st.builds(DocumentBlock, data=BINARY, url=st.none() | TEXT, title=st.none() | TEXT, document_mimetype=MIME)
WORDS = st.builds(TextBlock, text=TEXT)
BLOCK = st.one_of(
    WORDS,
    IMAGE,
    DOCUMENT,
    st.builds(AudioBlock, audio=BINARY, url=URL, format=st.none() | st.sampled_from(["mp3", "wav"])),
    st.builds(VideoBlock, video=BINARY, url=URL, video_mimetype=MIME, fps=st.none() | st.integers()),
    st.builds(CachePoint, cache_control=st.builds(CacheControl, type=TEXT, ttl=TEXT)),
    st.builds(CitableBlock, title=TEXT, source=TEXT, content=st.lists(WORDS | IMAGE | DOCUMENT, max_size=3)),
    st.builds(
        CitationBlock,
        cited_content=WORDS | IMAGE,
        source=TEXT,
        title=TEXT,
        additional_location_info=st.dictionaries(TEXT, st.integers(), max_size=2),
    ),
    st.builds(
        ThinkingBlock,
        content=st.none() | TEXT,
        num_tokens=st.none() | st.integers(),
        additional_information=st.dictionaries(TEXT | st.just("signature"), VALUE, max_size=3),
    ),
    st.builds(
        ToolCallBlock,
        tool_call_id=st.none() | TEXT,
        tool_name=TEXT,
        tool_kwargs=st.dictionaries(TEXT, VALUE, max_size=2) | TEXT | st.sampled_from(["{}", '{"a": NaN}', "[", "1"]),
    ),
)
MESSAGE = st.builds(
    ChatMessage,
    role=st.sampled_from(MessageRole),
    blocks=st.lists(BLOCK, max_size=4),
    additional_kwargs=ABOUT
    | st.fixed_dictionaries({}, optional={"tool_call_id": TEXT, "name": VALUE, "tool_calls": VALUE, "status": TEXT}),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=MESSAGE)
def test_any_message_comes_back_exactly(message: ChatMessage) -> None:
    """Whatever LlamaIndex can say comes back as it was said."""
    assert words(round_trip(message)) == words(message)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(message=MESSAGE)
def test_any_message_can_be_built_from_its_neutral_form(message: ChatMessage) -> None:
    """Without the native form a message is still readable, with the same words and the same calls."""
    kept = stored(to_message(message)).model_copy(update={"native": None})
    back = to_chat_message(kept)
    said = [block.text for block in back.blocks if isinstance(block, TextBlock)]
    assert codec.dumps(to_message(back).tool_calls) == codec.dumps(kept.tool_calls)
    assert all(part.text in said for part in kept.parts if isinstance(part, TextPart))
