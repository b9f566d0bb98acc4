"""A correspondence to try things on: two friends, and once a sister, from March to November 2025.

People, animals, books and events are invented. Plans and facts change on the way, so that the right
answer is often the newest one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["DemoQuestion", "demo_questions", "lines", "sample"]

SAMPLE = "two_friends.jsonl"
QUESTIONS = "demo_questions.json"


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question to the sample, with what answers it.

    ``evidence`` are ids of messages that give the answer; ``outdated`` are ids of earlier messages that
    said otherwise and must not win.
    """

    question: str
    answer: str
    evidence: tuple[str, ...]
    outdated: tuple[str, ...] = ()


def sample() -> AbstractContextManager[Path]:
    """Give the path of the sample, a JSONL file that ``keepwell import`` reads, for the time of a ``with``.

    Example:
        >>> with sample() as path:
        ...     path.name
        'two_friends.jsonl'
    """
    return resources.as_file(resources.files(__name__) / SAMPLE)


def lines() -> Iterator[str]:
    """Yield the lines of the sample, one message each."""
    with (resources.files(__name__) / SAMPLE).open(encoding="utf-8") as file:
        yield from file


def demo_questions() -> tuple[DemoQuestion, ...]:
    """Give the questions that the demo asks about the sample."""
    entries = json.loads((resources.files(__name__) / QUESTIONS).read_text(encoding="utf-8"))
    return tuple(
        DemoQuestion(entry["question"], entry["answer"], tuple(entry["evidence"]), tuple(entry["outdated"]))
        for entry in entries
    )
