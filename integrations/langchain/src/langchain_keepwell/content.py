"""Content blocks of LangChain, of every generation, as neutral parts; and the way back.

LangChain has a translator of its own (``content_blocks``). It is not used here: it gives images new random ids
on each call, loses plain strings within a list, and raises on blocks that it does not know.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, assert_never, cast

from langchain_core.messages.content import KNOWN_BLOCK_TYPES

from keepwell import CitationPart, DataPart, MediaPart, Part, ReasoningPart, TextPart, ToolCall, ToolCallPart

Block: TypeAlias = dict[Any, Any]
Content: TypeAlias = str | list[str | Block]
Media: TypeAlias = Literal["image", "audio", "video", "file"]

_MEDIA: tuple[Media, ...] = ("image", "audio", "video", "file")
_AT_TOP = frozenset({"id", "index", "annotations", "start_index", "end_index"})
"""Extras that LangChain keeps beside a block's content; the others are in its ``extras``."""


class _NotUnderstoodError(Exception):
    """The block is not of the shape that its type promises; it is kept whole, as data."""


def parts_of(content: Content, calls: Sequence[ToolCall]) -> tuple[Part, ...]:
    """Give the neutral parts of a message's content; ``calls`` are the tool calls that blocks may name."""
    if isinstance(content, str):
        return (TextPart(text=content),) if content else ()
    parts: list[Part] = []
    unplaced = dict(enumerate(calls))
    for block in content:
        parts += [TextPart(text=block)] if isinstance(block, str) else _read(block, unplaced)
    return tuple(parts)


def _read(block: Block, unplaced: dict[int, ToolCall]) -> list[Part]:
    kind = _kind(block)
    try:
        if kind in _CALLS:
            return [_call(block, unplaced)]
        reader = _READERS.get(kind)
        if reader and all(isinstance(key, str) for key in block):
            return reader(dict(block))
    except _NotUnderstoodError:
        pass
    return [DataPart(kind=f"langchain:{kind}", value=block)]


def _kind(block: Block) -> str:
    kind = block.get("type")
    if isinstance(kind, str):
        return kind
    return "text" if set(block) == {"text"} else "block"


# What a reader takes from its (copied) block is popped; what is left are the part's extras.


def _take(rest: Block, *names: str) -> str | None:
    """Take the first of these that is there; it must be text."""
    for name in names:
        if rest.get(name) is not None:
            value = rest.pop(name)
            if not isinstance(value, str):
                raise _NotUnderstoodError
            return value
    return None


def _need(rest: Block, *names: str) -> str:
    value = _take(rest, *names)
    if value is None:
        raise _NotUnderstoodError
    return value


def _unwrap(rest: Block, name: str) -> Block:
    """Give the block with a block within it spread over it."""
    inner = rest.pop(name, None)
    if not isinstance(inner, dict) or not all(isinstance(key, str) for key in inner):
        raise _NotUnderstoodError
    return {**rest, **inner}


def _extras(rest: Block) -> dict[str, Any]:
    inner = rest.get("extras")
    spread = isinstance(inner, dict) and all(isinstance(key, str) for key in inner)
    kept = {key: value for key, value in rest.items() if key != "type" and not (spread and key == "extras")}
    return {**cast("dict[str, Any]", inner), **kept} if spread else kept


def _text(rest: Block) -> list[Part]:
    text = _need(rest, "text")
    citations = [*_citations(rest, "annotations"), *_citations(rest, "citations")]
    return [TextPart(text=text, extras=_extras(rest)), *citations]


def _citations(rest: Block, name: str) -> list[Part]:
    """Take the citations out of a list of annotations; what is none stays there."""
    found = rest.get(name)
    if not isinstance(found, list):
        return []
    cited = [item for item in found if _is_citation(item)]
    rest[name] = [item for item in found if not _is_citation(item)]
    if not rest[name]:
        del rest[name]
    return [_citation(dict(item)) for item in cited]


def _is_citation(item: object) -> bool:
    if not isinstance(item, dict) or not all(isinstance(key, str) for key in item):
        return False
    words = (item.get(key) for key in ("cited_text", "url", "title", "document_title"))
    return item.get("type") != "non_standard_annotation" and all(isinstance(word, str | None) for word in words)


def _citation(rest: Block) -> CitationPart:
    kind = rest.get("type")
    text, source, title = _take(rest, "cited_text"), _take(rest, "url"), _take(rest, "title", "document_title")
    extras = _extras(rest) if kind in ("citation", None) else {**_extras(rest), "type": kind}
    return CitationPart(text=text or "", source=source, title=title, extras=extras)


def _reasoning(rest: Block) -> list[Part]:
    text = _take(rest, "reasoning", "thinking")
    if text is None and isinstance(rest.get("summary"), list):
        lines = [item.get("text") for item in rest.pop("summary") if isinstance(item, dict)]
        text = "\n".join(line for line in lines if isinstance(line, str))
    return [ReasoningPart(text=text or "", extras=_extras(rest))]


def _converse_reasoning(rest: Block) -> list[Part]:
    rest = _unwrap(rest, "reasoning_content")
    return [ReasoningPart(text=_need(rest, "text"), extras=_extras(rest))]


def _media(rest: Block) -> list[Part]:
    """Read media as LangChain 1 and 0 write them, and as OpenAI and Anthropic do."""
    kind = cast("Media", rest.pop("type"))
    for inner in ("source", "file"):
        if inner in rest:
            rest = _unwrap(rest, inner)
    source = rest.pop("source_type", None) or rest.pop("type", None)
    if source == "text":
        return _text(rest | {"text": _need(rest, "text", "data")})
    file_id = _take(rest, "file_id", *(["id"] if source == "id" else []))
    return [_medium(kind, rest, file_id=file_id)]


def _medium(kind: Media, rest: Block, *, url: str | None = None, file_id: str | None = None) -> MediaPart:
    """Make the part of what is left in a block, whatever its words for bytes, places and names are."""
    mime_type = _take(rest, "mime_type", "media_type")
    raw = rest.pop("bytes", None)
    data = raw if isinstance(raw, bytes) else _bytes(_take(rest, "base64", "data", "file_data"))
    url = url or _take(rest, "url", "file_url", "file_uri")
    if isinstance(data, tuple):
        mime_type, data = mime_type or data[0], data[1]
    extras = _extras(rest)
    name, path = _take(extras, "filename", "name"), _take(extras, "path")
    if data is None and not (url or path or file_id):
        raise _NotUnderstoodError
    return MediaPart(
        type=kind, data=data, url=url, path=path, file_id=file_id, mime_type=mime_type, name=name, extras=extras
    )


def _bytes(text: str | None) -> bytes | tuple[str, bytes] | None:
    """Give the bytes of base64 text, with their type where the text is a whole ``data:`` URL."""
    if text is None:
        return None
    head, comma, body = text.partition(",") if text.startswith("data:") else ("", "", text)
    if comma and not head.endswith(";base64"):
        raise _NotUnderstoodError
    try:
        data = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise _NotUnderstoodError from None
    return (head[len("data:") : -len(";base64")], data) if comma else data


def _image_url(rest: Block) -> list[Part]:
    if isinstance(rest.get("image_url"), dict):
        rest = _unwrap(rest, "image_url")
    elif "image_url" in rest:
        rest["url"] = rest.pop("image_url")
    file_id, url = _take(rest, "file_id"), _take(rest, "url")
    if url and url.startswith("data:") and ";base64," in url:
        rest["data"], url = url, None
    return [_medium("image", rest, url=url, file_id=file_id)]


def _input_audio(rest: Block) -> list[Part]:
    rest = _unwrap(rest, "input_audio")
    sort = rest.get("format")
    return [_medium("audio", rest | ({"mime_type": f"audio/{sort}"} if isinstance(sort, str) else {}))]


def _input_file(rest: Block) -> list[Part]:
    return [_medium("file", rest, file_id=_take(rest, "file_id"))]


def _document(rest: Block) -> list[Part]:
    return _media(rest | {"type": "file"})


def _plain_text(rest: Block) -> list[Part]:
    return _text(rest) if rest.get("text") is not None else _document(rest)


def _google_media(rest: Block) -> list[Part]:
    sort = str(rest.get("mime_type")).partition("/")[0]
    return [_medium(sort if sort in _MEDIA else "file", rest)]


def _non_standard(rest: Block) -> list[Part]:
    """Give back the part that :func:`content_of` had no block for."""
    value = rest.get("value")
    if set(rest) != {"type", "value"} or not isinstance(value, dict):
        raise _NotUnderstoodError
    if value.get("type") == "citation" and _is_citation(value):
        return [_citation(dict(value))]
    if set(value) == {"kind", "value"} and isinstance(value["kind"], str):
        return [DataPart(kind=value["kind"], value=value["value"])]
    if isinstance(value.get("type"), str):
        return [DataPart(kind=f"langchain:{value['type']}", value=value)]
    raise _NotUnderstoodError


_CALLS = frozenset({"tool_call", "invalid_tool_call", "tool_use", "function_call"})

_READERS: Mapping[str, Callable[[Block], list[Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "text-plain": _plain_text,
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "reasoning_content": _converse_reasoning,
    "image": _media,
    "audio": _media,
    "video": _media,
    "file": _media,
    "image_url": _image_url,
    "input_image": _image_url,
    "input_audio": _input_audio,
    "input_file": _input_file,
    "document": _document,
    "media": _google_media,
    "non_standard": _non_standard,
}


def _call(block: Block, unplaced: dict[int, ToolCall]) -> ToolCallPart:
    """Find the tool call that a block stands for; each is named once."""
    known = block.get("call_id") or block.get("id")
    for index, call in unplaced.items():
        if call.id == known and call.name == (block.get("name") or ""):
            del unplaced[index]
            return ToolCallPart(index=index)
    raise _NotUnderstoodError


def content_of(parts: Sequence[Part], calls: Sequence[Block]) -> Content:
    """Give content for LangChain: plain text where there is no more to it, else blocks of its version 1.

    ``calls`` are blocks of the message's tool calls. Those that no part places come last, and so do not make a
    list of what is otherwise plain text.
    """
    placed = list(parts)
    last = len(calls)
    while placed and isinstance(placed[-1], ToolCallPart) and placed[-1].index == last - 1:
        placed.pop()
        last -= 1
    match placed:
        case []:
            return ""
        case [TextPart(text=text, extras=extras)] if not extras:
            return text
    named = {part.index for part in placed if isinstance(part, ToolCallPart)}
    blocks: list[str | Block] = []
    for part in placed:
        _write(part, calls, blocks)
    return [*blocks, *(call for index, call in enumerate(calls) if index not in named)]


def _write(part: Part, calls: Sequence[Block], blocks: list[str | Block]) -> None:
    match part:
        case TextPart():
            blocks.append({"type": "text", "text": part.text, **_spread(part.extras)})
        case ReasoningPart():
            blocks.append({"type": "reasoning", "reasoning": part.text, **_spread(part.extras)})
        case MediaPart():
            blocks.append(_media_block(part))
        case CitationPart():
            _cite(part, blocks)
        case ToolCallPart():
            blocks += calls[part.index : part.index + 1] if part.index >= 0 else []
        case DataPart():
            blocks.append(_data_block(part))
        case _:
            assert_never(part)


def _spread(extras: Mapping[str, Any]) -> Block:
    beside = {key: value for key, value in extras.items() if key in _AT_TOP}
    within = {key: value for key, value in extras.items() if key not in _AT_TOP}
    return {**beside, "extras": within} if within else beside


def _media_block(part: MediaPart) -> Block:
    data = base64.b64encode(part.data).decode() if part.data is not None else None
    own = {"base64": data, "url": part.url, "file_id": part.file_id, "mime_type": part.mime_type}
    named = {"filename": part.name, "path": part.path}
    extras = {**part.extras, **{key: value for key, value in named.items() if value is not None}}
    return {"type": part.type, **{key: value for key, value in own.items() if value is not None}, **_spread(extras)}


def _cite(part: CitationPart, blocks: list[str | Block]) -> None:
    """Put a citation on the text before it, or where there is none, into a block of its own."""
    words = {"cited_text": part.text or None, "url": part.source, "title": part.title}
    own = {key: value for key, value in words.items() if value is not None}
    citation = {"type": "citation", **own, **_spread(part.extras)}
    before = blocks[-1] if blocks else None
    if isinstance(before, dict) and before["type"] == "text":
        before["annotations"] = [*before.get("annotations", []), citation]
    else:
        blocks.append({"type": "non_standard", "value": citation})


def _data_block(part: DataPart) -> Block:
    if part.kind.startswith("langchain:") and isinstance(part.value, dict):
        known = part.value.get("type") in tuple(KNOWN_BLOCK_TYPES)
        return part.value if known else {"type": "non_standard", "value": part.value}
    return {"type": "non_standard", "value": {"kind": part.kind, "value": part.value}}
