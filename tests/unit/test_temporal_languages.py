"""Times in questions of other languages than English."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pytest

from keepwell.recall.asking import ask
from keepwell.recall.spoken import times_in
from keepwell.recall.temporal import spans

NOW = dt.datetime(2024, 5, 20, 12, tzinfo=dt.UTC)


def named(text: str, language: str) -> set[dt.date]:
    """Give the first day of each time that a question names."""
    times = times_in(text, language, NOW.timestamp())
    found = [span for time in times for span in spans(time, NOW.timestamp(), [2024])]
    return {dt.datetime.fromtimestamp(span.start, dt.UTC).date() for span in found}


@pytest.mark.parametrize(
    ("language", "text", "days_ago"),
    [
        ("german", "Was habe ich gestern gekocht?", 1),
        ("german", "Was habe ich letzte Woche gekocht?", 13),
        ("french", "Qu'avons-nous mangé la semaine dernière ?", 13),
        ("french", "et avant-hier ?", 2),
        ("russian", "что было на прошлой неделе", 13),
        ("spanish", "¿Qué hice el mes pasado?", 61),
        ("italian", "Cosa abbiamo mangiato ieri?", 1),
        ("swedish", "Vad gjorde jag förra veckan?", 13),
    ],
)
def test_common_phrases(language: str, text: str, days_ago: int) -> None:
    """Yesterday and last week are understood without another library, once each."""
    assert named(text, language) == {(NOW - dt.timedelta(days=days_ago)).date()}


@pytest.mark.parametrize("text", ["Was war am 3.5.2023?", "Was war am 2023-05-03?", "und am 03/05/2023"])
def test_dates_in_digits(text: str) -> None:
    """A date in digits is understood in any language, the day before the month."""
    assert named(text, "german") == {dt.date(2023, 5, 3)}


@pytest.mark.parametrize(
    ("language", "text", "day"),
    [
        ("german", "Wo war ich vor drei Tagen?", dt.date(2024, 5, 17)),
        ("german", "Was war am 3. Mai 2022?", dt.date(2022, 5, 3)),
        ("german", "Wann war ich im März 2023 in Rom?", dt.date(2023, 3, 1)),
        ("french", "le 14 juillet 2023", dt.date(2023, 7, 14)),
        ("russian", "два дня назад", dt.date(2024, 5, 18)),
    ],
)
def test_other_phrases_with_the_extra(language: str, text: str, day: dt.date) -> None:
    """With the extra ``dates`` other expressions and months in words are understood."""
    pytest.importorskip("dateparser")
    assert named(text, language) == {day}


def test_a_question_without_a_time() -> None:
    """What names no time gives none."""
    for text in ("Wer ist meine Schwester und mag sie Musik?", "So war das am Meer"):
        assert named(text, "german") == set()


def test_english_questions_import_no_parser() -> None:
    """A question in English asks no library for its times, nor does importing the analysis."""
    asked = "from keepwell.recall.asking import ask; ask('what did I do last week?', ['user'], 1.7e9)"
    done = subprocess.run(
        [sys.executable, "-c", f"{asked}; import sys; print('dateparser' in sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False"
    assert ask("what did I do last week?", ["user"], NOW.timestamp()).times == ("r-13:-1",)
    assert ask("Was tat ich letzte Woche?", ["user"], NOW.timestamp(), "german").times == ("r-13:-1",)
