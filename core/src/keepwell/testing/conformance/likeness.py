"""Likeness: after any history, a store holds what the reference store holds."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from uuid import UUID, uuid4

import pytest

from keepwell.errors import KeepwellError, NotFound
from keepwell.formation.settle import Draft, Edit
from keepwell.models import ChangeKind, Fact, Message, Owner, Scope, Source
from keepwell.storage.base import (
    AppendMessages,
    CloneThread,
    DeleteMessages,
    FindCandidates,
    Forget,
    Forming,
    LoadScope,
    MoveThread,
    Record,
    ReplaceMessage,
    Weigh,
)
from keepwell.storage.facts import (
    ApplyEdits,
    ClaimThread,
    FailForming,
    FindForming,
    Formed,
    ListRejections,
    MessageKeys,
    RawSources,
    ReadFormation,
    Remains,
    RetryParked,
)
from keepwell.testing.conformance.base import ADA, BOB, EVERYONE, Capability, StoreConformance, threads_of
from keepwell.testing.conformance.facts_base import COOK, draft, facts_of, hashed, history, unformed, view_of, words
from keepwell.testing.conformance.mirror import Mirror
from keepwell.testing.reference import ReferenceStore

OWNERS: Final = (ADA, BOB, COOK)
VIEWS: Final = (Scope("ada"), Scope("bob"), Scope("ada", "cook"), EVERYONE)
TEXTS: Final = ("tea", "Tea!", "coffee", "water", "juice", "milk")
STEPS: Final = 40
OVER: Final = dt.timedelta(seconds=-1)
"""A lease that is over as soon as it is given: whoever comes next may claim."""
Name = tuple[str, str]
"""A message, by the ids of its thread and its own."""
Step = Callable[["World"], Any]


@dataclass(slots=True)
class World:
    """One store under the same history, and what it calls things: threads and messages have other keys in each."""

    record: Record
    keys: dict[Name, int] = field(default_factory=dict)

    def learn(self) -> None:
        """Look up the numbers of all messages there are."""
        threads = {thread.id: thread for thread in threads_of(self.record, EVERYONE)}
        asked = {(threads[name[0]].key, name[1]): name for name in self.names(threads)}
        got = self.record.read(MessageKeys(EVERYONE, tuple(asked))) if asked else {}
        self.keys |= {asked[place]: number for place, number in got.items()}

    def names(self, threads: dict[str, Any]) -> list[Name]:
        """Give the names that messages can have in the threads that are there."""
        return [(thread, f"m{number}") for thread in threads for number in range(STEPS * 2)]

    def thread(self, ident: str) -> UUID:
        """Give the key of a thread, or one that is nowhere."""
        found = [thread.key for thread in threads_of(self.record, EVERYONE) if thread.id == ident]
        return found[0] if found else UUID(int=0)

    def source(self, named: tuple[object, object]) -> Source:
        """Give the source that a name stands for."""
        first, second = named
        if isinstance(first, UUID):
            return Source(fact=first, version=int(str(second)))
        return Source(self.keys.get((str(first), str(second)), 10**12), 0, 2)

    def named(self, source: Source) -> object:
        """Give the name that a source stands for."""
        names = {number: name for name, number in self.keys.items()}
        return (source.fact, source.version) if source.message is None else names.get(source.message)

    def picture(self) -> dict[str, Any]:
        """Give everything that can be compared."""
        facts = facts_of(self.record, EVERYONE, versions=True)
        raw = self.record.read(RawSources(EVERYONE, tuple({fact.id for fact in facts})))
        status = self.record.read(ReadFormation())
        rows = self.record.read(LoadScope(EVERYONE, None, None)).messages
        statistics = self.record.read(FindCandidates(EVERYONE, None, None, tuple(TEXTS), 5)).statistics
        threads = {thread.key: thread for thread in threads_of(self.record, EVERYONE)}
        return {
            "facts": sorted(map(_said, facts), key=repr),
            "sources": {name: {self.named(one) for one in named} for name, named in raw.items() if named},
            "history": [self._told(change) for change in history(self.record, EVERYONE)],
            "rejections": [[_seen(one) for one in self.record.read(ListRejections(view))] for view in VIEWS],
            "due": sorted(threads[key].id for key in self.record.read(FindForming(early=True))),
            "work": {kind: count for kind, count in status.due_items.items() if kind != "embed" and count},
            "status": (status.facts, status.changes, status.due_threads, status.failing, status.parked),
            "rows": sorted(
                (terms, actor, str(retired) if retired in (0.0, math.inf) else "ended")
                for terms, actor, retired in zip(rows.terms, rows.actors, rows.retired.tolist(), strict=True)
            ),
            "words": (statistics.messages, statistics.length, dict(statistics.frequencies)),
            "weight": self.record.read(Weigh(EVERYONE)),
            "threads": sorted((one.owner, one.id, one.message_count, one.last_seq) for one in threads.values()),
        }

    def _told(self, change: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a change
        before, after = (None if fact is None else fact.version for fact in (change.before, change.after))
        fact = change.fact if change.kind != "NONE" else None  # a decision about no fact names one at random
        sources = {self.named(one) for one in change.sources}
        return change.kind, fact, before, after, change.owner, change.reason, change.actor, change.batch, sources


def _said(fact: Fact) -> tuple[Any, ...]:
    return (fact.id, fact.version, fact.owner, fact.text, fact.key, fact.trust, fact.stands, fact.reopened)


def _seen(rejection: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a rejection
    return (rejection.user_id, rejection.agent_id, rejection.run_id)


@dataclass(slots=True)
class Author:
    """Makes up what happens next, from chance and from what has happened."""

    chance: random.Random
    messages: list[Name] = field(default_factory=list)
    facts: int = 0
    clones: int = 0

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Give step after step, each to be taken in every world."""
        makers = (
            [self.say] * 5 + [self.edit] * 12 + [self.form] * 4
            + [self.replace, self.delete, self.move, self.clone, self.fail, self.retry]
            + [self.forget_fact] * 2 + [self.forget_message, self.forget_thread, self.forget_scope]
        )  # fmt: skip
        for _ in range(STEPS):
            maker = self.chance.choice(makers)
            yield maker.__name__, maker()

    def thread(self) -> tuple[Owner, str]:
        """Give a thread, as its first owner has it."""
        owner = self.chance.choice(OWNERS)
        return owner, f"{owner.user_id}{owner.agent_id}-{self.chance.choice('ab')}"

    def say(self) -> Step:
        """Somebody says something."""
        owner, thread = self.thread()
        pause = self.chance.choice((0.0, 0.0, 0.0, None))
        fresh = [f"m{len(self.messages) + number}" for number in range(self.chance.randint(1, 2))]
        self.messages += [(thread, ident) for ident in fresh]
        said = tuple(Message.user(f"{ident} said", id=ident) for ident in fresh)
        terms = tuple(message.text for message in said)
        return lambda world: len(
            world.record.write(AppendMessages(owner, thread, said, terms, forming=Forming(pause))).written
        )

    def message(self) -> Name:
        """Give a message that was said once."""
        return self.chance.choice(self.messages) if self.messages else ("nowhere", "nothing")

    def replace(self) -> Step:
        """Somebody says it otherwise."""
        (owner, _), (thread, ident) = self.thread(), self.message()
        new = Message.user(f"{ident} anew", id=ident)
        return lambda world: len(world.record.write(ReplaceMessage(owner, thread, new, new.text)).messages)

    def delete(self) -> Step:
        """Messages are deleted."""
        (owner, _), (thread, ident), (_, other) = self.thread(), self.message(), self.message()
        return lambda world: world.record.write(DeleteMessages(owner, thread, (ident, other)))

    def ident(self) -> UUID:
        """Give the id of a fact that there was, or may be."""
        return UUID(int=self.chance.randint(1, max(1, self.facts)))

    def told(self) -> Callable[[World], Draft]:
        """Give something to say of a fact."""
        text, key = self.chance.choice(TEXTS), self.chance.choice((None, None, None, "one", "two"))
        trust = self.chance.choice(("user", "user", "user", "assistant", "tool"))
        names = [self.message() for _ in range(self.chance.randint(0, 2))] if self.messages else []
        versions = [(self.ident(), self.chance.randint(1, 2)) for _ in range(self.chance.choice((0, 0, 1)))]
        return lambda world: draft(
            text, key=key, trust=trust, sources=tuple(world.source(name) for name in (*names, *versions))
        )

    def one_edit(self) -> Callable[[World], Edit]:
        """Give one edit of a fact."""
        kind: ChangeKind = self.chance.choice(("ADD",) * 4 + ("UPDATE",) * 3 + ("DELETE", "RESTORE", "NONE"))
        told, rejects = self.told(), self.chance.random() < 0.1
        reject = hashed(self.chance.choice(TEXTS)) if rejects else ()
        if kind == "ADD":
            self.facts += 1
            ident = UUID(int=self.facts)
        else:
            ident = self.ident()
        plain = kind in ("DELETE", "NONE")
        return lambda world: Edit(kind, ident, None if plain else told(world), reason=kind, reject=reject)

    def edit(self) -> Step:
        """Facts are edited."""
        owner, explicit = self.chance.choice(OWNERS), self.chance.random() < 0.4
        edits = [self.one_edit() for _ in range(self.chance.randint(1, 3))]
        batch = UUID(int=self.chance.getrandbits(64))
        view = self.chance.choice((view_of(owner), view_of(owner), EVERYONE))
        key = self.chance.choice((None, None, None, f"key {self.chance.randint(1, 3)}"))

        def apply(world: World) -> list[str]:
            made = tuple(edit(world) for edit in edits)
            change = ApplyEdits(owner, made, "author", batch, view, explicit, idempotency_key=key)
            return [one.kind for one in world.record.write(change)]

        return apply

    def form(self) -> Step:
        """A thread is formed, up to some message."""
        _, thread = self.thread()
        edits, share = [self.one_edit() for _ in range(self.chance.randint(0, 2))], self.chance.choice((1, 2, 100))
        batch, finish = UUID(int=self.chance.getrandbits(64)), True

        def form(world: World) -> object:
            taken = world.record.write(ClaimThread(OVER, world.thread(thread), early=True))
            if taken is None:
                return None
            got = unformed(world.record, taken)
            seqs = [message.seq or 0 for _, message in got.messages][:share]
            upto = max([taken.formed_to, *seqs])
            again = tuple(key for key, message in got.messages if key in got.again and (message.seq or 0) in seqs)
            made = tuple(edit(world) for edit in edits)
            change = ApplyEdits(
                taken.owner, made, "former", batch, view_of(taken.owner), formed=Formed(taken, upto, again, finish)
            )
            try:
                kinds = [one.kind for one in world.record.write(change)]
            except KeepwellError:
                world.record.write(FailForming(taken, "failed", dt.timedelta(0)))
                raise
            return words(got), [message.text for message in got.before], kinds

        return form

    def fail(self) -> Step:
        """Forming a thread fails, and its first message may be parked."""
        (_, thread), park = self.thread(), self.chance.random() < 0.5

        def fail(world: World) -> object:
            taken = world.record.write(ClaimThread(OVER, world.thread(thread), early=True))
            if taken is None:
                return None
            got = unformed(world.record, taken)
            parked = tuple(key for key, _ in got.messages[:1]) if park else ()
            world.record.write(FailForming(taken, "failed", dt.timedelta(0), parked))
            return taken.attempts, words(got)

        return fail

    def retry(self) -> Step:
        """What was parked is tried again."""
        return lambda world: world.record.write(RetryParked())

    def move(self) -> Step:
        """A thread is given to another owner."""
        (owner, thread), to = self.thread(), self.chance.choice(OWNERS)
        return lambda world: world.record.write(MoveThread(owner, thread, to)).owner

    def clone(self) -> Step:
        """A thread is copied."""
        (owner, thread), to = self.thread(), self.chance.choice(OWNERS)
        self.clones += 1
        new, until = f"clone {self.clones}", self.chance.choice((None, 1))
        self.messages += [(new, ident) for of, ident in self.messages if of == thread]
        return lambda world: world.record.write(CloneThread(owner, thread, to, new, until=until)).message_count

    def forget_fact(self) -> Step:
        """A fact is forgotten."""
        view, ident, everywhere = self.chance.choice(VIEWS), self.ident(), self.chance.random() < 0.5
        reject = hashed(self.chance.choice(TEXTS)) if self.chance.random() < 0.3 else ()
        return lambda world: self._forgotten(world, Forget(view, fact=ident, everywhere=everywhere, reject=reject))

    def forget_message(self) -> Step:
        """A message is forgotten."""
        view, (thread, ident) = self.chance.choice(VIEWS), self.message()
        return lambda world: self._forgotten(world, Forget(view, world.thread(thread), ident))

    def forget_thread(self) -> Step:
        """A thread is forgotten."""
        view, (_, thread) = self.chance.choice(VIEWS), self.thread()
        return lambda world: self._forgotten(world, Forget(view, world.thread(thread)))

    def forget_scope(self) -> Step:
        """A view's memory is forgotten."""
        view = self.chance.choice(VIEWS[:3])
        return lambda world: self._forgotten(world, Forget(view))

    @staticmethod
    def _forgotten(world: World, change: Forget) -> dict[str, int]:
        query = Remains(change.scope, change.thread, change.message, change.fact)
        before = world.record.read(query)
        counts = dict(world.record.write(change).counts)
        left = {place: count for place, count in world.record.read(query).items() if count}
        assert left in ({}, {"rejections": len(change.reject)}), f"of {change} there is left: {left}"
        if not change.everywhere:
            assert {place: counts.get(place, 0) for place in before} == before
        # How much work waits for vectors is the store's own affair, as is when words are posted.
        return {place: count for place, count in counts.items() if place not in ("due", "postings") and count}


class LikenessConformance(StoreConformance):
    """That a store does with any history what the reference store does with it."""

    capability: ClassVar[Capability] = "likeness"

    @pytest.mark.parametrize("seed", range(12))
    def test_any_history(self, record: Record, other: Record, seed: int) -> None:
        """After each step of any history, both stores answer alike, hold the same, and can be loaded bit by bit."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        worlds = World(record), World(ReferenceStore().record(f"t-{uuid4().hex}"))
        mirror = Mirror(other, EVERYONE)
        for name, step in Author(chance).steps():
            mine, measure = (self.outcome(world, step) for world in worlds)
            assert mine == measure, name
            if chance.random() < 0.3:
                mirror.load()
                one, two = (world.picture() for world in worlds)
                for part in two:
                    assert one[part] == two[part], (name, part)
        mirror.check()
        one, two = (world.picture() for world in worlds)
        assert one == two

    @staticmethod
    def outcome(world: World, step: Step) -> object:
        """Give what a step answers in a world, or what kind of error it raises."""
        try:
            return step(world)
        except KeepwellError as error:
            # Where several things that a step names are not there, it does not matter which of them is said first.
            return NotFound if isinstance(error, NotFound) else type(error)
        finally:
            world.learn()
