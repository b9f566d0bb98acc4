"""Words to write promises about facts with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from keepwell.formation.settle import Draft, Edit, hashes
from keepwell.models import Change, Changes, Fact, Message, Owner, Scope, Source
from keepwell.storage.base import AppendMessages, Forming, Record
from keepwell.storage.facts import ApplyEdits, Claim, ClaimThread, ListFacts, ReadHistory, ReadUnformed, Unformed
from keepwell.testing.conformance.base import ADA, ADAS, append, terms_of

SECRET: Final = b"the secret of these tests"
"""What statements are hashed under here; a store never looks into a hash."""
COOK: Final = Owner("ada", "cook", "")
COOKS: Final = Scope("ada", "cook")
LEASE: Final = dt.timedelta(minutes=5)


def draft(text: str, **fields: Any) -> Draft:  # noqa: ANN401 - fields of Draft
    """Give a draft with its terms and hashes."""
    plain = {"terms": terms_of(Message.user(text)), "hashes": hashes(SECRET, text, fields.get("key"))}
    return Draft(text, **{**plain, **fields})


def add(text: str, *, reason: str = "", **fields: Any) -> Edit:  # noqa: ANN401 - fields of Draft
    """Give the edit that adds a statement."""
    return Edit("ADD", draft=draft(text, **fields), reason=reason)


def update(
    fact: Fact,
    text: str,
    *,
    version: int | None = None,
    reason: str = "",
    reject: tuple[bytes, ...] = (),
    **fields: Any,  # noqa: ANN401 - fields of Draft
) -> Edit:
    """Give the edit that has a fact say something else."""
    return Edit("UPDATE", fact.id, draft(text, **fields), version, reason, reject)


def retract(fact: Fact, *, version: int | None = None, reason: str = "", reject: tuple[bytes, ...] = ()) -> Edit:
    """Give the edit that ends a fact."""
    return Edit("DELETE", fact.id, version=version, reason=reason, reject=reject)


def restore(fact: Fact, *, version: int | None = None, **fields: Any) -> Edit:  # noqa: ANN401 - fields of Draft
    """Give the edit that has a fact say again what this version of it says."""
    said = {"key": fact.key, "kind": fact.kind, "subject": fact.subject, "trust": fact.trust, **fields}
    return Edit("RESTORE", fact.id, draft(fact.text, **said), version)


def hashed(text: str, key: str | None = None) -> tuple[bytes, ...]:
    """Give the hash under which a statement is rejected, whatever its key (or only under that key)."""
    return hashes(SECRET, text, key)[:1]


def view_of(owner: Owner) -> Scope:
    """Give the view that writes as an owner."""
    return Scope(owner.user_id or None, owner.agent_id or None, owner.run_id or None)


def apply(
    record: Record,
    *edits: Edit,
    owner: Owner = ADA,
    connection: Any = None,  # noqa: ANN401 - a driver's connection
    **fields: Any,  # noqa: ANN401 - fields of ApplyEdits
) -> Changes:
    """Apply edits of an owner, as that owner's view."""
    given = {"actor": "tests", "batch": uuid4(), "view": view_of(owner), **fields}
    change = ApplyEdits(owner, edits, **given)
    return record.write(change, connection) if connection is not None else record.write(change)


def remember(record: Record, text: str, *, owner: Owner = ADA, space: int | None = None, **fields: Any) -> Fact:  # noqa: ANN401 - fields of Draft
    """Add a statement, and give its fact."""
    return after(apply(record, add(text, **fields), owner=owner, space=space)[-1])


def after(change: Change) -> Fact:
    """Give what is after a change that leaves something."""
    assert change.after is not None, f"{change.kind} left nothing: {change.reason}"
    return change.after


def facts_of(record: Record, scope: Scope = ADAS, **asked: Any) -> list[Fact]:  # noqa: ANN401 - fields of ListFacts
    """Give the facts of a scope, newest first, a thousand at most."""
    page = record.read(ListFacts(scope, **{"limit": 1000, **asked}))
    return list(page)


def statements(record: Record, scope: Scope = ADAS, **asked: Any) -> set[str]:  # noqa: ANN401 - fields of ListFacts
    """Give what the facts of a scope say."""
    return {fact.text for fact in facts_of(record, scope, **asked)}


def fact_of(record: Record, ident: UUID, scope: Scope = ADAS) -> Fact:
    """Give a fact that must stand."""
    (fact,) = facts_of(record, scope, ids=(ident,))
    return fact


def history(record: Record, scope: Scope = ADAS, **asked: Any) -> list[Change]:  # noqa: ANN401 - fields of ReadHistory
    """Give the changes of a scope, oldest first, a thousand at most."""
    page = record.read(ReadHistory(scope, **{"limit": 1000, "oldest_first": True, **asked}))
    return list(page)


def kinds(changes: Sequence[Change]) -> list[str]:
    """Give what kind each change is of."""
    return [change.kind for change in changes]


def said(record: Record, *texts: str, thread: str = "t", owner: Owner = ADA) -> tuple[int, ...]:
    """Append a message for each text, whose id is the text; give their numbers in the store."""
    answer = append(record, *(Message.user(text, id=text) for text in texts), thread=thread, owner=owner)
    return tuple(sorted(answer.written, key=lambda key: answer.written[key].seq or 0))


def resting(*messages: int) -> tuple[Source, ...]:
    """Give the sources of a fact that rests on these messages."""
    return tuple(Source(message) for message in messages)


def formed_from(*facts: Fact) -> tuple[Source, ...]:
    """Give the sources of a fact that was formed from these facts."""
    return tuple(Source(fact=fact.id, version=fact.version) for fact in facts)


def tell(record: Record, *texts: str, thread: str = "t", owner: Owner = ADA, forming: Forming | None = None) -> UUID:
    """Append messages that are due to be formed at once; give the thread's key."""
    messages = tuple(Message.user(text, id=text) for text in texts)
    change = AppendMessages(
        owner, thread, messages, tuple(map(terms_of, messages)), forming=forming or Forming(pause=0.0)
    )
    return record.write(change).thread


def claim(record: Record, thread: UUID | None = None, *, lease: dt.timedelta = LEASE, early: bool = False) -> Claim:
    """Take a thread that must be due."""
    got = record.write(ClaimThread(lease, thread, early))
    assert got is not None, "there is nothing to claim"
    return got


def unformed(record: Record, taken: Claim, limit: int = 100, before: int = 6) -> Unformed:
    """Read what a claim is to form."""
    return record.read(ReadUnformed(taken, limit, before))


def words(read: Unformed) -> list[str]:
    """Give the texts that are to be formed."""
    return [message.text for _, message in read.messages]
