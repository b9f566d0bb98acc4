"""Times in questions of other languages than English.

The commonest phrases are here, because the library that knows the rest does not know all of them (*la semaine
dernière*), and is an extra. Only questions are read so: it takes milliseconds for a sentence, ten times what a whole
append takes.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

_log = logging.getLogger("keepwell.recall")
_YESTERDAY, _BEFORE, _TODAY = "r-1:-1", "r-2:-2", "r0:0"
_WEEK, _MONTH, _YEAR = "r-13:-1", "r-61:-8", "r-730:-92"
_FAR = 40
"""Days from which on a date that a library gives for a bare month is of that month, not of that day."""
_DIGITS = re.compile(
    r"(?<![\d.])(?:(\d{4})-(\d{2})(?:-(\d{2}))?|(\d{1,2})[./](\d{1,2})[./](\d{4})?)(?!\d)",
)
_PHRASES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "dutch": {
            "gisteren": _YESTERDAY,
            "eergisteren": _BEFORE,
            "vandaag": _TODAY,
            "(?:vorige|afgelopen) week": _WEEK,
            "(?:vorige|afgelopen) maand": _MONTH,
            "(?:vorig|afgelopen) jaar": _YEAR,
        },
        "french": {
            "(?<!avant-)hier": _YESTERDAY,
            "avant-hier": _BEFORE,
            "aujourd['\u2019]hui": _TODAY,
            "(?:la )?semaine (?:derni[eè]re|pass[eé]e)": _WEEK,
            "(?:le )?mois (?:dernier|pass[eé])": _MONTH,
            "(?:l['\u2019]an dernier|l['\u2019]ann[eé]e derni[eè]re|l['\u2019]an pass[eé])": _YEAR,
        },
        "german": {
            "gestern": _YESTERDAY,
            "vorgestern": _BEFORE,
            "heute": _TODAY,
            "(?:letzte|vorige|vergangene)[rn]? woche": _WEEK,
            "(?:letzte|vorige|vergangene)[nr]? monat": _MONTH,
            "(?:letzte|vorige|vergangene)[sn]? jahr": _YEAR,
        },
        "italian": {
            "ieri": _YESTERDAY,
            "l['\u2019]altro ieri": _BEFORE,
            "oggi": _TODAY,
            "(?:la )?(?:settimana scorsa|scorsa settimana)": _WEEK,
            "(?:il )?(?:mese scorso|scorso mese)": _MONTH,
            "(?:l['\u2019]anno scorso|lo scorso anno)": _YEAR,
        },
        "portuguese": {
            "ontem": _YESTERDAY,
            "anteontem": _BEFORE,
            "hoje": _TODAY,
            "semana passada": _WEEK,
            "m[eê]s passado": _MONTH,
            "ano passado": _YEAR,
        },
        "russian": {
            "вчера": _YESTERDAY,
            "позавчера": _BEFORE,
            "сегодня": _TODAY,
            "(?:на )?прошлой неделе": _WEEK,
            "(?:в )?прошлом месяце": _MONTH,
            "(?:в )?прошлом году": _YEAR,
        },
        "spanish": {
            "(?<!antes de )ayer": _YESTERDAY,
            "(?:anteayer|antes de ayer)": _BEFORE,
            "hoy": _TODAY,
            "semana pasada": _WEEK,
            "mes pasado": _MONTH,
            "año pasado": _YEAR,
        },
        "swedish": {
            "ig[aå]r": _YESTERDAY,
            "förrg[aå]r": _BEFORE,
            "idag": _TODAY,
            "förra veckan": _WEEK,
            "förra m[aå]naden": _MONTH,
            "förra [aå]ret": _YEAR,
        },
    }
)
_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "arabic": "ar", "armenian": "hy", "basque": "eu", "catalan": "ca", "czech": "cs", "danish": "da",
        "dutch": "nl", "estonian": "et", "finnish": "fi", "french": "fr", "german": "de", "greek": "el",
        "hindi": "hi", "hungarian": "hu", "indonesian": "id", "irish": "ga", "italian": "it", "lithuanian": "lt",
        "nepali": "ne", "norwegian": "nb", "persian": "fa", "polish": "pl", "portuguese": "pt", "romanian": "ro",
        "russian": "ru", "serbian": "sr", "spanish": "es", "swedish": "sv", "tamil": "ta", "turkish": "tr",
    }
)  # fmt: skip


def times_in(text: str, language: str, now: float) -> tuple[str, ...]:
    """Give the times that a question in another language than English names, each once.

    Dates in digits are found in any, the day before the month.
    """
    return tuple(dict.fromkeys([*_in_digits(text), *spoken(text, language, now)]))


def _in_digits(text: str) -> Iterable[str]:
    for match in _DIGITS.finditer(text):
        year, month, day, day_2, month_2, year_2 = match.groups()
        if 1 <= int(month or month_2) <= 12 and int(day or day_2 or 1) <= 31:  # noqa: PLR2004 - a calendar
            on = day or day_2
            written = f"{year or year_2 or ''}{int(month or month_2):02d}"
            yield f"d{written}{int(on):02d}" if on else f"m{written}"


def spoken(text: str, language: str, now: float) -> Iterable[str]:
    """Give the times that a question names in words, seen from an instant, in the form of ``signals``."""
    rest = text
    rest = _DIGITS.sub(" ", rest)
    for pattern, time in _patterns(language):
        rest, times = pattern.subn(" ", rest)
        if times:
            yield time
    if now and language in _CODES and (search := _search()) is not None:
        yield from _by_library(search, rest, _CODES[language], dt.datetime.fromtimestamp(now, dt.UTC))


@cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    phrases = _PHRASES.get(language, {})
    return tuple((re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE), time) for words, time in phrases.items())


@cache
def _search() -> Callable[..., Any] | None:
    """Give the search of the extra ``dates``; None, told once, where it is not installed."""
    try:
        from dateparser.search import search_dates  # type: ignore[import-untyped]  # noqa: PLC0415 - half a second
    except ImportError:
        _log.info("fewer times are understood in questions; install: pip install 'keepwell[dates]'")
        return None
    return search_dates  # type: ignore[no-any-return]  # as above


def _by_library(search: Callable[..., Any], text: str, code: str, now: dt.datetime) -> Iterable[str]:
    base = now.replace(tzinfo=None)
    settings = {"RELATIVE_BASE": base, "PREFER_DATES_FROM": "past", "RETURN_TIME_SPAN": False}
    try:
        found = search(text, languages=[code], settings=settings)
    except Exception:  # noqa: BLE001 - a foreign parser over free text; the question is answered without its time
        _log.warning("a question is answered without the times that it names", exc_info=True)
        return
    for words, date in found or ():
        if len(words) > 3 or not words.isascii() or any(c.isdigit() for c in words):  # noqa: PLR2004 - "so" is no day
            yield _time(words, date, base)


def _time(words: str, date: dt.datetime, base: dt.datetime) -> str:
    days = (date.date() - base.date()).days
    numbers = re.findall(r"\d+", words)
    if date.day == base.day and abs(days) > _FAR and not any(len(number) < 3 for number in numbers):  # noqa: PLR2004
        return f"m{date:%Y%m}"
    if days and not days % 7 and not numbers:
        return f"r{days - 6}:{min(-1, days + 6) if days < 0 else days + 6}"
    return f"d{date:%Y%m%d}"
