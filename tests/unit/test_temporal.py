"""Times that texts name."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from keepwell.recall.asking import Question
from keepwell.recall.dating import dated
from keepwell.recall.signals import named_times, signals
from keepwell.recall.temporal import DAY, spans


def _at(*date: int) -> float:
    return dt.datetime(*date, tzinfo=dt.UTC).timestamp()  # type: ignore[arg-type, misc]  # year, month, day


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("We met yesterday.", ["r-1:-1"]),
        ("It was last week, I think", ["r-13:-1"]),
        ("three weeks ago we moved", ["r-24:-18"]),
        ("two days ago", ["r-2:-2"]),
        ("I saw him last Friday", ["r-8:-1"]),
        ("Next month I travel", ["r1:61"]),
        ("on 7 May 2023", ["d20230507"]),
        ("May 7th, 2023", ["d20230507"]),
        ("the 3rd of October", ["d1003"]),
        ("What happened in June?", ["m06"]),
        ("in Sept. 2022", ["m202209"]),
        ("It was 2021.", ["y2021"]),
        ("on 2024-02-29", ["d20240229"]),
        ("you may march on", []),
        ("nothing of that kind", []),
    ],
)
def test_times_are_found_as_people_write_them(text: str, named: list[str]) -> None:
    """Relative and absolute times become a short word; verbs that look like months do not."""
    assert named_times(signals(text)) == named


def test_a_relative_time_counts_from_the_text() -> None:
    """Yesterday is the whole day before the one on which it was said."""
    (span,) = spans("r-1:-1", _at(2023, 5, 9) + 3600, [])
    assert (span.start, span.stop, span.exact) == (_at(2023, 5, 8), _at(2023, 5, 9), True)


def test_a_date_without_a_year_is_meant_in_any_of_the_years() -> None:
    """Each year in which something was said is tried, and a day that a year lacks is left out."""
    assert [span.start for span in spans("d0301", 0, [2022, 2023])] == [_at(2022, 3, 1), _at(2023, 3, 1)]
    assert [span.start for span in spans("d0229", 0, [2023, 2024])] == [_at(2024, 2, 29)]
    assert list(spans("y2023", 0, [2023])) == []


def test_a_month_ends_where_the_next_begins() -> None:
    """December's span ends with its year."""
    (span,) = spans("m202312", 0, [])
    assert (span.start, span.stop, span.exact) == (_at(2023, 12, 1), _at(2024, 1, 1), False)


def test_messages_of_a_named_day_fit_and_later_ones_by_half() -> None:
    """A day takes in its neighbours, a fortnight after it counts half, anything else nothing."""
    day = _at(2023, 5, 7)
    created = np.array([day - 3 * DAY, day - DAY, day, day + 5 * DAY, day + 30 * DAY])
    question = Question(None, (), _at(2024, 1, 1), times=("d20230507",))
    assert dated(question, created).tolist() == [0, 1, 1, 0.5, 0]
