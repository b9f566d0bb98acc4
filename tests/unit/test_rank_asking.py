"""What a question asks, before any vector."""

from __future__ import annotations

import pytest

from keepwell.recall.asking import ask


def test_a_name_says_who_and_not_what() -> None:
    """The name of somebody who speaks becomes I for the embedder, leaves the terms, and names the actor."""
    asked = ask("What did Ann Lee's sister tell Ann?", ["Ann Lee", "Bob"], 0)
    assert asked.readable == "What did my sister tell I?"
    assert asked.who == {"Ann Lee"}
    assert "ann" not in asked.terms
    assert "sister" in asked.terms


def test_names_of_those_who_do_not_speak_are_words() -> None:
    """Somebody who is only talked about is found by name."""
    assert "rufus" in ask("What does Rufus eat?", ["Ann", "Bob"], 0).terms


def test_a_word_that_looks_like_a_name_is_left_alone() -> None:
    """Small letters in a sentence with capitals are a word, not a name."""
    asked = ask("Did Bob mark the page?", ["Mark", "Bob"], 0)
    assert asked.who == {"Bob"}
    assert "mark" in asked.terms


def test_a_question_in_small_letters_may_name_people() -> None:
    """Who writes without capitals is understood as well."""
    assert ask("what did bob say?", ["Ann", "Bob"], 0).who == {"Bob"}


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("Where do I live?", {"user"}),
        ("What did you suggest for dinner?", {"assistant"}),
        ("Can you tell me my plan?", {"user"}),
        ("What is the capital?", set()),
    ],
)
def test_persons_are_roles_where_one_talks_with_an_assistant(text: str, who: set[str]) -> None:
    """I is the user, and you, where it was asked to do something earlier, the assistant."""
    assert ask(text, ["user", "assistant"], 0).who == who


def test_i_is_the_person_who_talks_with_the_assistant() -> None:
    """A user who has a name is meant by I, too."""
    assert ask("Where do I live?", ["Ada", "assistant"], 0).who == {"Ada"}


def test_times_and_kinds_of_questions_are_seen() -> None:
    """A question may ask when, name a time, or ask for several things."""
    assert ask("When did we meet?", [], 0).when
    assert ask("What did we do on 7 May 2023?", [], 0).times == ("d20230507",)
    assert ask("What kinds of fruit were there?", [], 0).listing
    assert not ask("Why so?", [], 0).listing
