"""Reading a conversation of a Claude export.

The export has no published contract. What is relied on here: a conversation holds ``uuid``, ``name`` and
``chat_messages``; a message has ``uuid``, ``sender`` (``human`` or ``assistant``), ``created_at`` in ISO
8601, ``content`` (an array of blocks by ``type``), ``text`` (older exports have only this; newer ones put
a sentence about the reader's device there in place of a tool's block), ``attachments`` with the text that
was found in them, and ``files``. Newer exports keep branches apart by ``parent_message_uuid``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from keepwell.errors import ImportFormatError
from keepwell.importing.values import (
    ImportedThread,
    LeftOut,
    labelled,
    list_at,
    media,
    message,
    moment,
    text_at,
    usable_id,
)
from keepwell.models import TextPart

if TYPE_CHECKING:
    import datetime as dt

    from keepwell.models import MediaPart, Message, Part

_NOBODY = "00000000-0000-4000-8000-000000000000"
_REASONING = {"thinking", "redacted_thinking"}
_TOOL = {"tool_use", "tool_result", "token_budget"}


def conversation(value: object, *, where: str, undated: dt.datetime) -> ImportedThread:
    """Give the conversation as the person saw it: the newest branch, its texts and files.

    The text found in an attachment is a part of its message, because a long paste is kept as one. A
    message without a time takes that of the one before it, else the conversation's, else ``undated``.

    Raises:
        ImportFormatError: this is not such a conversation.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("chat_messages"), list):
        raise ImportFormatError(f"{where}: it has no `chat_messages`, so it is not a conversation of a Claude export")
    title = text_at(value, "name")
    where = labelled(where, title)
    thread_id = text_at(value, "uuid")
    if thread_id is None:
        raise ImportFormatError(f"{where}: it has no `uuid`, so importing it twice could not be noticed")
    raws = _checked(value["chat_messages"], where)
    live = _live(raws, text_at(value, "current_leaf_message_uuid"))
    left_out: Counter[LeftOut] = Counter({"branch": len(raws) - len(live)})
    when = moment(value.get("created_at"), where) or undated
    messages = _messages(live, where, when, left_out)
    return ImportedThread(usable_id(where, thread_id), title, _metadata(value, where), messages, +left_out)


def _checked(raws: list[Any], where: str) -> list[Mapping[str, Any]]:
    for ordinal, raw in enumerate(raws, 1):
        if not isinstance(raw, Mapping) or not text_at(raw, "uuid") or not text_at(raw, "sender"):
            raise ImportFormatError(f"{where}, message {ordinal}: it needs a `uuid` and a `sender`")
    return raws


def _live(raws: list[Mapping[str, Any]], tip: str | None) -> list[Mapping[str, Any]]:
    """Give the messages from the first to the tip; all of them where nothing tells branches apart."""
    by_id = {raw["uuid"]: raw for raw in raws}
    if not raws or not all(text_at(raw, "parent_message_uuid") for raw in raws):
        return raws
    at = tip if tip in by_id else max(raws[::-1], key=lambda raw: text_at(raw, "created_at") or "")["uuid"]
    path: list[Mapping[str, Any]] = []
    while at in by_id:
        raw = by_id.pop(at)
        path.append(raw)
        at = raw["parent_message_uuid"]
    # A chain that ends elsewhere than at the beginning has lost a link: better too much than too little.
    return path[::-1] if at == _NOBODY else raws


def _messages(
    raws: list[Mapping[str, Any]], where: str, when: dt.datetime, left_out: Counter[LeftOut]
) -> tuple[Message, ...]:
    messages: list[Message] = []
    for raw in raws:
        place = f"{where}, message {raw['uuid']}"
        when = moment(raw.get("created_at"), place) or when
        parts = _parts(raw, left_out)
        if not parts:
            left_out["empty"] += 1
            continue
        role = "user" if raw["sender"] == "human" else raw["sender"]
        messages.append(message(place, role=role, parts=parts, id=raw["uuid"], created_at=when))
    return tuple(messages)


def _parts(raw: Mapping[str, Any], left_out: Counter[LeftOut]) -> tuple[Part, ...]:
    blocks = [block for block in list_at(raw, "content") if isinstance(block, Mapping)]
    if blocks:
        said = [part for block in blocks for part in _block(block, left_out)]
    else:
        text = text_at(raw, "text")
        said = [TextPart(text=text)] if text else []
    return (*said, *_attached(raw))


def _block(block: Mapping[str, Any], left_out: Counter[LeftOut]) -> list[TextPart]:
    kind, text = text_at(block, "type"), text_at(block, "text")
    if kind in _REASONING:
        left_out["reasoning"] += 1
    elif kind in _TOOL:
        left_out["tool"] += 1
    elif text:
        citations = list_at(block, "citations")
        return [TextPart(text=text, extras={"citations": citations} if citations else {})]
    elif kind != "text":
        left_out["other"] += 1
    return []


def _attached(raw: Mapping[str, Any]) -> list[Part]:
    attachments = [item for item in list_at(raw, "attachments") if isinstance(item, Mapping)]
    names = {text_at(item, "file_name") for item in attachments}
    files = [item for item in list_at(raw, "files") if isinstance(item, Mapping)]
    parts: list[Part] = [_file(item) for item in attachments if text_at(item, "file_name")]
    parts.extend(_file(item) for item in files if text_at(item, "file_name") not in names)
    parts.extend(
        TextPart(text=text, extras={"attachment": text_at(item, "file_name")})
        for item in attachments
        if (text := text_at(item, "extracted_content"))
    )
    return parts


def _file(item: Mapping[str, Any]) -> MediaPart:
    kind = text_at(item, "file_type", "file_kind")
    extras = {"file_type": kind, "size_bytes": item.get("file_size")}
    return media(
        mime_type=kind if kind and "/" in kind else None,
        file_id=text_at(item, "file_uuid", "id"),
        name=text_at(item, "file_name"),
        extras={key: value for key, value in extras.items() if value is not None},
    )


def _metadata(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    kept: dict[str, Any] = {"source": "claude"}
    for name in ("created_at", "updated_at"):
        if when := moment(value.get(name), where):
            kept[name] = when.isoformat()
    return kept
