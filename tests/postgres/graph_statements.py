"""Rows in the tables of the graph, and parameters for the statements on them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import psycopg

from keepwell.formation.graph_edits import AddEntity, EndRelation, MergeEntities, Relate, RetractRelation, grams
from keepwell.models import Owner, Source
from keepwell.models.graph import Entity, GraphChange, Mention, Relation
from keepwell.storage.base import Record
from keepwell.storage.graph import SetProjection
from keepwell.storage.postgres.graph_rows import (
    change_row,
    entity_row,
    ground_rows,
    mention_row,
    name_row,
    relation_row,
)
from keepwell.testing.conformance.graph_base import edit

ADA = Owner("ada", "", "")
NOW = dt.datetime(2024, 5, 17, tzinfo=dt.UTC)
TO_BOB = {"to_user_id": "bob", "to_agent_id": "", "to_run_id": ""}


@dataclass(frozen=True, slots=True)
class GraphKeys:
    """What statements name the graph by.

    ``merged`` was merged into ``entity``; ``relation`` ended, in version 2; ``retracted`` was retracted; ``version`` is
    that of a message that was replaced.
    """

    entity: UUID
    merged: UUID
    relation: UUID
    retracted: UUID
    mention: int
    change: UUID
    number: int
    fact: UUID
    message: int
    version: str


def unknown_graph() -> GraphKeys:
    """Give keys that nothing has."""
    return GraphKeys(uuid4(), uuid4(), uuid4(), uuid4(), 2**60, uuid4(), 2**60, uuid4(), 2**60, "0")


def furnish_graph(record: Record, admin: psycopg.Connection[Any], tenant: str, message: int, fact: UUID) -> GraphKeys:
    """Give a tenant entities, one of them merged, relations, mentions in a message and a fact, and an outbox."""
    record.write(SetProjection("tests"))
    one, two, relation, retracted = uuid4(), uuid4(), uuid4(), uuid4()
    rests = (Source(message), Source(fact=fact, version=2))
    edit(
        record,
        AddEntity(one, "Nut", given=("Nut",), sources=rests),
        AddEntity(two, "Nutcase"),
        AddEntity(uuid4(), "Lonely", given=("Lonely",)),
        Relate(relation, one, "cracks", two, sources=rests),
        Relate(retracted, one, "likes", two, sources=rests),
        mentions=[Mention(one, "nut", 0, 3, message), Mention(two, "nut", 0, 3, fact=fact, version=2)],
    )
    (ended,) = edit(record, EndRelation(relation, NOW, sources=rests))
    (gone,) = edit(record, RetractRelation(retracted, sources=rests))
    edit(record, MergeEntities(two, one))
    admin.execute("update keepwell.entity set first_seen = '2020-01-01' where id = %s", [one])
    admin.execute(
        "insert into keepwell.name (tenant, user_id, agent_id, run_id, entity, folded, shown, given, grams, size)"
        " values (%s, 'ada', '', '', %s, 'stray', 'Stray', false, 'str', 1)",
        [tenant, one],
    )
    admin.execute("update keepwell.owner set graph_to = last_fact - 1 where tenant = %s and user_id = 'ada'", [tenant])
    number = _one(admin, "select min(number) from keepwell.mention where entity = %s", one)
    place = _one(admin, "select number from keepwell.graph_change where id = %s", gone.id)
    version = _one(admin, "select written_by::text from keepwell.message where key = %s", message)
    return GraphKeys(one, two, relation, retracted, number, ended.id, place, fact, message, version)


def _one(admin: psycopg.Connection[Any], question: str, value: object) -> Any:
    row = admin.execute(question, [value]).fetchone()
    assert row is not None
    return row[0]


def graph_parameters(keys: GraphKeys, thread: UUID) -> dict[str, dict[str, Any]]:
    """Give what the statements on the graph need beside what all do, by statement."""
    new = Entity(uuid4(), "Fresh", ADA)
    line = Relation(uuid4(), 1, keys.entity, "is", keys.merged, ADA, NOW)
    change = GraphChange(uuid4(), "ADD", ADA, new.id, None, None, new, "", NOW, "tests", uuid4())
    mention = Mention(keys.entity, "Fresh", 9, 12, keys.message)
    rows = {
        "write_entities": {"entities": json.dumps([entity_row(new)])},
        "write_names": {"names": json.dumps([name_row(keys.entity, "Fresh", given=True)])},
        "write_relations": {"relations": json.dumps([relation_row(line)])},
        "write_grounds": {"grounds": json.dumps(ground_rows(line.id, 1, (Source(keys.message),)))},
        "write_graph_changes": {"changes": json.dumps([change_row(change, 0, {"fresh"})])},
        "write_mentions": {"mentions": json.dumps([mention_row(mention, 0, NOW)])},
    }
    carried = {
        "keep_entities": {"entities": json.dumps([entity_row(replace(new, id=UUID(int=7)))])},
        "keep_relations": {"relations": json.dumps([relation_row(replace(line, id=UUID(int=7)))])},
        "keep_mentions": {"mentions": json.dumps([mention_row(replace(mention, start=20), 0, NOW)])},
        **_carrying(keys, thread),
    }
    said = {**_changing(keys, thread), **_reading(keys, thread), **_embedding(keys), **_projecting(keys)}
    return {**rows, **carried, **said}


def _embedding(keys: GraphKeys) -> dict[str, dict[str, Any]]:
    return {
        "missing_entities": {"after": UUID(int=0)},
        "hold_owners_of_entities": {"entities": [keys.entity]},
        "put_entity_vectors": {"entities": [keys.entity], "means": [True]},
        "entities_near": {"least": -1.0, "spread": 9.0},
    }


def _carrying(keys: GraphKeys, thread: UUID) -> dict[str, dict[str, Any]]:
    return {
        "copy_entities": {"after": UUID(int=0)},
        "copy_relations": {"after": UUID(int=0), "version": 0},
        "own_entities": {"entities": [keys.entity]},
        "known_relations": {"items": [keys.relation]},
        "mentions_at": {"messages": [keys.message], "facts": [keys.fact]},
        "known_graph_changes": {"ids": [keys.change]},
        "keep_seen_thread": {"key": thread, "ids": ["m0", "m1", "m2"]},
        "keep_seen_facts": {"facts": [keys.fact]},
    }


def _changing(keys: GraphKeys, thread: UUID) -> dict[str, dict[str, Any]]:
    versions: dict[str, Any] = {"ids": [keys.relation], "items": [keys.relation], "versions": [2]}
    entities: dict[str, Any] = {"entities": [keys.entity]}
    resting: dict[str, Any] = {"messages": [keys.message], "facts": [keys.fact]}
    names: dict[str, Any] = {"owners": [keys.entity], "folds": ["nut"]}
    return {
        "graph_messages": resting,
        "graph_facts": {"facts": [keys.fact], "versions": [2]},
        "ids_of_others": {"ids": [keys.merged], "user_id": "bob"},
        "standing_entities": {"ids": [keys.merged]},
        "standing_relations": {"ids": [keys.relation], "subjects": [keys.entity], "objects": [keys.merged]},
        "mentions_by_number": {"numbers": [keys.mention]},
        "mentions_in": resting,
        "ungive_names": {**entities, "owners": [], "folds": []},
        "drop_names": entities,
        "end_relations": {**versions, "at": NOW},
        "move_mentions": {"numbers": [keys.mention], "entities": [keys.merged]},
        "see_again": entities,
        "note_seen_threads": {"threads": [thread], "uptos": [2]},
        "note_seen_messages": {"messages": [keys.message], "versions": [keys.version]},
        "note_seen_facts": {"upto": 2**60},
        "graph_resting": resting,
        "graph_versions": {**versions, **resting},
        "relations_on_facts": {"facts": [keys.fact]},
        "facts_grounding": {"facts": [keys.fact], "versions": [2]},
        "graph_grounded": {"items": [keys.change]},
        "graph_left": {**entities, **versions, "numbers": []},
        "relations_of_gone": entities,
        "relations_with_grounds": entities,
        "changes_of_gone": {**entities, **versions, **names, "changes": [keys.change]},
        "delete_graph": {**entities, **versions, **names, "numbers": [keys.mention], "changes": [keys.number]},
        "lose_grounds": resting,
        "lose_grounds_of": {**resting, "items": [keys.relation]},
        "stand_again": {"ids": [keys.retracted], "ats": [None]},
        "rename_entities": {**entities, "names": ["Other"], "folds": ["other"]},
        "move_graph": {**entities, "relations": [keys.relation], **TO_BOB},
        "see_anew": {"key": thread, "facts": [keys.fact], "to_user_id": "ada", "to_agent_id": "", "to_run_id": ""},
        "resting_of_thread": {"thread": None, "message": "m0", "fact": None},
    }


def _reading(keys: GraphKeys, thread: UUID) -> dict[str, dict[str, Any]]:
    span: dict[str, Any] = {"valid_at": None, "as_of": None}
    entities: dict[str, Any] = {"entities": [keys.entity]}
    return {
        "unseen_messages": {"threads": [thread], "seqs": [0]},
        "unseen_facts": {"after": 0, "upto": 2**60},
        "known_mentions": {"messages": [keys.message], "facts": []},
        "names_exactly": {"folds": ["nut"]},
        "names_alike": {"grams": ["\n".join(grams("nut"))], "least": 0.3, "most": 10},
        "entities_by_id": {"ids": [keys.merged]},
        "list_entities": {"id": None, "type": None},
        "list_relations": {**span, "versions": False},
        "list_relations_of": {**span, "versions": False, "ids": [], **entities},
        "read_mentions": {**entities, "before": None},
        "read_mentions_in": {"messages": [keys.message], "facts": [], "before": None},
        "edges": {**span, **entities, "fan": 10},
        "relations_by_version": {"ids": [keys.relation], "versions": [2]},
        "texts_of": {**span, **entities, "members": [keys.entity], "each": 10},
        "support": {**span, **entities, "folds": ["nut"], "hops": 2, "each": 10, "fan": 10, "least": 1.0, "spread": 0.0, "beside": True},
        "together": {"messages": [keys.message]},
        "together_in_facts": {"facts": _numbers(keys)},
        "terms_of": {"messages": [keys.message], "facts": []},
        "graph_history": {
            "oldest": True, "at": dt.datetime(1, 1, 2, tzinfo=dt.UTC), "number": 0, "actor": None, "narrow": True,
            "entities": [keys.entity], "relation": None, "batch": None, "ids": None,
        },
    }  # fmt: skip


def _numbers(keys: GraphKeys) -> list[int]:
    """Give numbers wide enough to hit the fact, whatever its key is; none where nothing is known."""
    return list(range(1, 50_000)) if keys.message < 2**59 else []


def _projecting(keys: GraphKeys) -> dict[str, dict[str, Any]]:
    ids = {
        "entity": [str(keys.entity)], "relation": [str(keys.relation)], "mention": [str(keys.mention)],
        "fact": [str(keys.fact)], "message": [str(keys.message)],
    }  # fmt: skip
    place = {"xid": "0", "number": 0}
    return {
        "set_projection": {"target": "elsewhere"},
        "read_outbox": place,
        "prune_outbox": {"xid": str(2**62), "number": 0},
        **{f"scan_{kind}": {"after": None} for kind in ids},
        **{f"projected_{kind}": {"ids": named} for kind, named in ids.items()},
    }
