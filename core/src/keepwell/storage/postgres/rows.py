"""Messages as rows: what is written for one, and the message that a row gives back."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _quote
from typing import Any, NamedTuple
from uuid import UUID

from keepwell.models import (
    CitationPart,
    DataPart,
    Lineage,
    MediaPart,
    Message,
    Native,
    Owner,
    Part,
    ReasoningPart,
    TextPart,
    Thread,
    ToolCall,
    ToolCallPart,
)
from keepwell.models.codec import dumps, loads, searchable
from keepwell.models.message import trusted
from keepwell.recall.signals import actor

MessageRow = tuple[int, str, str, str | None, dt.datetime]
_PARTS: Mapping[str, type[Part]] = {
    "text": TextPart,
    "image": MediaPart,
    "audio": MediaPart,
    "video": MediaPart,
    "file": MediaPart,
    "reasoning": ReasoningPart,
    "citation": CitationPart,
    "tool_call": ToolCallPart,
    "data": DataPart,
}


class Draft(NamedTuple):
    """A message as it is written: texts of JSON, and the digest of what it says."""

    message: Message
    body: str
    native: str | None
    labels: str | None
    digest: str
    terms: str
    signals: str = ""

    def row(self, n: int) -> str:
        r"""Give the JSON object that the append statement reads; bodies are strings in it.

        A body is quoted once more because the server refuses ``\u0000`` in JSON whose fields it takes apart.
        """
        native = "null" if self.native is None else _quote(self.native)
        labels = "null" if self.labels is None else _quote(self.labels)
        signals = f',"signals":{_quote(self.signals)}' if self.signals else ""
        return (
            f'{{"n":{n},"id":{_quote(self.message.id)},"body":{_quote(self.body)},"native":{native},'
            f'"labels":{labels},"digest":"{self.digest}","terms":{_quote(self.terms)},'
            f'"actor":{_quote(self.actor)}{signals},"created_at":"{self.message.created_at.isoformat()}"}}'
        )

    @property
    def length(self) -> int:
        """How many terms it has."""
        return self.terms.count(" ") + 1 if self.terms else 0

    @property
    def actor(self) -> str:
        """Who said it, on one line: columns of actors are read as lines."""
        name = self.message.name
        return actor(self.message.role, storable(name).replace("\n", " ") if name else None)


def storable(text: str) -> str:
    """Give a text as a column can hold it, which knows no NUL and no lone surrogate."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def draft(message: Message, terms: str, signals: str = "") -> Draft:
    """Give a message as it is written."""
    body = _body(message)
    native = None if message.native is None else dumps(message.native.__dict__)
    labels = json.dumps(searchable(message.metadata)) if message.metadata else None
    digest = blake2b(f"{body}\x00{native}".encode(), digest_size=16).hexdigest()
    return Draft(message, body, native, labels, digest, terms, signals)


def _body(message: Message) -> str:
    parts = message.parts
    plain = len(parts) == 1 and isinstance(parts[0], TextPart) and not parts[0].extras
    if plain and message.name is message.tool_call_id is None and not (message.tool_calls or message.metadata):
        return f'{{"role":{_quote(message.role)},"text":{_quote(parts[0].text)}}}'  # type: ignore[union-attr]
    body: dict[str, Any] = {"role": message.role}
    if plain:
        body["text"] = parts[0].text  # type: ignore[union-attr]  # plain says that it is a TextPart
    elif parts:
        body["parts"] = [_given(part) for part in parts]
    if message.tool_calls:
        body["tool_calls"] = [_given(call) for call in message.tool_calls]
    for name in ("name", "tool_call_id"):
        if (value := getattr(message, name)) is not None:
            body[name] = value
    if message.metadata:
        body["metadata"] = dict(message.metadata)
    return dumps(body)


def _given(value: Part | ToolCall) -> dict[str, Any]:
    """Give the fields that say something; not ``model_dump``, which would take foreign objects apart."""
    return {
        name: field
        for name, field in value.__dict__.items()
        if not (field is None and name != "args") and not (name == "extras" and not field)
    }


def message_of(row: MessageRow) -> Message:
    """Give the message of a row; values from the record were checked when they were written."""
    seq, ident, raw, native, created_at = row
    body = loads(raw)
    text = body.get("text")
    parts = tuple(map(_part, body.get("parts", ()))) if text is None else (_words(text),)
    fields = {
        "role": body["role"],
        "parts": parts,
        "id": ident,
        "name": body.get("name"),
        "tool_calls": tuple(ToolCall(**call) for call in body.get("tool_calls", ())),
        "tool_call_id": body.get("tool_call_id"),
        "metadata": body.get("metadata", {}),
        "created_at": created_at.astimezone(dt.UTC),
        "seq": seq,
        "native": None if native is None else Native(**loads(native)),
    }
    return trusted(Message, fields)


def _words(text: str) -> TextPart:
    return trusted(TextPart, {"type": "text", "text": text, "extras": {}})


def _part(fields: dict[str, Any]) -> Part:
    return _PARTS[fields["type"]].model_construct(**fields)


def thread_of(row: tuple[Any, ...]) -> Thread:
    """Give the thread of a row of ``@thread`` columns."""
    ident, key, user, agent, run, title, metadata, created, updated, last, count, source, source_seq = row
    return Thread(
        id=ident,
        key=key,
        owner=Owner(user, agent, run),
        title=title,
        metadata=loads(metadata),
        created_at=created.astimezone(dt.UTC),
        updated_at=updated.astimezone(dt.UTC),
        last_seq=last,
        message_count=count,
        source=None if source is None else Lineage(UUID(str(source)), source_seq),
    )
