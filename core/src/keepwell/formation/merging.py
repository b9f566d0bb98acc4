"""Whether two names are one entity: by the names and by the company in which they stand.

A name alone says little: two Priyas stay two where one is a sister and the other is from work. What stands beside a
name weighs with it, so that a name that fits well may still be another one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from keepwell.formation.names import SHARED, begins, is_shorter, likeness, words_of
from keepwell.models.graph import EntityType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K = TypeVar("K")

THRESHOLD = 0.7
"""From how much likeness on two are taken to be one."""
NAME_SHARE = 0.55
"""What a name counts for where the company disagrees; unknown company gives 0.775 of it, agreeing company all."""
SAME_NAME = 0.95
"""From how much likeness on two names are spellings of one."""
UNKNOWN = 0.5
MARGIN = 0.05
"""How much better than the next one the best must be where both are possible."""
_SAME_COMPANY = 0.25
"""Cosine of shared company that counts as full agreement."""
_VECTORS_AGREE, _VECTORS_DIFFER = 0.6, 0.1
_LEAST_TEXTS = 3
"""So many texts on both sides are needed before different company counts against a name."""
_TOGETHER = (
    frozenset("friend colleague coworker co-worker boss manager mentor roommate flatmate housemate classmate neighbour"
              " neighbor".split()),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Company:
    """In what company a name stands: roles ("sister"), who else is named there, words, and a vector of the texts.

    ``together`` and ``terms`` count; ``relations`` are what is known for certain, as texts of any form; ``texts`` is
    how many texts this comes from; ``places`` are the conversations.
    """

    roles: frozenset[str] = frozenset()
    together: Mapping[str, int] = field(default_factory=dict)
    relations: frozenset[str] = frozenset()
    terms: Mapping[str, int] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None
    texts: int = 1
    places: frozenset[object] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate(Generic[K]):
    """Somebody or something that may be what a name means; ``key`` is the caller's."""

    key: K
    names: tuple[str, ...]
    type: EntityType = "thing"
    company: Company = Company()


@dataclass(frozen=True, slots=True)
class Decision(Generic[K]):
    """What a name comes to: the same as ``key``, somebody new, or nobody that can be told (``unclear``)."""

    verdict: Literal["same", "new", "unclear"]
    key: K | None
    score: float
    reason: str


def decide(new: Candidate[K], known: Sequence[Candidate[K]], threshold: float = THRESHOLD) -> Decision[K]:
    """Give what a name comes to among those that are known.

    Example:
        >>> work = Candidate(1, ("Priya",), "person", Company(roles=frozenset(["from work"])))
        >>> sister = Candidate(0, ("Priya",), "person", Company(roles=frozenset(["sister"])))
        >>> decide(sister, [work]).verdict
        'new'
    """
    found = ((score(new, one), place, one) for place, one in enumerate(known))
    scored = sorted(found, key=lambda row: (-row[0], row[1]))
    likely = [(score, one) for score, _, one in scored if score >= threshold]
    if not likely:
        best = max((score for score, _, _ in scored), default=0.0)
        return Decision("new", None, best, _why_new(new, known, best))
    best, one = likely[0]
    rivals = [other for score, other in likely[1:] if best - score < MARGIN]
    if rivals:
        here = [other for other in (one, *rivals) if other.company.places & new.company.places]
        if len(here) == 1:
            reason = f"of {1 + len(rivals)} of that name, the one of this conversation"
            return Decision("same", here[0].key, best, reason)
        if not any(_is_named(new, other) for other in (one, *rivals)) and len(words_of(new.names[0])) > 1:
            return Decision("new", None, best, f"{1 + len(rivals)} may have this full name, and nothing tells which")
        return Decision("unclear", None, best, f"{1 + len(rivals)} of that name, and nothing tells which")
    return Decision("same", one.key, best, f"the name and the company fit: {best:.2f}")


def score(new: Candidate[K], one: Candidate[K]) -> float:
    """Give how likely two are one, from 0 to 1."""
    if not _types_fit(new.type, one.type):
        return 0.0
    name = max((likeness(mine, theirs) for mine in new.names for theirs in one.names), default=0.0)
    shortened = SHARED < name < SAME_NAME and _shorter_of(new, one)
    if shortened and (not _may_shorten(new, one) or _is_contradicted(new, one)):
        name = SHARED
    return name * (NAME_SHARE + (1 - NAME_SHARE) * agreement(new, one))


def _is_named(new: Candidate[K], one: Candidate[K]) -> bool:
    return any(likeness(a, b) >= SAME_NAME for a in new.names for b in one.names)


def _may_shorten(first: Candidate[K], second: Candidate[K]) -> bool:
    """Tell whether a short name can stand for a full one: of people, by the first name; York is not New York."""
    people = [one.type == "person" for one in (first, second)]
    return all(people) or (any(people) and any(begins(a, b) for a in first.names for b in second.names))


def _is_contradicted(first: Candidate[K], second: Candidate[K]) -> bool:
    """Tell whether two have full names that differ, though a short one fits both."""
    full = [[name for name in one.names if len(words_of(name)) > 1] for one in (first, second)]
    return any(likeness(a, b) <= SHARED for a in full[0] for b in full[1])


def _types_fit(first: EntityType, second: EntityType) -> bool:
    """Tell whether two kinds can be one; a ``thing`` may be anything, since kinds are guessed."""
    return first == second or "thing" in {first, second}


def _shorter_of(first: Candidate[K], second: Candidate[K]) -> bool:
    fits = _types_fit(first.type, second.type)
    return fits and any(is_shorter(a, b) or is_shorter(b, a) for a in first.names for b in second.names)


def agreement(first: Candidate[K], second: Candidate[K]) -> float:
    """Give how far the company of two agrees: 1 it does, 0.5 nothing is known, 0 it disagrees.

    Example:
        >>> agreement(Candidate(1, ("A",)), Candidate(2, ("A",)))
        0.5
    """
    mine, theirs = first.company, second.company
    if mine.roles and theirs.roles:
        if mine.roles & theirs.roles or _may_be_both(mine.roles, theirs.roles):
            return 1.0
        return 0.0
    alike = max(
        _share(mine.together, theirs.together),
        _share(mine.terms, theirs.terms) / 2,
        float(bool(mine.relations & theirs.relations)) * _SAME_COMPANY,
    )
    by_words = min(1.0, alike / _SAME_COMPANY)
    close = _cosine(mine.vector, theirs.vector)
    by_sense = (
        0.0 if close is None else min(1.0, max(0.0, close - _VECTORS_DIFFER) / (_VECTORS_AGREE - _VECTORS_DIFFER))
    )
    known = UNKNOWN + (1 - UNKNOWN) * max(by_words, by_sense)
    return 0.0 if _is_apart(first, second, max(by_words, by_sense)) else known


def _may_be_both(mine: Iterable[str], theirs: Iterable[str]) -> bool:
    """Tell whether one can be both: a friend and a neighbour, say, but not a sister and a mother."""
    return any(set(mine) & group and set(theirs) & group for group in _TOGETHER)


def _is_apart(first: Candidate[K], second: Candidate[K], alike: float) -> bool:
    """Tell whether two people of one word for a name are seen often enough, and never in the same company."""
    short = all(len(words_of(name)) == 1 for name in (*first.names, *second.names))
    people = "person" in {first.type, second.type}
    seen = min(first.company.texts, second.company.texts) >= _LEAST_TEXTS
    return short and people and seen and alike == 0.0


def _share(mine: Mapping[str, int], theirs: Mapping[str, int]) -> float:
    """Give the cosine of two counts."""
    both = sum(count * theirs[name] for name, count in mine.items() if name in theirs)
    if not both:
        return 0.0
    return both / sqrt(sum(n * n for n in mine.values()) * sum(n * n for n in theirs.values()))


def _cosine(mine: NDArray[np.float32] | None, theirs: NDArray[np.float32] | None) -> float | None:
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return None
    return (
        float(mine @ theirs) / (float(mine @ mine) * float(theirs @ theirs)) ** 0.5
        if mine.any() and theirs.any()
        else None
    )


def _why_new(new: Candidate[K], known: Sequence[Candidate[K]], best: float) -> str:
    if not known:
        return "nobody has this name"
    namesakes = [one for one in known if _is_named(new, one)]
    if namesakes and all(agreement(new, one) == 0.0 for one in namesakes):
        return "somebody has this name, in other company"
    return f"the nearest is {best:.2f} alike"
