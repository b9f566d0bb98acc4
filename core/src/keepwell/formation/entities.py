"""Names in messages, without a model: who speaks, capitalised names, handles, quoted titles, and links that users set.

It goes by form: capitals inside a sentence, signs around a title, words beside a name. Where a sentence begins with a
capital the word may be any word, so such a name counts only where something else says that it is one. Scripts without
capitals give speakers, links, handles and titles in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from keepwell.formation.entities_capitals import capitals
from keepwell.formation.entities_found import Named
from keepwell.formation.entities_titles import titles
from keepwell.formation.names import folded, tidy
from keepwell.formation.names_words import BESIDE
from keepwell.formation.screen import Screen, screen_of
from keepwell.models.graph import EntityType
from keepwell.recall.actors import is_person

MAX_CHARACTERS = 20_000
"""A longer message names its people in its beginning."""
MAX_NAMES = 100
"""Names of one message that are kept."""
_UNSEEN = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\b(?:https?|ftp)://\S+|\bwww\.\S+", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LINK = re.compile(r"\[\[([^\[\]|\n]{1,200})(?:\|[^\[\]\n]{0,200})?\]\]")
_EMAIL = re.compile(r"(?<![\w.+-])\w[\w.+-]{0,63}@\w[\w-]{0,62}(?:\.\w[\w-]{0,62})+")
_WITH_ROLE = re.compile(r"([^()]+)\(([^()]{1,60})\)")
_HANDLE = re.compile(r"(?<![\w@./])@\w(?:[\w.-]{0,38}\w)?")
_WORDS = re.compile(r"[\w-]+")
_OF_ROLES = BESIDE | {"from", "at"}
_TALKING = frozenset(("user", "assistant"))
_TYPES: Mapping[str, EntityType] = {
    "person": "person", "place": "place", "organisation": "organisation", "organization": "organisation",
    "work": "work", "handle": "handle", "thing": "thing",
}  # fmt: skip

__all__ = [
    "Named",
    "confirmed",
    "in_one_role",
    "may_have_roles",
    "names_in",
    "names_of",
    "split_role",
    "type_of",
    "unsure",
]


def names_in(text: str, *, screen: Screen | None = None) -> tuple[Named, ...]:
    r"""Give the names in a text, in order and without overlaps; those that are not ``sure`` need another sign.

    Example:
        >>> [(one.surface, one.type) for one in names_in("Yesterday my sister Priya read \"Dune\" in Leeds.")]
        [('Priya', 'person'), ('Dune', 'work'), ('Leeds', 'place')]
    """
    text = text[:MAX_CHARACTERS]
    hidden = [match.span() for match in _UNSEEN.finditer(text)]
    left = _without(text, [*hidden, *(screen or screen_of()).hidden(text)])
    found: list[Named] = []
    for finder in (_links, _handles, titles, capitals):
        new = [one for one in finder(left) if not any(one.start < old.end and old.start < one.end for old in found)]
        found += [replace(one, surface=text[one.start : one.end]) for one in new]
        left = _without(left, [(one.start, one.end) for one in new])
    kept = (one for one in found if one.name and not _UNSTORABLE.search(one.surface))
    return in_one_role(sorted(kept, key=lambda one: one.start)[:MAX_NAMES])


def in_one_role(names: Sequence[Named]) -> tuple[Named, ...]:
    """Give the names of a text, one that has a role once having it throughout: it is said once, and meant.

    Example:
        >>> [one.role for one in names_in("My sister Priya is here, and Priya is happy.")]
        ['sister', 'sister']
    """
    roles: dict[str, set[str]] = {}
    for one in names:
        if one.role:
            roles.setdefault(folded(one.name), set()).add(one.role)
    only = {name: next(iter(said)) for name, said in roles.items() if len(said) == 1}
    return tuple(one if one.role else replace(one, role=only.get(folded(one.name), "")) for one in names)


def names_of(
    text: str, *, role: str = "user", speaker: str = "", told: object = None, screen: Screen | None = None
) -> tuple[Named, ...]:
    """Give the names in a message: its speaker, the entities that its metadata names, and those in its text.

    ``told`` is what the metadata has under ``entities``: names, or mappings with ``name`` and ``type``. Instructions
    and tools name nobody but so.
    """
    talks = role in _TALKING
    in_text = names_in(text, screen=screen) if talks else ()
    spoken: list[Named] = []
    if talks and is_person(speaker) and (name := tidy(speaker)):
        spoken.append(Named(0, 0, name, "person", "speaker"))
    links = [_placed(one, text) for one in _told(told)]
    spans = [(one.start, one.end) for one in links if one.end]
    rest = (one for one in in_text if not any(one.start < end and start < one.end for start, end in spans))
    return (*spoken, *links, *rest)


def confirmed(found: Iterable[Sequence[Named]], known: Collection[str] = ()) -> list[tuple[Named, ...]]:
    """Give, text by text, the names that count: the sure ones, and those that another text or ``known`` has.

    ``known`` are folded names (see :func:`~keepwell.formation.names.folded`).
    """
    texts = [tuple(names) for names in found]
    sure = {folded(one.name) for names in texts for one in names if one.sure} | set(known)
    # Whom a full name names may be called by its first word.
    sure |= {word for name in sure for word in name.split()[:1] if " " in name}
    return [tuple(one for one in names if one.sure or folded(one.name) in sure) for names in texts]


def unsure(found: Iterable[Sequence[Named]]) -> frozenset[str]:
    """Give the names, folded, for which another sign is needed."""
    texts = [tuple(names) for names in found]
    sure = {folded(one.name) for names in texts for one in names if one.sure}
    return frozenset(folded(one.name) for names in texts for one in names if not one.sure) - sure


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Give a text of the same length with nothing to be seen at these spans."""
    for start, end in spans:
        text = f"{text[:start]}{',' * (end - start)}{text[end:]}"
    return text


def _links(text: str) -> Iterator[Named]:
    for match in _LINK.finditer(text):
        start, end = match.span(1)
        named = match[1]
        start += len(named) - len(named.lstrip())
        end -= len(named) - len(named.rstrip())
        if tidy(text[start:end]):
            yield Named(start, end, text[start:end], "thing", "link")


def _handles(text: str) -> Iterator[Named]:
    for pattern in (_EMAIL, _HANDLE):
        for match in pattern.finditer(text):
            yield Named(*match.span(), match[0], "handle", "handle")
        text = _without(text, [match.span() for match in pattern.finditer(text)])


def type_of(told: object) -> EntityType:
    """Give the kind that somebody names, ``thing`` where there is none of that name."""
    return _TYPES.get(str(told).strip().lower(), "thing")


def _told(given: Any) -> Iterator[Named]:  # noqa: ANN401 - a user's metadata
    entries = given if isinstance(given, list | tuple) else [given] if isinstance(given, str | Mapping) else []
    for entry in entries[:MAX_NAMES]:
        name, kind = (entry.get("name"), entry.get("type")) if isinstance(entry, Mapping) else (entry, None)
        if isinstance(name, str) and tidy(name):
            yield Named(0, 0, tidy(name), type_of(kind), "link")


def _placed(told: Named, text: str) -> Named:
    """Give a name of the metadata with the place where the text has it, if it does."""
    match = re.search(rf"(?<!\w){re.escape(told.surface)}(?!\w)", text[:MAX_CHARACTERS])
    return told if match is None else replace(told, start=match.start(), end=match.end())


def split_role(subject: str) -> tuple[str, str]:
    """Give a name and what it is said to be: "Priya (sister)" is how facts tell two of one name apart.

    Example:
        >>> split_role("Priya (Sister)"), split_role("Priya")
        (('Priya', 'sister'), ('Priya', ''))
    """
    match = _WITH_ROLE.fullmatch(tidy(subject))
    return (match[1].strip(), match[2].strip().lower()) if match else (tidy(subject), "")


def may_have_roles(text: str) -> bool:
    """Tell whether a text may say what somebody is to somebody; False is certain, and quickly told."""
    return not _OF_ROLES.isdisjoint(_WORDS.findall(text.lower()))
