"""What the two frameworks share: the thread, the questions, and what is told in the one and asked in the other."""

from __future__ import annotations

from dataclasses import dataclass

from keepwell.samples import DemoQuestion, demo_questions

SESSION = "autumn-plans"
LIMIT = 8
"""How many messages are recalled for a question."""
NOTED = "I will remember that."
_FIRST = 5


@dataclass(frozen=True, slots=True)
class Told:
    """Something that Mara says, under an id."""

    ident: str
    text: str


BOOKED = Told("booking", "I booked a table for four at the Silver Heron on the 21st of October.")


def first_questions() -> tuple[DemoQuestion, ...]:
    """Give what LangChain is asked."""
    return demo_questions()[:_FIRST]


def last_questions() -> tuple[DemoQuestion, ...]:
    """Give what LlamaIndex is asked: the rest, and about what was told in LangChain."""
    about = DemoQuestion(
        "Which day did I book the table at the Silver Heron for?", "The 21st of October.", (BOOKED.ident,)
    )
    return about, *demo_questions()[_FIRST:]
