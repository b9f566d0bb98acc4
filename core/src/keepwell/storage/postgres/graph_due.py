"""Plans that find texts which nobody has looked through for names."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from keepwell.models import Owner
from keepwell.models.graph import Mention
from keepwell.storage import graph as seam
from keepwell.storage.postgres.facts import FACT_WIDTH, fact_of
from keepwell.storage.postgres.graph_rows import mention_of
from keepwell.storage.postgres.rows import message_of
from keepwell.storage.postgres.runner import Plan, Rows
from keepwell.storage.postgres.walls import Walls


@dataclass(slots=True)
class _Found:
    """What is found of one owner."""

    texts: dict[int, seam.TextToSee] = field(default_factory=dict)
    done: dict[UUID, int] = field(default_factory=dict)
    facts: int | None = None


def find(walls: Walls, query: seam.FindUnmentioned) -> Plan[tuple[seam.Unmentioned, ...]]:
    """Give texts to look through: replaced messages, new ones, then facts."""
    found: dict[Owner, _Found] = defaultdict(_Found)
    rows = yield walls.step("replaced_messages", limit=query.limit)
    _take(found, rows)
    left = query.limit - len(rows)
    if left > 0:
        left -= yield from _messages(walls, found, left)
    if left > 0:
        yield from _facts(walls, found, left)
    known = yield from _known(walls, found)
    return tuple(
        seam.Unmentioned(owner, tuple(_with(text, known) for text in one.texts.values()), one.done, one.facts)
        for owner, one in found.items()
    )


def _messages(walls: Walls, found: dict[Owner, _Found], limit: int) -> Plan[int]:
    threads = yield walls.step("unseen_threads", limit=limit)
    if not threads:
        return 0
    place: dict[str, Any] = {"threads": [row[0] for row in threads], "seqs": [row[4] for row in threads]}
    rows = yield walls.step("unseen_messages", limit=limit, **place)
    by_thread: dict[UUID, Rows] = defaultdict(list)
    for row in rows:
        by_thread[row[0]].append(row)
    count = 0
    for key, user, agent, run, _, last in threads:
        if count >= limit:
            break
        mine = by_thread[key]
        taken = mine[: limit - count]
        _take(found, taken)
        # A number beyond the last message is one of a message that is gone.
        whole = len(taken) == len(mine) < limit
        found[Owner(user, agent, run)].done[key] = last if whole else taken[-1][4]
        count += len(taken)
    return count


def _take(found: dict[Owner, _Found], rows: Rows) -> None:
    for thread, key, actor, version, *said, user, agent, run in rows:
        message = message_of(tuple(said))
        found[Owner(user, agent, run)].texts[key] = seam.TextToSee(
            key, message.text, message.role, actor, message.created_at, version, thread, message.seq or 0,
            metadata=message.metadata,
        )  # fmt: skip


def _facts(walls: Walls, found: dict[Owner, _Found], limit: int) -> Plan[None]:
    for user, agent, run, after, last in (yield walls.step("unseen_owners", limit=limit)):
        if limit <= 0:
            return
        owner = Owner(user, agent, run)
        rows = yield walls.step("unseen_facts", owner, after=after, upto=last, limit=limit)
        for row in rows:
            fact = fact_of(row[:FACT_WIDTH])
            found[owner].texts[-row[0]] = seam.TextToSee(
                -row[0], fact.text, "fact", fact.subject, fact.at, fact=fact.id, fact_version=fact.version,
                metadata=fact.metadata,
            )  # fmt: skip
        found[owner].facts = rows[-1][0] if len(rows) == limit else last
        limit -= len(rows)


def _known(walls: Walls, found: dict[Owner, _Found]) -> Plan[list[Mention]]:
    texts = [text for one in found.values() for text in one.texts.values()]
    place: dict[str, Any] = {
        "messages": [text.key for text in texts if text.key > 0],
        "facts": [text.fact for text in texts if text.fact is not None],
    }
    return [mention_of(row) for row in (yield walls.step("known_mentions", **place))] if texts else []


def _with(text: seam.TextToSee, known: list[Mention]) -> seam.TextToSee:
    mine = tuple(one for one in known if _is_in(one, text))
    return replace(text, known=mine) if mine else text


def _is_in(one: Mention, text: seam.TextToSee) -> bool:
    if text.fact is None:
        return one.message == text.key
    return one.fact == text.fact and one.version == text.fact_version
