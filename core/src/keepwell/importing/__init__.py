"""Reading conversations from ChatGPT exports, Claude exports and JSONL files: values in, values out.

Nothing is written here. Ids are stable, so that importing a file again adds only what is new.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from keepwell.errors import ImportFormatError
from keepwell.importing import chatgpt, claude, jsonl
from keepwell.importing.stream import CHUNK_CHARACTERS, Source, conversations, opened, sources
from keepwell.importing.values import FORMATS, Format, ImportedThread, LeftOut

if TYPE_CHECKING:
    import os

    from keepwell.importing.stream import Reader

__all__ = ["FORMATS", "Format", "ImportedThread", "LeftOut", "detect", "read"]

LONGEST_LINE_CHARACTERS = 16_000_000
_WHAT = "known are ChatGPT exports, Claude exports and JSONL with a `text` on each line"


def detect(path: str | os.PathLike[str]) -> Format:
    """Give the format of a file, of a zip as it was downloaded, or of the folder it was unpacked to.

    Raises:
        ImportFormatError: it cannot be read, or is none of them.
    """
    source = sources(Path(path))[0]
    found = (_json_lines(source) if source.member is None else None) or _export(source)
    if found is None:
        raise ImportFormatError(f"{source.name}: its format is not known; {_WHAT}")
    return found


def read(
    path: str | os.PathLike[str],
    format: Format | None = None,  # noqa: A002 - the word that the command line has for it
    *,
    on_broken: Callable[[ImportFormatError], None] | None = None,
) -> Iterator[ImportedThread]:
    """Yield the conversations of an export, or the messages of a JSONL file by thread, in constant memory.

    ``format`` is found out where it is not given. ``on_broken`` is called with the error of a conversation
    or line that cannot be read, which is then left out; without it that error is raised.

    Raises:
        ImportFormatError: the path cannot be read or is none of the formats (at once); the file turns out
            to be damaged, or a conversation or line is wrong (when it is reached).

    Example:
        >>> from keepwell.samples import sample
        >>> with sample() as path:
        ...     first = next(read(path))
        >>> first.id, len(first.messages) > 10
        ('2025-03-02-evening', True)
    """
    found = sources(Path(path))
    kind = format or detect(path)
    if kind not in FORMATS:
        raise ImportFormatError(f"{kind!r} is no format; known are {', '.join(FORMATS)}")
    return _read(found, kind, on_broken)


def _json_lines(source: Source) -> Format | None:
    """Give ``jsonl`` where the first line with something on it is an object by itself with a text."""
    with opened(source) as reader:
        pieces = iter(lambda: reader.text.readline(CHUNK_CHARACTERS), "")
        line = next((piece for piece in pieces if piece.strip()), "").lstrip()
        if not line.startswith("{"):
            return None  # an array, perhaps of hundreds of megabytes on one line
        if not line.endswith("\n"):
            line += reader.text.readline(LONGEST_LINE_CHARACTERS)
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return None
    return "jsonl" if isinstance(value, dict) and not value.keys().isdisjoint({"text", "content"}) else None


def _export(source: Source) -> Format | None:
    with opened(source) as reader:
        first = next(conversations(reader), None)
    if not isinstance(first, dict):
        return None
    if "mapping" in first:
        return "chatgpt"
    return "claude" if "chat_messages" in first else None


def _read(
    found: tuple[Source, ...], kind: Format, on_broken: Callable[[ImportFormatError], None] | None
) -> Iterator[ImportedThread]:
    total, before = sum(source.size for source in found) or 1, 0
    for source in found:
        with opened(source) as reader:
            for thread in _threads(reader, kind, on_broken):
                yield dataclasses.replace(thread, progress=min(1.0, (before + reader.position()) / total))
        before += source.size


def _threads(
    reader: Reader, kind: Format, on_broken: Callable[[ImportFormatError], None] | None
) -> Iterator[ImportedThread]:
    source = reader.source
    match kind:
        case "chatgpt":
            return _conversations(reader, chatgpt.conversation, on_broken)
        case "claude":
            return _conversations(reader, claude.conversation, on_broken)
        case "jsonl":
            stem = source.path.stem
            return jsonl.threads(
                reader.text, file=source.name, thread=stem, undated=source.modified, on_broken=on_broken
            )
        case _:
            assert_never(kind)


def _conversations(
    reader: Reader,
    parse: Callable[..., ImportedThread],
    on_broken: Callable[[ImportFormatError], None] | None,
) -> Iterator[ImportedThread]:
    source = reader.source
    for number, value in enumerate(conversations(reader), 1):
        try:
            thread = parse(value, where=f"{source.name}, conversation {number}", undated=source.modified)
        except ImportFormatError as error:
            if on_broken is None:
                raise
            on_broken(error)
        else:
            yield thread
