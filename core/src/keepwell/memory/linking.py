"""Recall's third source: what the graph leads to from the names in a question."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from keepwell.errors import EmbedderFailed, StoreUnavailable
from keepwell.memory.engine import Engine
from keepwell.memory.projection import support
from keepwell.models import Scope
from keepwell.providers.bundled import MODEL
from keepwell.providers.words import bundled_words
from keepwell.recall.linked import Linked, Reached, asks_past, description, linked, phrases
from keepwell.storage.embeddings import Near
from keepwell.storage.graph import FindEntities, ReadMentions, Support, SupportOf

if TYPE_CHECKING:
    from keepwell.memory.request import Request
    from keepwell.providers.embedding import Vectors

FUZZY = 0.5
"""A name that nothing has is taken for one that is alike by this much."""
CALLED = 0.6
"""The cosine from which on a question that names nobody is taken to call somebody by another name."""
DESCRIBED_STATIC, DESCRIBED = 0.22, 0.4
"""The same for what a question says of whom it means: with the bundled vectors, and with other models."""
SAID_OF = 1.2
"""The log-odds that words in common give a text that says what a description says; one common word gives less."""
_log = logging.getLogger("keepwell.recall")
_MYSELF = frozenset("i me my mine myself".split())


def survived(ask: Callable[[], Linked | None], skipped: dict[str, str]) -> Linked | None:
    """Give what the graph says; where it cannot be asked, ``skipped`` says why, and recall goes on without it."""
    try:
        return ask()
    except StoreUnavailable as error:
        skipped["graph"] = str(error)
        return None


def closeness(engine: Engine, meant: Request | None, vector: Vectors | None, space: int | None) -> Near | None:
    """Give how close an entity must be to the question, or to what it says of whom it means.

    What describes somebody is a few words, embedded by themselves where the model runs in this process. A model
    elsewhere is not asked a second time: there the vector of the whole question stands for them.
    """
    embedder = engine.models.embedder
    if vector is None or space is None or embedder is None:
        return None
    if meant is None:
        return Near(space, vector, CALLED)
    if embedder.local:
        try:
            vector = engine.question_vector(meant.readable)
        except EmbedderFailed as error:
            _log.info("nobody is looked for by what is said of them: %s", error)
            return None
    return Near(space, vector, DESCRIBED_STATIC if embedder.model == MODEL else DESCRIBED, beside=True)


def links_of(
    engine: Engine, scope: Scope, request: Request, near: Near | None = None, *, meant: bool = False
) -> Linked | None:
    """Give what the graph says for texts; None where the question names nobody, and nobody is near it.

    ``meant``: it is near to what the question says of somebody.
    """
    found = _support(engine, scope, request, names=_names(scope, request.readable), near=near)
    if meant and found.near:
        return _weighed(engine, request, _about(found, found.near), meant=True)
    if found.near or not found.asked:
        # Letters tell more than meaning: a name that is nearly right comes first.
        alike = _nearly_named(engine, scope, request.readable)
        found = _support(engine, scope, request, entities=alike) if alike else found
    if found.asked and asks_past(request.readable):
        found = _ended(engine, scope, request, found)
    return _weighed(engine, request, found) if len(found.keys) else None


def _ended(engine: Engine, scope: Scope, request: Request, now: Support) -> Support:
    """Give the texts along relations that held once and do not now."""
    ever = engine.record.read(SupportOf(scope, entities=tuple(now.asked), as_of=request.as_of))
    over = [at for at, relation in enumerate(ever.relations) if relation is None or relation not in now.predicates]
    return replace(
        ever,
        keys=ever.keys[over],
        hops=ever.hops[over],
        entities=tuple(ever.entities[at] for at in over),
        relations=tuple(ever.relations[at] for at in over),
        ways={entity: said - now.ways.get(entity, frozenset()) for entity, said in ever.ways.items()},
        near=now.near,
    )


def described(request: Request) -> Request | None:
    """Give the question for whom a question describes without a name; None where it describes nobody."""
    said = description(request.readable)
    return replace(request, query=said, limit=1, min_score=None) if said else None


def links_from(
    engine: Engine, scope: Scope, request: Request, best: Iterable[int], near: Near | None = None
) -> Linked | None:
    """Give what the graph says for texts about whom a description means.

    That is whom the best text for it names, but for those that are near to it by what their relations say they are.
    """
    named = engine.record.read(ReadMentions(scope, keys=tuple(best)))
    entities = tuple(dict.fromkeys(mention.entity for mention in named))
    if not entities:
        return None
    found = _support(engine, scope, request, entities=entities, hops=0, near=near)
    return _weighed(engine, request, _about(found, found.near) if found.near else found, meant=True)


def _about(found: Support, entities: Collection[UUID]) -> Support:
    """Give only the texts that name these entities, by which the walk began."""
    kept = [at for at, entity in enumerate(found.entities) if entity in entities and not found.hops[at]]
    return replace(
        found,
        keys=found.keys[kept],
        hops=found.hops[kept],
        entities=tuple(found.entities[at] for at in kept),
        relations=tuple(found.relations[at] for at in kept),
    )


def _support(
    engine: Engine,
    scope: Scope,
    request: Request,
    *,
    names: tuple[str, ...] = (),
    entities: tuple[UUID, ...] = (),
    hops: int = 2,
    near: Near | None = None,
) -> Support:
    """Ask for the texts behind entities, along what holds at the time that is asked for."""
    at = request.as_of or dt.datetime.now(dt.UTC)
    return support(engine, SupportOf(scope, names, entities, hops, at, request.as_of, near=near))


def _names(scope: Scope, text: str) -> tuple[str, ...]:
    said = phrases(text)
    speaks = {word.lower() for word in said} & _MYSELF
    return (*said, scope.user_id) if speaks and scope.user_id else said


def _nearly_named(engine: Engine, scope: Scope, text: str) -> tuple[UUID, ...]:
    """Give the entities whose names are nearly what a word with a capital is, but for the first of the text."""
    capitals = tuple(word for word in text.split()[1:] if word[:1].isupper())
    names = tuple(name for name in phrases(" ".join(capitals)) if len(name) > 3) if capitals else ()  # noqa: PLR2004
    if not names:
        return ()
    hits = engine.record.read(FindEntities(scope, names, fuzzy=FUZZY, limit=1))
    return tuple(dict.fromkeys(hit.entity.id for hit in hits))


def _weighed(engine: Engine, request: Request, found: Support, *, meant: bool = False) -> Linked:
    rows = zip(found.keys.tolist(), found.hops.tolist(), found.entities, found.relations, strict=True)
    texts = [
        Reached(key, hops, found.ways.get(entity, frozenset()))
        if relation is None
        else Reached(key, hops, frozenset([found.predicates[relation]]), rests=True)
        for key, hops, entity, relation in rows
    ]
    return linked(texts, request.readable, bundled_words(), engine.language, meant=meant)
