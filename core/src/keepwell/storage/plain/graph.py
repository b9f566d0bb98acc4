"""Changing the graph: edits are settled and written, and what nobody has looked through for names is found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from keepwell.errors import FactNotFound, MessageNotFound
from keepwell.formation.entities_settle import GraphSettled, GraphStanding, Wanted, grounded, settle_graph, told, wanted
from keepwell.formation.graph_edits import GraphEdit, RestoreRelation, fold
from keepwell.models import Owner, Source
from keepwell.models.graph import GraphChanges, Mention, Relation
from keepwell.storage.graph import ApplyGraph, FindUnmentioned, GraphEdits, TextToSee, Unmentioned
from keepwell.storage.plain.graph_forgetting import drop_mentions
from keepwell.storage.plain.graph_tables import Named, Told
from keepwell.storage.plain.tables import Conversation, Entry, Tables

Landed = Mapping[UUID, tuple[UUID, int] | None]


def apply(tables: Tables, change: ApplyGraph) -> GraphChanges:
    """Carry out edits of one owner's graph."""
    return write(tables, change.owner, change.graph, change.actor, change.batch)


def write(
    tables: Tables, owner: Owner, graph: GraphEdits, actor: str, batch: UUID, *, landed: Landed | None = None
) -> GraphChanges:
    """Settle and write edits, mentions and watermarks; with ``landed`` what is not there is left out."""
    if landed is not None:
        graph = graph.placed(landed)
    else:
        _check(tables, owner, graph)
    theirs = {one.id for one in tables.graph.entities.values() if one.owner != owner}
    theirs |= {one.id for one in tables.graph.relations.values() if one.owner != owner}
    graph = graph.beside(owner, graph.made & theirs)
    mentions = [one for one in graph.mentions if _is_fresh(tables, owner, one, graph.read)]
    edits = grounded([_resting(tables, owner, edit) for edit in graph.edits], mentions)
    at, lenient = tables.instant(), landed is not None
    given: dict[str, Any] = {"owner": owner, "actor": actor, "batch": batch, "at": at, "lenient": lenient}
    settled = settle_graph(edits, _standing(tables, owner, wanted(edits)), **given)
    _write(tables, settled, at)
    _write_mentions(tables, owner, graph, mentions)
    _note(tables, owner, graph)
    return GraphChanges(tuple(settled.changes))


def said_at(tables: Tables, owner: Owner, one: Source | Mention) -> dt.datetime | None:
    """Give when the text was said that is named, None where it is not the owner's, or not there."""
    if one.message is not None:
        talk, entry = tables.messages().get(one.message, (None, None))
        return entry.row.created if entry is not None and talk is not None and talk.thread.owner == owner else None
    found = None if one.fact is None else tables.facts.get((one.fact, one.version))
    return found.fact.at if found is not None and found.fact.owner == owner else None


def _check(tables: Tables, owner: Owner, graph: GraphEdits) -> None:
    named: list[Source | Mention] = [*graph.mentions, *(one for edit in graph.edits for one in edit.sources)]
    for one in named:
        if said_at(tables, owner, one) is None:
            raise (FactNotFound if one.message is None else MessageNotFound)("what this names is not there any more")


def _is_fresh(tables: Tables, owner: Owner, one: Mention, read: Mapping[int, str]) -> bool:
    """Tell whether a mention's text is there, and is what was read, where that is known."""
    if said_at(tables, owner, one) is None:
        return False
    return one.message is None or read.get(one.message, version := version_of(tables, one.message)) == version


def version_of(tables: Tables, message: int) -> str:
    """Give what changes where a message is replaced."""
    found = tables.messages().get(message)
    return "" if found is None else found[1].row.recorded.isoformat()


def _resting(tables: Tables, owner: Owner, edit: GraphEdit) -> GraphEdit:
    def there(sources: Iterable[Source]) -> tuple[Source, ...]:
        return tuple(one for one in sources if said_at(tables, owner, one) is not None)

    if isinstance(edit, RestoreRelation):
        edit = replace(edit, state=replace(edit.state, sources=there(edit.state.sources)))
    return replace(edit, sources=there(edit.sources))


def _standing(tables: Tables, owner: Owner, need: Wanted) -> GraphStanding:
    """Give what the owner's record says of everything that the edits can touch."""
    graph = tables.graph
    mine = {one.id: one for one in graph.entities.values() if one.owner == owner}
    relations: dict[UUID, Relation] = {}
    pairs = {(graph.now(one), graph.now(two)) for one, two in need.pairs}
    for one in sorted(graph.relations.values(), key=lambda one: one.version):
        between = one.stands and (graph.now(one.subject), graph.now(one.object)) in pairs
        if one.owner == owner and (one.id in need.relations or between):
            relations[one.id] = one
    moved = {number: graph.mentions[number].mention.entity for number in need.mentions if number in graph.mentions}
    return GraphStanding(mine, relations, moved)


def _write(tables: Tables, settled: GraphSettled, at: dt.datetime) -> None:
    graph = tables.graph
    graph.entities |= settled.entities
    for name in settled.ended:
        graph.relations[name] = replace(graph.relations[name], retired_at=at)
    for name, one in settled.made.items():
        graph.relations[name] = replace(one, sources=_once(one.sources))
    for name, more in settled.joined.items():
        there = graph.relations[name]
        graph.relations[name] = replace(there, sources=_once((*there.sources, *more)))
    for number, entity in settled.moved.items():
        owner, mention = graph.mentions[number]
        graph.mentions[number] = Named(owner, replace(mention, entity=entity))
    for change in settled.changes:
        names = {entity: graph.view(entity) for entity in graph.entities}
        graph.changes[change.id] = Told(change, frozenset(told(change, names)))


def _once(sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(sources))


def _write_mentions(tables: Tables, owner: Owner, edits: GraphEdits, mentions: list[Mention]) -> None:
    graph = tables.graph
    mentions = [one for one in mentions if one.entity in graph.entities and graph.entities[one.entity].owner == owner]
    fresh = {key for key, version in edits.read.items() if version_of(tables, key) == version}
    said = {_place(one) for one in mentions}
    gone = [one.number for _, one in graph.mentions.values() if one.message in fresh and _place(one) not in said]
    if gone:
        drop_mentions(tables, gone, frozenset(one.entity for one in mentions))
    for one in mentions:
        if any(_same(one, there) for _, there in graph.mentions.values()):
            continue
        number = next(tables.numbers)
        graph.mentions[number] = Named(owner, replace(one, number=number, at=said_at(tables, owner, one)))


def _place(one: Mention) -> tuple[object, ...]:
    return one.entity, one.message, one.start, one.end, fold(one.surface)


def _same(one: Mention, there: Mention) -> bool:
    text = (one.message, one.fact, one.version if one.fact else 0)
    return (one.entity, one.start, *text) == (
        there.entity, there.start, there.message, there.fact, there.version if there.fact else 0,
    )  # fmt: skip


def _note(tables: Tables, owner: Owner, graph: GraphEdits) -> None:
    for talk in tables.threads.values():
        upto = min(graph.done.get(talk.thread.key, 0), talk.thread.last_seq)
        if upto and talk.thread.owner == owner:
            tables.graph.seen[talk.thread.key] = max(upto, tables.graph.seen.get(talk.thread.key, 0))
    for key, version in graph.read.items():
        if version_of(tables, key) == version:
            tables.graph.read[key] = version
    if graph.facts is not None:
        tables.graph.facts_seen[owner] = max(graph.facts, tables.graph.facts_seen.get(owner, 0))


# --- what is due


def find_unmentioned(tables: Tables, query: FindUnmentioned) -> tuple[Unmentioned, ...]:
    """Give texts to look through: replaced messages, new ones of the oldest threads, then facts."""
    texts: dict[Owner, list[TextToSee]] = {}
    done: dict[Owner, dict[UUID, int]] = {}
    facts: dict[Owner, int] = {}
    left = query.limit
    for talk, entry in _replaced(tables)[:left]:
        texts.setdefault(talk.thread.owner, []).append(_text(tables, talk, entry))
        left -= 1
    for talk in sorted(tables.threads.values(), key=lambda talk: talk.thread.updated_at):
        seen = tables.graph.seen.get(talk.thread.key, 0)
        if left <= 0 or seen >= talk.thread.last_seq:
            continue
        fresh = [entry for entry in talk.in_order if entry.row.seq > seen]
        mine = texts.setdefault(talk.thread.owner, [])
        known = {text.key for text in mine}
        mine += [_text(tables, talk, entry) for entry in fresh[:left] if entry.row.key not in known]
        whole = len(fresh) < left
        done.setdefault(talk.thread.owner, {})[talk.thread.key] = (
            talk.thread.last_seq if whole or not fresh else fresh[:left][-1].row.seq
        )
        left -= len(fresh[:left])
    _add_facts(tables, texts, facts, left)
    return tuple(
        Unmentioned(owner, tuple(texts.get(owner, ())), done.get(owner, {}), facts.get(owner))
        for owner in dict.fromkeys((*texts, *done, *facts))
    )


def _replaced(tables: Tables) -> list[tuple[Conversation, Entry]]:
    return [
        (talk, entry)
        for talk, entry in tables.messages().values()
        if entry.row.versions and tables.graph.read.get(entry.row.key) != entry.row.recorded.isoformat()
    ]


def _text(tables: Tables, talk: Conversation, entry: Entry) -> TextToSee:
    row, message = entry.row, entry.row.message
    known = tuple(one for _, one in tables.graph.mentions.values() if one.message == row.key)
    return TextToSee(
        row.key, message.text, message.role, row.actor, row.created, row.recorded.isoformat(), talk.thread.key,
        row.seq, metadata=message.metadata, known=known,
    )  # fmt: skip


def _add_facts(tables: Tables, texts: dict[Owner, list[TextToSee]], facts: dict[Owner, int], left: int) -> None:
    for owner in sorted({one.fact.owner for one in tables.facts.values()}):
        seen = tables.graph.facts_seen.get(owner, 0)
        mine = [one for one in tables.facts.values() if one.fact.owner == owner and one.row.number > seen]
        fresh = sorted((one for one in mine if one.fact.stands), key=lambda one: one.row.number)[: max(0, left)]
        if not mine or left <= 0:
            continue
        for one in fresh:
            fact = one.row.view
            known = [m for _, m in tables.graph.mentions.values() if (m.fact, m.version) == (fact.id, fact.version)]
            texts.setdefault(owner, []).append(
                TextToSee(
                    one.row.key, fact.text, "fact", fact.subject, fact.at, fact=fact.id, fact_version=fact.version,
                    metadata=fact.metadata, known=tuple(known),
                )
            )  # fmt: skip
        facts[owner] = fresh[-1].row.number if len(fresh) == left else max(one.row.number for one in mine)
        left -= len(fresh)


GRAPH_WRITES: Final[Mapping[type, Callable[[Tables, Any], Any]]] = MappingProxyType({ApplyGraph: apply})
