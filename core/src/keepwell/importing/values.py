"""What the import parsers give, and how they read the loose values of an export."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from keepwell.errors import ImportFormatError, InvalidMessage, InvalidScope
from keepwell.models import MediaPart, Message
from keepwell.models.scope import check_id

Format: TypeAlias = Literal["chatgpt", "claude", "jsonl"]
FORMATS: tuple[Format, ...] = ("chatgpt", "claude", "jsonl")

LeftOut: TypeAlias = Literal["branch", "hidden", "system", "tool", "reasoning", "other", "empty"]
"""Why something in an export is no message here.

``branch``: an answer that was regenerated or a question that was edited away. ``hidden``: marked so by
the export. ``system``: instructions. ``tool``: what a model said to a tool and heard from it.
``reasoning``: what a model thought. ``other``: a kind of content that is not known here. ``empty``:
nothing was said.
"""

MAX_TITLE_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class ImportedThread:
    """Messages of one thread, in order, ready to be appended.

    A conversation of an export is one value. A thread of a JSONL file may come in several, one after the
    other: append them in the order they come. ``left_out`` counts what was not taken over, by reason, in
    messages or in parts of messages. ``progress`` is the share of the input (0 to 1) that has been read.
    """

    id: str
    title: str | None
    metadata: Mapping[str, Any]
    messages: tuple[Message, ...]
    left_out: Mapping[LeftOut, int] = field(default_factory=dict)
    progress: float = 1.0


def text_at(value: object, *keys: str) -> str | None:
    """Give the first of these fields that is text with something in it."""
    if not isinstance(value, Mapping):
        return None
    found = (value.get(key) for key in keys)
    return next((item for item in found if isinstance(item, str) and item.strip()), None)


def mapping_at(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Give the field where it is an object, else an empty one."""
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def list_at(value: Mapping[str, Any], key: str) -> list[Any]:
    """Give the field where it is an array, else an empty one."""
    found = value.get(key)
    return found if isinstance(found, list) else []


def moment(value: object, where: str) -> dt.datetime | None:
    """Give the instant that an ISO 8601 text or a number of Unix seconds names, ``None`` where there is none.

    Raises:
        ImportFormatError: it names no instant.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return dt.datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass  # said below, with the value
    raise ImportFormatError(f"{where}: {value!r} is no time; give ISO 8601 (2025-03-02T19:04:00+01:00) or Unix seconds")


def message(where: str, **fields: Any) -> Message:  # noqa: ANN401 - the message checks each of them
    """Give the message.

    Raises:
        ImportFormatError: the fields make none; the message says where and why.
    """
    try:
        return Message(**fields)
    except (InvalidMessage, OverflowError) as error:
        # OverflowError: a time at the edge of the calendar that has no equal in UTC.
        raise ImportFormatError(f"{where}: {error}") from error


def usable_id(where: str, thread_id: str) -> str:
    """Give the thread's id.

    Raises:
        ImportFormatError: a thread cannot be called that.
    """
    try:
        return check_id(thread_id, "thread")
    except InvalidScope as error:
        raise ImportFormatError(f"{where}: {error}") from error


def media(*, mime_type: str | None, **fields: Any) -> MediaPart:  # noqa: ANN401 - fields of MediaPart
    """Give the part for a file, its type read from its MIME type."""
    match (mime_type or "").partition("/")[0]:
        case "image":
            return MediaPart(type="image", mime_type=mime_type, **fields)
        case "audio":
            return MediaPart(type="audio", mime_type=mime_type, **fields)
        case "video":
            return MediaPart(type="video", mime_type=mime_type, **fields)
        case _:
            return MediaPart(type="file", mime_type=mime_type, **fields)


def labelled(where: str, title: str | None) -> str:
    """Give the place with the conversation's title, shortened, so that a person can find it."""
    if title is None:
        return where
    short = title if len(title) <= MAX_TITLE_CHARACTERS else title[: MAX_TITLE_CHARACTERS - 1] + "…"
    return f"{where} ({short!r})"
