"""Times that a text names: in words, without the text's own date, so that they can be kept beside it.

Small rules for what people write in chats, because a library for this costs more than the whole append: finding
dates in one sentence takes milliseconds there, and here a few microseconds.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

DAY = 86_400.0
FORTNIGHT = 14
_MONTHS = "january february march april may june july august september october november december".split()
_SHORT = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_NUMBERS = dict(
    zip("one two three four five six seven eight nine ten eleven twelve".split(), range(1, 13), strict=True)
)
_NUMBERS |= {"a": 1, "an": 1, "couple": 2, "few": 3, "several": 4}
_SPANS = {"day": 1.0, "night": 1.0, "week": 7.0, "weekend": 7.0, "month": 30.4, "year": 365.25}
TIME_WORDS = frozenset(
    "yesterday today tonight tomorrow ago recently lately week weeks weekend weekends month months year years day days"
    " morning afternoon evening night summer winter spring autumn last since birthday anniversary"
    " christmas easter thanksgiving halloween holiday holidays".split()
    + [word for word in _MONTHS if word not in ("may", "march")]
    + _WEEKDAYS
)
_COUNT = "|".join(_NUMBERS)
_RELATIVE = re.compile(
    rf"\b(?:(yesterday|last night|tomorrow|today|tonight|this (?:morning|afternoon|evening))"
    rf"|(last|past|next|this) (week|weekend|month|year|{'|'.join(_WEEKDAYS)})s?"
    rf"|(\d{{1,3}}|{_COUNT})(?: of)? (day|night|week|weekend|month|year)s? (?:ago|back|before)"
    rf"|(?:on )?({'|'.join(_WEEKDAYS)}))\b"
)
_MONTH = f"({'|'.join(_MONTHS)}|sept|{'|'.join(_SHORT)})"
_ABSOLUTE = re.compile(
    rf"\b(?:(\d{{4}})-(\d{{2}})(?:-(\d{{2}}))?"
    rf"|(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}\b\.?(?:,? (\d{{4}})\b)?"
    rf"|{_MONTH}\b\.?(?: (\d{{1,2}})(?:st|nd|rd|th)?\b)?(?:,? (?:of )?(\d{{4}})\b)?"
    rf"|((?:19|20)\d\d))(?!\d)"
)
_DAYS = frozenset(["yesterday", "tomorrow", "today", "tonight", *_WEEKDAYS])
_SIDES = frozenset("this last past next ago back before".split())
_UNITS = frozenset([*_SPANS, *(f"{unit}s" for unit in _SPANS), "morning", "afternoon", "evening"])
_ABSOLUTE_WORDS = frozenset([*_MONTHS, *_SHORT, "sept"])
_VERBS = ("may", "mar", "march")


def times_of(low: str, text: str, words: set[str]) -> tuple[str, ...]:
    """Give the times that a text names, each once; ``low`` is it in small letters, ``words`` what words it has."""
    found: list[str] = []
    if not _DAYS.isdisjoint(words) or not (_SIDES.isdisjoint(words) or _UNITS.isdisjoint(words)):
        found += _relative(low)
    if len(low) == len(text) and not (_ABSOLUTE_WORDS.isdisjoint(words) and all(map(_no_year, words))):
        found += _absolute(low, text)
    return tuple(dict.fromkeys(found))


def _no_year(word: str) -> bool:
    return len(word) != 4 or not word.isdigit()  # noqa: PLR2004 - digits of a year


def _relative(low: str) -> Iterable[str]:
    for word, which, unit, count, span, weekday in _RELATIVE.findall(low):
        if word:
            day = {"yesterday": -1, "last night": -1, "tomorrow": 1}.get(word, 0)
            yield f"r{day}:{day}"
        elif which:
            yield _beside(which, unit)
        elif count:
            yield _ago(int(count) if count.isdigit() else _NUMBERS[count], _SPANS[span])
        elif weekday:
            yield "r-7:7"


def _beside(which: str, unit: str) -> str:
    """Give the days of ``last week`` and the like."""
    if which == "this":
        width = round(_SPANS.get(unit, 7.0))
        return f"r{-width}:{width}"
    if unit in _WEEKDAYS:
        return "r1:8" if which == "next" else "r-8:-1"
    width = round(_SPANS[unit])
    far = {"week": 13, "weekend": 8, "month": 61, "year": 730}[unit]
    return f"r{1}:{far}" if which == "next" else f"r{-far}:{-1 if width < 28 or which == 'past' else -width // 4}"  # noqa: PLR2004


def _ago(count: int, span: float) -> str:
    """Give the days of ``three weeks ago``, with as much play as people mean."""
    middle, play = count * span, max(0.0, span / 2)
    if span == 1:
        play = 0 if count <= 2 else 2  # noqa: PLR2004 - "three days ago" is meant less exactly
    return f"r{-round(middle + play)}:{-max(0, round(middle - play))}"


def _absolute(low: str, text: str) -> Iterable[str]:
    for match in _ABSOLUTE.finditer(low):
        year, month, day, day_2, month_2, year_2, month_3, day_3, year_3, alone = match.groups()
        if alone:
            yield f"y{alone}"
            continue
        name = month_2 or month_3
        if name in _VERBS and not day_2 and not text[match.start(7)].isupper():
            continue
        number = int(month) if month else 1 + _SHORT.index(name[:3])
        on = int(day or day_2 or day_3 or 0)
        written = (year or year_2 or year_3 or "") + f"{number:02d}" if 1 <= number <= 12 else ""  # noqa: PLR2004
        if written:
            yield f"d{written}{on:02d}" if 1 <= on <= 31 else f"m{written}"  # noqa: PLR2004


class Span(NamedTuple):
    """From when to when, in seconds since 1970; ``exact`` where it is a matter of days."""

    start: float
    stop: float
    exact: bool


def spans(time: str, now: float, years: Iterable[int]) -> Iterator[Span]:
    """Give when a named time is, seen from an instant; one without a year in each of the years."""
    kind, rest = time[0], time[1:]
    if kind == "r":
        first, last = map(int, rest.split(":"))
        today = now - now % DAY
        yield Span(today + first * DAY, today + (last + 1) * DAY, last - first < FORTNIGHT)
    elif kind in "dm":
        digits = 4 if kind == "d" else 2
        year, rest = rest[:-digits], rest[-digits:]
        for which in [int(year)] if year else years:
            yield from _calendar(which, int(rest[:2]), int(rest[2:] or 0))


def _calendar(year: int, month: int, day: int) -> Iterator[Span]:
    try:
        start = dt.datetime(year, month, day or 1, tzinfo=dt.UTC)
    except ValueError:  # 30 February
        return
    stop = start + dt.timedelta(days=1) if day else start.replace(year=year + month // 12, month=month % 12 + 1)
    yield Span(start.timestamp(), stop.timestamp(), bool(day))
