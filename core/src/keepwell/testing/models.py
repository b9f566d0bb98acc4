"""A chat model for tests and demonstrations that can only repeat what its prompt holds."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

NOTHING: Final = "I do not know."
_FENCE = re.compile(r"^\s*(?:```|~~~|</?[A-Za-z][^<>]*>\s*$)")
_ROLE = re.compile(r"^\s*(system|developer|user|human|question|assistant|ai|tool)\s*:\s*", re.IGNORECASE)
_ASKING = frozenset({"user", "human", "question"})
_INSTRUCTING = frozenset({"system", "developer"})
_HEADER = re.compile(
    r"^\s*(?:[-*•]|\d+[.)])?\s*((?:[\[(]?\d{4}-\d\d-\d\d[^\]):]*(?::\d\d)*[\])]?,?\s*)?(?:[^\s:.?!][^:.?!]{0,40}:\s+)?)"
)
_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ings", "ing", "ies", "es", "ed", "s", "e", "y")
_ALIKE = 0.8
_STEM = 3
_SAYING = 3
"""Words that a sentence needs to say something."""
_SMALL: Final = frozenset(
    (
        "a about am an and any are as at be been but by can could did do does for from had has have he her his how i "
        "in is it its me my no not of on or our she should so that the their them they this to us was we were what "
        "when where which who why will with would you your"
    ).split()
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the prompt: who speaks it, and whether it stands inside a fence."""

    role: str
    text: str
    fenced: bool


def parrot(prompt: str) -> str:
    r"""Give the one or two sentences of the prompt that share most with its question, or ``NOTHING``.

    The question is the last ``user:`` or ``human:`` line, else the last line. What is inside a fenced block
    (``<memory> ... </memory>`` or a code fence) and what was said in messages can be repeated; instructions,
    questions and the question itself cannot. So what it says was in its prompt, and shows what memory brought.

    Example:
        >>> parrot("<memory>\n- Ada: No peanuts for me.\n- Ada: I like tea.\n</memory>\nUser: Who eats no peanuts?")
        'Ada: No peanuts for me.'
    """
    lines = list(_lines(prompt))
    asked = _question(lines)
    if asked is None:
        return NOTHING
    wanted = _stems(lines[asked].text)
    sentences = _sentences(lines, asked)
    commonness = Counter(stem for _, stems in sentences for stem in stems)
    scored = [(sum(1 / commonness[stem] for stem in stems & wanted), said) for said, stems in sentences]
    # The sort is stable: of two sentences that fit alike the earlier one is said first, as memory put it first.
    scored.sort(key=lambda pair: pair[0], reverse=True)
    best = scored[0][0] if scored else 0.0
    chosen = [said for score, said in scored[:2] if best > 0.0 and score >= _ALIKE * best]
    return " ".join(chosen) or NOTHING


def _lines(prompt: str) -> Iterator[_Line]:
    role, fenced = "", False
    for line in prompt.splitlines():
        if _FENCE.match(line):
            fenced = not line.lstrip().startswith("</") and not (fenced and line.lstrip()[:3] in {"```", "~~~"})
            continue
        spoken = None if fenced else _ROLE.match(line)
        role = spoken.group(1).lower() if spoken else role
        text = line[spoken.end() :] if spoken else line
        if text.strip():
            yield _Line(role, html.unescape(text), fenced)


def _question(lines: list[_Line]) -> int | None:
    outside = [place for place, line in enumerate(lines) if not line.fenced]
    asking = [place for place in outside if lines[place].role in _ASKING]
    return max(asking or outside, default=None)


def _sentences(lines: list[_Line], asked: int) -> list[tuple[str, set[str]]]:
    """Give what may be said, each with the words it is found by."""
    listed = any(line.fenced and _ITEM.match(line.text) for line in lines)
    found: dict[str, set[str]] = {}
    for place, line in enumerate(lines):
        # A fence with a list in it has its own heading, which nobody remembered.
        heading = line.fenced and listed and not _ITEM.match(line.text)
        if place == asked or heading or (not line.fenced and line.role in _INSTRUCTING):
            continue
        said = _HEADER.match(line.text)
        header = said.group(1) if said else ""
        for sentence in _SENTENCE.split(line.text[said.end() if said else 0 :].strip()):
            if len(_WORD.findall(sentence)) >= _SAYING and not sentence.endswith("?"):
                found.setdefault(f"{header}{sentence}", _stems(f"{header} {sentence}"))
    return list(found.items())


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.lower()) if word not in _SMALL}


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM:
            return word.removesuffix(ending)
    return word
