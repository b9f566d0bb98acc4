"""What a write has changed in its tables, written to the nodes.

Values in tables are replaced and never changed, so what is another object is another value, and only that is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from keepwell.models import Owner
from keepwell.storage.neo4j import nodes, work_nodes
from keepwell.storage.neo4j.work import Work, stripe_of
from keepwell.storage.plain.facts import Event, Kept
from keepwell.storage.plain.tables import Conversation, Entry, Tables, now


@dataclass(slots=True)
class _Things:
    """What is to be written of messages and facts, collected before anything is."""

    made: list[dict[str, Any]] = field(default_factory=list)
    anew: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    vectors: list[dict[str, Any]] = field(default_factory=list)
    gone: list[dict[str, Any]] = field(default_factory=list)


class Keeping:
    """Writes the difference between two states of tables."""

    def __init__(self, work: Work, before: Tables, after: Tables, call_names: Mapping[int, str] | None = None) -> None:
        """Bind them."""
        self._work = work
        self._tenant = work.tenant
        self._before = before
        self._after = after
        self._call_names = call_names or {}

    def write(self) -> None:
        """Write everything that differs."""
        self._threads()
        self._facts()
        self._changes()
        self._named(self._before.refusals, self._after.refusals, "rejections", nodes.refusal_in)
        self._requests()
        self._owners()
        self._due()
        self._calls()
        if self._after.written is not None and self._after.written != self._before.written:
            self._work.rows("written", written=nodes.micros(self._after.written))

    # Threads and messages

    def _threads(self) -> None:
        before = {talk.thread.key: talk for talk in self._before.threads.values()}
        after = {talk.thread.key: talk for talk in self._after.threads.values()}
        gone = [talk for key, talk in before.items() if key not in after]
        changed = [talk for key, talk in after.items() if talk is not before.get(key)]
        if not gone and not changed:
            return
        things = _Things()
        for talk in gone:
            self._drop(things, talk, talk.entries.values())
        self._work.each("drop_threads", "keys", [str(talk.thread.key) for talk in gone])
        rows = [nodes.thread_in(self._tenant, talk) for talk in changed]
        was = {str(key): nodes.thread_in(self._tenant, talk) for key, talk in before.items()}
        rows = [row for row in rows if row != was.get(row["key"])]
        self._work.each("keep_threads", "rows", rows)
        for talk in changed:
            self._messages(things, before.get(talk.thread.key), talk)
        self._write_messages(things)

    def _messages(self, things: _Things, old: Conversation | None, talk: Conversation) -> None:
        before: Mapping[str, Entry] = {} if old is None else old.entries
        if old is not None and old.thread.owner != talk.thread.owner:
            self._give(things, old, talk)
        self._drop(things, talk, (entry for ident, entry in before.items() if ident not in talk.entries))
        for ident, entry in talk.entries.items():
            there = before.get(ident)
            if entry is there:
                continue
            if there is None:
                things.made.append(nodes.message_in(self._tenant, talk, entry, self._work.rev))
            elif there.row.key != entry.row.key:
                self._drop(things, talk, [there])
                things.made.append(nodes.message_in(self._tenant, talk, entry, self._work.rev))
            elif there.row is not entry.row:
                things.anew.append(nodes.message_in(self._tenant, talk, entry, self._work.rev))
                things.bare.append(entry.row.key)  # whether the old words had vectors was not read
            elif notes := _noted(there, entry):
                things.notes.append({"key": entry.row.key, "notes": notes})
            self._vectors(things, talk.thread.owner, entry.row.key, there and there.vectors, entry.vectors)

    def _vectors(self, things: _Things, owner: Owner, item: int, old: Any, new: Any) -> None:  # noqa: ANN401 - vectors by place
        if old is new or (not old and not new):
            return
        if old and not set(old) <= set(new):
            things.bare.append(item)
        for place, vector in new.items():
            if not old or old.get(place) is not vector:
                row = nodes.vector_in(self._tenant, owner, item, place, vector)
                things.vectors.append({**row, "rev": self._work.rev})

    def _give(self, things: _Things, old: Conversation, talk: Conversation) -> None:
        """Let a thread's messages be another owner's; who saw them under the old one lets go of them."""
        to = talk.thread.owner._asdict()
        self._work.rows("give_thread", thread=str(talk.thread.key), to=to, rev=self._work.rev)
        self._gone(things, old.thread.owner, [entry.row.key for entry in old.in_order])

    def _drop(self, things: _Things, talk: Conversation, entries: Iterable[Entry]) -> None:
        keys = [entry.row.key for entry in entries]
        things.dropped += keys
        self._gone(things, talk.thread.owner, keys)

    def _gone(self, things: _Things, owner: Owner, keys: Iterable[int]) -> None:
        # Marks outlive what they are of, so they name nobody.
        mark = {"tenant": self._tenant, "stripe": stripe_of(owner.user_id), "at": nodes.micros(now())}
        things.gone += [{**mark, "key": key, "rev": self._work.rev} for key in keys]

    def _write_messages(self, things: _Things) -> None:
        each = self._work.each
        each("drop_vectors", "items", [*things.dropped, *things.bare])
        each("drop_messages", "keys", things.dropped)
        each("make_messages", "rows", things.made)
        each("keep_messages", "rows", things.anew)
        each("note_messages", "rows", things.notes)
        each("keep_message_vectors", "rows", things.vectors)
        each("keep_gone", "rows", things.gone)

    # Facts

    def _facts(self) -> None:
        before, after = self._before.facts, self._after.facts
        things = _Things()
        for name, kept in before.items():
            if name not in after:
                things.dropped.append(kept.row.number)
                self._gone(things, kept.fact.owner, [kept.row.key])
        linked: list[Kept] = []
        for name, kept in after.items():
            there = before.get(name)
            if kept is not there:
                self._fact(things, there, kept)
            if there is None or kept.sources != there.sources:
                linked.append(kept)
        self._write_facts(things)
        # What was given away or moved lies under its new owner before anything is linked with it.
        self._link(linked, before)

    def _fact(self, things: _Things, there: Kept | None, kept: Kept) -> None:
        row = nodes.fact_in(self._tenant, kept, self._work.rev)
        if there is None:
            things.made.append(row)
        elif there.row is not kept.row:
            things.anew.append(row)
            if there.fact.owner != kept.fact.owner:
                self._gone(things, there.fact.owner, [kept.row.key])
                things.notes.append({"item": kept.row.key, "owner": kept.fact.owner._asdict()})
        self._vectors(things, kept.fact.owner, kept.row.key, there and there.vectors, kept.vectors)

    def _write_facts(self, things: _Things) -> None:
        each = self._work.each
        each("drop_vectors", "items", [*(-number for number in things.dropped), *things.bare])
        each("drop_facts", "numbers", things.dropped)
        each("make_facts", "rows", things.made)
        each("keep_facts", "rows", things.anew)
        if things.notes:
            each("give_fact_vectors", "rows", things.notes, rev=self._work.rev)
        each("keep_fact_vectors", "rows", things.vectors)
        each("keep_gone", "rows", things.gone)

    def _link(self, linked: Iterable[Kept], before: Mapping[tuple[UUID, int], Kept]) -> None:
        linked = list(linked)
        known = {kept.row.number for kept in before.values()}
        self._work.each("unlink_facts", "numbers", [one.row.number for one in linked if one.row.number in known])
        spans = [
            (one.row.number, place, source, {"start": source.start, "end": source.end})
            for one in linked
            for place, source in enumerate(one.sources)
        ]
        messages = [
            {"number": number, "message": source.message, "place": place, **span}
            for number, place, source, span in spans
            if source.message is not None
        ]
        facts = [
            {"number": number, "fact": str(source.fact), "version": source.version, "place": place, **span}
            for number, place, source, span in spans
            if source.fact is not None
        ]
        self._work.each("link_messages", "rows", messages)
        self._work.each("link_facts", "rows", facts)

    def _changes(self) -> None:
        before, after = self._before.changes, self._after.changes
        self._work.each("drop_changes", "ids", [str(ident) for ident in before if ident not in after])
        made = [event for ident, event in after.items() if ident not in before]
        self._work.each("make_changes", "rows", [nodes.event_in(self._tenant, event) for event in made])
        self._name(made)
        given = [
            {"id": str(ident), "owner": event.owner._asdict()}
            for ident, event in after.items()
            if ident in before and event is not before[ident]
        ]
        self._work.each("give_changes", "rows", given)

    def _name(self, made: Iterable[Event]) -> None:
        named = [(str(event.id), source) for event in made for source in event.sources]
        messages = [
            {"change": ident, "message": source.message} for ident, source in named if source.message is not None
        ]
        facts = [
            {"change": ident, "fact": str(source.fact), "version": source.version}
            for ident, source in named
            if source.fact is not None
        ]
        self._work.each("name_messages", "rows", messages)
        self._work.each("name_facts", "rows", facts)

    # The rest

    def _named(
        self, before: Mapping[int, Any], after: Mapping[int, Any], what: str, way: Callable[[str, Any], dict[str, Any]]
    ) -> None:
        self._work.each(f"drop_{what}", "numbers", [number for number in before if number not in after])
        made = [way(self._tenant, one) for number, one in after.items() if number not in before]
        self._work.each(f"keep_{what}", "rows", made)

    def _requests(self) -> None:
        before, after = self._before.requests, self._after.requests
        gone = [work_nodes.request_in(self._tenant, name, one) for name, one in before.items() if name not in after]
        made = [work_nodes.request_in(self._tenant, name, one) for name, one in after.items() if name not in before]
        self._work.each("drop_requests", "rows", gone)
        self._work.each("keep_requests", "rows", made)

    def _owners(self) -> None:
        before, after = self._before.owners, self._after.owners
        self._work.each("drop_owners", "rows", [owner._asdict() for owner in before if owner not in after])
        made = [
            work_nodes.lease_in(self._tenant, owner, lease)
            for owner, lease in after.items()
            if lease is not before.get(owner)
        ]
        self._work.each("keep_owners", "rows", made)

    def _due(self) -> None:
        before, after = self._before.waiting, self._after.waiting
        gone = [work_nodes.due_name(one.item) for name, one in before.items() if name not in after]
        made = [work_nodes.waiting_in(self._tenant, one) for name, one in after.items() if one is not before.get(name)]
        self._work.each("drop_due", "rows", gone)
        self._work.each("keep_due", "rows", made)

    def _calls(self) -> None:
        before = {id(call) for call in self._before.calls}
        after = {id(call) for call in self._after.calls}
        gone = [self._call_names[one] for one in before - after if one in self._call_names]
        made = [work_nodes.call_in(self._tenant, call) for call in self._after.calls if id(call) not in before]
        self._work.each("drop_calls", "rows", gone)
        self._work.each("keep_calls", "rows", made)


def _noted(there: Entry, entry: Entry) -> dict[str, Any]:
    """Give the notes that differ; the others may be somebody else's meanwhile."""
    old = nodes.notes_in(there)
    return {name: value for name, value in nodes.notes_in(entry).items() if value != old[name]}
