"""The graph's part of the model of rules: who is whose sister, who works where, and what is so no longer.

It reads plain English sentences and finds names by their capitals; see :mod:`keepwell.testing.language_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Told = dict[str, Any]

_NAME = r"[A-Z][\w'-]*(?: (?:van|de|of|the) [A-Z][\w'-]*| [A-Z][\w'-]*)*(?: \([a-z ]+\))?"
_KIN = (
    "sister|brother|mother|father|wife|husband|partner|friend|colleague|boss|son|daughter|aunt|uncle|cousin|neighbour"
    "|doctor|dentist|carer|teacher|dog|cat"
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_NOT_NAMES = frozenset(
    "I I'm I've I'll The This That It There What Who My He She They We You A An All Yes No My Our And But So Please"
    " Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
)
_RULES: tuple[tuple[str, str, str, str], ...] = (
    # pattern, subject, predicate, object; numbers are groups, "who" is the speaker
    (rf"\b(?i:my) ({_KIN})(?: is| is called|,)? ({_NAME})", "2", "{1} of", "who"),
    (rf"({_NAME}),? (?:is|was) (?:my|our) ({_KIN})\b", "1", "{2} of", "who"),
    (rf"({_NAME}) (?:is|was) ({_NAME})'s ({_KIN})\b", "1", "{3} of", "2"),
    (rf"({_NAME})'s ({_KIN}) (?:is|was|is called) ({_NAME})", "3", "{2} of", "1"),
    (rf"\bI (?:now )?works? (?:at|for) ({_NAME})", "who", "works at", "1"),
    (rf"({_NAME}) (?:now )?works? (?:at|for) ({_NAME})", "1", "works at", "2"),
    (rf"\bI (?:now )?(?:live in|moved to) ({_NAME})", "who", "lives in", "1"),
    (rf"({_NAME}) (?:now )?(?:lives in|moved to) ({_NAME})", "1", "lives in", "2"),
    (rf"\bI (?:am|'m) married to ({_NAME})", "who", "married to", "1"),
    (rf"({_NAME}) is married to ({_NAME})", "1", "married to", "2"),
    (rf"({_NAME}) knows ({_NAME})", "1", "knows", "2"),
)
_OVER = re.compile(
    r"\b(?:no longer|not any ?more|any ?more|any longer|used to|stopped|quit|left|former|ex)\b", re.IGNORECASE
)
_OPENING = re.compile(r"\A(?:Now|Today|Yesterday|Actually|But|And|So|Well|By the way),? ")
_PLACES = re.compile(r"\b(?:in|to) \Z")
_WORK = re.compile(r"\b(?:at|for) \Z")
_SINGLE = ("lives in", "works at", "married to")
"""What is so of one thing at a time."""


def graph(asked: Mapping[str, Any], entries: Sequence[Told]) -> Told:
    """Answer the graph's part of an extraction: ``entities``, ``relations`` and ``ended``.

    Example:
        >>> said = [{"number": 1, "who": "Ada", "date": "2024-05-07 10:00 Tuesday", "text": "My sister Priya is here."}]
        >>> [(one["subject"], one["predicate"], one["object"]) for one in graph({}, said)["relations"]]
        [('Priya', 'sister of', 'Ada')]
    """
    relations: list[Told] = []
    ended: list[Told] = []
    for entry in entries:
        for sentence in (match.group().strip() for match in _SENTENCE.finditer(entry["text"])):
            if sentence.endswith("?"):
                continue
            found = [{"message": entry["number"], "quote": sentence, **one} for one in _relations(sentence, entry)]
            over = list(_ended(sentence, entry, found, asked.get("known relations", ())))
            ended += over
            relations += [] if _OVER.search(sentence) else found
    return {"entities": _entities(entries, asked.get("known entities", ())), "relations": relations, "ended": ended}


def _relations(sentence: str, entry: Told) -> Iterator[Told]:
    who = _who(entry)
    plain = re.sub(r"\b(?:no longer|not any ?more|used to|now) ", "", _OPENING.sub("", sentence))
    plain = re.sub(r"\bdoes not (work|live)\b", r"\1s", plain)
    plain = re.sub(r"\b(?:do not|don't) (work|live)\b", r"\1", plain)
    for pattern, subject, predicate, other in _RULES:
        for match in re.finditer(pattern, plain):
            ends = [who if place == "who" else match[int(place)] for place in (subject, other)]
            if not _NOT_NAMES.isdisjoint(end.split()[0] for end in ends if end != who):
                continue
            said = predicate.format("", *(group or "" for group in match.groups()))
            yield {"subject": ends[0], "predicate": said.lower(), "object": ends[1]}


def _ended(sentence: str, entry: Told, found: Sequence[Told], known: Sequence[Told]) -> Iterator[Told]:
    """Give the known relations that a sentence ends: outright, or by one that takes its place."""
    outright = _OVER.search(sentence) is not None
    for old in known:
        for new in found:
            same = old["subject"] == new["subject"] and old["predicate"] == new["predicate"]
            over = old["object"] == new["object"] if outright else _takes_place(old, new)
            if same and over:
                yield {"message": entry["number"], "quote": sentence, "relation": old["number"]}


def _takes_place(old: Told, new: Told) -> bool:
    return new["predicate"] in _SINGLE and old["object"] != new["object"]


def _who(entry: Told) -> str:
    return "The user" if entry["who"] == "user" else str(entry["who"])


def _entities(entries: Sequence[Told], known: Sequence[Told]) -> list[Told]:
    numbers = {one["name"]: one["number"] for one in known}
    found: dict[tuple[int, str], Told] = {}
    for entry in entries:
        for sentence in (_OPENING.sub("", match.group().strip()) for match in _SENTENCE.finditer(entry["text"])):
            for match in re.finditer(_NAME, sentence):
                name = match.group().removesuffix("'s")
                if name.split()[0] in _NOT_NAMES or (match.start() == 0 and not _is_person(name, sentence)):
                    continue
                before = sentence[: match.start()]
                kind = "place" if _PLACES.search(before) else "organisation" if _WORK.search(before) else "person"
                told = {"message": entry["number"], "name": name, "type": kind, "known": numbers.get(name)}
                found.setdefault((entry["number"], name), told)
    return list(found.values())


def _is_person(name: str, sentence: str) -> bool:
    verbs = r"is|was|has|lives|works|likes|loves|said|moved|knows|and I|no longer|does|doesn't"
    return re.match(rf"\s*{re.escape(name)}(?:'s)? (?:{verbs})\b|\s*{re.escape(name)}'s ", sentence) is not None
