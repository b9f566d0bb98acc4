"""From text to terms: the same on every server, because it is done here and not by the database.

Words are folded (case, compatibility forms, accents), stemmed with Snowball's English rules, and freed of words
that say nothing, unless there are no others. Scripts that write no spaces give pairs of characters.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache, lru_cache
from typing import Any

MAX_TERM = 64
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f"
)
_RUN = re.compile(f"[{_SPACELESS}]+|[^{_SPACELESS}]+")
_EMPTY = frozenset(
    "a about after all also am an and any are as at be been before being but by can could d did do does doing don for"
    " from had has have having he her here hers him his how i if in into is it its just ll m me more most my no nor"
    " not now of off on once only or other our out over own re s same she should so some such t than that the their"
    " them then there these they this those through to too under until up ve very was we were what when where which"
    " while who whom why will with would you your".split()
)
_stemming = threading.Lock()


def analyse(text: str) -> str:
    """Give the terms of a text, separated by spaces, in order and with repeats; ``''`` where it has no word.

    Example:
        >>> analyse("The Peanuts were roasted")
        'peanut roast'
    """
    words = _WORD.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))
    pairs = [(word, terms) for word in words if (terms := _terms_of(word))]
    telling = [term for word, terms in pairs if word.lower() not in _EMPTY for term in terms]
    return " ".join(telling or [term for _, terms in pairs for term in terms])


@lru_cache(maxsize=100_000)
def _terms_of(word: str) -> tuple[str, ...]:
    folded = word.casefold().replace("\u2019", "'").removesuffix("'s")
    if folded.isascii():
        return (_stem(folded),)
    return tuple(term for run in _RUN.findall(folded) for term in _terms_of_run(run))


def _terms_of_run(run: str) -> list[str]:
    if _RUN.match(run[0]) and re.match(f"[{_SPACELESS}]", run[0]):
        return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]
    bare = "".join(c for c in unicodedata.normalize("NFKD", run) if not unicodedata.combining(c))
    return [_stem(bare)] if bare else []


def _stem(word: str) -> str:
    # The stemmer keeps its work in itself, so threads take turns; the cache above makes that rare.
    with _stemming:
        return str(_stemmer().stemWord(word[:MAX_TERM]))


@cache
def _stemmer() -> Any:  # noqa: ANN401 - the library has no types
    # Imported at the first use: it brings the rules of thirty languages, a tenth of a second.
    import snowballstemmer  # noqa: PLC0415

    return snowballstemmer.stemmer("english")
