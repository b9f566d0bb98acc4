"""What the words beside a name tell of it: what kind of thing it is, and what it is to whoever speaks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keepwell.formation.names_words import (
    BESIDE,
    FROM,
    HONORIFICS,
    KIN,
    MOVING,
    ORGANISATIONS,
    PARENTS,
    PLACES,
    SPEAKS,
    TO_PERSON,
    TO_PLACE,
    TO_WORK,
)  # fmt: skip
from keepwell.models.graph import EntityType

_NEAR = 70
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SENTENCE = re.compile(r".*[.!?\n]", re.DOTALL)
_ONE_OF = "|".join(sorted(map(re.escape, BESIDE), key=len, reverse=True))
_MY = rf"(?:my|our)\s(?:[a-z-]+\s){{0,2}}({_ONE_OF})"
_BEFORE = re.compile(
    rf"\b{_MY}(?:'s\sname\sis|\sis\scalled|\sis\snamed|\scalled|\snamed|\sis)?[\s,]{{1,2}}\Z", re.IGNORECASE
)
_OF = re.compile(rf"\b([^\W\d_]+)['\u2019]s\s(?:[a-z-]+\s)?({_ONE_OF}),?\s\Z", re.IGNORECASE)
_AFTER = re.compile(
    rf"\A(?:,\s|\s\(|\sis\s|\swas\s|\s\u2013\s|\s-\s)(?:{_MY}|(?:a|an|the)\s({_ONE_OF})\sof\s(?:mine|ours))\b",
    re.IGNORECASE,
)
_BRACKETED = re.compile(rf"\A\s\(({_ONE_OF}|from\s(?:{'|'.join(sorted(FROM))}))\)", re.IGNORECASE)
_FROM = re.compile(rf"\A\s(?:from|at)\s(?:my\s)?({'|'.join(sorted(FROM))})\b", re.IGNORECASE)
_CALLED = re.compile(r"\b(?:called|named|name\s?(?:is|was|['\u2019]s)|namens|heißt|heiße)\s\Z", re.IGNORECASE)
_AND_ME = re.compile(r"\A\s(?:and|&)\s(?:I|me|my)\b")
_LIVES = frozenset(
    "wohnt wohne wohnen lebt lebe leben gezogen ziehe zieht fahre fährt fliege fliegt reise reist".split()
)
_INTO = frozenset("in nach aus".split())
_COUNTRIES = frozenset("usa uk uae eu nyc uk's usa's".split())


@dataclass(frozen=True, slots=True)
class Beside:
    """The words before and after a name, of its own sentence."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    role: str
    called: bool
    with_me: bool

    @property
    def is_told(self) -> bool:
        """Whether something tells that this is a name at all."""
        next_word = self.after[0] if self.after else ""
        return bool(self.role) or self.called or self.with_me or next_word in SPEAKS

    @property
    def is_place_by_verb(self) -> bool:
        """Whether somebody lives, comes or goes there."""
        return bool(self.before) and self.before[-1] in _INTO and not _LIVES.isdisjoint(self.before + self.after)

    def type_of(self, surface: str) -> EntityType:
        """Guess what a name names; ``thing`` where nothing tells."""
        words = [word.casefold() for word in _WORD.findall(surface)]
        last = self.before[-1] if self.before else ""
        if (words and words[-1] in ORGANISATIONS) or words[:1] in (["university"], ["bank"], ["museum"], ["church"]):
            return "organisation"
        if words and (words[-1] in PLACES or words[0] in {"mount", "lake", "river", "isle", "san", "los"}):
            return "place"
        if len(words) > 1 and words[0] in HONORIFICS:
            return "person"
        if surface.casefold() in _COUNTRIES:
            return "place"
        if self.role or self.with_me or (len(words) == 1 and words[0] in PARENTS) or last in KIN | {"dear", "hi"}:
            return "person"
        return self._by_verbs(last)

    def _by_verbs(self, last: str) -> EntityType:
        next_word = self.after[0] if self.after else ""
        if next_word in SPEAKS:
            return "person"
        if last in {"at", "for"} and not TO_WORK.isdisjoint(self.before[-6:]):
            return "organisation"
        if last in TO_PLACE or self.is_place_by_verb:
            return "place"
        if last in {"to", "from"} and not MOVING.isdisjoint(self.before[-6:]):
            return "place"
        if last in TO_PERSON:
            return "person"
        return "thing"


def beside(text: str, start: int, end: int) -> Beside:
    """Give what stands beside a name.

    Example:
        >>> beside("My sister Priya is here.", 10, 15).role
        'sister'
    """
    before = _SENTENCE.sub("", text[max(0, start - _NEAR) : start])
    after = text[end : end + _NEAR]
    said = re.split(r"[.!?\n]", after, maxsplit=1)[0]
    return Beside(
        tuple(word.casefold() for word in _WORD.findall(before)),
        () if said[:1] in {",", ";", ":"} else tuple(word.casefold() for word in _WORD.findall(said)),
        _role(before, after),
        _CALLED.search(before) is not None,
        _AND_ME.match(after) is not None,
    )


def _role(before: str, after: str) -> str:
    if match := _BEFORE.search(before):
        return match[1].lower()
    if match := _OF.search(before):
        return f"{match[2].lower()} of {match[1].casefold()}"
    if match := _AFTER.match(after):
        return (match[1] or match[2]).lower()
    if match := _BRACKETED.match(after):
        return match[1].lower()
    if match := _FROM.match(after):
        return f"from {match[1].lower()}"
    return ""
