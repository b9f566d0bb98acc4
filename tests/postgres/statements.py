"""Every statement of the record with parameters to run it by, and the plan that PostgreSQL makes of it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg

from keepwell import Memory, Message
from keepwell.models import Scope
from keepwell.storage.base import IndexVectors, OpenSpace, PostTerms, ReadStatus
from keepwell.storage.embeddings import EntityVector, PutEntityVectors
from keepwell.storage.postgres.queries import Names, blocks, statement
from keepwell.storage.postgres.runner import FloatArray, _Cursor, numbered

from .checkpoint_statements import checkpoint_parameters, furnish_checkpoints
from .fact_statements import FactKeys, fact_parameters, furnish_facts, unknown_facts
from .forming_statements import forming_parameters, furnish_forming
from .graph_statements import GraphKeys, furnish_graph, graph_parameters, unknown_graph
from .item_statements import furnish_items, item_parameters

NAMES = Names("keepwell", "public")
ADA = Scope("ada")
DIMENSION = 256
"""One that there is an index for."""
PRELUDES = {
    "activate_first": ("switch_off",),
    "switch_on": ("switch_off",),
    "replace": ("keep_version",),
    "post_terms": ("put_terms",),
    "post_fact_terms": ("put_fact_terms",),
}
"""Statements that come before in the plans that use these."""
TABLE = re.compile(r"\{schema\}\.\w+")


def with_tables() -> list[str]:
    """Give the names of all statements that touch a table."""
    parts = {part for text in blocks().values() for part in re.findall(r"@use\((\w+)\)", text)}
    return sorted(name for name, text in blocks().items() if TABLE.search(text) and name not in parts)


@dataclass(frozen=True, slots=True)
class Keys:
    """What statements name rows by: a tenant's threads, messages and spaces."""

    thread: UUID
    empty: UUID
    message: int
    messages: list[int]
    space: int
    other_space: int
    facts: FactKeys
    graph: GraphKeys
    item: int = 2**60


def unknown() -> Keys:
    """Give keys that nothing has."""
    return Keys(uuid4(), uuid4(), 2**60, [2**60], 2**30, 2**30 + 1, unknown_facts(), unknown_graph())


def furnish(memory: Memory, admin: psycopg.Connection[Any]) -> Keys:
    """Give a tenant something in every table: threads, a copy, versions, postings, vectors, requests, removals."""
    chat = memory.scope("ada").thread("t")
    said = [Message.user(f"nut {number}", id=f"m{number}", metadata={"k": number}) for number in range(6)]
    chat.append(*said[:4], idempotency_key="key")
    chat.replace(Message.user("nut anew", id="m0"))
    chat.delete("m3")
    chat.clone("copy")
    memory.scope("ada").thread("empty").create()
    memory._engine.record.write(PostTerms(limit=10))
    chat.append(said[4])
    other = memory._engine.record.write(OpenSpace("other", DIMENSION))
    admin.execute(
        "delete from keepwell.vector v where v.message = (select max(key) from keepwell.message"
        " where tenant = %s and id = 'm4')",
        [memory.tenant],
    )
    admin.execute("update keepwell.thread set embedded_to = 2 where tenant = %s and id = 't'", [memory.tenant])
    assert memory._engine.record.read(ReadStatus()).vectors > 0
    threads = dict(admin.execute("select id, key from keepwell.thread where tenant = %s", [memory.tenant]).fetchall())
    rows = admin.execute("select id, key from keepwell.message where thread = %s", [threads["t"]]).fetchall()
    messages = dict(rows)
    furnish_checkpoints(admin, memory.tenant)
    furnish_forming(memory._engine.record, admin, memory.tenant, threads["t"])
    facts = furnish_facts(memory._engine.record, admin, memory.tenant, messages["m0"], threads["empty"])
    admin.execute("update keepwell.fact set expires_at = '2020-01-01' where id = %s", [facts.derived])
    graph = furnish_graph(memory._engine.record, admin, memory.tenant, messages["m0"], facts.fact)
    item = furnish_items(memory._engine.record)
    space = memory._engine.space()
    assert space is not None
    towards = np.eye(1, DIMENSION, dtype=np.float32)[0]
    assert memory._engine.record.write(PutEntityVectors(space.key, (EntityVector(graph.entity, towards),)))
    while memory._engine.record.write(IndexVectors("ada", space.key)):
        pass
    admin.execute("update keepwell.vector set indexed = false where message = %s", [messages["m1"]])
    numbers = sorted(messages.values())
    return Keys(threads["t"], threads["empty"], messages["m0"], numbers, space.key, other.key, facts, graph, item)


def parameters(name: str, tenant: str, keys: Keys) -> dict[str, Any]:
    """Give values for every parameter that a statement has."""
    zero = FloatArray(np.eye(1, DIMENSION, dtype=np.float32)[0])
    now = dt.datetime.now(dt.UTC)
    given = {
        "tenant": tenant, "user_id": "ada", "agent_id": "", "run_id": "",
        "to_user_id": "bob", "to_agent_id": "", "to_run_id": "",
        "thread": "t", "id": "new", "ids": ["m0", "m1"], "key": keys.thread, "keys": keys.messages,
        "threads": [keys.thread], "source": keys.thread, "message": keys.message, "messages": keys.messages[:1],
        "body": '{"role":"user","text":"new"}', "native": None, "labels": '{"k":7}', "digest": b"\x07" * 16,
        "terms": "nut new", "created_at": now, "length": 2, "count": 1, "posted_to": 0,
        "batch": '[{"n":1,"id":"new","body":"{}","native":null,"labels":null,"digest":"07","terms":"nut","actor":"user",'
                 '"created_at":"2024-01-01T00:00:00+00:00"}]',
        "title": "title", "metadata": '{"k":7}', "where": "{}", "at": None, "limit": 100, "width": 264, "newest": 20,
        "after": 0, "before": 100, "since": None, "until": None, "as_of": None, "neighbours": 1, "within": None,
        "space": keys.space, "vector": zero, "vectors": zero, "chunks": [0], "versions": [""], "weights": [1.0],
        "firsts": [3], "lasts": [4], "model": "newest", "dimension": DIMENSION,
        "nearest": keys.messages, "facts": [keys.facts.key], "large": 1, "noted_every": 1, "breadth": 100, "most": 1000,
        "newer": "0", "running": [], "verb": "append", "request": "key", "answer": "{}", "age": dt.timedelta(),
    }  # fmt: skip
    special: dict[str, dict[str, Any]] = {
        **fact_parameters(keys.facts, keys.space, keys.thread, keys.empty, zero),
        **forming_parameters(keys.messages[:1], keys.empty),
        **checkpoint_parameters(tenant, keys.thread),
        **graph_parameters(keys.graph, keys.thread),
        **item_parameters(keys.item, keys.space, zero, keys.facts.derived),
        **_copy_parameters(now),
        "clone_thread": {"until": 100, "key": keys.empty},
        "create_thread": {"thread": "fresh"},
        "claim_request": {"request": "fresh"},
        "post": {"posted_to": 4},
        "note_language": {"language": "german"},
        "switch_language": {"language": "german"},
        "old_terms": {"language": "german"},
        "old_fact_terms": {"language": "german"},
        "put_terms": {"keys": keys.messages[:1], "terms": ["nuss"], "signals": ["1 @german"]},
        "post_terms": {"keys": keys.messages[:1]},
        "hold_owners_with": {"keys": [keys.facts.key]},
        "post_fact_terms": {"keys": [keys.facts.key]},
        "put_fact_terms": {"keys": [keys.facts.key], "terms": ["nuss"], "signals": ["1 @german"]},
        "within": {"thread": None},
        "candidates": {"terms": ["nut"]},
        "term_frequencies": {"terms": ["nut"]},
        "activate_first": {"space": keys.other_space},
        "switch_on": {"space": keys.other_space},
        "switch_threads": {"space": keys.other_space},
        "drop_other_spaces": {"space": keys.other_space},
        "due_messages": {"space": keys.other_space},
        "missing_vectors": {"space": keys.other_space},
        "forget_requests": {"key": None},
        "list_by_updated_ascending": {"key": None},
    }
    asked = set(re.findall(r"%\((\w+)\)s", statement(name, NAMES, ADA).decode()))
    return {word: value for word, value in {**given, **special.get(name, {})}.items() if word in asked}


def _copy_parameters(now: dt.datetime) -> dict[str, dict[str, Any]]:
    row = {"n": 9, "id": "carried", "body": "{}", "digest": "07", "terms": "nut", "actor": "user", "again": False}
    batch = json.dumps([{**row, "created_at": now.isoformat(), "recorded_at": now.isoformat()}])
    thread = {"key": uuid4(), "thread": "carried", "last_seq": 9, "source": None, "source_seq": None, "formed_to": 0}
    times = {"updated_at": now, "due_at": now, "policy": "{}", "retention": None}
    views = {"users": ["ada"], "agents": [""], "runs": [""], "across_users": [False]}
    return {
        "copy_threads": {"key": UUID(int=0)},
        "keep_thread": {**thread, **times},
        "keep_messages": {"batch": batch},
        "keep_rejections": {**views, "hashes": [b"carried"], "ats": [now], "reasons": ['""']},
        "set_secret": {"value": b"secret" * 4},
    }


def run(connection: psycopg.Connection[Any], name: str, tenant: str, keys: Keys) -> list[tuple[Any, ...]]:
    """Run a statement (and what comes before it in its plan) and give its rows, or how many it changed.

    Of loadings the first three cells are left out: transaction, server and clock; of others that begin with a clock, it.
    """
    for before in PRELUDES.get(name, ()):
        _Cursor(connection).execute(*numbered((statement(before, NAMES, ADA), parameters(before, tenant, keys))))
    step = statement(name, NAMES, ADA), parameters(name, tenant, keys)
    cursor = _Cursor(connection).execute(*numbered(step))
    rows = cursor.fetchall() if cursor.description else [(cursor.rowcount,)]
    if name in ("rejected", "graph_instant", "stamp"):
        return [row[1:] for row in rows]
    return [row[3:] for row in rows] if name.startswith("load_") else rows


def explain(
    connection: psycopg.Connection[Any], name: str, values: Mapping[str, Any], scope: Scope = ADA, options: str = ""
) -> dict[str, Any]:
    """Give the plan of a statement for these values."""
    text = f"explain (verbose, format json{options}) ".encode() + statement(name, NAMES, scope)
    connection.execute("set local plan_cache_mode = force_custom_plan")
    ((plan,),) = _Cursor(connection).execute(*numbered((text, values))).fetchall()
    return json.loads(plan)[0]["Plan"]  # type: ignore[no-any-return]  # parsed JSON


def explain_generic(connection: psycopg.Connection[Any], name: str, scope: Scope = ADA) -> dict[str, Any]:
    """Give the plan that a prepared statement settles on, which knows no values."""
    order: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in order:
            order.append(found[1])
        return f"${order.index(found[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", number, statement(name, NAMES, scope).decode())
    ((plan,),) = connection.execute(f"explain (generic_plan, verbose, format json) {text}").fetchall()
    return plan[0]["Plan"]  # type: ignore[no-any-return]  # parsed JSON


def nodes(
    plan: dict[str, Any], above: tuple[dict[str, Any], ...] = ()
) -> Iterator[tuple[dict[str, Any], tuple[dict[str, Any], ...]]]:
    """Go through a plan, each node with those above it."""
    yield plan, above
    for child in plan.get("Plans", []):
        yield from nodes(child, (*above, plan))


def scans(plan: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[dict[str, Any], ...]]]:
    """Give the nodes that read a table of ours, each with those above it."""
    for node, above in nodes(plan):
        if node.get("Schema") == NAMES.schema and node["Node Type"] != "ModifyTable":
            yield node, above


def is_gated(node: dict[str, Any], above: tuple[dict[str, Any], ...]) -> bool:
    """Tell whether a node is only reached after a sub-select that no row feeds was looked at."""
    return any("InitPlan" in step.get("One-Time Filter", "") for step in (node, *above))
