"""Writing a conversation from elsewhere into a thread: what is not there yet, in its order, and each message once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from langchain_core.messages import BaseMessage

from keepwell import Message, ScopedMemory, ScopedThread, codec, errors
from langchain_keepwell.importing.tally import Tally
from langchain_keepwell.messages import to_message

BATCH = 500
"""So many messages are committed at once."""
Target: TypeAlias = "ScopedMemory | Callable[[str], ScopedMemory]"
"""Whose the conversations are: one view for all, or what gives the view of each session."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message at its place at the source, or why it could not be read."""

    place: str
    message: BaseMessage | None
    at: dt.datetime | None = None
    trouble: str = ""


def thread_of(target: Target, session: str, prefix: str) -> ScopedThread:
    """Give the thread that a session becomes."""
    view = target(session) if callable(target) else target
    return view.thread(prefix + session)


def pour(thread: ScopedThread, entries: Iterable[Entry], tally: Tally) -> None:
    """Append what is not there yet, and look afterwards whether all is."""
    there = {message.id for message in thread.iterate()}
    tally.places += 1
    expected: list[str] = []
    wanted = _wanted(entries, tally, there, expected)
    while batch := tuple(islice(wanted, BATCH)):
        tally.new += len(batch)
        if not tally.dry_run:
            thread.append(*batch)
    if not tally.dry_run:
        found = {message.id for message in thread.iterate()}
        tally.missing += sum(ident not in found for ident in expected)


def _wanted(entries: Iterable[Entry], tally: Tally, there: set[str], expected: list[str]) -> Iterator[Message]:
    """Give the messages that are not there yet; ``expected`` takes the ids of all that should be in the end.

    What is there stays as it is, because it may have been edited since.
    """
    seen: dict[str, str] = {}
    for entry in entries:
        tally.found += 1
        message = _kept(entry, tally)
        if message is None:
            continue
        said = codec.dumps([message.role, message.text, None if message.native is None else message.native.data])
        if seen.get(message.id) == said:
            tally.repeated += 1
            continue
        if message.id in seen:  # another message under the same id: both were said
            message = message.model_copy(update={"id": entry.place})
        seen[message.id] = said
        expected.append(message.id)
        if message.id in there:
            tally.there += 1
        else:
            yield message


def _kept(entry: Entry, tally: Tally) -> Message | None:
    if entry.message is None:
        tally.break_(entry.place, entry.trouble)
        return None
    try:
        message = to_message(entry.message)
    except errors.InvalidMessage as error:
        tally.break_(entry.place, str(error))
        return None
    # Without an id of its own it is told again by its place, so that the next import finds it.
    named = {} if entry.message.id else {"id": entry.place}
    dated = {} if entry.at is None else {"created_at": entry.at}
    return message.model_copy(update={**named, **dated})
