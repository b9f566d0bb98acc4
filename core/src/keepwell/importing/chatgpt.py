"""Reading a conversation of a ChatGPT export.

The export has no published contract. What is relied on here: a conversation holds ``mapping``, a tree of
nodes by id (``parent``, ``children``, ``message``), and ``current_node``, the tip of the branch that the
person saw last. A message has ``author.role``, ``content.content_type`` with ``parts`` or ``text``,
``create_time`` in Unix seconds, ``recipient`` and ``metadata``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from keepwell.errors import ImportFormatError
from keepwell.importing.values import (
    ImportedThread,
    LeftOut,
    labelled,
    list_at,
    mapping_at,
    media,
    message,
    moment,
    text_at,
    usable_id,
)
from keepwell.models import MediaPart, TextPart

if TYPE_CHECKING:
    import datetime as dt

    from keepwell.models import Message, Part

_INSTRUCTIONS = {"user_editable_context", "model_editable_context"}
_REASONING = {"thoughts", "reasoning_recap"}
_NESTED_POINTERS = ("audio_asset_pointer", "video_container_asset_pointer")


def conversation(value: object, *, where: str, undated: dt.datetime) -> ImportedThread:
    """Give the conversation as the person saw it: the branch that was open, without what was hidden.

    Texts are kept as they are written; images, sounds and files become parts that name them
    (``file_id``). A message without a time takes that of the one before it, else the conversation's,
    else ``undated``.

    Raises:
        ImportFormatError: this is not such a conversation.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("mapping"), Mapping):
        raise ImportFormatError(f"{where}: it has no `mapping`, so it is not a conversation of a ChatGPT export")
    title = text_at(value, "title")
    where = labelled(where, title)
    nodes: Mapping[str, Any] = value["mapping"]
    path = _path(nodes, value.get("current_node"))
    left_out: Counter[LeftOut] = Counter()
    left_out["branch"] = _said(nodes) - _said({node_id: nodes[node_id] for node_id in path})
    when = moment(value.get("create_time"), where) or undated
    messages = _messages(nodes, path, where, when, left_out)
    thread_id = text_at(value, "conversation_id", "id") or (path[0] if path else None)
    if thread_id is None:
        raise ImportFormatError(f"{where}: it has neither an id nor a message")
    return ImportedThread(usable_id(where, thread_id), title, _metadata(value, where), messages, +left_out)


def _path(nodes: Mapping[str, Any], tip: object) -> list[str]:
    """Give the ids of the nodes from the root to the tip."""
    at = tip if isinstance(tip, str) and tip in nodes else _newest_leaf(nodes)
    path: list[str] = []
    seen: set[str] = set()
    while isinstance(at, str) and at in nodes and at not in seen:
        seen.add(at)
        path.append(at)
        at = _node(nodes, at).get("parent")
    return path[::-1]


def _newest_leaf(nodes: Mapping[str, Any]) -> str | None:
    """Give the tip where the export names none: the last one written of those that nothing follows."""
    parents = {_node(nodes, node_id).get("parent") for node_id in nodes}
    leaves = [node_id for node_id in nodes if node_id not in parents]
    return max(leaves[::-1], key=lambda node_id: _written(nodes, node_id), default=None)


def _written(nodes: Mapping[str, Any], node_id: str) -> float:
    when = mapping_at(_node(nodes, node_id), "message").get("create_time")
    return float(when) if isinstance(when, int | float) else 0.0


def _node(nodes: Mapping[str, Any], node_id: str) -> Mapping[str, Any]:
    return mapping_at(nodes, node_id)


def _said(nodes: Mapping[str, Any]) -> int:
    """Count what people and the model said to each other."""
    messages = (mapping_at(_node(nodes, node_id), "message") for node_id in nodes)
    return sum(1 for item in messages if _role(item) in {"user", "assistant"} and _reason(item) is None)


def _messages(
    nodes: Mapping[str, Any], path: list[str], where: str, when: dt.datetime, left_out: Counter[LeftOut]
) -> tuple[Message, ...]:
    messages: list[Message] = []
    for node_id in path:
        raw = mapping_at(_node(nodes, node_id), "message")
        if not raw:
            continue
        when = moment(raw.get("create_time"), where) or when
        if reason := _reason(raw):
            left_out[reason] += 1
            continue
        parts = _parts(raw, left_out)
        if not parts:
            left_out["empty"] += 1
            continue
        messages.append(_message(raw, node_id, parts, where, when))
    return tuple(messages)


def _message(raw: Mapping[str, Any], node_id: str, parts: tuple[Part, ...], where: str, when: dt.datetime) -> Message:
    model = text_at(raw.get("metadata"), "model_slug")
    return message(
        f"{where}, message {node_id}",
        # An image that a tool made was shown as the model's answer.
        role="user" if _role(raw) == "user" else "assistant",
        parts=parts,
        id=text_at(raw, "id") or node_id,
        created_at=when,
        metadata={"model": model} if model else {},
    )


def _role(raw: Mapping[str, Any]) -> str | None:
    return text_at(raw.get("author"), "role")


def _reason(raw: Mapping[str, Any]) -> LeftOut | None:
    """Give why the message is none that the person saw, ``None`` where it is one."""
    role, recipient = _role(raw), text_at(raw, "recipient")
    kind = text_at(raw.get("content"), "content_type")
    if mapping_at(raw, "metadata").get("is_visually_hidden_from_conversation"):
        return "hidden"
    if role not in {"user", "assistant", "tool"} or kind in _INSTRUCTIONS:
        return "system"
    if kind in _REASONING:
        return "reasoning"
    if role == "tool" and not _has_media(raw):
        return "tool"
    if role == "assistant" and recipient not in {None, "all"}:
        return "tool"
    return None


def _has_media(raw: Mapping[str, Any]) -> bool:
    parts = list_at(mapping_at(raw, "content"), "parts")
    return any(isinstance(part, Mapping) and text_at(part, "asset_pointer") for part in parts)


def _parts(raw: Mapping[str, Any], left_out: Counter[LeftOut]) -> tuple[Part, ...]:
    content = mapping_at(raw, "content")
    parts: list[Part] = []
    for item in list_at(content, "parts"):
        found = _part(item)
        if not found and isinstance(item, Mapping):
            left_out["other"] += 1
        parts.extend(found)
    if not parts and (text := text_at(content, "text", "result")):
        parts.append(TextPart(text=text))
    shown = {part.file_id for part in parts if isinstance(part, MediaPart)}
    return (*parts, *(part for part in _attachments(raw) if part.file_id is None or part.file_id not in shown))


def _part(item: object) -> list[Part]:
    if isinstance(item, str):
        return [TextPart(text=item)] if item.strip() else []
    if not isinstance(item, Mapping):
        return []
    if pointer := text_at(item, "asset_pointer"):
        return [_pointed(item, pointer)]
    nested = [item[key] for key in _NESTED_POINTERS if isinstance(item.get(key), Mapping)]
    if nested:
        return [part for inner in nested for part in _part(inner)]
    text = text_at(item, "text")
    return [TextPart(text=text)] if text else []


def _pointed(item: Mapping[str, Any], pointer: str) -> MediaPart:
    """Give the part for an asset; its id is also how the file in the export is named."""
    names = ("width", "height", "size_bytes", "format")
    extras: dict[str, Any] = {"asset_pointer": pointer}
    extras.update({name: item[name] for name in names if item.get(name) is not None})
    if prompt := text_at(mapping_at(item, "metadata").get("dalle"), "prompt"):
        extras["prompt"] = prompt
    return MediaPart(type=_kind(text_at(item, "content_type") or ""), file_id=_file_id(pointer), extras=extras)


def _kind(content_type: str) -> Literal["image", "audio", "video", "file"]:
    if "image" in content_type:
        return "image"
    if "audio" in content_type:
        return "audio"
    return "video" if "video" in content_type else "file"


def _file_id(pointer: str) -> str:
    return pointer.partition("://")[2] or pointer


def _attachments(raw: Mapping[str, Any]) -> list[MediaPart]:
    """Give a part for each file that the person sent along."""
    found = [item for item in list_at(mapping_at(raw, "metadata"), "attachments") if isinstance(item, Mapping)]
    return [
        media(
            mime_type=text_at(item, "mime_type", "mimeType"),
            file_id=text_at(item, "id"),
            name=text_at(item, "name"),
            extras={"size_bytes": item["size"]} if isinstance(item.get("size"), int) else {},
        )
        for item in found
    ]


def _metadata(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    kept: dict[str, Any] = {"source": "chatgpt"}
    for name, key in (("created_at", "create_time"), ("updated_at", "update_time")):
        if when := moment(value.get(key), where):
            kept[name] = when.isoformat()
    flags = {"archived": "is_archived", "starred": "is_starred", "do_not_remember": "is_do_not_remember"}
    kept.update({name: True for name, key in flags.items() if value.get(key) is True})
    if assistant := text_at(value, "gizmo_id"):
        kept["assistant"] = assistant
    return kept
