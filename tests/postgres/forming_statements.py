"""Rows in the tables of formation, and parameters for the statements on them."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

import psycopg

from keepwell.models import Owner
from keepwell.storage.base import Record
from keepwell.storage.facts import ClaimThread, DueItem, FinishDue, ModelCall, PutDue, ReadSecret

ADA = Owner("ada", "", "")
ITEM = {"kinds": ["distil"], "users": ["ada"], "agents": [""], "runs": [""], "items": [""]}


def furnish_forming(record: Record, admin: psycopg.Connection[Any], tenant: str, thread: UUID) -> None:
    """Give a tenant an owner who was leased, due work, model calls, lags, and messages that are marked."""
    claimed = record.write(ClaimThread(dt.timedelta(), thread=thread, early=True))
    assert claimed is not None
    distil, retain = DueItem("distil", ADA), DueItem("retain", ADA)
    record.write(PutDue((distil, retain)))
    record.write(FinishDue((retain,), "failed", calls=(ModelCall("model", "extract", 10, 5, 0.5),)))
    record.read(ReadSecret())
    for mark in ("parked = 'why', parked_at = now()", "form_again = true"):
        admin.execute(
            f"update keepwell.message set {mark} where thread = %s and seq = ("
            " select min(seq) from keepwell.message where thread = %s and parked is null)",
            [thread, thread],
        )
    admin.execute("insert into keepwell.lag (tenant, seconds) values (%s, '{1,2}')", [tenant])


def forming_parameters(keys: list[int], empty: UUID) -> dict[str, dict[str, Any]]:
    """Give what the statements of formation need beside what all do, by statement."""
    now = dt.datetime.now(dt.UTC)
    minute = dt.timedelta(minutes=1)
    calls = {"models": ["m"], "purposes": ["p"], "inputs": [1], "outputs": [2], "seconds": [0.5], "oks": [True]}
    lease = {"lease": 1, "finish": True, "formed_to": None}
    taken = {"early": True, "lease": minute}
    failed = {"error": "why", "retry": minute, "messages": keys}
    return {
        "append": {"oldest": now, "pause": 1.0, "every": 20, "formed": 0, "actor": "user", "signals": ""},
        "append_one": {"pause": 1.0, "every": 20, "formed": 0, "actor": "user", "signals": ""},
        "replace": {"digest": "07" * 16, "actor": "user", "signals": "", "again": True},
        "hold_claim": lease,
        "keep_lease": lease,
        "note_formed": {"formed_to": 0, "upto": 100, "since": now, "again": keys},
        "pass_watermark": {"upto": 100},
        "record_calls": calls,
        "put_due": {**ITEM, "kinds": ["reform"]},
        "finish_due": ITEM,
        "put_off_due": {**ITEM, "error": "why", "again": minute},
        "take_due": {"kinds": ["distil"], "lease": minute},
        "claimable": {**taken, "key": None},
        "claimable_thread": taken,
        "make_owner": {"user_id": "newcomer"},
        "claim": taken,
        "clear_due": {"key": empty},
        "find_forming": taken,
        "read_fresh": {"formed_to": 0},
        "read_again": {"formed_to": 100},
        "fail_forming": failed,
        "park": failed,
        "find_owners": {"user_id": ""},
        "expired_facts": {},
        "expired_threads": {"days": 0.0},
        "expired_messages": {"ages": [0.0]},
        "set_owner_policy": {"policy": '{"retention":1}', "retention": 1.0},
        "set_thread_policy": {"policy": '{"retention":1}', "retention": 1.0},
        "make_secret": {"value": b"secret"},
        "spent": {"since": now - dt.timedelta(days=1)},
        "spent_by": {"since": now - dt.timedelta(days=1)},
    }  # fmt: skip
