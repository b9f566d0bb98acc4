"""LangChain's messages in a store: what comes back, what other frameworks see, and what an edit does."""

from __future__ import annotations

import copy
import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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

from keepwell import (
    CitationPart,
    DataPart,
    MediaPart,
    Memory,
    Message,
    Native,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
    codec,
    errors,
)
from langchain_keepwell import KeepwellChatMessageHistory, to_langchain, to_message

FIELDS = ("role", "name", "parts", "tool_calls", "tool_call_id", "metadata", "native")


def stored(message: Message) -> Message:
    """Give the message as it comes out of a store: through text, its fields and nothing else."""
    kept = {name: codec.dumps(getattr(message, name)) for name in FIELDS}
    return Message(id=message.id, **{name: codec.loads(text) for name, text in kept.items()})


def same(one: BaseMessage, other: BaseMessage) -> bool:
    """Compare class and every field, where NaN equals NaN and True is not 1."""
    return type(one) is type(other) and _words(one) == _words(other)


def _words(message: BaseMessage) -> str:
    return codec.dumps(_ordered([message.__dict__, message.__pydantic_extra__]))


def _ordered(value: Any) -> Any:
    """Put the members of sets in order: they have none of their own."""
    if isinstance(value, dict):
        return {key: _ordered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return sorted(value) if isinstance(value, set) else value


def round_trip(message: BaseMessage) -> BaseMessage:
    """Send a message into the store and back, and see that the caller's own was left alone."""
    before = copy.deepcopy(message)
    back = to_langchain(stored(to_message(message)))
    assert same(message, before)
    return back


USAGE: Any = {
    "input_tokens": 5,
    "output_tokens": 7,
    "total_tokens": 12,
    "input_token_details": {"cache_read": 2},
    "output_token_details": {"reasoning": 3},
}
CALL: Any = {"name": "search", "args": {"q": "tea", "deep": {"n": [1, 2.5, None]}}, "id": "call_1", "type": "tool_call"}
BROKEN: Any = {"name": "search", "args": '{"q": ', "id": "call_2", "error": "cut off", "type": "invalid_tool_call"}
V1_BLOCKS: list[Any] = [
    {"type": "reasoning", "reasoning": "Let me see.", "id": "r1", "index": 0, "extras": {"signature": "abc"}},
    {
        "type": "text",
        "text": "Tea is hot.",
        "id": "t1",
        "annotations": [
            {
                "type": "citation",
                "url": "https://tea",
                "title": "Tea",
                "cited_text": "hot",
                "start_index": 7,
                "end_index": 10,
            },
            {"type": "non_standard_annotation", "value": {"a": 1}},
        ],
    },
    {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png", "extras": {"detail": "low"}},
    {"type": "image", "url": "https://img"},
    {"type": "audio", "file_id": "f-1", "mime_type": "audio/wav"},
    {"type": "video", "url": "https://film", "extras": {"fps": 2}},
    {"type": "file", "base64": "aGVsbG8=", "mime_type": "application/pdf", "extras": {"filename": "a.pdf"}},
    {"type": "text-plain", "text": "plain words", "mime_type": "text/plain", "title": "T"},
    {"type": "server_tool_call", "id": "s1", "name": "web", "args": {"q": "x"}},
    {"type": "server_tool_result", "tool_call_id": "s1", "status": "success", "output": {"r": [1]}},
    {"type": "non_standard", "value": {"anything": {"goes": True}}},
    {"type": "tool_call", **CALL},
]
V0_BLOCKS: list[Any] = [
    "a bare string",
    {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8=", "detail": "low"}},
    {"type": "image_url", "image_url": "https://img"},
    {"type": "image", "source_type": "base64", "data": "aGVsbG8=", "mime_type": "image/jpeg"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "aGVsbG8="}},
    {"type": "file", "source_type": "id", "id": "f-2"},
    {"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}},
    {"type": "thinking", "thinking": "hm", "signature": "sig"},
    {"type": "tool_use", "id": "call_1", "name": "search", "input": {"q": "tea"}},
    {"no": "type"},
]


class Ticket(BaseModel):
    """A tool's own result."""

    number: int
    seats: list[str]


CASES: dict[str, BaseMessage] = {
    "human": HumanMessage("Hello", id="h-1", name="ada"),
    "system": SystemMessage("Be kind.", id="s-1"),
    "ai": AIMessage("Hello back", id="run-1"),
    "no id": HumanMessage("Hello"),
    "empty": AIMessage(""),
    "empty list": AIMessage([]),
    "blocks of version 0": HumanMessage(V0_BLOCKS, id="h-2"),
    "blocks of version 1": AIMessage(content_blocks=V1_BLOCKS, id="a-2", response_metadata={"output_version": "v1"}),
    "list of strings": HumanMessage(["one", "two"], id="h-3"),
    "one text block": HumanMessage([{"type": "text", "text": "one"}], id="h-4"),
    "tool calls, usage and metadata": AIMessage(
        "Let me look.",
        id="a-3",
        tool_calls=[CALL],
        invalid_tool_calls=[BROKEN],
        usage_metadata=USAGE,
        response_metadata={"model_provider": "openai", "logprobs": None},
        additional_kwargs={"refusal": None, "reasoning_content": "thinking aloud"},
    ),
    "legacy tool calls": AIMessage(
        "",
        additional_kwargs={
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}, "type": "function"}]
        },
    ),
    "tool with a dict as artifact": ToolMessage("42", tool_call_id="call_1", artifact={"rows": [1, 2]}, name="search"),
    "tool that failed": ToolMessage("no", tool_call_id="call_1", status="error", id="t-2"),
    "tool without a call": ToolMessage("42", tool_call_id=""),
    "artifact of bytes": ToolMessage("see", tool_call_id="c", artifact=b"\x00\xff\x80"),
    "artifact of documents": ToolMessage(
        "see", tool_call_id="c", artifact=[Document("text", id="d", metadata={"at": dt.date(2024, 5, 1)})]
    ),
    "artifact of a model": ToolMessage("see", tool_call_id="c", artifact=Ticket(number=1, seats=["4a"])),
    "odd values": AIMessage(
        "x",
        additional_kwargs={
            "when": dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC),
            "price": Decimal("1.10"),
            "pair": (1, "a"),
            "names": {"a", "b", "c"},
            7: "a key that is no text",
            "thought_signatures": [b"\x01\x02"],
            "$keepwell": "a key that is a tag",
        },
    ),
    "NUL": HumanMessage("a\x00b", name="n\x00", id="h-5"),
    "lone surrogate": HumanMessage("a\ud800b", id="h-6"),
    "NaN in a tool's arguments": AIMessage(
        "", tool_calls=[{"name": "f", "args": {"x": math.nan, "y": -math.inf, "z": -0.0, "big": 1e22}, "id": "c"}]
    ),
    "an unknown field": HumanMessage("x", example=True, cls=1, content_hint={"deep": [b"x"]}),
    "remove": RemoveMessage(id="h-1"),
    "chat": ChatMessage("hi", role="narrator", id="c-1"),
    "chat with a known role": ChatMessage("hi", role="user"),
    "chat with an impossible role": ChatMessage("hi", role="x" * 200 + "\x00"),
    "chat without a role": ChatMessage("hi", role=""),
    "function": FunctionMessage("42", name="lookup", id="f-1"),
    "developer": SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"}),
    "id that no index takes": HumanMessage("x", id="i\x00" + "d" * 600),
    "blank id": HumanMessage("x", id=""),
    "malformed blocks": HumanMessage(
        [
            {"type": "text"},
            {"type": "image", "base64": "not base64!"},
            {"type": ["x"]},
            {1: 2},
            {"type": "file", "file": 3},
        ]
    ),
}

CHUNKS: dict[str, BaseMessage] = {
    "ai": AIMessageChunk("He", id="run-1") + AIMessageChunk("llo", id="run-1", chunk_position="last"),
    "ai with a tool call": AIMessageChunk(
        "", tool_call_chunks=[{"name": "f", "args": '{"a": 1}', "id": "c", "index": 0, "type": "tool_call_chunk"}]
    ),
    "human": HumanMessageChunk("x", id="h"),
    "system": SystemMessageChunk("x"),
    "tool": ToolMessageChunk("x", tool_call_id="c", artifact=b"y", status="error"),
    "function": FunctionMessageChunk("x", name="f"),
    "chat": ChatMessageChunk("x", role="narrator"),
}


@pytest.mark.parametrize("message", CASES.values(), ids=CASES.keys())
def test_every_kind_comes_back_exactly(message: BaseMessage) -> None:
    """Each kind of message and value that LangChain knows comes back as it went in, class and fields."""
    assert same(round_trip(message), message)


@pytest.mark.parametrize("chunk", CHUNKS.values(), ids=CHUNKS.keys())
def test_a_chunk_is_kept_as_its_message(chunk: BaseMessage) -> None:
    """What a stream left behind comes back as a whole message, equal to LangChain's own conversion."""
    assert same(round_trip(chunk), message_chunk_to_message(chunk))


def test_a_chunk_keeps_its_unknown_fields() -> None:
    """A field that LangChain's own conversion of a chunk drops is kept."""
    assert round_trip(HumanMessageChunk("x", example=True)).__pydantic_extra__ == {"example": True}


def test_a_subclass_comes_back_as_its_base() -> None:
    """A message class of the caller's comes back as LangChain's, its own fields beside the others."""

    class Signed(HumanMessage):
        signature: str = ""

    back = round_trip(Signed("x", signature="s"))
    assert type(back) is HumanMessage
    assert back.__pydantic_extra__ == {"signature": "s"}


def test_an_unknown_kind_is_refused() -> None:
    """A message that LangChain itself could not restore is refused with a clear error."""
    with pytest.raises(errors.InvalidMessage, match="BaseMessage"):
        to_message(BaseMessage("x", type="odd"))


def test_endless_nesting_is_refused() -> None:
    """A message that holds itself is refused with an error of keepwell's tree."""
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(errors.InvalidMessage, match="nested too deeply"):
        to_message(HumanMessage("x", additional_kwargs=loop))


_text = st.text(st.characters(exclude_categories=()), max_size=20)
_atoms = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text, st.binary(max_size=8))
_values = st.recursive(
    _atoms, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3), max_leaves=6
)
_dicts = st.dictionaries(_text, _values, max_size=3)
_typed = st.sampled_from(
    ["text", "reasoning", "image", "file", "tool_call", "non_standard", "image_url", "document", "odd"]
)
_loose = st.builds(
    lambda kind, body: {**body, "type": kind},
    _typed,
    st.dictionaries(
        st.sampled_from(
            ["text", "reasoning", "base64", "url", "id", "extras", "value", "annotations", "source", "image_url", "x"]
        ),
        _values,
        max_size=4,
    ),
)
_content = _text | st.lists(_text | _loose | st.sampled_from(V0_BLOCKS + V1_BLOCKS), max_size=4)
_ids = st.none() | _text
_common = {
    "content": _content,
    "id": _ids,
    "name": st.none() | _text,
    "additional_kwargs": _dicts,
    "response_metadata": _dicts,
}
_calls = st.lists(
    st.builds(lambda n, a, i: {"name": n, "args": a, "id": i, "type": "tool_call"}, _text, _dicts, _ids), max_size=2
)
_broken = st.lists(
    st.builds(
        lambda n, a, i, e: {"name": n, "args": a, "id": i, "error": e, "type": "invalid_tool_call"},
        st.none() | _text,
        st.none() | _text,
        _ids,
        st.none() | _text,
    ),
    max_size=2,
)


def _made(kind: type[BaseMessage], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[BaseMessage]:
    return st.fixed_dictionaries(fields).map(lambda given: kind(**given))


_any_message: st.SearchStrategy[BaseMessage] = st.one_of(
    _made(HumanMessage, **_common),
    _made(SystemMessage, **_common),
    _made(
        AIMessage, **_common, tool_calls=_calls, invalid_tool_calls=_broken, usage_metadata=st.none() | st.just(USAGE)
    ),
    _made(ToolMessage, **_common, tool_call_id=_text, artifact=_values, status=st.sampled_from(["success", "error"])),
    _made(ChatMessage, **_common, role=_text),
    _made(FunctionMessage, **(_common | {"name": _text})),
    _made(RemoveMessage, id=_text),
)
_search = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_search
@given(_any_message)
def test_any_message_comes_back_exactly(message: BaseMessage) -> None:
    """Whatever a message holds, it comes back as it went in."""
    assert same(round_trip(message), message)


@_search
@given(_any_message)
def test_a_message_read_and_written_again_is_the_same(message: BaseMessage) -> None:
    """Writing back what was read changes nothing in the store, so that a retry is not an edit."""
    first = stored(to_message(message))
    second = stored(to_message(to_langchain(first)))
    assert codec.dumps([getattr(second, f) for f in FIELDS]) == codec.dumps([getattr(first, f) for f in FIELDS])


@_search
@given(_any_message)
def test_the_neutral_form_alone_can_be_read(message: BaseMessage) -> None:
    """Without the native form a message still becomes one that LangChain accepts, with the same words."""
    neutral = stored(to_message(message)).model_copy(update={"native": None})
    built = to_langchain(neutral)
    assert to_message(built).text == neutral.text
    assert built.id == neutral.id


def test_every_kind_survives_the_store(memories: tuple[Memory, Memory]) -> None:
    """What one process adds, another reads exactly: every kind and value, through PostgreSQL."""
    messages = list(CASES.values())
    writer, reader = (
        KeepwellChatMessageHistory("odd", memory=memory, user_id="ada", strict=True) for memory in memories
    )
    writer.add_messages(messages)
    back = reader.messages
    assert [same(one, other) for one, other in zip(back, messages, strict=True)] == [True] * len(messages)
    writer.add_messages([message for message in back if message.id and message.type != "remove"])
    assert len(reader.messages) == len(messages)


@settings(_search, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(_any_message, min_size=1, max_size=4, unique_by=lambda message: message.id or id(message)))
def test_any_message_survives_the_store(memory: Memory, messages: list[BaseMessage]) -> None:
    """Whatever is added to a history is read from it, in order and exactly, through PostgreSQL."""
    history = KeepwellChatMessageHistory(uuid.uuid4().hex, memory=memory, user_id="ada", strict=True)
    history.add_messages(messages)
    assert [same(one, other) for one, other in zip(history.messages, messages, strict=True)] == [True] * len(messages)


# What other frameworks see


def test_text_is_seen_by_everyone() -> None:
    """A plain message is one text part, with role, name and id."""
    message = to_message(HumanMessage("Hello", id="h-1", name="ada"))
    assert (message.role, message.text, message.name, message.id) == ("user", "Hello", "ada", "h-1")
    assert message.parts == (TextPart(text="Hello"),)


def test_blocks_of_version_1_become_parts() -> None:
    """Reasoning, citations, media and the place of tool calls are neutral; the rest is data by its LangChain type."""
    message = to_message(CASES["blocks of version 1"])
    assert message.parts == (
        ReasoningPart(text="Let me see.", extras={"signature": "abc", "id": "r1", "index": 0}),
        TextPart(
            text="Tea is hot.",
            extras={"id": "t1", "annotations": [{"type": "non_standard_annotation", "value": {"a": 1}}]},
        ),
        CitationPart(text="hot", source="https://tea", title="Tea", extras={"start_index": 7, "end_index": 10}),
        MediaPart(type="image", data=b"hello", mime_type="image/png", extras={"detail": "low"}),
        MediaPart(type="image", url="https://img"),
        MediaPart(type="audio", file_id="f-1", mime_type="audio/wav"),
        MediaPart(type="video", url="https://film", extras={"fps": 2}),
        MediaPart(type="file", data=b"hello", mime_type="application/pdf", name="a.pdf"),
        TextPart(text="plain words", extras={"mime_type": "text/plain", "title": "T"}),
        DataPart(kind="langchain:server_tool_call", value=V1_BLOCKS[8]),
        DataPart(kind="langchain:server_tool_result", value=V1_BLOCKS[9]),
        DataPart(kind="langchain:non_standard", value=V1_BLOCKS[10]),
        ToolCallPart(index=0),
    )


def test_older_blocks_and_those_of_providers_become_the_same_parts() -> None:
    """Blocks of version 0, OpenAI and Anthropic are understood as well as those of version 1."""
    message = to_message(AIMessage(V0_BLOCKS, tool_calls=[CALL]))
    assert message.parts == (
        TextPart(text="a bare string"),
        TextPart(text="look", extras={"cache_control": {"type": "ephemeral"}}),
        MediaPart(type="image", data=b"hello", mime_type="image/png", extras={"detail": "low"}),
        MediaPart(type="image", url="https://img"),
        MediaPart(type="image", data=b"hello", mime_type="image/jpeg"),
        MediaPart(type="image", data=b"hello", mime_type="image/webp"),
        MediaPart(type="file", file_id="f-2"),
        MediaPart(type="audio", data=b"hello", mime_type="audio/wav", extras={"format": "wav"}),
        ReasoningPart(text="hm", extras={"signature": "sig"}),
        ToolCallPart(index=0),
        DataPart(kind="langchain:block", value={"no": "type"}),
    )


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"type": "media", "mime_type": "video/mp4", "file_uri": "gs://f"},
            MediaPart(type="video", url="gs://f", mime_type="video/mp4"),
        ),
        (
            {"type": "input_file", "filename": "a", "file_data": "data:text/csv;base64,aGVsbG8="},
            MediaPart(type="file", data=b"hello", mime_type="text/csv", name="a"),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "w"}, "title": "T"},
            TextPart(text="w", extras={"title": "T", "media_type": "text/plain"}),
        ),
        (
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
            },
            ReasoningPart(text="a\nb"),
        ),
        (
            {"type": "reasoning_content", "reasoning_content": {"text": "t", "signature": "s"}},
            ReasoningPart(text="t", extras={"signature": "s"}),
        ),
        ({"text": "of Converse"}, TextPart(text="of Converse")),
        ({"type": "image", "extras": {"path": "/pictures/a.png"}}, MediaPart(type="image", path="/pictures/a.png")),
    ],
)
def test_a_providers_block_becomes_a_part(block: dict[str, Any], part: Any) -> None:
    """Each provider's word for a text, a thought or a medium is understood."""
    assert to_message(AIMessage([block])).parts == (part,)


def test_tool_calls_and_results_are_paired_for_everyone() -> None:
    """Calls keep id, name and arguments; what was no JSON stays raw with its error; a result names its call."""
    message = to_message(CASES["tool calls, usage and metadata"])
    assert message.tool_calls == (
        ToolCall(id="call_1", name="search", args=CALL["args"]),
        ToolCall(id="call_2", name="search", args='{"q": ', error="cut off"),
    )
    assert message.parts == (ReasoningPart(text="thinking aloud"), TextPart(text="Let me look."))
    result = to_message(CASES["tool that failed"])
    assert (result.role, result.tool_call_id, result.metadata) == ("tool", "call_1", {"status": "error"})
    assert to_message(CASES["tool without a call"]).tool_call_id is None


@pytest.mark.parametrize(
    ("case", "role"),
    [
        ("system", "system"),
        ("developer", "developer"),
        ("function", "function"),
        ("chat", "narrator"),
        ("chat without a role", "chat"),
        ("remove", "remove"),
    ],
)
def test_roles_have_one_word_for_all(case: str, role: str) -> None:
    """Each class of LangChain has its neutral role."""
    assert to_message(CASES[case]).role == role


# Ids


def test_an_id_that_can_be_kept_is_kept() -> None:
    """LangChain's id is keepwell's id; one that no index takes gets a stand-in that is always the same."""
    assert to_message(CASES["human"]).id == "h-1"
    odd = CASES["id that no index takes"]
    assert to_message(odd).id == to_message(odd).id


def test_a_message_without_id_is_new_each_time() -> None:
    """Nothing says that two messages without ids are one, so that saying yes twice is two messages."""
    yes = HumanMessage("yes")
    assert to_message(yes).id != to_message(yes).id
    assert yes.id is None


def test_a_removal_does_not_take_the_place_of_what_it_names() -> None:
    """A stored RemoveMessage has an id of its own, so that it cannot overwrite the message that it names."""
    assert to_message(RemoveMessage(id="h-1")).id != "h-1"


# Messages that were changed, or come from elsewhere


def test_an_edit_of_the_stored_message_shows() -> None:
    """A message whose words were replaced in the store is read with the new words, not the old native form."""
    kept = stored(to_message(AIMessage("old", id="a", additional_kwargs={"x": 1})))
    edited = kept.model_copy(update={"parts": (TextPart(text="new"),)})
    assert same(to_langchain(edited), AIMessage("new", id="a"))


def test_metadata_of_the_record_do_not_count_as_an_edit() -> None:
    """Metadata that someone adds to a stored message leave its native form in force."""
    kept = to_message(AIMessage("x", id="a", usage_metadata=USAGE))
    tagged = kept.model_copy(update={"metadata": {"pinned": True}})
    assert to_langchain(tagged) == AIMessage("x", id="a", usage_metadata=USAGE)


def test_what_is_given_is_the_readers_own() -> None:
    """Changing a message that was read changes nothing for the next reader."""
    kept = to_message(CASES["blocks of version 1"])
    first = to_langchain(kept)
    assert isinstance(first.content, list)
    first.content.clear()
    first.response_metadata["x"] = 1
    assert to_langchain(kept) == CASES["blocks of version 1"]


def test_what_was_given_is_a_copy() -> None:
    """Changing a message after it was handed over does not change what is kept."""
    message = AIMessage([{"type": "text", "text": "a"}], tool_calls=[CALL], id="a")
    kept = to_message(message)
    message.content[0]["text"] = "b"  # type: ignore[index]
    message.tool_calls[0]["args"]["q"] = "coffee"
    assert kept.text == "a"
    assert to_langchain(kept).content == [{"type": "text", "text": "a"}]
    assert kept.tool_calls[0].args["q"] == "tea"


@pytest.mark.parametrize(
    "native",
    [
        Native(kind="langchain:NoSuchMessage", version="9", data={"seen": "", "fields": {}}),
        Native(kind="langchain:HumanMessage", version="9", data=None),
        Native(kind="langchain:HumanMessage", version="9", data={"fields": {"content": "other"}}),
        Native(kind="llamaindex:ChatMessage", version="9", data={"role": "user"}),
    ],
)
def test_a_native_form_that_is_not_ours_is_passed_over(native: Native) -> None:
    """A native form of another framework, of an unknown class or without its mark is not replayed."""
    assert to_langchain(Message.user("x", id="m", native=native)) == HumanMessage("x", id="m")


def test_a_class_that_grew_a_field_falls_back_to_the_neutral_form() -> None:
    """A native form that lacks what the class needs now gives the neutral message instead of a broken one."""
    kept = to_message(ToolMessage("x", tool_call_id="c", id="t"))
    assert kept.native is not None
    fields = {n: v for n, v in kept.native.data["fields"].items() if n != "tool_call_id"}
    lacking = Native(kind=kept.native.kind, version="0", data={**kept.native.data, "fields": fields})
    assert to_langchain(kept.model_copy(update={"native": lacking})) == ToolMessage("x", tool_call_id="c", id="t")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Message.user("hi", id="1", name="ada"), HumanMessage("hi", id="1", name="ada")),
        (Message.system("be kind", id="1"), SystemMessage("be kind", id="1")),
        (
            Message(role="developer", parts=(TextPart(text="be brief"),), id="1"),
            SystemMessage("be brief", id="1", additional_kwargs={"__openai_role__": "developer"}),
        ),
        (Message(role="model", parts=(TextPart(text="hi"),), id="1"), AIMessage("hi", id="1")),
        (
            Message(role="function", parts=(TextPart(text="4"),), name="f", id="1"),
            FunctionMessage("4", name="f", id="1"),
        ),
        (Message(role="function", id="1"), FunctionMessage("", name="", id="1")),
        (Message(role="narrator", parts=(TextPart(text="so"),), id="1"), ChatMessage("so", role="narrator", id="1")),
        (Message(role="tool", parts=(TextPart(text="4"),), id="1"), ToolMessage("4", tool_call_id="", id="1")),
        (
            Message.tool("no", tool_call_id="c", id="1", metadata={"status": "error"}),
            ToolMessage("no", tool_call_id="c", status="error", id="1"),
        ),
        (Message.assistant(id="1"), AIMessage("", id="1")),
    ],
)
def test_messages_of_other_frameworks_become_langchains(message: Message, expected: BaseMessage) -> None:
    """Each neutral role becomes the class that a LangChain model expects."""
    assert same(to_langchain(message), expected)


def test_a_foreign_turn_with_tools_is_an_ordinary_one() -> None:
    """Text followed by tool calls in their places is plain content with tool calls, as providers like it."""
    message = Message.assistant(
        (TextPart(text="Let me look."), ToolCallPart(index=0), ToolCallPart(index=1)),
        id="1",
        tool_calls=(ToolCall(id="a", name="f", args={"x": 1}), ToolCall(id="b", name="g", args="{", error="cut")),
    )
    expected = AIMessage(
        "Let me look.",
        id="1",
        tool_calls=[{"name": "f", "args": {"x": 1}, "id": "a"}],
        invalid_tool_calls=[{"name": "g", "args": "{", "id": "b", "error": "cut"}],
    )
    assert same(to_langchain(message), expected)


def test_foreign_blocks_keep_their_order() -> None:
    """Parts become blocks of version 1 in their order, tool calls in their places, unknown data as non-standard."""
    calls = (ToolCall(id="a", name="f", args={}), ToolCall(id="b", name="g", args={}))
    message = Message.assistant(
        (
            ReasoningPart(text="hm", extras={"signature": "s"}),
            ToolCallPart(index=0),
            TextPart(text="so"),
            CitationPart(text="c", source="https://u", title="t"),
            MediaPart(type="file", data=b"hello", name="a.pdf", mime_type="application/pdf", extras={"title": "T"}),
            MediaPart(type="image", path="/pictures/a.png"),
            DataPart(kind="llamaindex:cache", value={"ttl": "5m"}),
        ),
        tool_calls=calls,
    )
    built = to_langchain(message)
    assert built.content == [
        {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s"}},
        {"type": "tool_call", "name": "f", "args": {}, "id": "a"},
        {
            "type": "text",
            "text": "so",
            "annotations": [{"type": "citation", "cited_text": "c", "url": "https://u", "title": "t"}],
        },
        {
            "type": "file",
            "base64": "aGVsbG8=",
            "mime_type": "application/pdf",
            "extras": {"title": "T", "filename": "a.pdf"},
        },
        {"type": "image", "extras": {"path": "/pictures/a.png"}},
        {"type": "non_standard", "value": {"kind": "llamaindex:cache", "value": {"ttl": "5m"}}},
        {"type": "tool_call", "name": "g", "args": {}, "id": "b"},
    ]
    assert built.content_blocks == built.content
    assert isinstance(built, AIMessage)
    assert [call["id"] for call in built.tool_calls] == ["a", "b"]
    assert to_message(built).parts == (*message.parts, ToolCallPart(index=1))
