"""The sample correspondence and its questions."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from keepwell.importing import read
from keepwell.samples import DemoQuestion, demo_questions, lines, sample


@pytest.fixture(scope="module", name="entries")
def _entries() -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines()]


def test_the_sample_is_large_enough_to_search_in(entries: list[dict[str, Any]]) -> None:
    """There are at least 320 messages, in at least 12 sessions, over about eight months of 2025."""
    days = sorted({entry["created_at"][:10] for entry in entries})
    assert len(entries) >= 320
    assert len({entry["thread"] for entry in entries}) >= 12
    assert days[0] < "2025-03-31"
    assert "2025-10-31" < days[-1] < "2026"


def test_ids_are_unique(entries: list[dict[str, Any]]) -> None:
    """No two messages have one id."""
    ids = [entry["id"] for entry in entries]
    assert len(set(ids)) == len(ids)


def test_time_runs_forward() -> None:
    """Within each thread every message is later than the one before, and begins on the day it is named after."""
    with sample() as path:
        for thread in read(path):
            times = [message.created_at for message in thread.messages]
            assert all(before < after for before, after in pairwise(times)), thread.id
            assert thread.id.startswith(f"{times[0]:%Y-%m-%d}")


def test_every_message_is_whole(entries: list[dict[str, Any]]) -> None:
    """Each has the same fields, one of three names, and a text of at most 400 characters."""
    for entry in entries:
        assert list(entry) == ["thread", "id", "role", "name", "text", "created_at"]
        assert entry["role"] == "user"
        assert entry["name"] in {"Mara", "Jonas", "Zoë"}
        assert 0 < len(entry["text"]) <= 400


def test_no_message_is_said_twice(entries: list[dict[str, Any]]) -> None:
    """Every text is different from all others, so that a hit is that message and no other."""
    texts = [entry["text"] for entry in entries]
    assert len(set(texts)) == len(texts)


def test_other_scripts_are_in_it(entries: list[dict[str, Any]]) -> None:
    """German, Polish and Japanese letters and emoji come through."""
    everything = "".join(entry["text"] for entry in entries)
    assert all(word in everything for word in ("Zoë", "Łukasz", "美咲", "jeden einzelnen Tag", "楽しみ", "🐢"))


def test_there_are_eight_questions_and_some_are_about_what_changed() -> None:
    """Eight questions are asked, and at least two have an answer that was another one before."""
    questions = demo_questions()
    assert len(questions) == 8
    assert sum(1 for question in questions if question.outdated) >= 2


@pytest.mark.parametrize("question", demo_questions(), ids=lambda question: question.question)
def test_the_evidence_exists_and_is_the_newest(question: DemoQuestion, entries: list[dict[str, Any]]) -> None:
    """Each question's evidence is in the sample, shares a word with it, and is newer than what is outdated."""
    by_id = {entry["id"]: entry for entry in entries}
    evidence = [by_id[key] for key in question.evidence]
    outdated = [by_id[key] for key in question.outdated]
    asked = _long_words(question.question)
    assert evidence
    assert all(asked & _long_words(entry["text"]) for entry in [*evidence, *outdated])
    assert all(old["created_at"] < new["created_at"] for old in outdated for new in evidence)


def _long_words(text: str) -> set[str]:
    return {word.rstrip("s") for word in re.findall(r"\w{5,}", text.lower())} - {"where", "jona"}
