"""From names in texts to entities: who is meant by each name, and what is to be written of it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from uuid import UUID

from keepwell.formation.entities_found import Named
from keepwell.formation.graph_edits import AddEntity, ChangeEntity, GraphEdit
from keepwell.formation.merging import THRESHOLD, Candidate, Company, Decision, decide
from keepwell.formation.names import folded, is_shorter, likeness, words_of
from keepwell.models.fact import Source
from keepwell.models.graph import EntityType, Mention
from keepwell.recall.analysis import analyse

T = TypeVar("T")
MAX_TERMS = 60
"""Different words around a name that are looked at."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A text that was looked through: a message (``message`` is its number) or a fact, and the names in it."""

    names: tuple[Named, ...]
    text: str
    at: dt.datetime
    place: UUID | None = None
    message: int | None = None
    fact: UUID | None = None
    version: int = 0

    def source(self, name: Named) -> Source:
        """Give where it says a name."""
        if self.fact is not None:
            return Source(fact=self.fact, version=self.version)
        return Source(self.message, name.start, name.end)

    def mention(self, name: Named, entity: UUID) -> Mention:
        """Give that it names an entity."""
        return Mention(entity, name.surface, name.start, name.end, self.message, self.fact, self.version, at=self.at)


@dataclass(frozen=True, slots=True)
class Group:
    """One name in one conversation, with one role or none, wherever its texts have it."""

    name: str
    type: EntityType
    role: str
    place: UUID | None
    members: tuple[tuple[Seen, Named], ...]
    company: Company = field(default_factory=Company)

    @property
    def candidate(self) -> Candidate[UUID | None]:
        """What is held against those that are known."""
        return Candidate(None, (self.name,), self.type, self.company)


@dataclass(frozen=True, slots=True)
class Met(Generic[T]):
    """What names come to: edits and mentions to write, what was decided of each group, and whom each one means."""

    edits: tuple[GraphEdit, ...] = ()
    mentions: tuple[Mention, ...] = ()
    decisions: tuple[tuple[Group, Decision[T]], ...] = ()
    meant: tuple[tuple[Group, UUID], ...] = ()


def groups(texts: Iterable[Seen]) -> list[Group]:
    """Give the names of texts, each name once in a conversation (once a role); full names and roles come first.

    Example:
        >>> from keepwell.formation.entities import names_in
        >>> said = "My sister Priya met Priya Shah."
        >>> [one.name for one in groups([Seen(names_in(said), said, dt.datetime.now(dt.UTC))])]
        ['Priya Shah', 'Priya']
    """
    found: dict[tuple[str, str, UUID | None], list[tuple[Seen, Named]]] = {}
    for text in texts:
        for name in text.names:
            found.setdefault((folded(name.name), name.role, text.place), []).append((text, name))
    made = [_group(role, place, members) for (_, role, place), members in found.items()]
    return sorted(made, key=lambda one: (-len(words_of(one.name)), not one.role))


def _group(role: str, place: UUID | None, members: Sequence[tuple[Seen, Named]]) -> Group:
    names = Counter(name.name for _, name in members)
    kinds = Counter(name.type for _, name in members if name.type != "thing")
    kind: EntityType = kinds.most_common(1)[0][0] if kinds else "thing"
    name = names.most_common(1)[0][0]
    return Group(name, kind, role, place, tuple(members), company_of(name, members, role, place))


def company_of(name: str, members: Iterable[tuple[Seen, Named]], role: str, place: UUID | None) -> Company:
    """Give in what company a name stands in these texts."""
    texts = {id(text): text for text, _ in members}.values()
    own = folded(name)
    # Who speaks stands beside everybody, and tells nobody apart.
    others = (folded(one.name) for text in texts for one in text.names if one.found != "speaker")
    together = Counter(name for name in others if name != own)
    return Company(
        frozenset([role] if role else []),
        together,
        terms=terms_around(name, (text.text for text in texts)),
        texts=len(texts),
        places=frozenset([] if place is None else [place]),
    )


def terms_around(name: str, texts: Iterable[str]) -> Mapping[str, int]:
    """Give the terms of texts without those of the name, the most frequent ones."""
    own = set(analyse(name).split())
    counted = Counter(term for text in texts for term in analyse(text).split() if term not in own)
    return dict(counted.most_common(MAX_TERMS))


def meet(
    found: Sequence[Group],
    known: Mapping[str, Sequence[Candidate[UUID]]],
    new_id: Callable[[Group], UUID],
    threshold: float = THRESHOLD,
) -> Met[UUID]:
    """Decide whom each group means, and give what is to be written.

    ``known`` are, by folded name, the entities that it may mean; ``new_id`` gives the id of a new one. A name of
    which nothing tells whose it is gets no mention.
    """
    edits: list[GraphEdit] = []
    mentions: list[Mention] = []
    decisions: list[tuple[Group, Decision[UUID]]] = []
    made: list[Candidate[UUID]] = []
    meant: list[tuple[Group, UUID]] = []
    for group in found:
        near = {one.key: one for one in known.get(folded(group.name), ())}
        near |= {one.key: one for one in made if _may_be(group, one)}
        decision = decide(replace_key(group.candidate), list(near.values()), threshold)
        decisions.append((group, decision))
        if decision.verdict == "unclear":
            continue
        entity = decision.key
        if entity is None:
            entity = new_id(group)
            edits.append(_added(group, entity, decision.reason))
            made.append(Candidate(entity, (group.name,), group.type, group.company))
        else:
            edits += _learned(group, near[entity])
            made = [*(one for one in made if one.key != entity), _joined(near[entity], group)]
        meant.append((group, entity))
        mentions += [text.mention(name, entity) for text, name in group.members]
    return Met(tuple(edits), tuple(mentions), tuple(decisions), tuple(meant))


_NOBODY = UUID(int=0)


def replace_key(candidate: Candidate[UUID | None]) -> Candidate[UUID]:
    """Give a candidate that is nobody yet beside those that are somebody."""
    return Candidate(_NOBODY, candidate.names, candidate.type, candidate.company)


def _may_be(group: Group, one: Candidate[UUID]) -> bool:
    return any(likeness(group.name, name) > _LEAST for name in one.names)


_LEAST = 0.5


def _joined(one: Candidate[UUID], group: Group) -> Candidate[UUID]:
    """Give an entity as it is after a group joined it."""
    mine, theirs = one.company, group.company
    company = replace(
        mine,
        roles=mine.roles | theirs.roles,
        together=Counter(mine.together) + Counter(theirs.together),
        terms=Counter(mine.terms) + Counter(theirs.terms),
        texts=mine.texts + theirs.texts,
        places=mine.places | theirs.places,
    )
    kind = group.type if one.type == "thing" else one.type
    return Candidate(one.key, tuple(dict.fromkeys((*one.names, group.name))), kind, company)


def _added(group: Group, entity: UUID, reason: str) -> AddEntity:
    text, name = group.members[0]
    return AddEntity(entity, group.name, group.type, reason=reason, sources=(text.source(name),))


def _learned(group: Group, one: Candidate[UUID]) -> list[GraphEdit]:
    """Give what a group tells that was not known: a full name for a short one, what kind of thing it is."""
    fuller = is_shorter(one.names[0], group.name) and len(words_of(group.name)) > len(words_of(one.names[0]))
    telling = one.type == "thing" and group.type != "thing"
    if not (fuller or telling):
        return []
    text, name = group.members[0]
    reason = "its full name" if fuller else "what it is"
    return [
        ChangeEntity(
            one.key,
            group.name if fuller else None,
            group.type if telling else None,
            reason=reason,
            sources=(text.source(name),),
        )
    ]
