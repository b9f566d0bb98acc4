"""Who speaks: people by their names, and roles.

The record keeps, beside a message, its speaker's name, or the role where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

ROLES = frozenset("user human person assistant ai bot model system developer tool function".split())
_HUMAN = frozenset(["user", "human", "person"])
_ASSISTANT = frozenset(["assistant", "ai", "bot", "model"])


def is_person(actor: str) -> bool:
    """Tell whether an actor has a name."""
    return bool(actor) and (_role(actor) not in ROLES or " " in actor.strip())


def is_assistant(actor: str) -> bool:
    """Tell whether an actor is a model that talks with people."""
    return _role(actor) in _ASSISTANT


def is_human(actor: str) -> bool:
    """Tell whether an actor is a human being: one with a name, or the user."""
    return bool(actor) and (_role(actor) not in ROLES or _role(actor) in _HUMAN)


def _role(actor: str) -> str:
    return actor.split(" ", 1)[0].lower()


@dataclass(frozen=True, slots=True)
class People:
    """The actors of a scope that have names, by each form of the name that a question may use."""

    forms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None


@lru_cache(maxsize=1024)
def people(actors: tuple[str, ...]) -> People:
    """Give the people among some actors."""
    forms: dict[str, set[str]] = {}
    for actor in filter(is_person, actors):
        name = actor.split(" ", 1)[1] if actor.split(" ", 1)[0] in ROLES else actor
        for form in {name, *(word for word in name.split() if len(word) > 1)}:
            forms.setdefault(form.casefold(), set()).add(actor)
    if not forms:
        return People()
    words = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    pattern = re.compile(rf"(?<!\w)({words})(['\u2019]s?)?(?!\w)", re.IGNORECASE)
    return People({form: frozenset(named) for form, named in forms.items()}, pattern)
