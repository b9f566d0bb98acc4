"""Taking in what was exported, here or elsewhere: what is there already stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, assert_never
from uuid import UUID

from keepwell.errors import ImportFormatError, ThreadExists
from keepwell.formation.settle import hashes
from keepwell.importing.kept import (
    Kept,
    KeptChange,
    KeptFact,
    KeptPart,
    KeptPolicy,
    KeptSource,
    KeptThread,
    read_export,
)
from keepwell.memory.engine import Engine
from keepwell.memory.graph_carrying import graph_size
from keepwell.memory.graph_taking_in import GraphParts
from keepwell.memory.transfer import Transfer
from keepwell.models import Change, Fact, Message, Owner, Scope, Source
from keepwell.models.scope import check_id
from keepwell.recall.analysis import analysed
from keepwell.storage.base import AppendMessages, CreateThread, FindThread, Forming
from keepwell.storage.facts import MessageKeys, PutHistory, SetPolicy
from keepwell.storage.graph_copying import KeepSeen

_BATCH = 500


def take_in(engine: Engine, scope: Scope, file: str | Path | IO[str], *, form: bool) -> Transfer:
    """Write what an export holds into the record, and count what is new.

    Raises:
        ImportFormatError: it is no export, is cut off, or is of an owner that the scope does not cover.
    """
    importing = _Import(engine, scope, engine.habits.forming if form else Forming(pause=None))
    with _read(file) as (lines, name):
        for kept in read_export(lines, name):
            importing.take(kept)
    return importing.finish()


@dataclass(slots=True)
class _Import:
    """What is under way: the thread whose messages come, and facts and changes until all messages are in."""

    engine: Engine
    scope: Scope
    forming: Forming
    done: Transfer = field(default_factory=Transfer)
    thread: KeptThread | None = None
    messages: list[Message] = field(default_factory=list)
    facts: list[KeptFact] = field(default_factory=list)
    changes: list[KeptChange] = field(default_factory=list)
    graph: GraphParts = field(default_factory=GraphParts)

    def take(self, kept: Kept) -> None:
        match kept:
            case Message():
                self.messages.append(kept)
                if len(self.messages) == _BATCH:
                    self.flush()
            case KeptThread():
                self.flush()
                self.begin(kept)
            case KeptFact():
                self.check(kept.fact.owner)
                self.facts.append(kept)
            case KeptChange():
                self.check(kept.owner)
                self.changes.append(kept)
            case KeptPolicy():
                self.check(kept.owner)
                self.configure(kept)
            case KeptPart():
                self.check(self.graph.take(kept))
            case _:
                assert_never(kept)

    def finish(self) -> Transfer:
        """Write facts, history and graph, whose messages are all there now."""
        self.flush()
        named = [*(one.sources for one in self.facts), *(one.sources for one in self.changes), self.graph.sources]
        numbers = self.numbers(source for sources in named for source in sources)
        for owner in self.in_order():
            self.put(owner, numbers)
        if self.keeps_graph:
            self.done += self.graph.put(self.engine.record, self.scope, numbers)
        return self.done

    @property
    def keeps_graph(self) -> bool:
        """Whether this memory has a graph: with ``graph="none"`` nothing of one is written."""
        return self.engine.habits.formation.graph

    def in_order(self) -> list[Owner]:
        """Give the owners of facts, those whose facts others are formed from before these others."""
        owner_of = {one.fact.id: one.fact.owner for one in self.facts}
        below: dict[Owner, set[Owner]] = {owner: set() for owner in owner_of.values()}
        for one in self.facts:
            named = {owner_of[source.fact] for source in one.sources if source.fact in owner_of}
            below[one.fact.owner] |= named - {one.fact.owner}
        ordered: list[Owner] = []
        while below:
            free = [owner for owner, needs in below.items() if needs <= set(ordered)] or list(below)[:1]
            ordered += free
            below = {owner: needs for owner, needs in below.items() if owner not in free}
        return ordered

    def check(self, owner: Owner) -> None:
        if not self.scope.covers(owner):
            ids = ", ".join(repr(value) for value in owner if value)
            raise ImportFormatError(f"this export has rows of {ids}, which this view does not cover")

    def begin(self, kept: KeptThread) -> None:
        self.check(kept.owner)
        self.thread = kept
        try:
            self.engine.write(CreateThread(kept.owner, check_id(kept.id, "thread id"), kept.title, kept.metadata))
        except ThreadExists:
            return
        self.done += Transfer(threads=1)

    def flush(self) -> None:
        """Append what has come of a thread; what is there already stays."""
        if not self.messages:
            return
        if self.thread is None:
            raise ImportFormatError("this export has messages before the first thread")
        batch, self.messages = tuple(self.messages), []
        told = [analysed(message.text, self.engine.language) for message in batch]
        terms, marks = tuple(one.terms for one in told), tuple(one.signals for one in told)
        append = AppendMessages(self.thread.owner, self.thread.id, batch, terms, None, marks, self.forming)
        appended = self.engine.write(append)
        self.looked_through(appended.thread, batch)
        self.engine.after_append(appended)
        self.done += Transfer(messages=len(appended.written))

    def looked_through(self, key: UUID, batch: tuple[Message, ...]) -> None:
        """Say which of these messages need not be looked through for names: what was found in them comes along."""
        if self.thread is None or not self.keeps_graph:
            return
        ids = tuple(message.id for message in batch if (message.seq or 0) <= self.thread.seen_to)
        if ids and graph_size(self.engine.record, self.scope) is not None:
            self.engine.write(KeepSeen(self.thread.owner, {key: ids}))

    def configure(self, kept: KeptPolicy) -> None:
        there = self.engine.write(SetPolicy(kept.owner, {}))
        missing = {name: value for name, value in kept.policy.items() if name not in there}
        if missing:
            self.engine.write(SetPolicy(kept.owner, missing))

    def numbers(self, sources: Iterable[KeptSource]) -> dict[KeptSource, int]:
        """Give the numbers that this store has for messages that facts rest on."""
        threads: dict[tuple[Owner, str], UUID | None] = {}
        named: dict[KeptSource, tuple[UUID, str]] = {}
        for source in sources:
            if source.owner is None or source.message is None or not self.scope.covers(source.owner):
                continue
            place = source.owner, source.thread
            if place not in threads:
                known = self.engine.record.read(FindThread(*place))
                threads[place] = None if known is None else known.key
            if (key := threads[place]) is not None:
                named[source] = key, source.message
        found: dict[tuple[UUID, str], int] = {}
        rest = iter(dict.fromkeys(named.values()))
        while batch := tuple(islice(rest, _BATCH)):
            found.update(self.engine.record.read(MessageKeys(self.scope, tuple(batch))).items())
        return {source: found[name] for source, name in named.items() if name in found}

    def put(self, owner: Owner, numbers: dict[KeptSource, int]) -> None:
        secret = self.engine.secret()
        mine = [one for one in self.facts if one.fact.owner == owner]
        versions = {(one.fact.id, one.fact.version): one.fact for one in mine}
        said: dict[UUID, tuple[bytes, ...]] = {}
        for one in mine:
            said[one.fact.id] = said.get(one.fact.id, ()) + hashes(secret, one.fact.text, one.fact.key)
        told = [analysed(one.fact.text, self.engine.language) for one in mine]
        counts = self.engine.write(
            PutHistory(
                owner,
                tuple(one.fact for one in mine),
                tuple(one.terms for one in told),
                tuple(one.signals for one in told),
                tuple(_sources(one.sources, numbers) for one in mine),
                tuple(_change(one, versions, numbers) for one in self.changes if one.owner == owner),
                said,
            )
        )
        self.done += Transfer(
            facts=counts.get("facts", 0), changes=counts.get("changes", 0), rejected=counts.get("rejected", 0)
        )


def _sources(kept: Iterable[KeptSource], numbers: dict[KeptSource, int]) -> tuple[Source, ...]:
    """Give sources as this store has them; a message that is not here is none."""
    found = (
        Source(fact=one.fact, version=one.version)
        if one.fact is not None
        else Source(numbers[one], one.start, one.end)
        if one in numbers
        else None
        for one in kept
    )
    return tuple(source for source in found if source is not None)


def _change(kept: KeptChange, versions: dict[tuple[UUID, int], Fact], numbers: dict[KeptSource, int]) -> Change:
    def fact(version: int | None) -> Fact | None:
        return None if version is None else versions.get((kept.fact, version))

    return Change(
        kept.id,
        kept.kind,
        kept.fact,
        kept.owner,
        fact(kept.before),
        fact(kept.after),
        kept.reason,
        kept.at,
        kept.actor,
        kept.batch,
        kept.cause,
        _sources(kept.sources, numbers),
    )


@contextmanager
def _read(file: str | Path | IO[str]) -> Iterator[tuple[Iterable[str], str]]:
    if not isinstance(file, str | Path):
        yield file, str(getattr(file, "name", "the file"))
        return
    path = Path(file)
    try:
        with path.open(encoding="utf-8") as text:
            yield text, path.name
    except OSError as error:
        raise ImportFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ImportFormatError(f"{path.name}: not UTF-8 ({error.reason})") from error
