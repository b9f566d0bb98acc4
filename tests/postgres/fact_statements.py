"""Rows in the tables of facts, and parameters for the statements on them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

from keepwell.formation.settle import hashes
from keepwell.models import Change, Fact, Owner, Source
from keepwell.storage.base import Record
from keepwell.storage.postgres.facts import row_of, source_rows
from keepwell.storage.postgres.history import change_row
from keepwell.testing.conformance.facts_base import SECRET, add, apply, hashed, resting, update

ADA = Owner("ada", "", "")
NOW = dt.datetime(2024, 5, 17, tzinfo=dt.UTC)
BOB = {"to_user_id": "bob", "to_agent_id": "", "to_run_id": ""}


@dataclass(frozen=True, slots=True)
class FactKeys:
    """What statements name facts by: a fact in its second version, one formed from its first, a change, a message."""

    fact: UUID
    derived: UUID
    key: int
    message: int
    change: UUID
    number: int


def unknown_facts() -> FactKeys:
    """Give keys that nothing has."""
    return FactKeys(uuid4(), uuid4(), 2**60, 2**60, uuid4(), 2**60)


def furnish_facts(record: Record, admin: psycopg.Connection[Any], tenant: str, message: int, empty: UUID) -> FactKeys:
    """Give a tenant facts that rest on a message and on one another, their history, a rejection and due work."""
    first = apply(record, add("nuts are bad", key="nuts", subject="Ada", sources=resting(message)))[0].after
    assert first is not None
    derived = apply(record, add("no nut cake", sources=(Source(fact=first.id, version=1),)))[0].after
    assert derived is not None
    rejected = (*hashed("nuts are bad"), *hashes(SECRET, "nuts are awful", None))
    second = apply(record, update(first, "nuts are good", key="nuts", reject=rejected, sources=resting(message)))[0]
    assert second.after is not None
    said = apply(record, add("nuts are awful", sources=resting(message)))[0]
    assert said.kind == "NONE"
    row = admin.execute(
        "select key from keepwell.fact where tenant = %s and id = %s and version = 2", [tenant, first.id]
    ).fetchone()
    number = admin.execute("select max(id) from keepwell.rejection where tenant = %s", [tenant]).fetchone()
    admin.execute("update keepwell.thread set due_at = now(), due_from = now() where key = %s", [empty])
    assert row is not None
    assert number is not None
    return FactKeys(first.id, derived.id, row[0], message, second.id, number[0])


def fact_parameters(keys: FactKeys, space: int, thread: UUID, empty: UUID, vector: Any) -> dict[str, dict[str, Any]]:
    """Give what the statements on facts need beside what all do, by statement."""
    new = Fact(uuid4(), 1, "nuts are everywhere", ADA, NOW)
    change = Change(uuid4(), "ADD", new.id, ADA, None, new, "", NOW, "tests", uuid4())
    page: dict[str, Any] = {
        "key": None, "versions": True, "as_of": None, "valid_at": None, "fact_key": None, "kind": None,
        "subject": None, "where": None,
    }  # fmt: skip
    span = {"actor": None, "since": None, "until": None}
    one: dict[str, Any] = {"facts": [keys.fact], "messages": [keys.message], "own": []}
    return {
        "hold_space": {"space": space},
        "rejected": {"hashes": list(hashed("nuts are bad"))},
        "standing": {"ids": [keys.fact], "keys": ["nuts"], "fingerprints": []},
        "hold_messages": one,
        "hold_versions": {"facts": [keys.fact], "versions": [2]},
        "end_facts": {"keys": [keys.key], "ends": [NOW]},
        "write_facts": {
            "facts": json.dumps([row_of(new, 0, "nut", "")]), "embedded": [0], "chunks": [0], "vectors": vector,
            "sources": json.dumps(source_rows(new.id, 1, resting(1))), "space": space,
        },
        "write_changes": {"changes": json.dumps([change_row(change, 0)])},
        "lift_in_the_way": {"hashes": list(hashed("nuts are bad"))},
        "reject": {"hashes": [b"new"], "changes": [None], "across": False},
        "dependents": one,
        "reopen": {"keys": [keys.key]},
        "list_facts": page,
        "list_facts_of": {
            **page, "ids": [keys.fact], "message": keys.message, "source_fact": None, "source_version": 0,
            "resting": True,
        },
        "fetch_facts": {"keys": [keys.key]},
        "load_facts": {"keys": [keys.key]},
        "facts_by_version": {"facts": [keys.fact], "versions": [2]},
        "raw_sources": one,
        "quoted": {"keys": [keys.message]},
        "message_keys": {"threads": [thread], "ids": ["m0"]},
        "unembedded_facts": {"ids": [keys.fact]},
        "history_newest": {**span, "at": dt.datetime(9999, 1, 1, tzinfo=dt.UTC), "number": 0},
        "history_oldest": {**span, "at": dt.datetime(1, 1, 2, tzinfo=dt.UTC), "number": 0},
        "history_of": {**span, "fact": keys.fact, "batch": None, "cause": None, "ids": None},
        "list_rejections": {"across": False},
        "lift_rejections": {"across": False, "ids": [keys.number]},
        "known_versions": {"ids": [keys.fact]},
        "known_changes": {"ids": [keys.change]},
        "hold_owners": {"thread": thread, "fact": keys.fact},
        "hold_threads_of": one,
        "facts_resting": {**one, "facts": []},
        "form_again": one,
        "delete_messages": {"keys": None},
        "delete_changes": one,
        "delete_facts": one,
        "settle_due": {"threads": [empty]},
        "forget_owners": {"across": False},
        "remains": {"across": False, "thread": None, "message": None, "fact": None},
        "sources_of": one,
        "held_elsewhere": {**one, "to_user_id": "ada"},
        "move_facts": {**one, **BOB},
        "lose_sources": {"messages": [keys.message], "facts": []},
    }  # fmt: skip
