"""The graph's part of forming a batch: what the model is shown, and what is written together with the facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID, uuid4

from keepwell.formation import entities
from keepwell.formation.entities_found import Named
from keepwell.formation.entities_meeting import Seen, groups, meet
from keepwell.formation.extract import Excerpt, Extraction, request
from keepwell.formation.extract_graph import (
    MAX_SHOWN,
    RULES,
    GraphExtraction,
    GraphFound,
    KnownGraph,
    Over,
    Said,
    Spoken,
    graph_of,
)
from keepwell.formation.graph_edits import EndRelation, GraphEdit, Relate, RetractRelation
from keepwell.formation.names import folded
from keepwell.formation.settle import Edit
from keepwell.models import Message, Owner, Source
from keepwell.models.graph import Mention
from keepwell.models.message import now
from keepwell.storage.graph import FindEntities, GraphEdits, ReadNeighbours
from keepwell.work.asking import Asking
from keepwell.work.graph import company_kept, namer
from keepwell.work.tools import Tools, scope_of

_OF_EACH = 3
Label = tuple[str, str]


def myself(owner: Owner) -> str:
    """Give the name of who speaks in an owner's conversations where a message has none."""
    return owner.user_id or owner.agent_id or owner.run_id


def known_graph(tools: Tools, owner: Owner, excerpt: Excerpt) -> KnownGraph:
    """Give what is known of those whom a conversation may name, as far as a model is to be shown it."""
    spoken = [entry for entry in excerpt.entries if str(entry["text"])]
    found = [entities.names_in(str(entry["text"]), screen=excerpt.screen) for entry in spoken]
    speakers = [str(entry["who"]) for entry in spoken]
    names = dict.fromkeys([myself(owner), *speakers, *(name.name for names in found for name in names)])
    scope = scope_of(owner)
    hits = tools.record.read(FindEntities(scope, tuple(names)[: 2 * MAX_SHOWN], limit=_OF_EACH))
    known = tuple({hit.entity.id: hit.entity for hit in hits if hit.entity.owner == owner}.values())[:MAX_SHOWN]
    if not known:
        return KnownGraph(myself=myself(owner))
    ids = tuple(one.id for one in known)
    around = tools.record.read(ReadNeighbours(scope, ids, 1, valid_at=now(), limit=2 * MAX_SHOWN))
    relations = tuple(one for one in around.relations if one.owner == owner)[: 2 * MAX_SHOWN]
    return KnownGraph(known, relations, {ident: one.name for ident, one in around.entities.items()}, myself(owner))


def asked(asking: Asking, excerpt: Excerpt) -> tuple[Extraction, GraphFound]:
    """Give what a model finds in a conversation, in one call: facts, and what of the graph is believed.

    Raises:
        AnswerInvalid: the answer cannot be relied on.
    """
    known = known_graph(asking.tools, asking.owner, excerpt)
    answer = asking.ask("extract", request(excerpt, asking.policy, (RULES,), known.told(excerpt)), GraphExtraction)
    return answer, graph_of(answer, excerpt, known)


def together(
    tools: Tools, owner: Owner, found: GraphFound, excerpt: Excerpt, edits: Sequence[Edit]
) -> tuple[tuple[Edit, ...], GraphEdits]:
    """Give what a batch writes: its facts' edits, and the graph's, which rest on them and on the same words."""
    named = tuple(_identified(edit) for edit in edits)
    ids, made, mentions = _resolved(tools, owner, found.spoken, excerpt)
    changes: list[GraphEdit] = [*made]
    changes += [one for said in found.relations if (one := _related(said, ids, named)) is not None]
    changes += [_ended(over) for over in found.over]
    return named, GraphEdits(tuple(changes), tuple(mentions))


def _identified(edit: Edit) -> Edit:
    """Give an edit whose fact has an id already, so that a relation can rest on it."""
    return replace(edit, fact=uuid4()) if edit.kind == "ADD" and edit.fact is None else edit


def _resolved(
    tools: Tools, owner: Owner, spoken: Iterable[Spoken], excerpt: Excerpt
) -> tuple[Mapping[Label, UUID], Sequence[GraphEdit], Sequence[Mention]]:
    """Give whom each label means, with the new entities, and the mentions."""
    messages = dict(excerpt.evidence)
    told = list(spoken)
    ids = {one.label: one.known for one in told if one.known is not None}
    texts = {one.message: messages[one.message] for one in told}
    mentions = [
        _seen(key, message, ()).mention(name, ids[one.label])
        for key, message in texts.items()
        for one in told
        if one.message == key and one.label in ids
        for name in one.names
    ]
    seen = [_seen(key, message, _unknown(key, told, ids)) for key, message in texts.items()]
    found, known = company_kept(tools, owner, groups(seen))
    met = meet(found, known, namer(tools, owner, found), tools.settings.merge_threshold)
    for group, entity in met.meant:
        ids.setdefault((folded(group.name), group.role), entity)
    # Where only a relation names somebody, no text does.
    return ids, met.edits, [one for one in (*mentions, *met.mentions) if one.end]


def _seen(key: int, message: Message, names: tuple[Named, ...]) -> Seen:
    return Seen(names, message.text, message.created_at, message=key)


def _unknown(key: int, told: Iterable[Spoken], ids: Mapping[Label, UUID]) -> tuple[Named, ...]:
    return tuple(name for one in told if one.message == key and one.label not in ids for name in one.names)


def _related(said: Said, ids: Mapping[Label, UUID], edits: Sequence[Edit]) -> Relate | None:
    subject, other = ids.get(said.subject), ids.get(said.object)
    if subject is None or other is None or subject == other:
        return None
    sources = (said.source, *_facts_of(said.source, edits))
    return Relate(
        uuid4(), subject, said.predicate, other, said.valid_from, said.valid_to, reason="it was said", sources=sources
    )


def _facts_of(source: Source, edits: Sequence[Edit]) -> Iterator[Source]:
    """Give the facts of this batch that rest on the same words."""
    for edit in edits:
        if edit.kind not in {"ADD", "UPDATE"} or edit.draft is None or edit.fact is None:
            continue
        if any(_overlaps(source, other) for other in edit.draft.sources):
            yield Source(fact=edit.fact)


def _overlaps(one: Source, other: Source) -> bool:
    return one.message == other.message and one.start < other.end and other.start < one.end


def _ended(over: Over) -> GraphEdit:
    relation = over.relation
    if over.valid_to is None:
        return RetractRelation(relation.id, reason="it never held", sources=(over.source,))
    return EndRelation(relation.id, over.valid_to, reason="it holds no longer", sources=(over.source,))
