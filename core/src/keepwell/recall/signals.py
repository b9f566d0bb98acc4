"""What a text says of itself beside its terms, for the ranking: made once at the append, read in bulk at each load.

Signals are short ASCII text: eleven characters, each a small number from ``0`` up, then the times that the text
names, a word each:

======= ==========================================================================
place   number
======= ==========================================================================
0       version of this form (1)
1       share of characters in sentences that end in ``?``, 0 to 40
2       1 where the text ends in ``?``
3       words that tell a time (yesterday, Friday, ago, June), up to 9
4       capitalised names inside a sentence and quoted titles, up to 9
5       I, my, me, we, our, up to 9
6       you, your, up to 9
7       numbers, up to 9
8       length: three for each doubling of the characters, up to 40
9       words of wish and rule (always, never, prefer, favourite, remember), up to 9
10      1 where it has code, a list or a heading
======= ==========================================================================

Times, relative to when the text was said: ``r-7:-1`` (the days from a week before to the day before), ``d0329``
(29 March), ``d20240329``, ``m03``, ``m202403``, ``y2024``. Last, the language by whose rules its terms were made, where
that is not English: ``@german``.
"""

from __future__ import annotations

import math
import re

from keepwell.recall.temporal import TIME_WORDS, times_of

VERSION = "1"
WIDTH = 11
MAX_CHARACTERS = 4_000
"""A longer text speaks for itself by its beginning: the rest costs time at each append and changes little."""
_MANY = 9
_WORD = re.compile(r"[a-z]+|\d+")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")
_NAME = re.compile(r"[a-z0-9,;:)] ([A-Z][^\W\d_]+)|[\"\u201c]([^\"\u201c\u201d\n]{3,60})[\"\u201d]")
_WISHES = frozenset(
    "always never prefer preferred preference prefers favorite favourite remember ensure instead avoid rule want"
    " wants hate love".split()
)
_MARKUP = re.compile(r"```|^\s*(?:[-*#]|\d+\.)\s", re.MULTILINE)


def signals(text: str) -> str:
    """Give the signals of a text, in the form that the module describes; ``''`` where it has no word.

    Example:
        >>> signals("Where shall we go on Friday?")[:4]
        '1X11'
    """
    text = text[:MAX_CHARACTERS].rstrip()
    low = text.lower()
    words = _WORD.findall(low)
    if not words and (text.isascii() or not any(map(str.isalnum, text))):
        return ""
    distinct = set(words)
    timed = not TIME_WORDS.isdisjoint(distinct)
    figures = {word for word in distinct if word.isdigit()}
    head = (
        _asking(text) if "?" in text else 0,
        text[-1] == "?",
        _count(words, TIME_WORDS & distinct) if timed else 0,
        len(_NAME.findall(text)),
        words.count("i") + words.count("my") + words.count("me") + words.count("we") + words.count("our"),
        words.count("you") + words.count("your"),
        _count(words, figures) if figures else 0,
        min(40, round(3 * math.log2(1 + len(text)))),
        0 if _WISHES.isdisjoint(distinct) else _count(words, _WISHES & distinct),
        _MARKUP.search(text) is not None,
    )
    digits = "".join([chr(48 + (n if place in _FREE else min(_MANY, n))) for place, n in enumerate(head)])
    return " ".join((VERSION + digits, *times_of(low, text, distinct)))


_FREE = frozenset((0, 7))
"""Places among the numbers that may exceed nine."""


def actor(role: str, name: str | None) -> str:
    """Give who speaks, as the ranking reads it: a person's name, else the role, or the role and the name.

    Example:
        >>> actor("user", "Ada"), actor("user", None), actor("assistant", "Max")
        ('Ada', 'user', 'assistant Max')
    """
    if not name:
        return role
    return name if role == "user" else f"{role} {name}"


def named_times(row: str) -> list[str]:
    """Give the times that a text names, as its signals have them."""
    return [word for word in row[WIDTH:].split() if word[0] != "@"] if row[:1] == VERSION else []


def marked(row: str, language: str) -> str:
    """Give signals with the language by whose rules the terms beside them were made."""
    return f"{row} @{language}"


def _asking(text: str) -> int:
    """Give the share of characters in sentences that end in ``?``, in fortieths."""
    asked = sum(len(sentence) for sentence in _SENTENCE.findall(text) if sentence.rstrip().endswith("?"))
    return min(40, round(40 * asked / len(text)))


def _count(words: list[str], wanted: frozenset[str] | set[str]) -> int:
    return sum(word in wanted for word in words)
