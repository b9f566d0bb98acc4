"""Plans that put messages into a thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

from keepwell.errors import IdempotencyConflict, MessageNotFound
from keepwell.models import Message
from keepwell.models.message import trusted
from keepwell.storage.base import Appended, AppendMessages, Forming, PostTerms, ReplaceMessage, Write
from keepwell.storage.postgres.nearest import note_large
from keepwell.storage.postgres.rows import Draft, draft, message_of
from keepwell.storage.postgres.runner import Plan, Step
from keepwell.storage.postgres.walls import Walls

MAX_BATCH_CHARACTERS = 16_000_000
"""One statement carries at most about this much; a longer append takes several in one transaction."""


def is_plain(change: Write[Any]) -> bool:
    """Tell whether a change is an append that one statement can carry out."""
    return isinstance(change, AppendMessages) and change.idempotency_key is None and len(change.messages) > 0


def append_plainly(walls: Walls, change: AppendMessages) -> Plan[Appended]:
    """Append in one statement; a message id that is there already is a unique violation."""
    drafts = _drafts(change)
    step = _append_one if len(drafts) == 1 else _append_step
    rows = yield step(walls, change, drafts)
    return _appended(rows, drafts)


def append(walls: Walls, change: AppendMessages) -> Plan[Appended]:
    """Append where ids may be there already, or under an idempotency key: look under the thread's lock first."""
    if change.idempotency_key is None:
        return (yield from _append_known(walls, change))
    digest = _request_digest(change)
    request = {"verb": "append", "request": change.idempotency_key}
    if (yield walls.step("claim_request", change.owner, digest=digest, **request)):
        done = yield from _append_known(walls, change)
        answer = {"thread": str(done.thread), "ids": [message.id for message in done.messages]}
        yield walls.step("answer_request", change.owner, answer=json.dumps(answer), **request)
        return done
    ((earlier, answered),) = yield walls.step("read_request", change.owner, **request)
    if bytes(earlier) != digest:
        raise IdempotencyConflict(
            f"the idempotency key {change.idempotency_key!r} was used for another append; use a new key"
        )
    answer = json.loads(answered)
    rows = yield walls.step("read_by_ids", change.owner, key=UUID(answer["thread"]), ids=answer["ids"])
    return Appended(UUID(answer["thread"]), tuple(map(message_of, rows)), {})


def replace(walls: Walls, change: ReplaceMessage) -> Plan[Appended]:
    """Replace one message in its place, and keep its old version."""
    rows = yield walls.step("hold_thread", change.owner, thread=change.thread)
    known = {}
    if rows:
        known = yield from _known(walls, rows[0][1], [change.message.id])
    if change.message.id not in known:
        raise MessageNotFound(f"thread {change.thread!r} has no message {change.message.id!r}")
    new = draft(change.message, change.terms, change.signals)
    seq, key, digest = known[new.message.id]
    if digest == new.digest:
        return Appended(rows[0][1], (_placed(new.message, seq),), {})
    version = yield from _rewrite(walls, key, new, again=change.forming.pause is not None)
    return Appended(rows[0][1], (_placed(new.message, seq),), {key: _placed(new.message, seq)}, version)


def _append_known(walls: Walls, change: AppendMessages) -> Plan[Appended]:
    ((thread,),) = yield walls.step("lock_thread", change.owner, thread=change.thread)
    drafts = _last_of_each_id(_drafts(change))
    known = yield from _known(walls, thread, [new.message.id for new in drafts])
    written: dict[int, Message] = {}
    version = ""
    places: dict[str, int] = {ident: seq for ident, (seq, _, _) in known.items()}
    for new in drafts:
        if new.message.id in known and known[new.message.id][2] != new.digest:
            seq, key, _ = known[new.message.id]
            version = yield from _rewrite(walls, key, new, again=change.forming.pause is not None)
            written[key] = _placed(new.message, seq)
    fresh = [new for new in drafts if new.message.id not in known]
    for batch in _batches(fresh):
        rows = yield _append_step(walls, change, batch)
        done = _appended(rows, batch)
        version = done.version
        written.update(done.written)
        places.update((message.id, message.seq) for message in done.messages if message.seq is not None)
    return Appended(thread, tuple(_placed(m, places[m.id]) for m in change.messages), written, version)


def _known(walls: Walls, thread: UUID, ids: Sequence[str]) -> Plan[dict[str, tuple[int, int, str]]]:
    rows = yield walls.step("known_ids", key=thread, ids=list(ids))
    return {ident: (seq, key, bytes(digest).hex()) for ident, seq, key, digest in rows}


def _rewrite(walls: Walls, key: int, new: Draft, *, again: bool) -> Plan[str]:
    """Write a message anew, and give the version of this write."""
    yield walls.step("keep_version", message=key)
    ((version,),) = yield walls.step(
        "replace",
        message=key,
        body=new.body,
        native=new.native,
        labels=new.labels,
        digest=new.digest,
        terms=new.terms,
        actor=new.actor,
        signals=new.signals,
        created_at=new.message.created_at,
        length=new.length,
        again=again,
    )
    return str(version)


def _append_step(walls: Walls, change: AppendMessages, drafts: Sequence[Draft]) -> Step:
    batch = f"[{','.join([new.row(n) for n, new in enumerate(drafts, start=1)])}]"
    length = sum(new.length for new in drafts)
    return walls.step(
        "append",
        change.owner,
        thread=change.thread,
        batch=batch,
        count=len(drafts),
        length=length,
        oldest=min(new.message.created_at for new in drafts),
        **_forming(change.forming, len(drafts)),
    )


def _append_one(walls: Walls, change: AppendMessages, drafts: Sequence[Draft]) -> Step:
    (new,) = drafts
    return walls.step(
        "append_one",
        change.owner,
        thread=change.thread,
        id=new.message.id,
        body=new.body,
        native=new.native,
        labels=new.labels,
        digest=bytes.fromhex(new.digest),
        terms=new.terms,
        actor=new.actor,
        signals=new.signals,
        created_at=new.message.created_at,
        length=new.length,
        **_forming(change.forming, 1),
    )


def _forming(forming: Forming, count: int) -> dict[str, float | int | None]:
    """Give when that many messages of a new thread are due; of one that is there the statement knows."""
    if forming.pause is None:
        return {"pause": None, "every": 0}
    return {"pause": 0.0 if count >= forming.every else forming.pause, "every": forming.every}


def post(walls: Walls, change: PostTerms) -> Plan[int]:
    """Write the postings of one thread, or of some that wait for it, each under its lock; count the threads."""
    threads: list[UUID] = [] if change.thread is None else [change.thread]
    if change.thread is None:
        threads = [key for (key,) in (yield walls.step("unposted_threads", limit=change.limit))]
    for key in threads:
        held = yield walls.step("hold_by_key", key=key)
        if held and held[0][0] < held[0][1]:
            yield walls.step("post", key=key, posted_to=held[0][0])
    yield from note_large(walls, threads)
    return len(threads)


def _appended(rows: Sequence[tuple[Any, ...]], drafts: Sequence[Draft]) -> Appended:
    messages = tuple(_placed(new.message, row[1]) for new, row in zip(drafts, rows, strict=True))
    written = {row[2]: message for row, message in zip(rows, messages, strict=True)}
    return Appended(rows[0][0], messages, written, rows[0][3])


def _placed(message: Message, seq: int) -> Message:
    return trusted(Message, {**message.__dict__, "seq": seq})


def _drafts(change: AppendMessages) -> list[Draft]:
    if not change.signals:
        return [draft(message, terms) for message, terms in zip(change.messages, change.terms, strict=True)]
    rows = zip(change.messages, change.terms, change.signals, strict=True)
    return [draft(message, terms, signals) for message, terms, signals in rows]


def _last_of_each_id(drafts: Sequence[Draft]) -> list[Draft]:
    """Keep one draft an id, the last, at the place of the first."""
    return list({new.message.id: new for new in drafts}.values())


def _batches(drafts: Sequence[Draft]) -> list[list[Draft]]:
    batches: list[list[Draft]] = []
    room = 0
    for new in drafts:
        size = len(new.body) + len(new.native or "") + len(new.terms)
        if not batches or size > room:
            batches.append([])
            room = MAX_BATCH_CHARACTERS
        batches[-1].append(new)
        room -= size
    return batches


def _request_digest(change: AppendMessages) -> bytes:
    digest = blake2b(change.thread.encode(), digest_size=16)
    for new in _drafts(change):
        digest.update(bytes.fromhex(new.digest))
    return digest.digest()
