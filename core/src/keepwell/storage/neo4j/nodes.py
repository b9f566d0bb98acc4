"""What is kept as the properties of nodes, and the way back: one pair of functions a kind.

Times are microseconds since 1970 UTC, because a driver's time is slow to make and Neo4j orders numbers as well; ids
are text; hashes are hexadecimal. What nobody searches for is the same JSON text that the other stores keep.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from keepwell.models import Change, Fact, Lineage, Message, Owner, Scope, Source, Thread, codec
from keepwell.storage.plain.facts import Event, Kept, Refusal, Version, in_order
from keepwell.storage.plain.tables import Conversation, Entry, Row

V = TypeVar("V")
Properties = dict[str, Any]
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND: Final = dt.timedelta(microseconds=1)
DAY: Final = 86_400_000_000
"""So many microseconds has a day."""
SEEN: Final = frozenset({-1})
"""That a message was looked at for the space in use; which one that is, only the tenant says."""
NOT_LOADED: Final[NDArray[np.float32]] = np.empty(0, np.float32)
"""Stands for a vector that is there and was not read."""
_ESCAPED: Final = "\x00"


def micros(at: dt.datetime) -> int:
    """Give an instant as a number."""
    return (at - EPOCH) // MICROSECOND


def instant(number: int) -> dt.datetime:
    """Give the instant of a number."""
    return EPOCH + dt.timedelta(microseconds=number)


def maybe(way: Callable[[Any], V], value: Any) -> V | None:  # noqa: ANN401 - whatever the way takes
    """Give a value by a way, None as None."""
    return None if value is None else way(value)


def text_in(text: str) -> str:
    """Give text as Neo4j can keep it: lone surrogates cannot be sent, so such text goes as JSON behind a mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _ESCAPED + json.dumps(text)
    return _ESCAPED + json.dumps(text) if text.startswith(_ESCAPED) else text


def text_out(kept: str) -> str:
    """Give text as it was."""
    return str(json.loads(kept[1:])) if kept.startswith(_ESCAPED) else kept


def owned(tenant: str, owner: Owner) -> Properties:
    """Give what every node says: whose it is."""
    return {"tenant": tenant, "user_id": owner.user_id, "agent_id": owner.agent_id, "run_id": owner.run_id}


def owner_of(node: Properties) -> Owner:
    """Give the owner of a node."""
    return Owner(node["user_id"], node["agent_id"], node["run_id"])


# --- conversations


def thread_in(tenant: str, talk: Conversation) -> Properties:
    """Give the properties of a thread."""
    thread = talk.thread
    return {
        **owned(tenant, thread.owner),
        "id": thread.id,
        "key": str(thread.key),
        "title": maybe(text_in, thread.title),
        "metadata": codec.dumps(dict(thread.metadata)),
        "created_at": micros(thread.created_at),
        "updated_at": micros(thread.updated_at),
        "last_seq": thread.last_seq,
        "message_count": thread.message_count,
        "source_thread": None if thread.source is None else str(thread.source.thread),
        "source_seq": None if thread.source is None else thread.source.seq,
        "posted": talk.posted,
        "unposted": True if talk.posted < thread.last_seq else None,
        "due_at": maybe(micros, talk.due_at),
        "formed": talk.formed,
        "attempts": talk.attempts,
        "error": maybe(text_in, talk.error),
        "policy": codec.dumps(dict(talk.policy)),
        "retention": retention(talk.policy),
    }


def retention(policy: Mapping[str, Any]) -> float | None:
    """Give the days of a policy, where it has any."""
    return maybe(float, policy.get("retention"))


def thread_out(node: Properties) -> Thread:
    """Give the thread of a node."""
    source = node.get("source_thread")
    return Thread(
        node["id"],
        UUID(node["key"]),
        owner_of(node),
        maybe(text_out, node.get("title")),
        codec.loads(node["metadata"]),
        instant(node["created_at"]),
        instant(node["updated_at"]),
        node["last_seq"],
        node["message_count"],
        None if source is None else Lineage(UUID(source), node["source_seq"]),
    )


def talk_out(node: Properties, entries: Mapping[str, Entry]) -> Conversation:
    """Give a thread with those of its messages that were read."""
    return Conversation(
        thread_out(node),
        entries,
        node["posted"],
        maybe(instant, node.get("due_at")),
        node["formed"],
        node["attempts"],
        maybe(text_out, node.get("error")),
        codec.loads(node["policy"]),
    )


def message_in(tenant: str, talk: Conversation, entry: Entry, rev: int) -> Properties:
    """Give the properties of a message."""
    row = entry.row
    return {
        **owned(tenant, talk.thread.owner),
        "thread": str(talk.thread.key),
        "key": row.key,
        "seq": row.seq,
        "id": row.id,
        "body": row.body,
        "content": row.content,
        "terms": text_in(row.terms),
        "length": len(row.words),
        "labels": json.dumps(row.labels) if row.labels else None,
        "created_at": micros(row.created),
        "recorded_at": micros(row.recorded),
        "actor": text_in(row.actor),
        "signals": text_in(row.signals),
        "versions": list(row.versions) or None,
        "rev": rev,
        **notes_in(entry),
    }


def notes_in(entry: Entry) -> Properties:
    """Give what is noted on a message and no reader sees; absent where it says nothing, so that indexes stay small."""
    error, at = entry.parked or (None, None)
    return {
        "again": True if entry.again else None,
        "parked_error": maybe(text_in, error),
        "parked_at": maybe(micros, at),
        "waits": None if entry.seen else True,
        "found_after": entry.found_after,
        "formed_after": entry.formed_after,
    }


def entry_out(node: Properties, vectors: Mapping[tuple[int, int], NDArray[np.float32]]) -> Entry:
    """Give a message of a node; one that was read without what it says has none of it."""
    versions = node.get("versions")
    labels = node.get("labels")
    row = Row(
        node["key"],
        node["seq"],
        node["id"],
        node.get("body", ""),
        node["content"],
        text_out(node["terms"]),
        {} if labels is None else json.loads(labels),
        instant(node["created_at"]),
        instant(node["recorded_at"]),
        text_out(node["actor"]),
        text_out(node["signals"]),
        ("",) * versions if isinstance(versions, int) else tuple(versions or ()),
    )
    parked_at = node.get("parked_at")
    return Entry(
        row,
        vectors,
        frozenset() if node.get("waits") else SEEN,
        bool(node.get("again")),
        None if parked_at is None else (text_out(node["parked_error"]), instant(parked_at)),
        node.get("found_after"),
        node.get("formed_after"),
    )


def message_out(body: str) -> Message:
    """Give the message of its text."""
    message: Message = codec.loads(body)
    return message


def vector_in(tenant: str, owner: Owner, item: int, place: tuple[int, int], vector: NDArray[np.float32]) -> Properties:
    """Give the properties of a vector: its numbers as bytes, an eighth of what Neo4j would send as a list.

    ``loose`` says that it is in no vector index; what is written anew is in none again.
    """
    space, chunk = place
    data = np.ascontiguousarray(vector, "<f4").tobytes()
    return {**owned(tenant, owner), "item": item, "space": space, "chunk": chunk, "data": data, "loose": True}


# --- facts


_TIMES: Final = ("valid_from", "valid_to", "retired_at", "expires_at")


def fact_in(tenant: str, kept: Kept, rev: int) -> Properties:
    """Give the properties of a version of a fact."""
    fact, row = kept.fact, kept.row
    return {
        **owned(tenant, fact.owner),
        "id": str(fact.id),
        "version": fact.version,
        "number": row.number,
        "text": text_in(fact.text),
        "subject": text_in(fact.subject),
        "kind": text_in(fact.kind),
        "fact_key": fact.key,
        "recorded_at": micros(fact.recorded_at),
        **{name: maybe(micros, getattr(fact, name)) for name in _TIMES},
        "confidence": fact.confidence,
        "trust": fact.trust,
        "metadata": codec.dumps(dict(fact.metadata)),
        "reopened": True if fact.reopened else None,
        "stands": True if fact.stands else None,
        "terms": text_in(row.terms),
        "length": len(row.words),
        "signals": text_in(row.signals),
        "mark": row.mark.hex(),
        "rev": rev,
    }


def fact_out(node: Properties) -> Fact:
    """Give the fact of a node."""
    return Fact(
        UUID(node["id"]),
        node["version"],
        text_out(node["text"]),
        owner_of(node),
        instant(node["recorded_at"]),
        subject=text_out(node["subject"]),
        kind=text_out(node["kind"]),
        key=node.get("fact_key"),
        confidence=node["confidence"],
        trust=node["trust"],
        metadata=codec.loads(node["metadata"]),
        reopened=bool(node.get("reopened")),
        **{name: maybe(instant, node.get(name)) for name in _TIMES},
    )


def kept_out(node: Properties) -> Kept:
    """Give a version with what it rests on; of its vectors only that they are there."""
    row = Version(node["number"], fact_out(node), text_out(node["terms"]), text_out(node["signals"]))
    on = sorted(node["messages"], key=lambda one: one[3])
    messages = [Source(key, start, end) for key, start, end, _ in on]
    formed = sorted(node["facts"], key=lambda one: one[4])
    named = [Source(None, start, end, UUID(fact), version) for fact, version, start, end, _ in formed]
    vectors = dict.fromkeys(((space, chunk) for space, chunk in node["vectors"]), NOT_LOADED)
    return Kept(row, in_order([*messages, *named]), vectors)


def sources_in(sources: tuple[Source, ...]) -> str:
    """Give sources as text."""
    return json.dumps([[one.message, one.start, one.end, maybe(str, one.fact), one.version] for one in sources])


def sources_out(text: str) -> tuple[Source, ...]:
    """Give sources of their text."""
    named = json.loads(text)
    return tuple(
        Source(message, start, end, maybe(UUID, fact), version) for message, start, end, fact, version in named
    )


def event_in(tenant: str, event: Event) -> Properties:
    """Give the properties of a change."""
    return {
        **owned(tenant, event.owner),
        "number": event.number,
        "id": str(event.id),
        "kind": event.kind,
        "fact": str(event.fact),
        "before": event.before,
        "after": event.after,
        "reason": text_in(event.reason),
        "at": micros(event.at),
        "actor": text_in(event.actor),
        "batch": str(event.batch),
        "cause": maybe(str, event.cause),
        "sources": sources_in(event.sources),
    }


def event_out(node: Properties) -> Event:
    """Give the change of a node."""
    return Event(
        node["number"],
        UUID(node["id"]),
        node["kind"],
        UUID(node["fact"]),
        owner_of(node),
        node.get("before"),
        node.get("after"),
        text_out(node["reason"]),
        instant(node["at"]),
        text_out(node["actor"]),
        UUID(node["batch"]),
        maybe(UUID, node.get("cause")),
        sources_out(node["sources"]),
    )


def change_out(node: Properties, versions: Mapping[tuple[UUID, int], Kept]) -> Change:
    """Give a change with what its fact said before and after."""
    return event_out(node).view(versions)


def refusal_in(tenant: str, refusal: Refusal) -> Properties:
    """Give the properties of a rejection."""
    return {
        **owned(tenant, refusal.view.owner),
        "across_users": refusal.view.across_users,
        "number": refusal.id,
        "hash": refusal.hash.hex(),
        "at": micros(refusal.at),
        "reason": text_in(refusal.reason),
    }


def refusal_out(node: Properties) -> Refusal:
    """Give the rejection of a node."""
    user, agent, run = (value or None for value in owner_of(node))
    view = Scope(user, agent, run, node["across_users"])
    return Refusal(node["number"], view, bytes.fromhex(node["hash"]), instant(node["at"]), text_out(node["reason"]))
