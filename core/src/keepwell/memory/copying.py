"""A tenant from one store to another: everything that is kept, under the same keys, and then a comparison of both.

It may be stopped and run again: what is there already stays, and what is missing is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar
from uuid import UUID

from keepwell.errors import Conflict, UsageError
from keepwell.memory.carrying import carry_vectors
from keepwell.memory.comparing import Summary, differences, summary
from keepwell.memory.graph_carrying import carry_graph, graph_size, rested
from keepwell.memory.paging import MAX_PAGE, pages
from keepwell.models import Change, Fact, Owner, Scope, Source
from keepwell.recall.analysis import ENGLISH, analysed
from keepwell.storage.base import (
    ActiveSpace,
    FetchMessages,
    FindThread,
    FindThreadByKey,
    OpenSpace,
    ReadMessages,
    ReadStatus,
    Record,
    Weigh,
)
from keepwell.storage.copying import (
    KeepMessageCopies,
    KeepRejectionCopies,
    KeepSecret,
    KeepThreadCopy,
    MessageCopy,
    ReadMessageCopies,
    ReadRejectionCopies,
    ReadThreadCopies,
    ThreadCopy,
)
from keepwell.storage.facts import (
    FindOwners,
    ListFacts,
    MessageKeys,
    PutHistory,
    RawSources,
    ReadHistory,
    ReadSecret,
    SetPolicy,
)
from keepwell.storage.graph_copying import GraphSize, KeepSeen
from keepwell.storage.languages import NoteLanguage, ReadLanguage, SwitchLanguage

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with how many messages and facts are done, and how many there are."""
EVERYONE = Scope(across_users=True)
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Copied:
    """What was new in the target, and how the two compare now.

    ``held`` counts facts whose key or statement another fact of the target has. ``differences`` says, a line each, in
    what the target differs from the source; none where it holds the same. ``left_out`` says what the source has and
    the target can not hold.
    """

    threads: int = 0
    messages: int = 0
    facts: int = 0
    changes: int = 0
    rejections: int = 0
    vectors: int = 0
    held: int = 0
    entities: int = 0
    relations: int = 0
    mentions: int = 0
    graph_changes: int = 0
    left_out: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    source: Summary = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether the target holds what the source holds."""
        return not self.differences

    def __add__(self, other: Copied) -> Copied:
        """Give the counts of both together."""
        names = (
            "threads", "messages", "facts", "changes", "rejections", "vectors", "held", "entities", "relations",
            "mentions", "graph_changes",
        )  # fmt: skip
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in names})


def copy(source: Record, target: Record, *, progress: Progress | None = None) -> Copied:
    """Carry everything of a tenant to another store, compare the two, and give what was new.

    Raises:
        UsageError: the target's terms are of another language.
        Conflict: something was rejected in the target under another secret.
        ThreadExists: the target has a thread of that owner and id, or of that key, which is another one.
    """
    copying = _Copying(source, target, progress)
    copying.agree()
    done = copying.threads()
    done += copying.facts()
    copying.policies()
    done += copying.rejections()
    done += copying.graph()
    done += Copied(vectors=carry_vectors(source, target, copying.owners()))
    here = summary(source, graph=copying.with_graph)
    told = differences(here, summary(target, graph=copying.with_graph))
    return replace(done, source=here, differences=told, left_out=copying.left_out)


@dataclass(slots=True)
class _Copying:
    """A copying that is under way."""

    source: Record
    target: Record
    progress: Progress | None
    done: int = 0
    total: int = 0
    fact_owners: dict[UUID, Owner] = field(default_factory=dict)
    keys: dict[tuple[Owner, str], UUID] = field(default_factory=dict)
    size: GraphSize | None = None
    with_graph: bool = False

    def agree(self) -> None:
        """Let both speak one language, and use one space where the target has none."""
        spoken = self.source.read(ReadLanguage())
        if spoken is not None and (theirs := self.target.write(NoteLanguage(spoken))) != spoken:
            if self.target.read(Weigh(EVERYONE)).messages:
                raise UsageError(
                    f"the source's terms are of {spoken}, the target's of {theirs}; run: keepwell reanalyse"
                )
            self.target.write(SwitchLanguage(spoken))
        space = self.source.read(ActiveSpace())
        if space is not None and self.target.read(ActiveSpace()) is None:
            self.target.write(OpenSpace(space.model, space.dimension))
        self.total = self.source.read(ReadStatus()).messages
        for fact in pages(self.source, ListFacts(EVERYONE, versions=True, limit=MAX_PAGE)):
            self.fact_owners.setdefault(fact.id, fact.owner)
        self.total += len(self.fact_owners)
        self.size = graph_size(self.source)
        self.with_graph = self.size is not None and graph_size(self.target) is not None
        self.total += self.size.rows if self.size is not None and self.with_graph else 0

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the source has, and the target has no place for."""
        size = self.size
        if self.with_graph or size is None or not size.rows:
            return ()
        rows = f"{size.entities:,} entities, {size.relations:,} relations, {size.mentions:,} mentions"
        return (f"the graph ({rows}): the target keeps none",)

    def owners(self) -> list[Owner]:
        """Give everybody who has a thread or a fact."""
        found = dict.fromkeys(self.fact_owners.values())
        after: Owner | None = None
        while page := self.source.read(FindOwners(after, _BATCH)):
            found |= dict.fromkeys(page)
            after = page[-1]
        return sorted(found)

    def told(self, count: int) -> None:
        """Say how far it is."""
        self.done += count
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)

    # Threads

    def threads(self) -> Copied:
        """Carry threads with their messages."""
        done, after = Copied(), None
        while page := self.source.read(ReadThreadCopies(after, _BATCH)):
            for one in page:
                done += self.thread(one)
            after = page[-1].thread.key
        return done

    def thread(self, copy: ThreadCopy) -> Copied:
        """Carry a thread; it is due only when all of it is there."""
        thread = copy.thread
        there = self.target.read(FindThreadByKey(EVERYONE, thread.key))
        fresh = self.target.write(KeepThreadCopy(replace(copy, due_at=None)))
        if there is not None and (there.message_count, there.last_seq) == (thread.message_count, thread.last_seq):
            self.told(thread.message_count)
            done = 0
        else:
            # Messages come in their order, so what is there is what was carried before.
            newest = [] if there is None else self.target.read(ReadMessages(thread.owner, thread.id, last=1))
            self.told(0 if there is None else there.message_count)
            done = self.messages(copy, (newest[0].seq or 0) if newest else 0)
        if self.with_graph and copy.seen_to and not done:
            self.seen_since(copy)
        self.target.write(KeepThreadCopy(copy))
        return Copied(threads=fresh, messages=done)

    def messages(self, copy: ThreadCopy, after: int) -> int:
        """Carry the messages of a thread after a number, and count them."""
        thread, count = copy.thread, 0
        while rows := self.source.read(ReadMessageCopies(thread.key, after, _BATCH)):
            count += self.target.write(KeepMessageCopies(thread.owner, thread.key, rows))
            self.seen(copy, rows)
            after = rows[-1].message.seq or 0
            self.told(len(rows))
        return count

    def seen(self, copy: ThreadCopy, rows: Iterable[MessageCopy]) -> None:
        """Say which of these messages were looked through for names: what was found in them comes along."""
        ids = tuple(row.message.id for row in rows if (row.message.seq or 0) <= copy.seen_to)
        if self.with_graph and ids:
            self.target.write(KeepSeen(copy.thread.owner, {copy.thread.key: ids}))

    def seen_since(self, copy: ThreadCopy) -> None:
        """Do so for messages that were carried before."""
        before = UUID(int=copy.thread.key.int - 1)
        (there,) = self.target.read(ReadThreadCopies(before, 1))
        after = there.seen_to
        while after < copy.seen_to and (rows := self.source.read(ReadMessageCopies(copy.thread.key, after, _BATCH))):
            self.seen(copy, rows)
            after = rows[-1].message.seq or 0

    def policies(self) -> None:
        """Carry the policies of owners."""
        for owner in self.owners():
            if policy := self.source.write(SetPolicy(owner, {})):
                self.target.write(SetPolicy(owner, policy))

    def rejections(self) -> Copied:
        """Carry rejections, under the secret that they were made with."""
        rows = self.source.read(ReadRejectionCopies())
        if not self.target.write(KeepSecret(self.source.read(ReadSecret()))):
            if rows:
                raise Conflict("something was rejected in the target under another secret; lift that, and copy again")
            return Copied()
        return Copied(rejections=sum(self.target.write(KeepRejectionCopies(batch)) for batch in _batches(rows)))

    def graph(self) -> Copied:
        """Carry the graph, where both keep one; its texts are there."""
        if not self.with_graph:
            return Copied()
        done = carry_graph(self.source, self.target, self.owners(), self.numbers, self.told)
        return Copied(
            entities=done.entities, relations=done.relations, mentions=done.mentions, graph_changes=done.changes
        )

    # Facts

    def facts(self) -> Copied:
        """Carry facts, what others were formed from first, and then their history."""
        done = Copied()
        for owner, ids in self.in_order():
            done += self.put(owner, ids)
            self.told(len(ids))
        for changes in _batches(pages(self.source, ReadHistory(EVERYONE, limit=MAX_PAGE, oldest_first=True))):
            done += self.history(changes)
        return done

    def in_order(self) -> Iterator[tuple[Owner, tuple[UUID, ...]]]:
        """Give facts in batches of one owner, each after those that it was formed from, as far as that can be."""
        below = {ident: needs - {ident} for ident, needs in self.needs().items()}
        while below:
            free = {ident for ident, needs in below.items() if needs.isdisjoint(below)}
            if free:
                yield from self.by_owner(free)
            else:
                free = set(circle := self.circle(below))
                yield self.fact_owners[circle[0]], circle
            below = {ident: needs for ident, needs in below.items() if ident not in free}

    def by_owner(self, ids: Iterable[UUID]) -> Iterator[tuple[Owner, tuple[UUID, ...]]]:
        """Give facts in batches of one owner."""
        owned: dict[Owner, list[UUID]] = {}
        for ident in ids:
            owned.setdefault(self.fact_owners[ident], []).append(ident)
        for owner, mine in owned.items():
            yield from ((owner, batch) for batch in _batches(mine))

    def circle(self, below: dict[UUID, set[UUID]]) -> tuple[UUID, ...]:
        """Give the facts of one owner that were formed from each other in different versions: they go together."""
        first = self.fact_owners[next(iter(below))]
        return tuple(ident for ident in below if self.fact_owners[ident] == first)

    def needs(self) -> dict[UUID, set[UUID]]:
        """Give what facts each fact was formed from."""
        needs: dict[UUID, set[UUID]] = {ident: set() for ident in self.fact_owners}
        for ids in _batches(self.fact_owners):
            for (ident, _), sources in self.source.read(RawSources(EVERYONE, ids)).items():
                if ident in needs:
                    needs[ident] |= {source.fact for source in sources if source.fact is not None}
        return needs

    def put(self, owner: Owner, ids: tuple[UUID, ...]) -> Copied:
        """Carry facts with all their versions."""
        query = ListFacts(EVERYONE, ids=ids, versions=True, limit=MAX_PAGE)
        facts = sorted(pages(self.source, query), key=lambda fact: (fact.id, fact.version))
        raw = self.source.read(RawSources(EVERYONE, ids))
        numbers = self.numbers(source for sources in raw.values() for source in sources)
        counts = self.target.write(
            PutHistory(
                owner,
                tuple(facts),
                *self.terms(facts),
                tuple(rested(raw.get((fact.id, fact.version), ()), numbers) for fact in facts),
                (),
            )
        )
        return Copied(facts=counts.get("facts", 0), held=counts.get("held", 0))

    def terms(self, facts: list[Fact]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Give the terms and signals of facts, by the rules of the source's language."""
        spoken = self.source.read(ReadLanguage())
        told = [analysed(fact.text, spoken or ENGLISH) for fact in facts]
        return tuple(one.terms for one in told), tuple(one.signals for one in told)

    def history(self, changes: tuple[Change, ...]) -> Copied:
        """Carry changes, whose facts are there."""
        numbers = self.numbers(source for change in changes for source in change.sources)
        count = 0
        by_owner: dict[Owner, list[Change]] = {}
        for change in changes:
            moved = replace(change, sources=rested(change.sources, numbers))
            by_owner.setdefault(change.owner, []).append(moved)
        for owner, mine in by_owner.items():
            counts = self.target.write(PutHistory(owner, (), (), (), (), tuple(mine)))
            count += counts.get("changes", 0)
        return Copied(changes=count)

    def numbers(self, sources: Iterable[Source]) -> dict[int, int]:
        """Give the numbers that the target has for messages of the source."""
        asked = dict.fromkeys(source.message for source in sources if source.message is not None)
        found: dict[int, int] = {}
        for batch in _batches(asked):
            there = self.source.read(FetchMessages(EVERYONE, batch, 0))
            names = {number: (self.key(one.owner, one.thread), one.message.id) for number, one in there.items()}
            got = self.target.read(MessageKeys(EVERYONE, tuple(set(names.values()))))
            found |= {number: got[name] for number, name in names.items() if name in got}
        return found

    def key(self, owner: Owner, thread: str) -> UUID:
        """Give the key of a thread, which is the same in both stores."""
        if (owner, thread) not in self.keys:
            known = self.source.read(FindThread(owner, thread))
            self.keys[owner, thread] = UUID(int=0) if known is None else known.key
        return self.keys[owner, thread]


def _batches(things: Iterable[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(things)
    while batch := tuple(islice(rest, _BATCH)):
        yield batch
