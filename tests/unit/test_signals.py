"""What a text says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.recall.cells import cells_of, read_signals
from keepwell.recall.signals import VERSION, WIDTH, actor, named_times, signals


@given(st.text(max_size=300))
def test_signals_are_short_ascii_without_a_line_break(text: str) -> None:
    """Whatever a text holds, its signals can be kept in a column and in one line of many."""
    found = signals(text)
    assert found.isascii()
    assert "\n" not in found
    assert "\\" not in found
    assert not found or (found[0] == VERSION and len(found.split(" ")[0]) == WIDTH)


def test_signals_of_many_texts_read_as_numbers() -> None:
    """Questions, times, names, persons, numbers and length come back as columns."""
    texts = [
        "Where were you last Friday?",
        'I read "The Lost City" by Ann and my 2 sisters liked it.',
        "",
        "Always use metric units.\n- really",
    ]
    read = read_signals(cells_of([signals(text) for text in texts]))
    assert read.asking.tolist() == [1, 0, 0, 0]
    assert read.ends_asking.tolist() == [True, False, False, False]
    assert read.times.tolist() == [2, 0, 0, 0]
    assert read.names.tolist()[1] >= 2
    assert read.first_person.tolist() == [0, 2, 0, 0]
    assert read.second_person.tolist() == [1, 0, 0, 0]
    assert read.numbers.tolist() == [0, 1, 0, 0]
    assert read.wishes.tolist() == [0, 0, 0, 1]
    assert read.markup.tolist() == [False, False, False, True]
    assert np.allclose(read.length[:2], [len(text) for text in texts[:2]], rtol=0.2)
    assert read.length[2] == 0


def test_part_of_a_text_that_asks_is_measured() -> None:
    """A statement with a question of the same length is a question by half."""
    read = read_signals(cells_of([signals("I went home early. Did you go home too?")]))
    assert read.asking[0] == pytest.approx(0.5, abs=0.06)


def test_signals_of_an_unknown_version_say_nothing() -> None:
    """A form that a later release wrote is read as if there were none."""
    read = read_signals(cells_of(["9zzzzzzzzzz d0101", ""]))
    assert not read.asking.any()
    assert not read.times.any()
    assert named_times("9zzzzzzzzzz d0101") == []


def test_who_speaks_is_a_name_or_a_role() -> None:
    """A user's name stands alone; another role is kept before its name."""
    assert actor("user", "Ada") == "Ada"
    assert actor("user", None) == "user"
    assert actor("assistant", "Max") == "assistant Max"
