"""Names of people and things: which two are one name, and how alike two are.

Nothing here knows a language or a list of names: it goes by letters alone.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from keepwell.formation.graph_edits import grams
from keepwell.formation.graph_edits import likeness as alike

MAX_NAME = 200
"""Characters of a name that are kept."""
SHORTER = 0.92
"""How alike a short name and the full name are that holds it: "Priya" and "Priya Shah"."""
MISSPELT = 0.8
"""How alike two names are that differ in one letter."""
SHARED = 0.3
"""How alike two names are at most that share a word, and have words that the other has not."""
_MARKS_APART = 0.95
_LEAST_MISSPELT = 5
_POSSESSIVE = re.compile("(?:['\u2019\u02bc]s|(?<=s)['\u2019\u02bc])$", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_JOINTS = frozenset("de da del della di do dos du des van von der den la le las los al el bin ibn of the".split())


def tidy(name: str) -> str:
    r"""Give a name as it is kept: in composed letters, with single spaces, storable, and not too long.

    Example:
        >>> tidy("  Priya \n Shah ")
        'Priya Shah'
    """
    plain = unicodedata.normalize("NFC", name.replace("\x00", "").encode("utf-8", "replace").decode())
    return " ".join(plain.split())[:MAX_NAME].strip()


def without_possessive(name: str) -> str:
    """Give a name without the ending that tells whose something is.

    Example:
        >>> without_possessive("Priya's"), without_possessive("James'"), without_possessive("O'Brien")
        ('Priya', 'James', "O'Brien")
    """
    return _POSSESSIVE.sub("", name) or name


@lru_cache(maxsize=100_000)
def folded(name: str) -> str:
    """Give what two spellings of one name have in common: no case, no accents, no punctuation.

    A name of signs alone stays as it is.

    Example:
        >>> folded("Zoë  O'Brien"), folded("ZOE OBRIEN")
        ('zoe obrien', 'zoe obrien')
    """
    parts = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(sign for sign in parts if not unicodedata.combining(sign) and sign not in "'\u2019\u02bc.")
    words = _WORD.findall(unicodedata.normalize("NFKC", bare).casefold())
    return " ".join(words)[:MAX_NAME] or name.strip()[:MAX_NAME]


@lru_cache(maxsize=10_000)
def words_of(name: str) -> tuple[str, ...]:
    """Give the words of a name that tell it from others: folded, without "van", "de" and the like."""
    words = tuple(folded(name).split())
    return tuple(word for word in words if word not in _JOINTS) or words


@lru_cache(maxsize=100_000)
def likeness(first: str, second: str) -> float:
    """Give how alike two names are, from 0 to 1; 1 is the same name.

    Example:
        >>> likeness("Priya", "priya"), likeness("Priya", "Priya Shah"), likeness("Priya Shah", "Priya Patel")
        (1.0, 0.92, 0.3)
    """
    one, two = folded(first), folded(second)
    if one == two:
        return 1.0 if _composed(first) == _composed(second) else _MARKS_APART
    mine, theirs = words_of(first), words_of(second)
    if mine == theirs:
        return _MARKS_APART
    if _abbreviates(mine, theirs) or _abbreviates(theirs, mine):
        return SHORTER
    if len(mine) == len(theirs) and _misspelt(mine, theirs):
        return MISSPELT
    if set(mine) & set(theirs):
        return SHARED
    return SHARED * alike(grams(one), grams(two))


def is_shorter(short: str, full: str) -> bool:
    """Tell whether one name is a part of the other: its first or last words, or its initials.

    Example:
        >>> is_shorter("Priya", "Priya Shah"), is_shorter("P. Shah", "Priya Shah"), is_shorter("Priya", "Priyanka")
        (True, True, False)
    """
    return _abbreviates(words_of(short), words_of(full))


def begins(one: str, other: str) -> bool:
    """Tell whether one of two names is the beginning of the other: "Priya" and "Priya Shah"."""
    first, second = sorted((words_of(one), words_of(other)), key=len)
    return first == second[: len(first)]


def _composed(name: str) -> str:
    return " ".join(
        _WORD.findall(unicodedata.normalize("NFKC", name.casefold()).replace("'", "").replace("\u2019", ""))
    )


def _abbreviates(short: tuple[str, ...], full: tuple[str, ...]) -> bool:
    if not short or not full or short == full:
        return False
    if len(short) < len(full):
        return short in {full[: len(short)], full[-len(short) :]} and any(len(word) > 1 for word in short)
    whole = any(len(word) > 1 for word in short)
    return len(short) == len(full) and whole and all(map(_is_initial_or_same, short, full))


def _is_initial_or_same(short: str, full: str) -> bool:
    return short == full or (len(short) == 1 and full.startswith(short))


def _misspelt(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Tell whether one word differs, by one letter or by two that changed places, and is long enough for that."""
    other = [(one, two) for one, two in zip(first, second, strict=True) if one != two]
    return len(other) == 1 and min(map(len, other[0])) >= _LEAST_MISSPELT and _is_near(*other[0])


def _is_near(one: str, two: str) -> bool:
    start = 0
    while start < min(len(one), len(two)) and one[start] == two[start]:
        start += 1
    first, second = one[start:], two[start:]
    swapped = first[:2] == second[:2][::-1] and first[2:] == second[2:]
    return swapped or first[1:] == second[1:] or first[1:] == second or first == second[1:]
