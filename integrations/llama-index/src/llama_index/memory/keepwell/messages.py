"""LlamaIndex's messages as keepwell's, and back, with nothing lost.

A stored message has the neutral form that every framework can read, and LlamaIndex's own fields as ``native``.
On the way back the native form is replayed, unless the neutral one was changed in the meantime: then the change
is what counts, and the message is built anew from it.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

import llama_index.core

# An image in `additional_kwargs` is revived only where its class is imported already.
import llama_index.core.schema
from keepwell import Message, Native, Part, ReasoningPart, ToolCall, ToolCallPart, codec, errors
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.memory.keepwell.blocks import (
    PREFIX,
    block_of,
    call_of,
    fresh,
    legacy_tool_call,
    part_of,
    tool_call_block,
)
from llama_index.memory.keepwell.kinds import HAS_THOUGHTS, HAS_TOOL_CALLS
from llama_index.memory.keepwell.native import dump_block, load_block

KIND = f"{PREFIX}ChatMessage"
_OF_MODELS = {MessageRole.CHATBOT: "assistant", MessageRole.MODEL: "assistant"}
_OF_OTHERS = {"human": MessageRole.USER, "ai": MessageRole.ASSISTANT}
_ATOMS = frozenset({str, int, float, bool, bytes, type(None), MessageRole})
M = TypeVar("M", bound=BaseModel)
_log = logging.getLogger("llama_index.memory.keepwell")


def to_message(message: ChatMessage) -> Message:
    """Give the message as keepwell keeps it; the caller's is left as it is, and nothing is shared with it.

    LlamaIndex's messages have no id, so that each call gives a new one.

    Raises:
        InvalidMessage: it is nested too deeply.

    Example:
        >>> to_message(ChatMessage("I can't eat peanuts.")).role
        'user'
    """
    try:
        return _to_message(message)
    except RecursionError:
        raise errors.InvalidMessage("the message is nested too deeply to be stored") from None


def to_chat_message(message: Message) -> ChatMessage:
    """Give the message as LlamaIndex has it: exactly what was stored, if it came from there and was not changed.

    What LlamaIndex has no block for, or would refuse because its file is gone, is shown as a few words in
    brackets; the store keeps it as it was.

    Example:
        >>> to_chat_message(Message.user("I can't eat peanuts.")).content
        "I can't eat peanuts."
    """
    return _replayed(message) or _built(message)


def copied(message: ChatMessage) -> ChatMessage:
    """Give a message that says the same and shares nothing; for one of text, thoughts and tool calls.

    A tenth of the time of pydantic's deep copy: nothing is validated, because nothing changes.
    """
    return _copied(message, blocks=[_copied(block) for block in message.blocks])


def content_digest(message: ChatMessage) -> str:
    """Give a mark that two messages share if they say the same in every field."""
    kept = to_message(message)
    native = kept.native.data if kept.native else None
    return _digest([_seen(kept), native])


def _copied(value: M, **other: object) -> M:
    made = value.__class__.__new__(value.__class__)
    same = {name: item for name, item in value.__dict__.items() if name not in other}
    own = {name: item if type(item) in _ATOMS else _own(item) for name, item in same.items()}
    object.__setattr__(made, "__dict__", {**own, **other})
    object.__setattr__(made, "__pydantic_fields_set__", set(value.model_fields_set))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


def _own(item: object) -> object:
    return {} if type(item) is dict and not item else copy.deepcopy(item)


def _to_message(message: ChatMessage) -> Message:
    calls: list[ToolCall] = []
    parts = tuple(part_of(block, calls) for block in message.blocks)
    about = message.additional_kwargs or {}
    answers = message.role in (MessageRole.TOOL, MessageRole.FUNCTION)
    neutral = Message(
        role=_role(message.role),
        parts=parts,
        name=_word(about, "name") if answers else None,
        tool_calls=tuple(calls or _legacy_calls(about)),
        tool_call_id=_word(about, "tool_call_id") if message.role == MessageRole.TOOL else None,
        metadata={"status": "error"} if answers and about.get("status") == "error" else {},
    )
    native = Native(kind=KIND, version=llama_index.core.__version__, data=_data(message, neutral))
    return neutral.model_copy(update={"native": native})


def _role(role: str) -> str:
    try:
        known = MessageRole(role)
    except ValueError:  # assigned, which LlamaIndex does not check
        return "user"
    return _OF_MODELS.get(known, known.value)


def _word(about: Mapping[str, Any], name: str) -> str | None:
    value = about.get(name)
    return value if isinstance(value, str) and value else None


def _legacy_calls(about: Mapping[str, Any]) -> list[ToolCall]:
    """Give the tool calls that older adapters put beside the blocks, as dicts or as objects of OpenAI's."""
    given = about.get("tool_calls")
    calls = [_legacy_call(call) for call in given] if isinstance(given, list | tuple) else []
    return [call for call in calls if call is not None]


def _legacy_call(call: object) -> ToolCall | None:
    inner = _field(call, "function") or call
    name = _field(inner, "name") or _field(call, "tool_name")
    given = _field(inner, "arguments")
    args = (_field(call, "tool_kwargs") or {}) if given is None else given
    known = _field(call, "id") or _field(call, "tool_id")
    return call_of(known if isinstance(known, str) else None, name, args) if isinstance(name, str) else None


def _field(value: object, name: str) -> Any:  # noqa: ANN401 - whatever an adapter put there
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _data(message: ChatMessage, neutral: Message) -> dict[str, Any]:
    """Give LlamaIndex's own fields, but for what is as the neutral form says."""
    data: dict[str, Any] = {"seen": _digest(_seen(neutral))}
    if message.role != neutral.role:
        data["role"] = str(getattr(message.role, "value", message.role))
    if message.additional_kwargs:
        data["kwargs"] = fresh(message.additional_kwargs)
    blocks = [dump_block(block, part) for block, part in zip(message.blocks, neutral.parts, strict=True)]
    if any(block is not None for block in blocks):
        data["blocks"] = blocks
    return data


def _seen(message: Message) -> dict[str, Any]:
    """Give what a reader of any framework sees.

    Empty values are left out, so that a field which a later version adds does not look like a change.
    """
    return {
        "role": message.role,
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "status": message.metadata.get("status"),
        "parts": [_filled(part) for part in message.parts],
        "tool_calls": [_filled(call) for call in message.tool_calls],
    }


def _filled(value: Part | ToolCall) -> dict[str, Any]:
    return {name: item for name, item in value if item is not None and item != {}}


def _digest(value: object) -> str:
    text = json.dumps(_ordered(codec.encode(value)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _ordered(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Put the members of sets in order: another process has them in another."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    tagged = value.get(codec.TAG)
    if isinstance(tagged, list) and tagged and tagged[0] in ("set", "frozenset"):
        return [tagged[0], sorted(json.dumps(_ordered(item), sort_keys=True) for item in tagged[1])]
    return {key: _ordered(item) for key, item in value.items()}


def _replayed(message: Message) -> ChatMessage | None:
    native = message.native
    if native is None or native.kind != KIND or not isinstance(native.data, Mapping):
        return None
    if native.data.get("seen") != _digest(_seen(message)):
        return None
    try:
        return _restored(message, native.data)
    except (AttributeError, TypeError, ValueError) as error:  # whatever stands there, the thread stays readable
        _say_once(message.id, f"{type(error).__name__}: {error}")
        return None


def _restored(message: Message, data: Mapping[str, Any]) -> ChatMessage:
    """Make the message without validation: LlamaIndex's would refuse and rewrite what was there."""
    dumps = data.get("blocks") or [None] * len(message.parts)
    blocks = [load_block(dump, part) for dump, part in zip(dumps, message.parts, strict=True)]
    role = data.get("role", message.role)
    about = fresh(dict(data.get("kwargs", {})))
    known = MessageRole(role) if role in MessageRole._value2member_map_ else role
    return ChatMessage.model_construct(role=known, additional_kwargs=about, blocks=blocks)


@functools.lru_cache(maxsize=1_024)  # bounded; so that a thread that is read at each turn does not fill the log
def _say_once(message_id: str, problem: str) -> None:
    _log.warning("message %s is given without its LlamaIndex form, which cannot be read: %s", message_id, problem)


def _built(message: Message) -> ChatMessage:
    role = _built_role(message.role)
    placed = {part.index for part in message.parts if isinstance(part, ToolCallPart)}
    blocks = [block_of(part, message.tool_calls) for part in message.parts if _has_block(part)]
    about = _about(role, message)
    if HAS_TOOL_CALLS:
        blocks += [tool_call_block(call) for index, call in enumerate(message.tool_calls) if index not in placed]
    elif message.tool_calls:
        about["tool_calls"] = [legacy_tool_call(call) for call in message.tool_calls]
    return ChatMessage(role=role, blocks=blocks, additional_kwargs=about)


def _has_block(part: Part) -> bool:
    """Tell whether a part is shown at all: older versions of LlamaIndex have no place for some."""
    if isinstance(part, ToolCallPart):
        return HAS_TOOL_CALLS
    return HAS_THOUGHTS or not isinstance(part, ReasoningPart)


def _built_role(role: str) -> MessageRole:
    if role in _OF_OTHERS:
        return _OF_OTHERS[role]
    try:
        return MessageRole(role)
    except ValueError:
        return MessageRole.USER


def _about(role: MessageRole, message: Message) -> dict[str, Any]:
    """Give what LlamaIndex keeps beside the blocks of a tool's answer; other roles get nothing.

    OpenAI's adapter sends every key beside an assistant's blocks to the service.
    """
    if role not in (MessageRole.TOOL, MessageRole.FUNCTION):
        return {}
    own = {"tool_call_id": message.tool_call_id, "name": message.name, "status": message.metadata.get("status")}
    return {name: value for name, value in own.items() if value is not None}
