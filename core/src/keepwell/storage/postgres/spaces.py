"""Plans for spaces and their vectors."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from keepwell.errors import Conflict, NotFound
from keepwell.models.codec import loads
from keepwell.models.message import now
from keepwell.storage import base
from keepwell.storage.postgres.nearest import NOTED_EVERY, note_large
from keepwell.storage.postgres.rows import message_of
from keepwell.storage.postgres.runner import FloatArray, Plan
from keepwell.storage.postgres.walls import Walls

_DUE_THREADS = 200


def active(walls: Walls, query: base.ActiveSpace) -> Plan[base.Space | None]:  # noqa: ARG001 - it has no fields
    """Give the space in use."""
    rows = yield walls.step("active_space")
    return base.Space(*rows[0]) if rows else None


def open_space(walls: Walls, change: base.OpenSpace) -> Plan[base.Space]:
    """Make or find a space; the first one is brought into use."""
    ((key, model, dimension, is_active),) = yield walls.step(
        "open_space", model=change.model, dimension=change.dimension
    )
    if not is_active:
        yield walls.step("hold_spaces")
        yield walls.step("activate_first", space=key)
    return base.Space(key, model, dimension)


def put(walls: Walls, change: base.PutVectors) -> Plan[bool]:
    """Keep vectors, and move the marks of their threads.

    Owners and threads are held first: what moves or removes them meanwhile would leave these vectors behind, with
    whom they no longer belong to.
    """
    rows, done = change.rows, change.done
    facts = [-row.message for row in rows if row.message < 0]
    if facts:
        yield walls.step("hold_owners_with", keys=facts)
    if messages := [row.message for row in rows if row.message > 0]:
        yield walls.step("hold_threads_with", keys=messages)
    active = yield walls.step(
        "put_vectors",
        space=change.space,
        messages=[row.message for row in rows],
        chunks=[row.chunk for row in rows],
        versions=[row.version for row in rows],
        vectors=FloatArray(np.concatenate([row.vector for row in rows]) if rows else np.empty(0)),
        threads=list(done),
        firsts=[first for first, _ in done.values()],
        lasts=[last for _, last in done.values()],
    )
    passed = [key for key, (first, last) in done.items() if first // NOTED_EVERY != (last + 1) // NOTED_EVERY]
    yield from note_large(walls, passed, [key for key in facts if key % NOTED_EVERY == 0])
    return bool(active)


def due(walls: Walls, query: base.FindDue) -> Plan[base.DueBatch]:
    """Give texts that lack vectors, thread by thread."""
    threads = yield walls.step("due_threads", space=query.space, limit=_DUE_THREADS)
    texts: list[base.DueText] = []
    spans: dict[UUID, tuple[int, int]] = {}
    for key, after, last_seq in threads:
        room = query.limit - len(texts)
        if room <= 0:
            break
        rows = yield walls.step("due_messages", space=query.space, key=key, after=after, limit=room)
        # Where all were read the span reaches the thread's end, though its last messages may be deleted.
        last = rows[-1][1] if len(rows) == room else max([last_seq, *(row[1] for row in rows[-1:])])
        spans[key] = (after + 1, last)
        texts += [base.DueText(row[0], key, row[1], _text(row[2]), row[3]) for row in rows if not row[4]]
    return base.DueBatch(tuple(texts), spans)


def missing(walls: Walls, query: base.FindMissing) -> Plan[tuple[base.DueText, ...]]:
    """Give messages, and after them standing facts, that lack a vector in a space."""
    found: list[base.DueText] = []
    if query.after >= 0:
        rows = yield walls.step("missing_vectors", space=query.space, after=query.after, limit=query.limit)
        found = [base.DueText(key, thread, seq, _text(body), version) for key, thread, seq, body, version in rows]
    room = query.limit - len(found)
    if room > 0:
        after = max(0, -query.after)
        rows = yield walls.step("missing_fact_vectors", space=query.space, after=after, limit=room)
        found += [base.DueText(-key, ident, 0, loads(body)["text"], version) for key, ident, body, version in rows]
    return tuple(found)


def switch(walls: Walls, change: base.SwitchSpace) -> Plan[None]:
    """Bring a complete space into use.

    The marks of all threads are set first: that holds their rows, so that a message appended after this
    statement is past its thread's mark, and one appended before is seen by the look for missing vectors.
    """
    yield walls.step("hold_spaces")
    yield walls.step("switch_off")
    if not (yield walls.step("switch_on", space=change.space)):
        raise NotFound("there is no such space")
    yield walls.step("switch_entities", space=change.space)
    yield walls.step("switch_threads", space=change.space)
    if (yield from missing(walls, base.FindMissing(change.space, 0, 1))):
        raise Conflict(
            "the new space lacks vectors of messages or facts that came meanwhile; embed them and switch again"
        )
    yield walls.step("drop_other_spaces", space=change.space)


def _text(body: str) -> str:
    return message_of((0, "", body, None, now())).text
