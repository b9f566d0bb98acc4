"""Reading memories of Mem0 as facts: rows of its table in PostgreSQL in, lines of our own export out.

A row has an id, a vector (which is not taken over: another model may be in use here) and a payload: the text under
``data``, whose it is under ``user_id``, ``agent_id`` and ``run_id``, when under ``created_at`` and ``updated_at``, and
whatever else was given with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from keepwell.errors import ImportFormatError, InvalidScope
from keepwell.importing.values import moment
from keepwell.models import Owner, Scope
from keepwell.models.message import utc

_OWN = frozenset({"data", "memory", "user_id", "agent_id", "run_id", "created_at", "updated_at"})
_SPACE = UUID("8b0a3c1e-6d2f-5d0b-9a57-1f0c2f9f5a4e")
"""From which ids of changes and batches are made, the same for the same row each time."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory as a fact: whose it is, its id and text, and its two lines of an export."""

    owner: Owner
    id: UUID
    text: str
    lines: tuple[dict[str, Any], ...]


def remembered(ident: object, payload: object, *, undated: dt.datetime, where: str) -> Remembered:
    """Give the fact of a row; ``undated`` is when it was recorded where the row does not say.

    Raises:
        ImportFormatError: it has no text, belongs to nobody, or its id or times are none.
    """
    if not isinstance(payload, Mapping):
        raise ImportFormatError(f"{where}: its payload is no object")
    text = next((payload[name] for name in ("data", "memory") if isinstance(payload.get(name), str)), "")
    if not text.strip():
        raise ImportFormatError(f"{where}: it has no text")
    owner, key = _owner(payload, where), _id(ident, where)
    began = _at(payload.get("created_at"), where)
    recorded = _at(payload.get("updated_at"), where) or began or undated
    others = {str(name): value for name, value in payload.items() if name not in _OWN and value is not None}
    fact = {
        "is": "fact",
        "owner": list(owner),
        "id": str(key),
        "version": 1,
        "text": text,
        "recorded_at": recorded.isoformat(),
        "trust": "assistant" if payload.get("role") == "assistant" else "user",
        "metadata": {**others, "imported_from": "mem0"},
        "sources": [],
        **({} if began is None else {"valid_from": began.isoformat()}),
    }
    change = {
        "is": "change",
        "owner": list(owner),
        "id": str(uuid5(_SPACE, f"change {key}")),
        "kind": "ADD",
        "fact": str(key),
        "before": None,
        "after": 1,
        "reason": "imported from Mem0",
        "at": recorded.isoformat(),
        "actor": "mem0",
        "batch": str(uuid5(_SPACE, f"batch {key}")),
        "cause": None,
        "sources": [],
    }
    return Remembered(owner, key, text, (fact, change))


def _owner(payload: Mapping[Any, Any], where: str) -> Owner:
    given = (payload.get("user_id"), payload.get("agent_id"), payload.get("run_id"))
    user, agent, run = (None if value in (None, "") else str(value) for value in given)
    try:
        return Scope(user, agent, run).owner
    except InvalidScope as error:
        raise ImportFormatError(f"{where}: {error}") from error


def _id(ident: object, where: str) -> UUID:
    try:
        return UUID(str(ident))
    except ValueError:
        raise ImportFormatError(f"{where}: its id {ident!r} is no UUID") from None


def _at(value: object, where: str) -> dt.datetime | None:
    found = moment(value, where)
    return None if found is None else utc(found)
