"""What the graph says for rows: whom a question names leads to others, and to what is said of them.

A relation speaks for a row only where the question asks for it: *Where does Ada's sister live?* goes from Ada along
"sister of", and not to her colleagues. The words of question and relation are compared as the soft word match does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keepwell.recall.analysis import ENGLISH, Language, analyse
from keepwell.recall.arrays import Flags, Floats, Ints
from keepwell.recall.words import Words

MOST_WORDS = 4
"""A name of more words is not looked for."""
MOST_PHRASES = 200
GROUND, NAMED, MEANT = 2.5, (0.25, 2.5, 2.0), 2.0
"""Log-odds that a row has before others: what a relation asked for rests on, mentions by how many relations away who
is mentioned is, and mentions of whom a question describes."""
ALIKE = 0.5
"""Words whose vectors have at least this cosine mean about the same (husband, married)."""
_SAID_OF = 4
"""So many words after *who* describe somebody."""
_WORD = re.compile(r"[^\W_]+(?:['\u2019.@-][^\W_]+)*")
_POSSESSIVE = re.compile(r"['\u2019]s?$")
_PAST = re.compile(
    r"\b(?:used to|previous(?:ly)?|former(?:ly)?|ex|before|earlier|back then|in the past"
    r"|(?:who|what|which|where) (?:was|were))\b",
    re.IGNORECASE,
)
_DESCRIBED = re.compile(
    r"\b(?:the|a) (?:one|person|man|woman|friend|guy|lady|colleague|neighbou?r) (?:who|that|whose)\b"
    r"|\b(?:someone|somebody|whoever) who\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Linked:
    """What the graph adds to rows: ``keys`` (n,), each once, and the log-odds that they have before others (n,).

    ``named`` (n,) are those that only name whom the question names. Where that is somebody who speaks, it counts not:
    what others say of a speaker is weighed without the graph.
    """

    keys: Ints
    odds: Floats
    named: Flags


@dataclass(frozen=True, slots=True)
class Reached:
    """A text that the graph leads to, by how many relations, and by what they say; ``rests``: one rests on it."""

    key: int
    hops: int
    predicates: frozenset[str] = frozenset()
    rests: bool = False


def phrases(text: str) -> tuple[str, ...]:
    """Give the runs of up to four words of a text, longest first: what may be names in it.

    Example:
        >>> phrases("Ada's sister")
        ("Ada's sister", "Ada's", 'Ada', 'sister')
    """
    words = _WORD.findall(text)
    found: dict[str, None] = {}
    for many in range(min(MOST_WORDS, len(words)), 0, -1):
        for start in range(len(words) - many + 1):
            phrase = " ".join(words[start : start + many])
            found[phrase] = None
            found[_POSSESSIVE.sub("", phrase)] = None
    return tuple(found)[-MOST_PHRASES:]


def asks_past(text: str) -> bool:
    """Tell whether a question asks for what was, rather than what is."""
    return _PAST.search(text) is not None


def description(text: str) -> str:
    """Give what a question says of whom it means without a name; ``''`` where it describes nobody.

    Example:
        >>> description("What is the one who repairs bikes allergic to?")
        'repairs bikes allergic to'
    """
    found = _DESCRIBED.search(text)
    return "" if found is None else " ".join(text[found.end() :].strip("?!. ").split()[:_SAID_OF])


def linked(
    found: Sequence[Reached],
    text: str,
    words: Words | None = None,
    language: Language = ENGLISH,
    *,
    meant: bool = False,
) -> Linked:
    """Weigh what the graph leads to by what is asked; ``meant``: it starts from whom the question describes."""
    asked = tuple(dict.fromkeys(analyse(text, language).split()))
    fits = _fitting({predicate for one in found for predicate in one.predicates}, asked, words, language)
    odds: dict[int, float] = {}
    named = (MEANT, *NAMED[1:]) if meant else NAMED
    for one in found:
        wanted = not one.hops or any(fits[predicate] for predicate in one.predicates)
        share = (GROUND / max(1, one.hops) if one.rests else named[one.hops]) if wanted else 0.0
        odds[one.key] = max(odds.get(one.key, 0.0), share)
    kept = {key: share for key, share in odds.items() if share}
    shares = np.fromiter(kept.values(), np.float32, len(kept))
    return Linked(np.fromiter(kept, np.int64, len(kept)), shares, shares <= NAMED[0])


def _fitting(
    predicates: set[str], asked: tuple[str, ...], words: Words | None, language: Language
) -> Mapping[str, bool]:
    """Tell of each predicate whether the question has a word of it, or one that means about the same."""
    terms = {predicate: tuple(analyse(predicate, language).split()) for predicate in predicates}
    return {predicate: _alike(mine, asked, words) for predicate, mine in terms.items()}


def _alike(mine: tuple[str, ...], asked: tuple[str, ...], words: Words | None) -> bool:
    if set(mine) & set(asked):
        return True
    if words is None or not (mine and asked):
        return False
    return bool((words.vectors(mine) @ words.vectors(asked).T).max() >= ALIKE)
