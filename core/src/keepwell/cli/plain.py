"""What was remembered is data: made harmless for a terminal, and complete as JSON."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import assert_never
from uuid import UUID

from keepwell import (
    Change,
    CitationPart,
    DataPart,
    Fact,
    MediaPart,
    Message,
    Owner,
    Part,
    ReasoningPart,
    Recollection,
    TextPart,
    Thread,
    ToolCallPart,
    codec,
)

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (a terminal obeys them), marks that turn the direction of writing, and halves of characters."""


def plain(text: str) -> str:
    """Give the text with everything replaced that could do more than show itself; lines and tabs stay."""
    return _HARMFUL.sub("\ufffd", text)


def one_line(text: str, characters: int) -> str:
    """Give the text on one line, cut at so many characters."""
    words = " ".join(text.split())
    return plain(words if len(words) <= characters else f"{words[: characters - 1]}…")


def counted(number: int, thing: str) -> str:
    """Give a number of things: ``1 message``, ``1,204 messages``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def speaker(message: Message) -> str:
    """Give who said it: a name, else the role."""
    return plain(message.name or message.role)


def moment(when: dt.datetime) -> str:
    """Give a time as it is shown, in UTC."""
    return f"{when:%Y-%m-%d %H:%M}"


def words(message: Message) -> str:
    """Give all of a message as text, with a word in brackets for what has none."""
    said = [_shown(part) for part in message.parts]
    called = [f"[calls {call.name}({codec.dumps(call.args)})]" for call in message.tool_calls]
    return plain("\n".join(line for line in [*said, *called] if line))


def document(value: object) -> str:
    """Give one JSON document in ASCII, which no terminal obeys and every tool reads."""
    return json.dumps(codec.encode(_ready(value)), ensure_ascii=True, indent=2, allow_nan=False)


def message_fields(message: Message) -> dict[str, object]:
    """Give a message for a document."""
    return {
        "id": message.id,
        "seq": message.seq,
        "role": message.role,
        "name": message.name,
        "text": message.text,
        "created_at": message.created_at,
        "parts": [part.model_dump(exclude_none=True) for part in message.parts],
        "tool_calls": [call.model_dump(exclude_none=True) for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
        "metadata": message.metadata,
    }


def thread_fields(thread: Thread) -> dict[str, object]:
    """Give a thread for a document."""
    return {
        "id": thread.id,
        "key": thread.key,
        **owner_fields(thread.owner),
        "title": thread.title,
        "metadata": thread.metadata,
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "messages": thread.message_count,
    }


def recollection_fields(found: Recollection) -> dict[str, object]:
    """Give a recollection for a document."""
    return {
        "kind": found.kind,
        "score": found.score,
        "thread": found.thread,
        **owner_fields(found.owner),
        "text": found.text,
        **_item_fields(found),
        "sources": {name: {"rank": said.rank, "score": said.score} for name, said in found.evidence.items()},
        "before": [message_fields(message) for message in found.before],
        "after": [message_fields(message) for message in found.after],
    }


def _item_fields(found: Recollection) -> dict[str, object]:
    item = found.item
    return {"fact": fact_fields(item)} if isinstance(item, Fact) else {"message": message_fields(item)}


def fact_fields(fact: Fact) -> dict[str, object]:
    """Give a fact for a document."""
    return {
        "id": fact.id,
        "version": fact.version,
        "text": fact.text,
        **owner_fields(fact.owner),
        "subject": fact.subject,
        "kind": fact.kind,
        "key": fact.key,
        "valid_from": fact.valid_from,
        "valid_to": fact.valid_to,
        "recorded_at": fact.recorded_at,
        "retired_at": fact.retired_at,
        "expires_at": fact.expires_at,
        "confidence": fact.confidence,
        "trust": fact.trust,
        "metadata": fact.metadata,
        "reopened": fact.reopened,
    }


def change_fields(change: Change) -> dict[str, object]:
    """Give a change for a document."""
    return {
        "id": change.id,
        "kind": change.kind,
        "fact": change.fact,
        **owner_fields(change.owner),
        "before": None if change.before is None else fact_fields(change.before),
        "after": None if change.after is None else fact_fields(change.after),
        "reason": change.reason,
        "at": change.at,
        "actor": change.actor,
        "batch": change.batch,
        "cause": change.cause,
    }


def owner_fields(owner: Owner) -> dict[str, object]:
    """Give the ids of an owner, those that are absent as null."""
    return {name: value or None for name, value in owner._asdict().items()}


def _ready(value: object) -> object:
    """Turn what a person would not want tagged into the text that everybody knows."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _ready(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_ready(item) for item in value]
    return value


def _shown(part: Part) -> str:
    match part:
        case TextPart() | CitationPart():
            return part.text
        case ReasoningPart():
            return f"[thought: {part.text}]"
        case MediaPart():
            return f"[{part.type}: {part.name or part.url or part.path or part.file_id or 'unnamed'}]"
        case DataPart():
            return f"[{part.kind}]"
        case ToolCallPart():
            return ""  # shown with the call itself
        case _:
            assert_never(part)
