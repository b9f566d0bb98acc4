"""Capitalised names: runs of words that begin with a capital where they need not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from keepwell.formation.entities_found import Named
from keepwell.formation.entities_guess import Beside, beside
from keepwell.formation.names import without_possessive
from keepwell.formation.names_words import (
    BEFORE_NAMES,
    BEGINS,
    BREAKS,
    HONORIFICS,
    JOINTS,
    KIN,
    NEVER,
    NOUNS_ARE_CAPITAL,
    ORGANISATIONS,
    OWN_NOUNS,
    PARENTS,
    PLACES,
)  # fmt: skip

_LETTERS = "[^\\W_](?:[^\\W_]|[\u0300-\u036f])*"
_TOKEN = re.compile(
    f"[^\\W\\d_]\\.(?=[ \u00a0]?[^\\W\\d_])|{_LETTERS}(?:['\u2019\u02bc.&\u2010\u2011-]{_LETTERS})*['\u2019]?|&"
)
_STARTS = re.compile('[.!?\u2026:;\n"\u201c\u201e\u00ab\u3002\uff01\uff1f\u00bf\u00a1]')
_TITLES_SHORT = frozenset("mr mrs ms dr prof st mt sr jr".split())
_WITHIN = re.compile("[ \u00a0]{1,2}|\\.[ \u00a0]?")
_LONGEST_RUN, _MOST_CAPITALS = 7, 25
_SHOUT = 0.6
_HEADING = 0.7
_LONG_ADVERB, _LONG_GERUND = 7, 6
_ACRONYM = range(2, 7)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, with what its place tells: whether a sentence begins with it, whether it is written large."""

    start: int
    end: int
    text: str
    first: bool
    capital: bool
    gap: str

    @property
    def low(self) -> str:
        """The word as lists of words have it."""
        return without_possessive(self.text.casefold().replace("\u2019", "'")).rstrip("'")


def capitals(text: str) -> Iterator[Named]:
    """Give the capitalised names of a text, those that only begin a sentence as not sure.

    Example:
        >>> [(one.surface, one.sure) for one in capitals("Rice is what Vincent van Gogh ate with Theo.")]
        [('Rice', False), ('Vincent van Gogh', True), ('Theo', True)]
    """
    words = list(_words(text))
    if not any(word.capital for word in words):
        return
    german = len({word.low for word in words} & NOUNS_ARE_CAPITAL) > 1
    for line in _lines(words):
        if _is_heading(line, text):
            continue
        for first, last in _runs(line):
            for part in _parts(line, first, last):
                yield from _named(text, line, *part, german=german)


def _words(text: str) -> Iterator[Word]:
    end, last = 0, ""
    for match in _TOKEN.finditer(text):
        gap = text[end : match.start()]
        ends = _STARTS.search(gap)
        abbreviated = gap.startswith(".") and not gap.strip(". \u00a0") and _is_short(last)
        first = end == 0 or (ends is not None and not abbreviated)
        yield Word(
            *match.span(), match[0], first, match[0][0].isupper() or match[0][0].istitle() or _is_camel(match[0]), gap
        )
        end, last = match.end(), match[0]


def _is_short(word: str) -> bool:
    return word.casefold() in _TITLES_SHORT or (len(word) == 1 and word.isupper())


def _is_camel(word: str) -> bool:
    """Tell whether a word has a capital inside: iPhone, PostgreSQL."""
    return any(one.islower() and two.isupper() for one, two in pairwise(word))


def _lines(words: Sequence[Word]) -> Iterator[list[Word]]:
    line: list[Word] = []
    for word in words:
        if "\n" in word.gap and line:
            yield line
            line = []
        line.append(word)
    if line:
        yield line


def _is_heading(line: Sequence[Word], text: str) -> bool:
    """Tell whether a line is written in capitals for its looks: shouted, or as a heading."""
    if line[0].gap.rstrip(" *_").endswith("#"):
        return True
    if len(line) > 2 and all(word.text.isupper() for word in line):  # noqa: PLR2004 - as below
        return True
    telling = [word for word in line if len(word.text) > 3]  # noqa: PLR2004 - headings write shorter ones small
    if len(line) < 3 or len(telling) < 3:  # noqa: PLR2004 - two names side by side are none
        return False
    if sum(word.text.isupper() for word in telling) > _SHOUT * len(telling):
        return True
    ended = text[line[-1].end : line[-1].end + 2].strip(" *_")[:1] in {".", "!", "?", ","}
    return (
        not ended and sum(word.capital for word in telling) > _HEADING * len(telling) and len(line) > _LONGEST_RUN // 2
    )


def _runs(line: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Give the first and the last place of each run of capitalised words, with the small words inside."""
    place = 0
    while place < len(line):
        if not line[place].capital:
            place += 1
            continue
        last = place
        while (further := _further(line, last)) is not None:
            last = further
        if last - place < _MOST_CAPITALS:
            yield place, last
        place = last + 1


def _further(line: Sequence[Word], last: int) -> int | None:
    """Give the next capitalised word that belongs to the same run."""
    for step in (1, 2, 3):
        place = last + step
        if place >= len(line) or not _WITHIN.fullmatch(line[place].gap) or line[place].first:
            return None
        possessive = line[place - 1].text != without_possessive(line[place - 1].text)
        if possessive and line[place].low not in PLACES | ORGANISATIONS:
            return None  # "Priya's" ends a name, "St. Mary's Hospital" is one
        if line[place].gap.startswith(".") and not _is_short(line[place - 1].text.rstrip(".")):
            return None
        if line[place].capital:
            return place
        if line[place].low not in JOINTS:
            return None
    return None


def _parts(line: Sequence[Word], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Cut a run where a word stands that is in no name, and take off what only begins a sentence."""
    start = first
    for place in range(first, last + 1):
        if line[place].low in BREAKS:
            yield from _trimmed(line, start, place - 1)
            start = place + 1
    yield from _trimmed(line, start, last)


def _trimmed(line: Sequence[Word], first: int, last: int) -> Iterator[tuple[int, int]]:
    while first <= last and not line[first].capital:
        first += 1
    while first < last and _only_begins(line, first, last):
        first += 1
        while first < last and not line[first].capital:
            first += 1
    while first <= last and not line[last].capital:
        last -= 1
    if first <= last and last - first < _LONGEST_RUN:
        yield first, last


def _only_begins(line: Sequence[Word], first: int, last: int) -> bool:
    """Tell whether the first word of a run has its capital from the sentence, or is no part of the name."""
    word, follower = line[first], line[first + 1]
    if not word.first:
        return word.low in NEVER and all(line[place].low in NEVER for place in range(first, last + 1))
    if word.low in BEGINS:
        return not follower.capital
    if word.low in NEVER or word.low in OWN_NOUNS:
        return True
    if not follower.capital:  # "Photos of Priya", but "University of Leeds"
        return word.low not in PLACES | ORGANISATIONS and follower.low in {"of", "de", "del", "di", "&", "y"}
    adverb = word.low.endswith("ly") and len(word.low) >= _LONG_ADVERB
    return adverb or (word.low.endswith("ing") and len(word.low) >= _LONG_GERUND)


def _named(text: str, line: Sequence[Word], first: int, last: int, *, german: bool) -> Iterator[Named]:
    while first < last and line[first].low in OWN_NOUNS | KIN and line[first].low not in HONORIFICS:
        first += 1
    start, end = line[first].start, line[last].end
    surface = without_possessive(text[start:end]).rstrip("'\u2019")
    end = start + len(surface)
    if not surface or not _may_be_name(line[first : last + 1], surface):
        return
    near = beside(text, start, end)
    sure = _is_sure(line, first, last, near, german=german)
    if _is_label(text, line[first], end):
        sure = False
    found = Named(start, end, surface, near.type_of(surface), "name", sure, near.role)
    single = first == last
    if single and line[first].low in PARENTS:
        found = replace(found, type="person", sure=True)
    yield found


def _may_be_name(words: Sequence[Word], surface: str) -> bool:
    if all(word.low in NEVER or not word.capital for word in words):
        return False
    if len(words) > 1:
        return True
    return (
        words[0].low not in HONORIFICS - PARENTS
        and (len(surface) > 1 or not surface.isascii())
        and words[0].low not in KIN - PARENTS
    )


def _is_sure(line: Sequence[Word], first: int, last: int, near: Beside, *, german: bool) -> bool:
    word = line[first]
    before = line[first - 1].low if first else ""
    own = before in OWN_NOUNS | KIN or before in BEFORE_NAMES
    if near.is_told or own:
        return True
    if first == last and german:
        return near.is_place_by_verb
    if first == last and _is_beside_a_name(line, last):
        return True
    if first < last or not word.first:
        return True
    short = word.text.isupper() and len(word.text) in _ACRONYM
    has_possessive = word.text != without_possessive(word.text)
    return short or has_possessive or _is_camel(word.text) or any(sign.isdigit() for sign in word.text)


def _is_beside_a_name(line: Sequence[Word], place: int) -> bool:
    """Tell whether "and" and another capitalised word follow: "Nadia and Felix"."""
    if place + 2 >= len(line):
        return False
    joint, other = line[place + 1], line[place + 2]
    return joint.low in {"and", "und", "et", "y", "e", "&"} and other.capital and other.low not in NEVER


def _is_label(text: str, word: Word, end: int) -> bool:
    """Tell whether this opens a line and a colon follows: "Travel insurance: ..."."""
    opens = word.first and ("\n" in word.gap or word.start == 0 or not word.gap.strip("-*\u2022 \t0123456789.)"))
    return opens and text[end : end + 6].lstrip(" *_").startswith(":")
