"""What the graph adds to rows, by what is asked."""

from __future__ import annotations

import numpy as np
import pytest

from keepwell.recall.linked import GROUND, MEANT, NAMED, Reached, asks_past, description, linked, phrases
from keepwell.recall.words import Words


def odds(found: list[Reached], text: str, words: Words | None = None, *, meant: bool = False) -> dict[int, float]:
    """Give what each key is given."""
    given = linked(found, text, words, meant=meant)
    return dict(zip(given.keys.tolist(), given.odds.round(4).tolist(), strict=True))


def test_a_question_goes_only_along_relations_that_it_names() -> None:
    """Asked for a sister, what is said of her has an advantage, and what is said of the manager has none."""
    sister, manager = frozenset(["sister of"]), frozenset(["manager of"])
    found = [Reached(1, 1, sister), Reached(2, 1, manager), Reached(-3, 1, sister, rests=True)]
    assert odds(found, "Where does Ada's sister live?") == {1: NAMED[1], -3: GROUND}
    assert odds(found, "Where is the station?") == {}


def test_who_is_named_needs_no_relation() -> None:
    """A text that names whom the question names has a little, whatever is asked."""
    assert odds([Reached(1, 0)], "What of Priya?") == {1: NAMED[0]}
    assert odds([Reached(1, 0)], "What of her?", meant=True) == {1: MEANT}


def test_a_text_counts_once_by_its_best_reason() -> None:
    """What several relations lead to is not counted several times."""
    sister = frozenset(["sister of"])
    assert odds([Reached(1, 2, sister), Reached(1, 1, sister), Reached(1, 0)], "my sister") == {1: NAMED[1]}


def test_words_that_mean_the_same_are_as_good() -> None:
    """A husband is found by "married to" where the words' vectors are alike."""
    vectors = {"husband": [1.0, 0.0], "marri": [0.96, 0.28], "dog": [0.0, 1.0]}
    words = Words(lambda terms: np.array([vectors.get(term, [0.0, 0.0]) for term in terms], "float32"))
    married = [Reached(1, 1, frozenset(["married to"]))]
    assert odds(married, "my husband", words) == {1: NAMED[1]}
    assert odds(married, "my dog", words) == odds(married, "my husband") == {}


@pytest.mark.parametrize(
    ("text", "past"),
    [
        ("Who is my carer?", False),
        ("Who was my carer?", True),
        ("How did my previous carer arrive?", True),
        ("Where did Ada use to live?", False),
        ("Who used to care for Ada?", True),
        ("What will my carer cook?", False),
    ],
)
def test_a_question_may_be_for_what_was(text: str, past: bool) -> None:
    """Questions for what was are told from those for what is."""
    assert asks_past(text) == past


def test_a_description_takes_the_place_of_a_name() -> None:
    """The words after *the one who* say who is meant; other questions describe nobody."""
    assert description("What is the one who repairs bikes allergic to?") == "repairs bikes allergic to"
    assert description("Which car has the woman that teaches Portuguese?") == "teaches Portuguese"
    assert description("Who repairs bikes?") == description("The one and only") == ""


def test_phrases_hold_every_name_of_up_to_four_words() -> None:
    """Names are found wherever they stand, with a possessive or without, in any case and script."""
    assert {"Maria da Silva Souza", "Priya", "Priya's"} <= set(phrases("Did Maria da Silva Souza meet Priya's son?"))
    assert "Зоя" in phrases("где живёт Зоя?")
    assert phrases("?!") == ()
    assert len(phrases("word " * 500)) <= 200
