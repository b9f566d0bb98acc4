"""What carries a tenant to another store, or from one."""

from __future__ import annotations

from keepwell.models import codec
from keepwell.storage.copying import (
    KeepMessageCopies,
    KeepRejectionCopies,
    KeepSecret,
    KeepThreadCopy,
    MessageCopy,
    ReadMessageCopies,
    ReadRejectionCopies,
    ReadThreadCopies,
    RejectionCopy,
    ThreadCopy,
)
from keepwell.storage.facts import ReadSecret
from keepwell.storage.neo4j import nodes
from keepwell.storage.neo4j.gathering import Gathering
from keepwell.storage.neo4j.reading import read_secret
from keepwell.storage.neo4j.settling import EVERYONE, carried_out
from keepwell.storage.neo4j.work import Row, Work
from keepwell.storage.plain.copying import copy_of
from keepwell.storage.plain.copying import read_rejections as plain_rejections


def read_threads(work: Work, query: ReadThreadCopies) -> tuple[ThreadCopy, ...]:
    """Give threads in the order of their keys."""
    after = "" if query.after is None else str(query.after)
    rows = work.rows("copy_threads", after=after, limit=query.limit)
    return tuple(_thread(row["thread"]) for row in rows)


def _thread(node: Row) -> ThreadCopy:
    due_at = nodes.maybe(nodes.instant, node.get("due_at"))
    return ThreadCopy(nodes.thread_out(node), node["formed"], due_at, codec.loads(node["policy"]))


def read_messages(work: Work, query: ReadMessageCopies) -> tuple[MessageCopy, ...]:
    """Give a thread's messages in their order."""
    rows = work.rows("copy_messages", thread=str(query.thread), after=query.after, limit=query.limit)
    return tuple(copy_of(nodes.entry_out(row["message"], {})) for row in rows)


def read_rejections(work: Work, query: ReadRejectionCopies) -> tuple[RejectionCopy, ...]:
    """Give rejections, oldest first."""
    gathering = Gathering(work)
    gathering.refusals(work.of_scope("rejections_of_scope", EVERYONE))
    return plain_rejections(gathering.tables, query)


def keep_thread(work: Work, change: KeepThreadCopy) -> bool:
    """Keep a thread, or bring it up to date."""
    thread = change.copy.thread
    work.wait([thread.owner])
    gathering = Gathering(work)
    gathering.thread(thread.owner, thread.id)
    gathering.threads([str(thread.key)])
    return carried_out(gathering, change)


def keep_messages(work: Work, change: KeepMessageCopies) -> int:
    """Keep messages under their own numbers."""
    work.wait([change.owner])
    gathering = Gathering(work)
    gathering.threads([str(change.thread)])
    gathering.messages(str(change.thread), [row.message.id for row in change.rows])
    return carried_out(gathering, change)


def keep_secret(work: Work, change: KeepSecret) -> bool:
    """Take over a secret, where nothing was rejected under another one."""
    work.ledger()
    known = read_secret(work, ReadSecret())
    if known == change.secret:
        return True
    if work.of_scope("rejections_of_scope", EVERYONE):
        return False
    work.rows("set_secret", secret=change.secret)
    return True


def keep_rejections(work: Work, change: KeepRejectionCopies) -> int:
    """Keep rejections that are not there."""
    work.ledger()
    gathering = Gathering(work)
    gathering.refusals(work.of_scope("rejections_of_scope", EVERYONE))
    return carried_out(gathering, change)
