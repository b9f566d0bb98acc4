"""Looking through messages and facts for names, without a model, and saying who is meant."""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from keepwell.errors import FactChanged, KeepwellError, NotFound
from keepwell.formation import entities
from keepwell.formation.entities_found import Named
from keepwell.formation.entities_meeting import Group, Seen, groups, meet, terms_around
from keepwell.formation.merging import SAME_NAME, Candidate, Company
from keepwell.formation.names import folded, is_shorter, likeness, words_of
from keepwell.formation.screen import Screen, screen_of
from keepwell.models import Owner, Scope
from keepwell.models.graph import Entity, Mention
from keepwell.storage.base import DueText, FetchMessages, FindThreadByKey
from keepwell.storage.facts import FetchFacts
from keepwell.storage.graph import (
    ApplyGraph,
    EntityContext,
    FindEntities,
    FindUnmentioned,
    GraphEdits,
    ReadContexts,
    ReadEntities,
    TextToSee,
    Unmentioned,
)
from keepwell.work.embedding import vectors_of
from keepwell.work.tools import Tools, scope_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_log = logging.getLogger("keepwell.work")
ACTOR = "detector"
"""Who makes the changes of names that were found without a model."""
_BATCH = 200
_TRIES = 3
_FUZZY = 0.25
"""Runs of three letters that a short name shares with a full one: low, since they only bring candidates."""
_NEAR = 8
_LOOKED_BACK = 8
"""Texts of an entity that are read again for what is said beside its name."""
_LEAST_ALIKE = 0.3
_MAX_SENSE, _SENSED = 500, 6
_NOWHERE = UUID(int=0)
_NOBODY = frozenset(("the user", "user", "human", "assistant", "the assistant"))


def mention_due(tools: Tools, *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Look through all texts that nobody has looked through for names, and count them."""
    if not tools.settings.graph:
        return 0
    count = failures = 0
    while not stopping() and (found := tools.record.read(FindUnmentioned(_BATCH))):
        for one in found:
            try:
                count += _see(tools, one)
                failures = 0
            except (NotFound, FactChanged):
                # Something was forgotten or changed meanwhile: the next look reads what is there now.
                failures += 1
                if failures >= _TRIES:
                    _log.warning("names wait: their texts change all the time", exc_info=True)
                    return count
    return count


def _see(tools: Tools, given: Unmentioned) -> int:
    found, known = company_kept(tools, given.owner, groups(_named(tools, given)))
    met = meet(found, known, namer(tools, given.owner, found), tools.settings.merge_threshold)
    for group, decision in met.decisions:
        if decision.verdict == "unclear":
            _log.debug("a name of %d mentions is left open: %s", len(group.members), decision.reason)
    read = {text.key: text.version for text in given.texts if text.key > 0}
    # What is written of a message takes the place of what it had: a model's mentions are given once more.
    there = tuple(mention for text in given.texts if text.key > 0 for mention in _standing(text))
    graph = GraphEdits(met.edits, (*there, *met.mentions), given.done, read, given.facts)
    tools.record.write(ApplyGraph(given.owner, graph, ACTOR, uuid4()))
    return len(given.texts)


def _named(tools: Tools, given: Unmentioned) -> list[Seen]:
    """Give the texts with the names in them that count."""
    screen = screen_of(tools.settings.screens)
    raw = [_names(text, screen) for text in given.texts]
    asked = entities.unsure(raw)
    known: set[str] = set()
    if asked:
        hits = tools.record.read(FindEntities(scope_of(given.owner), tuple(sorted(asked)), limit=1))
        known = {folded(hit.asked) for hit in hits if hit.entity.owner == given.owner}
    return [_seen(text, names) for text, names in zip(given.texts, entities.confirmed(raw, known), strict=True)]


def _names(text: TextToSee, screen: Screen) -> tuple[Named, ...]:
    if text.key < 0:
        return _of_fact(text, screen)
    speaker = "" if text.speaker == text.role else text.speaker
    told = text.metadata.get("entities")
    found = entities.names_of(text.text, role=text.role, speaker=speaker, told=told, screen=screen)
    taken = _standing(text)
    return tuple(one for one in found if not any(one.start < old.end and old.start < one.end for old in taken))


def _of_fact(text: TextToSee, screen: Screen) -> tuple[Named, ...]:
    """Give the names of a fact: whom it is about, where its words do not say so, and those in its words."""
    named = entities.in_one_role((*_subject(text.speaker), *entities.names_in(text.text, screen=screen)))
    said = {folded(one.name) for one in named if one.end}
    # A subject tells that a word which begins the statement is a name.
    about = {folded(one.name) for one in named if not one.end}
    sure = (replace(one, sure=one.sure or folded(one.name) in about) for one in named)
    return tuple(one for one in sure if one.end or folded(one.name) not in said)


def _standing(text: TextToSee) -> list[Mention]:
    """Give the mentions that a text has and that still stand in it: it may have been replaced since."""
    return [one for one in text.known if one.end and text.text[one.start : one.end] == one.surface]


def _subject(subject: str) -> tuple[Named, ...]:
    """Give whom a fact is about: "Priya (sister)" is a name with a role."""
    name, role = entities.split_role(subject)
    if not name or name.casefold() in _NOBODY:
        return ()
    return (Named(0, 0, name, "thing", "speaker", sure=True, role=role),)


def _seen(text: TextToSee, names: tuple[Named, ...]) -> Seen:
    message = text.key if text.key > 0 else None
    return Seen(names, text.text, text.at, text.thread, message, text.fact, text.fact_version)


# --- who is known


def company_kept(
    tools: Tools, owner: Owner, found: Sequence[Group]
) -> tuple[Sequence[Group], Mapping[str, Sequence[Candidate[UUID]]]]:
    """Give the groups, and by folded name the owner's entities that each may mean.

    The company in which they stand is read, and compared by an embedder of this process, only where it matters: where
    a name alone does not tell who is meant.
    """
    names = {folded(group.name): group.name for group in found}
    if not names:
        return found, {}
    asked = tuple(dict.fromkeys((*names.values(), *(words_of(name)[0] for name in names.values()))))
    hits = tools.record.read(FindEntities(scope_of(owner), asked, fuzzy=_FUZZY, limit=_NEAR))
    known = {hit.entity.id: hit.entity for hit in hits if hit.entity.owner == owner}
    near = {key: [one for one in known.values() if _is_near(name, one)] for key, name in names.items()}
    doubtful = {folded(group.name) for group in found if _is_doubtful(group, near[folded(group.name)])}
    places = _places(tools, owner, (group for group in found if folded(group.name) in doubtful))
    companies = companies_of(tools, owner, {one.id: one for key in doubtful for one in near[key]}, places)
    weighed = [_weighed(tools, group) if folded(group.name) in doubtful else group for group in found]
    return weighed, {
        key: [Candidate(one.id, names_of(one), one.type, companies.get(one.id, Company(texts=0))) for one in ones]
        for key, ones in near.items()
    }


def names_of(entity: Entity) -> tuple[str, ...]:
    """Give an entity's names, its own first.

    What it was called for short says no more than its name does: others may be called so, too.
    """
    short = (one for one in entity.aliases if one in entity.given or not is_shorter(one, entity.name))
    return tuple(dict.fromkeys((entity.name, *short)))


def _is_near(name: str, entity: Entity) -> bool:
    return any(likeness(name, other) > _LEAST_ALIKE for other in names_of(entity))


def _is_doubtful(group: Group, near: Sequence[Entity]) -> bool:
    """Tell whether the name alone does not say who is meant."""
    exact = [one for one in near if any(likeness(group.name, name) >= SAME_NAME for name in names_of(one))]
    return bool(near) and (bool(group.role) or len(exact) != 1)


def _places(tools: Tools, owner: Owner, found: Iterable[Group]) -> dict[str, UUID]:
    """Give the keys of conversations by their ids."""
    keys = {group.place for group in found if group.place is not None}
    threads = (tools.record.read(FindThreadByKey(scope_of(owner), key)) for key in keys)
    return {thread.id: thread.key for thread in threads if thread is not None}


def _weighed(tools: Tools, group: Group) -> Group:
    texts = list({id(text): text.text for text, _ in group.members}.values())
    return replace(group, company=replace(group.company, vector=_sense(tools, texts)))


def companies_of(
    tools: Tools, owner: Owner, known: Mapping[UUID, Entity], places: Mapping[str, UUID]
) -> dict[UUID, Company]:
    """Give in what company entities stand, by the texts that name them; ``places`` are conversations by id."""
    if not known:
        return {}
    scope = scope_of(owner)
    contexts = tools.record.read(ReadContexts(scope, tuple(known)))
    others = {ident for context in contexts.values() for ident in context.together}
    others |= {end for context in contexts.values() for _, end in context.relations}
    names = {ident: folded(one.name) for ident, one in tools.record.read(ReadEntities(scope, tuple(others))).items()}
    keys = tuple({key for context in contexts.values() for key in context.keys[:_LOOKED_BACK]})
    texts = _texts(tools, scope, keys, places)
    return {ident: _company(tools, known[ident], context, names, texts) for ident, context in contexts.items()}


@dataclass(frozen=True, slots=True)
class _Text:
    """A text that names somebody: its conversation and its speaker, where it is a message."""

    text: str
    place: UUID | None = None
    speaker: str = ""
    roles: frozenset[tuple[str, str]] = frozenset()


def _texts(tools: Tools, scope: Scope, keys: Sequence[int], places: Mapping[str, UUID]) -> dict[int, _Text]:
    """Give texts by key."""
    messages = tools.record.read(FetchMessages(scope, tuple(key for key in keys if key > 0), 0))
    facts = tools.record.read(FetchFacts(scope, tuple(key for key in keys if key < 0)))
    said = {
        key: _Text(
            found.message.text, places.get(found.thread), folded(found.message.name or ""), _roles(found.message.text)
        )
        for key, found in messages.items()
    }
    told = {key: f"{fact.text}\n{fact.subject}" for key, fact in facts.items()}
    return said | {key: _Text(text, roles=_roles(text)) for key, text in told.items()}


def _roles(text: str) -> frozenset[tuple[str, str]]:
    """Give the names of a text that have a role beside them, folded, with the roles."""
    if not entities.may_have_roles(text):
        return frozenset()
    return frozenset((folded(one.name), one.role) for one in entities.names_in(text) if one.role)


def _company(
    tools: Tools, entity: Entity, context: EntityContext, names: Mapping[UUID, str], texts: Mapping[int, _Text]
) -> Company:
    said = [texts[key] for key in context.keys[:_LOOKED_BACK] if key in texts]
    own = {folded(name) for name in names_of(entity)}
    # Who speaks stands beside everybody.
    speakers = {text.speaker for text in said}
    beside = {ident: count for ident, count in context.together.items() if names.get(ident, "") not in speakers}
    return Company(
        frozenset(role for text in said for name, role in text.roles if name in own),
        {names[ident]: count for ident, count in beside.items() if ident in names},
        frozenset(f"{predicate} {names.get(end, '')}" for predicate, end in context.relations),
        terms_around(entity.name, (text.text for text in said)),
        _sense(tools, [text.text for text in said]),
        len(context.keys),
        frozenset(text.place for text in said if text.place is not None),
    )


def _sense(tools: Tools, texts: Sequence[str]) -> NDArray[np.float32] | None:
    """Give the mean of what texts mean, by an embedder of this process; None where there is none, or it fails."""
    if tools.embedder is None or not tools.embedder.local or not texts:
        return None
    due = [DueText(number, _NOWHERE, 0, text[:_MAX_SENSE]) for number, text in enumerate(texts[:_SENSED])]
    try:
        rows = vectors_of(due, tools.embedder)
    except KeepwellError:
        _log.info("names are compared by words alone: the embedder failed", exc_info=True)
        return None
    if not rows:
        return None
    total: NDArray[np.float32] = sum((row.vector for row in rows[1:]), rows[0].vector)
    return total


# --- ids


def namer(tools: Tools, owner: Owner, found: Sequence[Group]) -> Callable[[Group], UUID]:
    """Give a function that gives the id of a new entity: the same wherever the same name is found at the same time.

    So two workers that read the same texts make one entity, and one that was taken away is not made again by its
    name. Ids are made under the tenant's secret: they tell nothing.
    """
    first = tuple({_ident(tools.secret, owner, group) for group in found})
    there = tools.record.read(ReadEntities(scope_of(owner), first)) if first else {}
    taken = {ident for ident, one in there.items() if one.retired_at is None}

    def name(group: Group) -> UUID:
        ident = _ident(tools.secret, owner, group)
        # Somebody else has this name already: an id that no other worker gives.
        chosen = uuid4() if ident in taken else ident
        taken.add(chosen)
        return chosen

    return name


def _ident(secret: bytes, owner: Owner, group: Group) -> UUID:
    said = json.dumps([*owner, folded(group.name), group.role]).encode()
    return UUID(bytes=hmac.new(secret, said, sha256).digest()[:16], version=4)
