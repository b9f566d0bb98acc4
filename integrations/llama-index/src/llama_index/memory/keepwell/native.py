"""LlamaIndex's blocks in words that JSON has, exactly as they are, and back without LlamaIndex's validation.

LlamaIndex's own JSON is not used: it refuses streams, and reading it back refuses a file that is gone, guesses
types anew, and appends the images of ``additional_kwargs`` a second time.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import IOBase
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args

from pydantic import AnyUrl

from keepwell import MediaPart, Part, TextPart
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    ContentBlock,
    ImageBlock,
    TextBlock,
)
from llama_index.memory.keepwell.blocks import binary_field, fresh, part_of, placeholder, stream_bytes
from llama_index.memory.keepwell.kinds import BaseContentBlock, VideoBlock

Dump: TypeAlias = dict[str, Any]

_CLASSES: Mapping[str, type[BaseContentBlock]] = {
    known.__name__: known for known in (*get_args(get_args(ContentBlock)[0]), CacheControl)
}


class UnreadableError(ValueError):
    """What was stored does not fit LlamaIndex's classes of today."""


def dump_block(block: BaseContentBlock, part: Part | None = None) -> Dump | None:
    """Give all fields of a block; None where its text is all there is, and the part has that.

    Bytes that the part has are not repeated: ``media`` names the field that they belong into.
    """
    if type(block) is TextBlock and isinstance(part, TextPart):
        return None
    dump: Dump = {"class": _class(block)}
    fields = dict(block.__dict__)
    binary = binary_field(block)
    if binary and isinstance(part, MediaPart) and part.data is not None and _is(fields[binary], part.data):
        dump["media"] = binary
        del fields[binary]
    for name, value in fields.items():
        kind, kept = _sorted_in(value)
        dump.setdefault(kind, {})[name] = kept
    return dump


def load_block(dump: Dump | None, part: Part) -> ContentBlock:
    """Give the block that was dumped, or words in its place where LlamaIndex would refuse it: a file is gone.

    Raises:
        UnreadableError: what was stored does not fit LlamaIndex's classes of today.
    """
    if dump is None:
        if not isinstance(part, TextPart):
            raise UnreadableError("a part that is no text has no native form")
        return TextBlock(text=part.text)
    return cast("ContentBlock", _load(dump, part))  # what the message has, LlamaIndex put there


def _load(dump: object, part: Part | None) -> BaseContentBlock:
    known = _CLASSES.get(str(dump.get("class"))) if isinstance(dump, Mapping) else None
    if known is None or not isinstance(dump, Mapping):
        raise UnreadableError("the block is of a class that LlamaIndex does not have")
    fields: dict[str, Any] = fresh(dict(dump.get("plain", {})))
    fields |= {name: AnyUrl(url) for name, url in dump.get("urls", {}).items()}
    fields |= {name: Path(path) for name, path in dump.get("paths", {}).items()}
    fields |= {name: _load(inner, None) for name, inner in dump.get("blocks", {}).items()}
    fields |= {name: [_load(one, None) for one in inner] for name, inner in dump.get("lists", {}).items()}
    if "media" in dump and isinstance(part, MediaPart) and part.data is not None:
        fields[dump["media"]] = base64.b64encode(part.data)
    required = {name for name, field in known.model_fields.items() if field.is_required()}
    if not required <= fields.keys():
        raise UnreadableError(f"the stored {known.__name__} lacks fields")
    block = known.model_construct(**{name: value for name, value in fields.items() if name in known.model_fields})
    return TextBlock(text=f"{placeholder(part_of(block, []))} (no longer there)") if _is_gone(block) else block


def _class(block: BaseContentBlock) -> str:
    """Name the class of LlamaIndex's that it is, or is a subclass of."""
    return next((each.__name__ for each in type(block).__mro__ if _CLASSES.get(each.__name__) is each), "")


def _sorted_in(value: object) -> tuple[str, Any]:
    match value:
        case AnyUrl():
            return "urls", str(value)
        case Path():
            return "paths", str(value)
        case IOBase():
            data = stream_bytes(value)
            return "plain", None if data is None else base64.b64encode(data)
        case BaseContentBlock():
            return "blocks", dump_block(value)
        case [BaseContentBlock(), *_]:
            return "lists", [dump_block(each) for each in cast("Sequence[BaseContentBlock]", value)]
        case _:
            return "plain", fresh(value)


def _is(raw: object, data: bytes) -> bool:
    return isinstance(raw, IOBase) or raw == base64.b64encode(data)


def _is_gone(block: BaseContentBlock) -> bool:
    """Tell whether all that the block has is the path of a file that is not there, which LlamaIndex refuses."""
    if not isinstance(block, ImageBlock | AudioBlock | VideoBlock) or block.path is None or block.url is not None:
        return False
    try:
        return getattr(block, binary_field(block) or "", None) is None and not block.path.is_file()
    except (OSError, ValueError):  # a path that no file can have
        return True
