"""What a question asks: for whom, for when, and by which words; no vector and no array yet.

Who speaks is an actor: a person's name, or a role. A name in a question says *who*, not *what*. It is taken out of
the words and becomes "I" in what the embedder reads, as the person would say it; the actor counts by himself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from keepwell.recall.actors import People, is_assistant, is_human, people
from keepwell.recall.analysis import ENGLISH, Language, analyse
from keepwell.recall.arrays import Floats
from keepwell.recall.spoken import times_in
from keepwell.recall.temporal import times_of

_WORD = re.compile(r"[a-z]+|\d+")
_WHEN = re.compile(
    r"\b(?:when|how long|what (?:date|day|month|year|time)|which (?:date|day|month|year))\b", re.IGNORECASE
)
_ME = frozenset("i my me mine we our".split())
_YOU = re.compile(
    r"\b(?:did|have|had|were|do|can) you\b|\bassistant\b"
    r"|\byour? (?:suggest|recommend|advi|answer|said|told|propos|list|expla)"
)
_REQUEST = re.compile(r"^(?:can|could|would|will) you\b")
_LISTING = re.compile(
    r"^(?:what|which|who|where) (?:\w+ ){0,4}?(?:\w+s|all|kinds?|types?)\b|\bhow many\b|\ball the\b|\blist\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    ``vector`` is its unit vector where there is an embedder, made of ``readable``; ``terms`` its distinct analysed
    terms without names; ``who`` the actors whom it asks about; ``times`` those that it names (see
    :mod:`keepwell.recall.signals`); ``now`` the instant that they count from, in seconds since 1970. Where one person
    is named, ``mentions`` has the terms of each form of that name: others may speak of her.
    """

    vector: Floats | None
    terms: tuple[str, ...]
    now: float
    who: frozenset[str] = frozenset()
    times: tuple[str, ...] = ()
    when: bool = False
    listing: bool = False
    readable: str = ""
    mentions: tuple[tuple[str, ...], ...] = ()


def ask(text: str, actors: Iterable[str], now: float, language: Language = ENGLISH) -> Question:
    """Give what a text asks of a scope in which these actors speak, in a language; without its vector."""
    actors = sorted(actors)
    known = people(tuple(actors))
    readable, bare, who = _unnamed(text, known)
    mentions = _mentions(known, who, language) if len(who) == 1 else ()
    low = text.lower()
    words = set(_WORD.findall(low))
    if not who:
        who |= _spoken_to(low, words, actors)
    return Question(
        None,
        tuple(dict.fromkeys(analyse(bare, language).split())),
        now,
        frozenset(who),
        times_of(low, text, words) if language == ENGLISH else times_in(text, language, now),
        _WHEN.search(text) is not None,
        _LISTING.search(text) is not None,
        readable,
        mentions,
    )


def _mentions(known: People, who: set[str], language: Language) -> tuple[tuple[str, ...], ...]:
    """Give the terms of each form of a name that is nobody else's."""
    return tuple(tuple(analyse(form, language).split()) for form, named in known.forms.items() if named == who)


def _unnamed(text: str, known: People) -> tuple[str, str, set[str]]:
    """Give a text with *I* and *my* for the names of people, the same without them, and who they are."""
    if known.pattern is None:
        return text, text, set()
    pieces, readable, bare = [], [], []
    who: set[str] = set()
    end = 0
    for match in known.pattern.finditer(text):
        word = match.group(1)
        # Where a text has capitals, a name begins with one; scripts that know none have names all the same.
        if not (text.islower() or word[0].isupper() or word[0].lower() == word[0].upper()):
            continue
        who |= known.forms[word.casefold()]
        pieces.append(text[end : match.start()])
        readable.append("my" if match.group(2) else "I")
        bare.append(" ")
        end = match.end()
    rest = text[end:]
    return _woven(pieces, readable, rest), _woven(pieces, bare, rest), who


def _woven(pieces: list[str], between: list[str], rest: str) -> str:
    return "".join(part for pair in zip(pieces, between, strict=True) for part in pair) + rest


def _spoken_to(low: str, words: set[str], actors: list[str]) -> set[str]:
    """Give who is meant by *I*, and by *you* in what did you suggest, where one talks with an assistant."""
    assistants = {actor for actor in actors if is_assistant(actor)}
    if not assistants:
        return set()
    if _YOU.search(low) and not _REQUEST.search(low):
        return assistants
    return {actor for actor in actors if is_human(actor)} if words & _ME else set()
