"""What an item says of itself: the texts of the fields that it is to be found by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from keepwell.models.items import PARAGRAPH
from keepwell.recall.chunks import MAX_CHUNK, MAX_CHUNKS

WHOLE: Final = "$"
"""The field that is the whole value."""
MAX_TEXT: Final = MAX_CHUNK * MAX_CHUNKS
"""So many characters of an item can be found."""
_STEP = re.compile(r"\[(?P<place>-?\d+|\*)\]|\{(?P<several>[^{}]*)\}|(?P<name>[^.\[\]{}]+)")


def text_of(value: Mapping[str, object], fields: Sequence[str]) -> str:
    r"""Give the texts of these fields of a value, one paragraph each; ``''`` where there are none.

    A field is ``$`` (all of it), ``name``, ``parent.child``, ``list[0]``, ``list[-1]``, ``list[*].text``, ``*`` (each
    of what is there) or ``{one,another}``.

    Example:
        >>> text_of({"content": "Ada drinks tea", "seen": 3}, ["content"])
        'Ada drinks tea'
        >>> text_of({"title": "Tea", "by": {"name": "Ada"}}, ["$"])
        'title: Tea\nby name: Ada'
    """
    found = (text for field in fields for text in _texts(value, field))
    cleaned = (text.replace(PARAGRAPH, "\n").strip() for text in found)
    return PARAGRAPH.join(text for text in cleaned if text)[:MAX_TEXT].strip()


def _texts(value: object, field: str) -> Iterator[str]:
    if field in ("", WHOLE):
        yield _said(value)
        return
    for one in _reached(value, _steps(field)):
        yield _said(one)


@lru_cache(maxsize=1000)
def _steps(field: str) -> tuple[re.Match[str], ...]:
    return tuple(_STEP.finditer(field))


def _reached(value: object, steps: tuple[re.Match[str], ...]) -> Iterator[object]:
    if not steps:
        yield value
        return
    for one in _below(value, steps[0]):
        yield from _reached(one, steps[1:])


def _below(value: object, step: re.Match[str]) -> Iterator[object]:
    place, several, name = step["place"], step["several"], step["name"]
    if place is not None:
        yield from _placed(value, place)
    elif several is not None:
        for field in several.split(","):
            yield from _reached(value, _steps(field.strip()))
    elif name == "*":
        yield from value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    elif isinstance(value, Mapping) and name in value:
        yield value[name]


def _placed(value: object, place: str) -> Iterator[object]:
    if isinstance(value, list | tuple):
        if place == "*":
            yield from value
        elif -len(value) <= int(place) < len(value):
            yield value[int(place)]


def _said(value: object) -> str:
    """Give a value in words: a text as it is, what has parts with a line for each, which its names begin."""
    leaves = list(_leaves(value, ""))
    if len(leaves) == 1:
        return leaves[0][1]
    return "\n".join(f"{name}: {text}" if name else text for name, text in leaves)


def _leaves(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves(one, f"{name} {key}".strip())
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _leaves(one, name)
    elif value is not None and not isinstance(value, bytes | bytearray | memoryview):
        yield name, str(value)
