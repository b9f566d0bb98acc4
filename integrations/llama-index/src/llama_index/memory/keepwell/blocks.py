"""LlamaIndex's content blocks as neutral parts, and the way back; each block is one part."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping, Sequence
from io import IOBase
from typing import Any, Literal, TypeVar, assert_never

from pydantic import TypeAdapter

from keepwell import CitationPart, DataPart, MediaPart, Part, ReasoningPart, TextPart, ToolCall, ToolCallPart, codec
from llama_index.core.base.llms.types import (
    AudioBlock,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
)
from llama_index.memory.keepwell.kinds import BaseContentBlock, ThinkingBlock, ToolCallBlock, VideoBlock

T = TypeVar("T")

PREFIX = "llama_index:"
NOT_JSON = "the arguments are not a JSON object"
_UNTITLED = "input_document"
"""The title that LlamaIndex gives a document that has none."""
_FORMATS = {"mp3": "mpeg", "m4a": "mp4"}
"""Names of sound formats that differ from their MIME type; the others are the same."""
_log = logging.getLogger("llama_index.memory.keepwell")


def fresh(value: T) -> T:
    """Copy as the store will: what has no lossless form is the same before and after."""
    copied: T = codec.decode(codec.encode(value))
    return copied


def part_of(block: BaseContentBlock, calls: list[ToolCall]) -> Part:
    """Give the part that says what the block says; the call of a tool is put at the end of ``calls``."""
    match block:
        case TextBlock():
            return TextPart(text=block.text)
        case ThinkingBlock():
            return _reasoning(block)
        case ToolCallBlock():
            calls.append(call_of(block.tool_call_id, block.tool_name, block.tool_kwargs))
            return ToolCallPart(index=len(calls) - 1)
        case CitationBlock() | CitableBlock():
            return _citation(block)
        case ImageBlock() | AudioBlock() | VideoBlock() | DocumentBlock():
            return _media(block)
        case _:
            return _data(block)


def call_of(call_id: str | None, name: str, args: object) -> ToolCall:
    """Give the tool call; arguments in JSON text become the object that the text says, if it says one."""
    if isinstance(args, Mapping):
        return ToolCall(id=call_id, name=name, args=fresh(dict(args)))
    text = args if isinstance(args, str) else codec.dumps(args)
    try:
        parsed = json.loads(text) if text.strip() else {}
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return ToolCall(id=call_id, name=name, args=parsed)
    return ToolCall(id=call_id, name=name, args=text, error=NOT_JSON)


def block_of(part: Part, calls: Sequence[ToolCall]) -> ContentBlock:
    """Give the block that says what the part says; words that name it, where LlamaIndex has no block for it."""
    try:
        return _block_of(part, calls)
    except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        text = placeholder(part)
        _log.info("LlamaIndex has no block for a part, which is shown as %s: %s", text, type(error).__name__)
        return TextBlock(text=text)


def tool_call_block(call: ToolCall) -> ToolCallBlock:
    """Give the block of a tool call; arguments that are no object stay text, as LlamaIndex keeps them too."""
    if isinstance(call.args, Mapping) and call.error is None:
        return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=fresh(dict(call.args)))
    text = call.args if isinstance(call.args, str) else codec.dumps(call.args)
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=text)


def legacy_tool_call(call: ToolCall) -> dict[str, Any]:
    """Give a tool call as OpenAI's service takes it: what older versions of LlamaIndex keep beside the blocks."""
    text = call.args if isinstance(call.args, str) else codec.dumps(call.args)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def placeholder(part: Part) -> str:
    """Give a few words for what cannot be shown."""
    match part:
        case MediaPart():
            place = part.extras.get("title") or part.name or part.path or part.url or part.file_id
            return f"[{part.type}: {place}]" if place else f"[{part.type}]"
        case DataPart():
            return f"[{part.kind}]"
        case ToolCallPart():
            return "[tool call]"
        case TextPart() | ReasoningPart() | CitationPart():
            return part.text
        case _:
            assert_never(part)


def binary_field(block: BaseContentBlock) -> str | None:
    """Name the field that holds the bytes of a block of media."""
    match block:
        case ImageBlock():
            return "image"
        case AudioBlock():
            return "audio"
        case VideoBlock():
            return "video"
        case DocumentBlock():
            return "data"
        case _:
            return None


def stream_bytes(stream: IOBase) -> bytes | None:
    """Give all that a stream holds, and leave it where it stood; None where it cannot be read any more."""
    try:
        place = stream.tell()
        stream.seek(0)
        data = stream.read()
        stream.seek(place)
    except (OSError, ValueError) as error:
        _log.warning("the bytes of a stream are lost, because it cannot be read: %s", error)
        return None
    return data.encode() if isinstance(data, str) else bytes(data)


# --- to parts


def _reasoning(block: ThinkingBlock) -> ReasoningPart:
    about = fresh(dict(block.additional_information))
    extras: dict[str, Any] = {}
    if "signature" in about:
        extras["signature"] = about.pop("signature")
    if block.num_tokens is not None:
        extras["num_tokens"] = block.num_tokens
    if about:
        extras["additional_information"] = about
    return ReasoningPart(text=block.content or "", extras=extras)


def _citation(block: CitationBlock | CitableBlock) -> CitationPart:
    if isinstance(block, CitationBlock):
        cited: list[BaseContentBlock] = [block.cited_content]
        extras: dict[str, Any] = {"additional_location_info": fresh(dict(block.additional_location_info))}
    else:
        cited, extras = list(block.content), {"citable": True}
    text = "\n".join(each.text for each in cited if isinstance(each, TextBlock))
    media = [part_of(each, []) for each in cited if not isinstance(each, TextBlock)]
    if media:
        extras["media"] = [placeholder(part) for part in media]
    return CitationPart(text=text, source=block.source, title=block.title, extras=extras)


def _media(block: ImageBlock | AudioBlock | VideoBlock | DocumentBlock) -> MediaPart:
    kind: Literal["image", "audio", "video", "file"]
    extras: dict[str, Any]
    match block:
        case ImageBlock():
            kind, raw, mime_type, extras = "image", block.image, block.image_mimetype, {"detail": block.detail}
        case AudioBlock():
            kind, raw, mime_type, extras = "audio", block.audio, _sound_type(block.format), {"format": block.format}
        case VideoBlock():
            kind, raw, mime_type = "video", block.video, block.video_mimetype
            extras = {"detail": block.detail, "fps": block.fps}
        case DocumentBlock():
            kind, raw, mime_type = "file", block.data, block.document_mimetype
            extras = {"title": None if block.title == _UNTITLED else block.title}
        case _:
            assert_never(block)
    return MediaPart(
        type=kind,
        data=_decoded(raw),
        url=_text(block.url),
        path=_text(block.path),
        mime_type=mime_type,
        extras={name: value for name, value in extras.items() if value is not None},
    )


def _decoded(raw: bytes | IOBase | None) -> bytes | None:
    """Give the bytes themselves: LlamaIndex keeps them as base64, streams aside."""
    if isinstance(raw, IOBase):
        return stream_bytes(raw)
    if raw is None:
        return None
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        return raw


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _sound_type(sort: str | None) -> str | None:
    return None if sort is None else f"audio/{_FORMATS.get(sort, sort)}"


def _data(block: BaseContentBlock) -> DataPart:
    value = fresh(block.model_dump())
    kind = value.pop("block_type", type(block).__name__)
    return DataPart(kind=f"{PREFIX}{kind}", value=value)


# --- to blocks


def _block_of(part: Part, calls: Sequence[ToolCall]) -> ContentBlock:
    match part:
        case TextPart():
            return TextBlock(text=part.text)
        case ReasoningPart():
            return _thinking_block(part)
        case ToolCallPart():
            return tool_call_block(_at(calls, part.index))
        case CitationPart():
            return _citation_block(part)
        case MediaPart():
            return _media_block(part)
        case DataPart():
            return _data_block(part)
        case _:
            assert_never(part)


def _at(calls: Sequence[ToolCall], index: int) -> ToolCall:
    if not 0 <= index < len(calls):
        raise ValueError(f"there is no tool call {index}")
    return calls[index]


def _thinking_block(part: ReasoningPart) -> ThinkingBlock:
    about = part.extras.get("additional_information")
    known = fresh(dict(about)) if isinstance(about, Mapping) else {}
    if "signature" in part.extras:
        known["signature"] = fresh(part.extras["signature"])
    tokens = part.extras.get("num_tokens")
    return ThinkingBlock(
        content=part.text,
        num_tokens=tokens if isinstance(tokens, int) else None,
        additional_information=known,
    )


def _citation_block(part: CitationPart) -> CitationBlock | CitableBlock:
    source, title = part.source or "", part.title or ""
    if part.extras.get("citable"):
        return CitableBlock(title=title, source=source, content=[TextBlock(text=part.text)])
    place = part.extras.get("additional_location_info")
    numbers = {name: n for name, n in place.items() if isinstance(n, int)} if isinstance(place, Mapping) else {}
    cited = TextBlock(text=part.text)
    return CitationBlock(cited_content=cited, source=source, title=title, additional_location_info=numbers)


def _media_block(part: MediaPart) -> ContentBlock:
    """Make the block, of base64: LlamaIndex would take raw bytes for base64 where they look like it."""
    data = None if part.data is None else base64.b64encode(part.data)
    if data is None and part.url is None and part.path is None:
        raise ValueError("LlamaIndex has no field for a file of the provider's")
    place: dict[str, Any] = {"path": part.path, "url": part.url}
    detail = _text(part.extras.get("detail"))
    match part.type:
        case "image":
            return ImageBlock(image=data, **place, image_mimetype=part.mime_type, detail=detail)
        case "audio":
            return AudioBlock(audio=data, **place, format=_sound_format(part))
        case "video":
            fps = part.extras.get("fps")
            return VideoBlock(video=data, **place, video_mimetype=part.mime_type, detail=detail, fps=fps)
        case "file":
            title = _text(part.extras.get("title")) or part.name
            return DocumentBlock(data=data, **place, document_mimetype=part.mime_type, title=title)
        case _:
            assert_never(part.type)


def _sound_format(part: MediaPart) -> str | None:
    sort = part.extras.get("format")
    if isinstance(sort, str):
        return sort
    if part.mime_type is None:
        return None
    subtype = part.mime_type.partition("/")[2].removeprefix("x-")
    return {subtype: sort for sort, subtype in _FORMATS.items()}.get(subtype, subtype) or None


def _data_block(part: DataPart) -> ContentBlock:
    if not part.kind.startswith(PREFIX) or not isinstance(part.value, Mapping):
        raise ValueError("it is of another framework")
    fields = {**fresh(dict(part.value)), "block_type": part.kind.removeprefix(PREFIX)}
    block: ContentBlock = TypeAdapter(ContentBlock).validate_python(fields)
    return block
