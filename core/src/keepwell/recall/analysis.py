"""From text to terms: the same on every server, because it is done here and not by the database.

Words are folded (case, compatibility forms, accents), stemmed with Snowball's rules of one language, and freed of words
that say nothing, unless there are no others. Scripts that write no spaces give pairs of characters, whatever the
language. ``simple`` is no language: it folds, and stems nothing.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from keepwell.errors import UsageError
from keepwell.recall.empty_words import EMPTY
from keepwell.recall.signals import marked, signals

Language: TypeAlias = str
ENGLISH: Final[Language] = "english"
SIMPLE: Final[Language] = "simple"
MAX_TERM = 64
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3"
)
"""Vowels and points that are written on letters: they belong to the word, which ``\\w`` does not know."""
_LETTER = f"(?:[^\\W_]|[{_MARKS}])"
_PLAIN_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_WORD = re.compile(rf"{_LETTER}+(?:['\u2019]{_LETTER}+)*")
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f"
)
_RUN = re.compile(f"[{_SPACELESS}]+|[^{_SPACELESS}]+")
_IS_SPACELESS = re.compile(f"[{_SPACELESS}]")
_INDIC = re.compile("[\u0900-\u0dff]")
_NOTHING: Final[frozenset[str]] = frozenset()
_stemming = threading.Lock()


class Analysed(NamedTuple):
    """What the record keeps of a text beside it, to find it by."""

    terms: str
    signals: str


def analysed(text: str, language: Language = ENGLISH) -> Analysed:
    """Give the terms and the signals of a text, which name the language where it is not English."""
    terms = analyse(text, language)
    told = signals(text)
    return Analysed(terms, marked(told, language) if terms and language != ENGLISH else told)


def analyse(text: str, language: Language = ENGLISH) -> str:
    """Give the terms of a text, separated by spaces, in order and with repeats; ``''`` where it has no word.

    Example:
        >>> analyse("The Peanuts were roasted")
        'peanut roast'
        >>> analyse("Die Kinder spielten in den Gärten", "german")
        'kind spielt gart'
    """
    words = _PLAIN_WORD.findall(text) if text.isascii() else _WORD.findall(unicodedata.normalize("NFKC", text))
    if language != ENGLISH:
        # An apostrophe joins two words in most languages: l'ecole, Ankara'da.
        words = [part for word in words for part in word.replace("\u2019", "'").split("'")]
    empty = EMPTY.get(language, _NOTHING)
    pairs = [(word, terms) for word in words if (terms := _terms_of(word, language))]
    telling = [term for word, terms in pairs if word.lower() not in empty for term in terms]
    return " ".join(telling or [term for _, terms in pairs for term in terms])


def languages() -> tuple[Language, ...]:
    """Give the languages that there are rules for, ``simple`` among them."""
    import snowballstemmer  # noqa: PLC0415 - see _stemmer

    return tuple(sorted({SIMPLE, *(name for name in snowballstemmer.algorithms() if "porter" not in name)}))


def check_language(given: str) -> Language:
    """Give a language's name as it is kept.

    Raises:
        UsageError: there are no rules for it.
    """
    name = given.strip().lower()
    if name != ENGLISH and name not in languages():
        raise UsageError(f"there are no rules for the language {given!r}; there are: {', '.join(languages())}")
    return name


@lru_cache(maxsize=100_000)
def _terms_of(word: str, language: Language) -> tuple[str, ...]:
    if language == "turkish":
        word = word.replace("I", "\u0131").replace("\u0130", "i")
    folded = word.casefold().replace("\u2019", "'")
    if language == ENGLISH:
        folded = folded.removesuffix("'s")
    if folded.isascii():
        return (_stem(folded, language),)
    return tuple(term for run in _RUN.findall(folded) for term in _terms_of_run(run, language))


def _terms_of_run(run: str, language: Language) -> list[str]:
    if _IS_SPACELESS.match(run):
        return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]
    # Snowball's rules know their language's accents; those of English know none.
    term = _stem(_bare(run), language) if language == ENGLISH else _bare(_stem(run, language))
    return [term] if term else []


def _bare(word: str) -> str:
    """Give a word without accents and points; the marks of Indic scripts are its vowels and stay."""
    if _INDIC.search(word):
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _stem(word: str, language: Language) -> str:
    if language == SIMPLE:
        return word[:MAX_TERM]
    # The stemmer keeps its work in itself, so threads take turns; the cache above makes that rare.
    with _stemming:
        return str(_stemmer(language).stemWord(word[:MAX_TERM]))


@cache
def _stemmer(language: Language) -> Any:  # noqa: ANN401 - the library has no types
    # Imported at the first use: it brings the rules of thirty languages, a tenth of a second.
    import snowballstemmer  # noqa: PLC0415

    return snowballstemmer.stemmer(language)
