"""A language model made of rules: it finds plain statements in English, for tests and demonstrations.

It answers what :mod:`keepwell.formation` asks, deterministically and within a millisecond. It understands what people
write in plain sentences ("I live in Leeds", "My sister Priya has two cats", "Please forget that I smoke") and no more.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from keepwell.models import Message
from keepwell.testing.language_graph import graph

Told = dict[str, Any]

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_OPENING = re.compile(
    r"\A(?:(?:no|yes|yeah|well|oh|ok|okay|actually|sorry|also|and|but|so|by the way|hi|hello|in fact|i mean|please"
    r"|remember that|note that)\b[,:;]?\s+(?:that's wrong[,:;]?\s+)?)+",
    re.IGNORECASE,
)
_FORGET = re.compile(r"(?:please |could you |can you )?forget (?:(that|about|everything about) )?(.+)", re.IGNORECASE)
_EMPTY_TALK = re.compile(
    r"i (?:mean|think so|guess|wonder|don't know|do not know|see|said|was wondering|hope)\b", re.IGNORECASE
)
_FIRST_PERSON = re.compile(r"(?:I|I'm|I've|I'll|I'd|My|my)\b")
_RELATIVE = re.compile(
    r"my ((?:[a-z-]+ )?(?:sister|brother|mother|father|wife|husband|partner|friend|colleague|boss|son|daughter|aunt"
    r"|uncle|cousin|neighbour|doctor|dog|cat)) ([A-Z][\w-]+)(?:,)? (.+)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"([A-Z][\w-]+)((?: from [a-z]+)?) ((?:is|has|was|lives|works|likes|loves|hates|prefers|moved|needs|drinks|eats"
    r"|plays|owns|wants|will|can|can't|cannot|does not|doesn't|no longer)\b.*)"
)
_NOT_NAMES = frozenset("the this that it there what who my he she they we you i a an all nothing everything".split())
_ADVERBS = frozenset("really always never usually often now still also just only actually absolutely".split())
_FIXED = frozenset(
    "was were can can't cannot could couldn't will won't would wouldn't should shouldn't must might may did didn't had"
    " went bought met got made saw took left told found began grew lost won ate drank slept ran wrote read no".split()
)
_ODD = {"am": "is", "have": "has", "do": "does", "don't": "does not", "haven't": "has not", "aren't": "is not"}
_CONTRACTED = (
    ("I'm not ", "I am not "),
    ("I'm ", "I am "),
    ("I've ", "I have "),
    ("I'll ", "I will "),
    ("I'd ", "I would "),
)


class RuleModel:
    """Answers by rules, as a language model would; ``model`` is ``rules``.

    Example:
        >>> said = {"task": "extract", "conversation": [
        ...     {"number": 1, "who": "Ada", "date": "2024-05-07 10:00 Tuesday", "text": "I live in Leeds."}]}
        >>> RuleModel().answer(said)["facts"][0]["statement"]
        'Ada lives in Leeds'
    """

    model = "rules"

    def __call__(self, messages: Sequence[Message], schema: type[BaseModel]) -> Told:
        """Answer messages that :mod:`keepwell.formation` made."""
        del schema  # the task says it
        return self.answer(json.loads(messages[-1].text))

    def answer(self, asked: Mapping[str, Any]) -> Told:
        """Answer what was asked, by its ``task``."""
        tasks: Mapping[str, Callable[[Mapping[str, Any]], Told]] = {
            "extract": _extract, "reconcile": _reconcile, "reform": _reform, "distil": _distil,
        }  # fmt: skip
        return tasks[asked["task"]](asked)


# --- extraction


def _extract(asked: Mapping[str, Any]) -> Told:
    entries = [entry for entry in asked["conversation"] if "number" in entry]
    found: dict[object, Told] = {}
    for place, fact in enumerate(fact for entry in entries for fact in _facts(entry)):
        about = None if fact["kind"] == "forget" else slot(fact["statement"])
        # Of two that cannot both be true the later word counts.
        mark = place if about is None else (fact["subject"], about)
        found.pop(mark, None)
        found[mark] = fact
    more = graph(asked, entries) if "known entities" in asked else {}
    return {"facts": list(found.values()), **more}


def _facts(entry: Told) -> Iterator[Told]:
    who = "The user" if entry["who"] == "user" else entry["who"]
    day = dt.date.fromisoformat(entry["date"][:10])
    for match in _SENTENCE.finditer(entry["text"]):
        sentence = match.group().strip()
        clause = _OPENING.sub("", sentence.rstrip(".!"), count=1).strip()
        if sentence.endswith("?") or _EMPTY_TALK.match(clause):
            continue
        told = _told(clause, who)
        if told is not None:
            yield {"message": entry["number"], "quote": sentence, **told, **_times(clause, day)}


def _told(clause: str, who: str) -> Told | None:
    if asked := _FORGET.fullmatch(clause):
        statement = third_person(asked.group(2), who)
        return {"statement": statement, "kind": "forget", "subject": _subject(asked.group(2), who)}
    if near := _RELATIVE.fullmatch(clause):
        kin, name, rest = near.group(1).lower(), near.group(2), near.group(3)
        statement = f"{name}, {who}'s {kin}, {third_person(rest, who)}"
        return {"statement": statement, "subject": f"{name} ({kin})", "kind": "relationship"}
    if _FIRST_PERSON.match(clause) and len(clause.split()) >= 3:  # noqa: PLR2004 - "I see" says nothing
        statement = third_person(clause, who)
        return {"statement": statement, "subject": who, "kind": _kind(statement)}
    named = _NAMED.fullmatch(clause)
    if named and named.group(1).lower() not in _NOT_NAMES:
        where = named.group(2).strip()
        subject = f"{named.group(1)} ({where})" if where else named.group(1)
        return {"statement": third_person(clause, who), "subject": subject, "kind": "attribute"}
    return None


def _subject(clause: str, who: str) -> str:
    near = _RELATIVE.fullmatch(clause)
    return who if near is None else f"{near.group(2)} ({near.group(1).lower()})"


def third_person(clause: str, who: str) -> str:
    """Give a sentence of the first person as one about somebody.

    Example:
        >>> third_person("I really like my garden", "Ada")
        "Ada really likes Ada's garden"
    """
    for short, long in _CONTRACTED:
        clause = clause.replace(short, long)
    words = clause.split()
    if words and words[0] == "I":
        words = [who, *_conjugated(words[1:])]
    swaps = {"my": f"{who}'s", "me": who, "I": who, "mine": f"{who}'s", "myself": who}
    said = [swaps.get(word, f"{who}'s" if word == "My" else word) for word in words]
    return " ".join(said)


def _conjugated(words: list[str]) -> list[str]:
    for place, word in enumerate(words):
        if word in _ADVERBS or (word == "longer" and place):
            continue
        if word == "no":
            continue
        return [*words[:place], _verb(word), *words[place + 1 :]]
    return words


def _verb(word: str) -> str:
    if word in _ODD:
        return _ODD[word]
    if word in _FIXED or word.endswith("ed"):
        return word
    if re.search(r"(?:s|sh|ch|x|o)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"


def _kind(statement: str) -> str:
    low = statement.lower()
    table = (
        ("instruction", r"\b(?:always|never) (?:call|answer|tell|write)|wants you to"),
        ("preference", r"\b(?:likes?|loves|hates|prefers|favou?rite|enjoys|dislikes)\b"),
        ("plan", r"\b(?:will|plans|going to|wants)\b"),
        ("event", r"\b(?:went|bought|met|moved|started|\w+ed)\b"),
    )
    return next((kind for kind, pattern in table if re.search(pattern, low)), "attribute")


_BEGINS = re.compile(r"\b(?:moved|started|became|began|got|stopped|quit)\b")
_AGO = re.compile(r"\b(\d+|a|an|one|two|three|four|five|six) (day|week|month|year)s? ago\b")
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_WIDTHS = {"day": 1, "week": 7, "month": 30, "year": 365}


def _times(clause: str, day: dt.date) -> Told:
    low = clause.lower()
    for word, shift in (("yesterday", -1), ("tomorrow", 1), ("today", 0)):
        if word in low:
            on = str(day + dt.timedelta(days=shift))
            return {"valid_from": on} if _BEGINS.search(low) else {"valid_from": on, "valid_to": on}
    if ago := _AGO.search(low):
        count = _COUNTS.get(ago.group(1)) or int(ago.group(1))
        return {"valid_from": str(day - dt.timedelta(days=count * _WIDTHS[ago.group(2)]))}
    if span := re.search(r"\bfrom (\d{4}) (?:to|until) (\d{4})\b", low):
        return {"valid_from": span.group(1), "valid_to": span.group(2)}
    if since := re.search(r"\bsince (\d{4}(?:-\d\d){0,2})\b", low):
        return {"valid_from": since.group(1)}
    year = re.search(r"\bin (\d{4})\b", low)
    return {"valid_from": year.group(1), "valid_to": year.group(1)} if year else {}


# --- reconciliation

_SLOTS = (
    (r"\b(?:lives?|is living) in\b|\bmoved to\b", "home"),
    (r"\bworks? (?:at|for|as|in)\b", "work"),
    (r"\bfavou?rite (\w+)", "favourite {}"),
    (r"'s (?:name|birthday|age|address|phone number|email)\b", "{0}"),
    (r"\bis (?:single|married|divorced|engaged|widowed)\b", "status"),
    (r"\bis \d+ years old\b", "age"),
    (r"\b(?:likes?|loves?|enjoys?|prefers?|hates?|dislikes?|drinks?|eats?|smokes?|plays?)\s+(.+)", "taste {}"),
    (r"\b(?:has|have|owns|own) (?:an? |no |two |three )?([\w ]+)", "has {}"),
    (r"\b(?:smokes?)\b", "smoking"),
)
_TAIL = re.compile(
    r"\b(?:any more|anymore|any longer|now|yesterday|today|tomorrow|since \d{4}|very much|a lot|again)\b"
)


def slot(statement: str) -> str | None:
    """Give what a statement is about, so that two of one slot cannot both be true; None where it has no such slot."""
    low = statement.lower()
    for pattern, name in _SLOTS:
        if match := re.search(pattern, low):
            named = match.group(1) if match.groups() else match.group()
            return name.format(_TAIL.sub("", named).strip(" ,"))
    return None


def _reconcile(asked: Mapping[str, Any]) -> Told:
    decisions: list[Told] = []
    for new in asked["new"]:
        decisions += _decided(new, asked["old"])
    return {"decisions": decisions}


def _decided(new: Told, olds: list[Told]) -> list[Told]:
    number = new["number"]
    if new["kind"] == "forget":
        gone = [old for old in olds if _is_meant(new["statement"], old)]
        return [
            {"new": number, "action": "DELETE", "old": old["number"], "reason": "it was asked to be forgotten"}
            for old in gone
        ] or [{"new": number, "action": "NONE", "reason": "nothing of that is known"}]
    about = slot(new["statement"])
    for old in olds:
        if about is not None and old["subject"] == new["subject"] and slot(old["statement"]) == about:
            return [{"new": number, "action": "UPDATE", "old": old["number"], "reason": "it is otherwise now"}]
    return [{"new": number, "action": "ADD", "reason": "it is new"}]


def _is_meant(asked: str, old: Told) -> bool:
    words, told = _words(asked), _words(f"{old['statement']} {old['subject']}")
    return bool(words) and words <= told


_STOP = frozenset("the a an is has does do of to in at on and or my user s that about who it's its".split())


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", text.lower())} - _STOP


# --- re-forming and distillation


def _reform(asked: Mapping[str, Any]) -> Told:
    text = asked["statement"]
    for ground in asked["rests on"]:
        if ground["now"] is None:
            return {"action": "RETRACT", "reason": "what it was formed from does not stand"}
        for then, now in _replaced(ground["then"], ground["now"]):
            text = now.join(re.split(rf"\b{re.escape(then)}\b", text))
    if text == asked["statement"]:
        return {"action": "KEEP", "reason": "it still follows"}
    return {"action": "UPDATE", "text": text, "reason": "what it was formed from has changed"}


def _replaced(then: str, now: str) -> list[tuple[str, str]]:
    """Give what stands in one text in place of what stood in the other, where both begin or end alike."""
    first, second = then.rstrip(".").split(), now.rstrip(".").split()
    while first and second and first[0] == second[0]:
        first, second = first[1:], second[1:]
    while first and second and first[-1] == second[-1]:
        first, second = first[:-1], second[:-1]
    return [(" ".join(first), " ".join(second))] if first and second else []


def _distil(asked: Mapping[str, Any]) -> Told:
    entries = {entry["number"]: _words(entry["text"]) for entry in asked["entries"]}
    known = " ".join(pattern["statement"].lower() for pattern in asked["known patterns"])
    counts = Counter(word for words in entries.values() for word in words if len(word) > 3)  # noqa: PLR2004
    common = sorted((word for word, count in counts.items() if count >= 3 and word not in known))  # noqa: PLR2004
    return {
        "patterns": [
            {
                "statement": f"Often speaks of {word}",
                "supports": [number for number, words in entries.items() if word in words],
                "reason": f"{counts[word]} times",
            }
            for word in common
        ]
    }
