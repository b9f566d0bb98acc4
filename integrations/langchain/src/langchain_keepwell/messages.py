"""LangChain's messages as keepwell's, and back, with nothing lost.

A stored message has the neutral form that every framework can read, and LangChain's own fields as ``native``.
On the way back the native form is replayed, unless the neutral one was changed in the meantime: then the change
is what counts, and the message is built anew from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import langchain_core

# A Document in a tool's artifact is revived only where its class is imported already.
import langchain_core.documents
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from keepwell import Message, Native, ReasoningPart, ToolCall, codec, errors
from langchain_keepwell.content import Block, content_of, parts_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from keepwell import Part

T = TypeVar("T")

_PREFIX = "langchain:"
_CLASSES: tuple[type[BaseMessage], ...] = (
    RemoveMessage,
    ToolMessage,
    FunctionMessage,
    ChatMessage,
    AIMessage,
    HumanMessage,
    SystemMessage,
)
_DEVELOPER = {"__openai_role__": "developer"}
_LONGEST_ROLE = 64


def to_message(message: BaseMessage) -> Message:
    """Give the message as keepwell keeps it. A stream's chunk is kept as the message that it became.

    The caller's message is left as it is. One without an id gets a new one each time, because nothing says that
    two of them are the same; reading it back gives it without an id again.

    Raises:
        InvalidMessage: it is of no kind that LangChain can restore, or nested too deeply.

    Example:
        >>> to_message(HumanMessage("I can't eat peanuts.")).role
        'user'
    """
    try:
        return _to_message(message)
    except RecursionError:
        raise errors.InvalidMessage("the message is nested too deeply to be stored") from None


def to_langchain(message: Message) -> BaseMessage:
    """Give the message as LangChain has it: exactly what was stored, if it came from there and was not changed.

    Example:
        >>> to_langchain(Message.user("I can't eat peanuts."))  # doctest: +ELLIPSIS
        HumanMessage(content="I can't eat peanuts.", ...)
    """
    return _replayed(message) or _built(message)


def _to_message(message: BaseMessage) -> Message:
    whole = _whole(message)
    calls = _calls(whole)
    fields = _fields(whole, message.__pydantic_extra__)
    neutral = Message(
        role=_role(whole),
        parts=(*_reasoning(whole), *parts_of(_fresh(whole.content), calls)),
        name=whole.name or None,
        tool_calls=calls,
        tool_call_id=(whole.tool_call_id or None) if isinstance(whole, ToolMessage) else None,
        metadata={"status": "error"} if isinstance(whole, ToolMessage) and whole.status == "error" else {},
        **_identity(whole),
    )
    if whole.id != neutral.id:
        fields["id"] = whole.id
    data = {"seen": _fingerprint(neutral), "fields": fields}
    native = Native(kind=f"{_PREFIX}{_class(whole).__name__}", version=langchain_core.__version__, data=data)
    return neutral.model_copy(update={"native": native})


def _whole(message: BaseMessage) -> BaseMessage:
    while isinstance(message, BaseMessageChunk):  # a subclass of a chunk becomes a chunk first
        message = message_chunk_to_message(message)
    return message


def _class(message: BaseMessage) -> type[BaseMessage]:
    for known in _CLASSES:
        if isinstance(message, known):
            return known
    raise errors.InvalidMessage(f"LangChain cannot restore a {type(message).__name__}, so it is not stored")


def _role(message: BaseMessage) -> str:
    match message:
        case HumanMessage():
            return "user"
        case AIMessage():
            return "assistant"
        case SystemMessage():
            return "developer" if message.additional_kwargs.get("__openai_role__") == "developer" else "system"
        case ChatMessage():
            role = codec.searchable(message.role)
            return str(role)[:_LONGEST_ROLE] or "chat"
        case _:
            return str(_class(message).model_fields["type"].default)  # tool, function and remove


def _identity(message: BaseMessage) -> dict[str, str]:
    """Give the id, if it can be one; a new one is made where there is none.

    The id of a ``RemoveMessage`` is another message's, in whose place it must not be stored.
    """
    if not message.id or not message.id.strip() or isinstance(message, RemoveMessage):
        return {}
    try:
        Message(role="user", id=message.id)
    except errors.InvalidMessage:
        return {"id": f"langchain-{_digest(message.id.encode(errors='surrogatepass'))}"}
    return {"id": message.id}


def _reasoning(message: BaseMessage) -> list[Part]:
    """Give what some providers return beside the content rather than in it."""
    thought = message.additional_kwargs.get("reasoning_content") if isinstance(message, AIMessage) else None
    blocks = message.content if isinstance(message.content, list) else []
    if not isinstance(thought, str) or any(isinstance(b, dict) and b.get("type") == "reasoning" for b in blocks):
        return []
    return [ReasoningPart(text=thought)]


def _calls(message: BaseMessage) -> tuple[ToolCall, ...]:
    if not isinstance(message, AIMessage):
        return ()
    valid = [ToolCall(id=c.get("id"), name=c["name"], args=_fresh(c["args"])) for c in message.tool_calls]
    invalid = [
        ToolCall(
            id=call.get("id"),
            name=call.get("name") or "",
            args=call.get("args") or "",
            error=call.get("error") or "the arguments are not valid JSON",
        )
        for call in message.invalid_tool_calls
    ]
    return (*valid, *invalid)


def _fields(message: BaseMessage, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the message's own fields, but for those that are as they are by default or as the neutral form says."""
    declared = type(message).model_fields
    own = {
        name: value
        for name, value in message.__dict__.items()
        if name in declared and (name in message.model_fields_set or not _is_default(value, declared[name]))
    }
    for name in ("type", "id") if isinstance(message.content, list) else ("type", "id", "content"):
        own.pop(name, None)
    return _fresh({**(extra or {}), **own})


def _is_default(value: object, field: FieldInfo) -> bool:
    if field.default_factory is not None:
        return isinstance(value, dict | list) and not value
    return value is field.default or (type(value) is type(field.default) and bool(value == field.default))


def _fresh(value: T) -> T:
    """Copy as the store will: what has no lossless form is the same before and after."""
    copied: T = codec.decode(codec.encode(value))
    return copied


def _fingerprint(message: Message) -> str:
    """Give a mark that changes with what a reader of any framework sees.

    Empty values are left out, so that a field which a later version adds does not look like a change.
    """
    seen = {
        "role": message.role,
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "status": message.metadata.get("status"),
        "parts": [_filled(part) for part in message.parts],
        "tool_calls": [_filled(call) for call in message.tool_calls],
    }
    return _digest(json.dumps(_ordered(codec.encode(seen)), sort_keys=True).encode())


def _filled(value: Part | ToolCall) -> dict[str, Any]:
    return {name: item for name, item in value if item is not None and item != {}}


def _ordered(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Put the members of sets in order: another process has them in another."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    tagged = value.get(codec.TAG)
    if isinstance(tagged, list) and tagged[0] in ("set", "frozenset"):
        return [tagged[0], sorted(json.dumps(_ordered(item), sort_keys=True) for item in tagged[1])]
    return {key: _ordered(item) for key, item in value.items()}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _replayed(message: Message) -> BaseMessage | None:
    native = message.native
    if native is None or not native.kind.startswith(_PREFIX) or not isinstance(native.data, Mapping):
        return None
    known = {each.__name__: each for each in _CLASSES}.get(native.kind.removeprefix(_PREFIX))
    fields = native.data.get("fields")
    if known is None or not isinstance(fields, Mapping) or native.data.get("seen") != _fingerprint(message):
        return None
    return _restored(known, {"content": message.text, "id": message.id, **_fresh(dict(fields))})


def _restored(known: type[BaseMessage], fields: Mapping[str, Any]) -> BaseMessage | None:
    """Make the message without validation: LangChain's would drop and rewrite what was there."""
    declared = {name: value for name, value in fields.items() if name in known.model_fields}
    required = {name for name, field in known.model_fields.items() if field.is_required()}
    if not required <= declared.keys() or not isinstance(declared["content"], str | list):
        return None
    restored = known.model_construct(set(declared), **{**_empty(known), **declared})
    if restored.__pydantic_extra__ is not None:
        restored.__pydantic_extra__.update({n: v for n, v in fields.items() if n not in declared})
    return restored


def _empty(known: type[BaseMessage]) -> dict[str, Any]:
    """Give the fields that are empty by default; pydantic would parse the source of each factory each time."""
    made = {name: field.default_factory for name, field in known.model_fields.items()}
    return {name: [] if factory is list else {} for name, factory in made.items() if factory in (list, dict)}


def _built(message: Message) -> BaseMessage:
    calls = [_call(call) for call in message.tool_calls]
    content = _fresh(content_of(message.parts, calls if message.role in _MODEL else []))
    own: dict[str, Any] = {"content": content, "name": message.name, "id": message.id}
    built: BaseMessage
    match message.role:
        case "user" | "human":
            built = HumanMessage(**own)
        case "assistant" | "ai" | "model" | "chatbot":
            built = _ai_message(own, calls)
        case "system":
            built = SystemMessage(**own)
        case "developer":
            built = SystemMessage(**own, additional_kwargs=dict(_DEVELOPER))
        case "tool":
            status = "error" if message.metadata.get("status") == "error" else "success"
            built = ToolMessage(**own, tool_call_id=message.tool_call_id or "", status=status)
        case "function":
            built = FunctionMessage(**{**own, "name": message.name or ""})
        case _:
            built = ChatMessage(**own, role=message.role)
    return built


_MODEL = frozenset({"assistant", "ai", "model", "chatbot"})


def _ai_message(own: Mapping[str, Any], calls: Sequence[Block]) -> AIMessage:
    """Say of blocks that they are of version 1, so that a provider's package translates them."""
    return AIMessage(
        **own,
        tool_calls=[call for call in calls if call["type"] == "tool_call"],
        invalid_tool_calls=[call for call in calls if call["type"] == "invalid_tool_call"],
        response_metadata={"output_version": "v1"} if isinstance(own["content"], list) else {},
    )


def _call(call: ToolCall) -> Block:
    if call.error is None and isinstance(call.args, Mapping):
        return dict(tool_call(name=call.name, args=_fresh(dict(call.args)), id=call.id))
    raw = call.args if isinstance(call.args, str) else codec.dumps(call.args)
    return dict(invalid_tool_call(name=call.name, args=raw, id=call.id, error=call.error))
