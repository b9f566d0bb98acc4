"""Reading messages from JSONL: one object a line.

Fields: ``text`` (or ``content``) is required; ``thread`` (else the file's name), ``id``, ``role`` (else
``user``), ``name``, ``created_at`` (ISO 8601 or Unix seconds) and ``metadata`` (an object) are optional.
Any other field is kept in the message's metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keepwell.errors import ImportFormatError
from keepwell.importing.values import ImportedThread, message, moment, usable_id
from keepwell.models import TextPart

if TYPE_CHECKING:
    import datetime as dt

    from keepwell.models import Message

WINDOW_LINES = 2_000
WINDOW_CHARACTERS = 8_000_000
_FIELDS = {"thread", "id", "role", "name", "text", "content", "created_at", "metadata"}


def threads(
    lines: Iterable[str],
    *,
    file: str,
    thread: str,
    undated: dt.datetime,
    on_broken: Callable[[ImportFormatError], None] | None = None,
) -> Iterator[ImportedThread]:
    """Yield the messages by thread, in the order of the lines within each thread.

    Lines are read a window at a time, so a file of any length takes the same memory; a thread that goes
    on in a later window comes again. ``thread`` is for lines that name none. A line without a time takes
    that of the one before it in its thread, else ``undated``. A line without an id gets one from its
    thread, its place there and its content: the same file gives the same ids.

    Raises:
        ImportFormatError: a line is wrong (its number is in the message), unless ``on_broken`` takes it.
    """
    reading = _Reading(file, thread, undated)
    window: dict[str, list[Message]] = {}
    held = characters = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            thread_id, entry = reading.line(number, line)
        except ImportFormatError as error:
            if on_broken is None:
                raise
            on_broken(error)
            continue
        window.setdefault(thread_id, []).append(entry)
        held, characters = held + 1, characters + len(line)
        if held >= WINDOW_LINES or characters >= WINDOW_CHARACTERS:
            yield from _flush(window)
            window, held, characters = {}, 0, 0
    yield from _flush(window)


def _flush(window: Mapping[str, list[Message]]) -> Iterator[ImportedThread]:
    for thread_id, messages in window.items():
        yield ImportedThread(thread_id, None, {"source": "jsonl"}, tuple(messages))


@dataclass(slots=True)
class _Reading:
    """Where each thread stands: how many messages it has so far, and when the last one was said."""

    file: str
    thread: str
    undated: dt.datetime
    counts: dict[str, int] = field(default_factory=dict)
    times: dict[str, dt.datetime] = field(default_factory=dict)

    def line(self, number: int, line: str) -> tuple[str, Message]:
        where = f"{self.file}, line {number}"
        value = _object(line, where)
        given = _optional_text(value, "thread", where)
        thread_id = self.thread if given is None else usable_id(where, given)
        ordinal = self.counts.get(thread_id, 0)
        # Counted even if the line proves wrong: skipping it must not change the ids of those after it.
        self.counts[thread_id] = ordinal + 1
        when = moment(value.get("created_at"), where) or self.times.get(thread_id, self.undated)
        entry = _message(value, where, thread_id, ordinal, when)
        self.times[thread_id] = when
        return thread_id, entry


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ImportFormatError(f"{where}: not valid JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise ImportFormatError(f"{where}: it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ImportFormatError(f'{where}: each line must be an object, such as {{"text": "..."}}')
    return value


def _message(value: Mapping[str, Any], where: str, thread_id: str, ordinal: int, when: dt.datetime) -> Message:
    text = _optional_text(value, "text", where)
    if text is None:
        text = _optional_text(value, "content", where)
    if text is None:
        raise ImportFormatError(f"{where}: it has no `text`; what was said belongs there")
    role, name = _optional_text(value, "role", where), _optional_text(value, "name", where)
    role = "user" if role is None else role
    given = _id(value, where)
    return message(
        where,
        role=role,
        parts=(TextPart(text=text),),
        id=_derived(thread_id, ordinal, role, name or "", text) if given is None else given,
        name=name,
        created_at=when,
        metadata=_metadata(value, where),
    )


def _optional_text(value: Mapping[str, Any], key: str, where: str) -> str | None:
    found = value.get(key)
    if found is not None and not isinstance(found, str):
        raise ImportFormatError(f"{where}: `{key}` must be text, not {type(found).__name__}")
    return found


def _id(value: Mapping[str, Any], where: str) -> str | None:
    found = value.get("id")
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return _optional_text(value, "id", where)


def _metadata(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise ImportFormatError(f"{where}: `metadata` must be an object, not {type(metadata).__name__}")
    others = {key: item for key, item in value.items() if key not in _FIELDS}
    return {**others, **(metadata or {})}


def _derived(*parts: str | int) -> str:
    text = json.dumps(parts, ensure_ascii=True)  # unlike UTF-8, ASCII escapes hold lone surrogates too
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
