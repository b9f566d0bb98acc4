"""Opening an export, and reading its conversations one at a time.

The standard library's decoder is used on a moving window. ijson would stream as well, but turns a lone
surrogate (half an emoji, which exports have where a title was cut) into ``?`` and refuses integers of
more than 64 bits; what was said is to come through as it was written.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from keepwell.errors import ImportFormatError

CHUNK_CHARACTERS = 1 << 20
CUT_CHARACTERS = 16
_CONVERSATIONS = re.compile(r"conversations(-\d+)?\.json")
_SPACE = re.compile(r"[ \t\n\r]*")
_SEPARATOR = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_HOW = "give the .zip as you got it, its folder, its conversations.json, or a JSONL file"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, or a member of a zip; ``name`` is what messages call it."""

    path: Path
    member: str | None
    size: int
    modified: dt.datetime

    @property
    def name(self) -> str:
        """Give the name that messages use."""
        return f"{self.path.name}/{self.member}" if self.member else self.path.name


@dataclass(frozen=True, slots=True)
class Reader:
    """An open source."""

    source: Source
    text: TextIOWrapper
    binary: IO[bytes]

    def position(self) -> int:
        """Give the number of bytes read so far."""
        return self.binary.tell()


def sources(path: Path) -> tuple[Source, ...]:
    """Give the files to read, in order: large ChatGPT exports come as conversations-000.json and so on.

    Raises:
        ImportFormatError: there is no such file, or nothing to import in it.
    """
    try:
        if path.is_dir():
            found = tuple(_file(item) for item in sorted(path.iterdir()) if _CONVERSATIONS.fullmatch(item.name))
        elif path.is_file() and zipfile.is_zipfile(path):
            found = _members(path)
        else:
            return (_file(path),)
    except OSError as error:
        raise ImportFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise ImportFormatError(f"{path.name}: the zip is damaged ({error}); download it again") from error
    if not found:
        raise ImportFormatError(f"{path.name}: there is no conversations.json in it; {_HOW}")
    return found


def _file(path: Path) -> Source:
    stat = path.stat()
    return Source(path, None, stat.st_size, dt.datetime.fromtimestamp(int(stat.st_mtime), dt.UTC))


def _members(path: Path) -> tuple[Source, ...]:
    with zipfile.ZipFile(path) as archive:
        infos = [
            info
            for info in archive.infolist()
            if _CONVERSATIONS.fullmatch(info.filename.rpartition("/")[2]) and not info.filename.startswith("__MACOSX/")
        ]
    infos.sort(key=lambda info: info.filename)
    return tuple(Source(path, info.filename, info.file_size, _zip_time(info)) for info in infos)


def _zip_time(info: zipfile.ZipInfo) -> dt.datetime:
    try:
        return dt.datetime(*info.date_time, tzinfo=dt.UTC)
    except ValueError:
        return dt.datetime(1980, 1, 1, tzinfo=dt.UTC)  # some writers leave month and day at 0


@contextlib.contextmanager
def opened(source: Source) -> Iterator[Reader]:
    """Give the source as text, read as it is asked for.

    Raises:
        ImportFormatError: it cannot be read, is damaged or encrypted, or is not UTF-8.
    """
    try:
        with contextlib.ExitStack() as stack:
            binary = _binary(source, stack)
            yield Reader(source, stack.enter_context(TextIOWrapper(binary, encoding="utf-8-sig")), binary)
    except UnicodeDecodeError as error:
        raise ImportFormatError(f"{source.name}: not UTF-8 ({error.reason}); save it as UTF-8") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ImportFormatError(f"{source.name}: the zip is damaged ({error}); download it again") from error
    except OSError as error:
        raise ImportFormatError(f"{source.name} cannot be read: {error.strerror or error}") from error


def _binary(source: Source, stack: contextlib.ExitStack) -> IO[bytes]:
    if source.member is None:
        return stack.enter_context(source.path.open("rb"))
    archive = stack.enter_context(zipfile.ZipFile(source.path))
    try:
        return stack.enter_context(archive.open(source.member))
    except (RuntimeError, NotImplementedError) as error:
        raise ImportFormatError(f"{source.name}: {error}; unpack it and give the folder") from error


def conversations(reader: Reader) -> Iterator[Any]:
    """Yield the conversations one by one: of an array, of an object that holds one, or the one object.

    An array is read in constant memory: what is held is one conversation and a piece of the file.

    Raises:
        ImportFormatError: the text is not JSON, or neither array nor object.
    """
    window = _Window(reader)
    match window.first():
        case "":
            raise ImportFormatError(f"{reader.source.name}: the file is empty")
        case "[":
            yield from window.elements()
        case "{":
            whole = window.value()
            inside = whole.get("conversations")
            yield from inside if isinstance(inside, list) else [whole]
        case _:
            raise ImportFormatError(f"{reader.source.name}: this is not JSON; {_HOW}")


class _Window:
    """A piece of the text, and the place in it where the next value begins."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0

    def first(self) -> str:
        """Give the next character that is not white space, or nothing at the end."""
        while True:
            self._at = self._after(_SPACE)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def elements(self) -> Iterator[Any]:
        self._at += 1
        while self.first() != "]":
            yield self.value()
            if self.first() not in {",", "]"}:
                raise self._broken("the array is not closed")
            self._at = self._after(_SEPARATOR)

    def value(self) -> Any:  # noqa: ANN401 - whatever the file holds
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_wrong(error) or not self._more():
                    raise self._broken(error.msg) from error
            except RecursionError as error:
                raise self._broken("it is nested too deeply") from error
            else:
                return value

    def _is_wrong(self, error: json.JSONDecodeError) -> bool:
        """Tell an error of the file from a value that goes on after the window."""
        unfinished = error.msg.startswith("Unterminated string")
        return not unfinished and error.pos < len(self._text) - CUT_CHARACTERS

    def _after(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        return found.end() if found else self._at

    def _more(self) -> bool:
        # Twice as much each time, so that a value larger than the window is not decoded over and over.
        rest = self._text[self._at :]
        piece = self._reader.text.read(max(CHUNK_CHARACTERS, len(rest)))
        self._text, self._at = rest + piece, 0
        return bool(piece)

    def _broken(self, why: str) -> ImportFormatError:
        name, position = self._reader.source.name, self._reader.position()
        return ImportFormatError(f"{name}: not valid JSON before byte {position}: {why}; download the export again")
