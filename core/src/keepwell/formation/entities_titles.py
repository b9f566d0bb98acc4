"""Titles in quotes: books, films, songs; and what was merely said is not one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from keepwell.formation.entities_found import Named
from keepwell.formation.names_words import NEVER, SAYING, SMALL

_LONGEST_WORDS = 12
_QUOTED = re.compile(
    '\u201c([^\u201c\u201d\n]{2,80})\u201d|"([^"\n]{2,80})"|\u00ab\\s?([^\u00ab\u00bb\n]{2,80}?)\\s?\u00bb'
    "|\u201e([^\u201e\u201c\u201d\n]{2,80})[\u201c\u201d]|\u300a([^\u300a\u300b\n]{1,80})\u300b"
    "|\u300e([^\u300e\u300f\n]{1,80})\u300f"
)
_ALWAYS = (5, 6)
"""Groups of signs that mean a title and nothing else."""
_CUE = re.compile(
    r"(?:book|novel|film|movie|song|album|series|show|game|podcast|poem|play|musical|article|essay|called|titled|named"
    r"|entitled|read|reads|reading|watch|watched|watching|saw|seen|finished"
    r"|buch|roman|lied|serie|livre|libro|pel[ií]cula|boek|книг\w*|роман\w*|фильм\w*|песн\w*)"
    r"(?:\s(?:is|was|by|it))?\s*[,:]?\s*\Z",
    re.IGNORECASE,
)
_LAST_WORD = re.compile(r"([^\W\d_]+)\W*\Z")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_ENDS = re.compile(r"[,.;:\u2026]\Z")


def titles(text: str) -> Iterator[Named]:
    """Give what stands in quotes and is written as a title.

    Example:
        >>> said = 'She said "Hello There", and read "The Left Hand of Darkness".'
        >>> [one.surface for one in titles(said)]
        ['The Left Hand of Darkness']
    """
    for match in _QUOTED.finditer(text):
        group = match.lastindex or 0
        start, end = match.span(group)
        before = text[max(0, match.start() - 40) : match.start()]
        if group in _ALWAYS or _is_title(text[start:end], before):
            yield Named(start, end, text[start:end], "work", "title")


def _is_title(words: str, before: str) -> bool:
    parts = _WORD.findall(words)
    if not parts or len(parts) > _LONGEST_WORDS or words != words.strip() or _ENDS.search(words):
        return False
    if not (parts[0][0].isupper() or parts[0][0].isdigit()):
        return False
    if _CUE.search(before):
        return True
    said = _LAST_WORD.search(before)
    if (said and said[1].casefold() in SAYING) or before.rstrip().endswith(":"):
        return False
    return _all_capital(parts) and not all(part.casefold() in NEVER for part in parts)


def _all_capital(parts: list[str]) -> bool:
    telling = [part for part in parts if part.casefold() not in SMALL]
    return bool(telling) and all(part[0].isupper() or part[0].isdigit() for part in telling)
