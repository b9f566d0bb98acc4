"""Races for facts: two stores, many threads of execution, one history."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import ClassVar

import pytest

from keepwell.errors import FactChanged, FactNotFound, KeepwellError, LeaseLost
from keepwell.models import Changes, Message
from keepwell.storage.base import Forget, Record
from keepwell.storage.facts import Claim, ClaimThread, DueItem, Formed, PutDue, ReadFormation, ReadSecret, TakeDue
from keepwell.testing.conformance.base import ADA, ADAS, BOB, Capability, StoreConformance, append
from keepwell.testing.conformance.fact_history import replayed, state_of
from keepwell.testing.conformance.facts_base import (
    LEASE,
    add,
    apply,
    claim,
    fact_of,
    facts_of,
    formed_from,
    history,
    kinds,
    remember,
    resting,
    retract,
    said,
    statements,
    tell,
    unformed,
    update,
    words,
)
from keepwell.testing.conformance.mirror import Mirror
from keepwell.testing.conformance.races import SENDERS, answers, at_once, by_each

EACH = 6
PATIENCE = 30.0
"""Seconds in which some workers must have done some work."""


class FactRacesConformance(StoreConformance):
    """What a store promises when several change facts, or form, at once."""

    capability: ClassVar[Capability] = "fact_races"

    @pytest.fixture
    def senders(self, record: Record, other: Record) -> list[Record]:
        """Give the record once for each sender, from the two stores in turn."""
        return list(itertools.islice(itertools.cycle((record, other)), SENDERS))

    def whole(self, record: Record) -> None:
        """Check that the facts are those that the history leads to, and that loading misses nothing."""
        assert replayed(history(record)) == state_of(facts_of(record))
        Mirror(record, ADAS).check()
        times = [change.at for change in history(record)]
        assert times == sorted(times)

    # --- edits

    def test_one_statement_from_all(self, record: Record, senders: list[Record]) -> None:
        """A statement that all add at once stands once."""
        got = answers(by_each(senders, lambda _, sender: apply(sender, add("tea"))))
        assert sorted(kind for changes in got for kind in kinds(changes)) == ["ADD", *["NONE"] * (SENDERS - 1)]
        assert len(facts_of(record)) == 1
        self.whole(record)

    def test_one_key_from_all(self, record: Record, senders: list[Record]) -> None:
        """Of statements under one key that come at once one stands, in a chain of versions without a gap."""

        def send(number: int, sender: Record) -> None:
            for count in range(EACH):
                apply(sender, add(f"drinks {number}.{count}", key="drink"))

        answers(by_each(senders, send))
        (fact,) = facts_of(record)
        assert fact.version == SENDERS * EACH
        assert sorted(one.version for one in facts_of(record, versions=True)) == list(range(1, fact.version + 1))
        self.whole(record)

    def test_different_facts(self, record: Record, senders: list[Record]) -> None:
        """Facts that several add at once are all there."""
        answers(by_each(senders, lambda number, sender: apply(sender, *(add(f"{number}.{n}") for n in range(EACH)))))
        assert statements(record) == {f"{number}.{count}" for number in range(SENDERS) for count in range(EACH)}
        self.whole(record)

    def test_one_version_from_all(self, record: Record, senders: list[Record]) -> None:
        """Of several who change the version that they looked at, one does, and the others are told."""
        fact = remember(record, "tea")
        got = by_each(senders, lambda number, sender: apply(sender, update(fact, f"drink {number}", version=1)))
        assert sum(isinstance(one, FactChanged) for one in got) == SENDERS - 1
        assert fact_of(record, fact.id).version == 2
        self.whole(record)

    def test_update_and_delete(self, record: Record, other: Record) -> None:
        """An update and a retraction at once leave the one or the other, and a whole history."""
        for number in range(EACH):
            fact = remember(record, f"tea {number}")
            got = at_once(
                partial(apply, record, update(fact, f"coffee {number}")), partial(apply, other, retract(fact))
            )
            assert all(isinstance(one, Changes | FactNotFound) for one in got)
            assert facts_of(record, ids=(fact.id,)) == []
        self.whole(record)

    def test_one_idempotency_key_from_all(self, record: Record, senders: list[Record]) -> None:
        """Edits that all send at once under one key are done once and answered alike."""
        got = answers(by_each(senders, lambda _, sender: apply(sender, add("tea"), add("milk"), idempotency_key="k")))
        assert len({tuple(change.id for change in changes) for changes in got}) == 1
        assert len(history(record)) == 2

    def test_cascades_that_cross(self, record: Record, other: Record) -> None:
        """Edits of two owners whose facts rest on each other's do not wait for each other for ever."""
        for number in range(EACH):
            mine, his = remember(record, f"mine {number}"), remember(record, f"his {number}", owner=BOB)
            remember(record, f"from his {number}", sources=formed_from(his))
            remember(record, f"from mine {number}", sources=formed_from(mine), owner=BOB)
            answers(
                at_once(
                    partial(apply, record, retract(mine)),
                    partial(apply, other, retract(his), owner=BOB),
                )
            )
            assert facts_of(record) == facts_of(record) == []
        self.whole(record)

    def test_source_that_ends(self, record: Record, other: Record) -> None:
        """A fact that is formed while what it rests on is retracted does not stand on nothing."""
        for number in range(EACH):
            tea = remember(record, f"tea {number}")
            at_once(
                partial(apply, record, retract(tea)),
                partial(apply, other, add(f"habit {number}", sources=formed_from(tea))),
            )
            for fact in facts_of(record):
                assert fact.text == f"habit {number}"
                apply(record, retract(fact))

    def test_forgotten_while_it_is_formed(self, record: Record, other: Record) -> None:
        """A fact of a message that is forgotten at the same time does not outlive it."""
        for number in range(EACH):
            (key,) = said(record, f"word {number}")
            thread = append(record, Message.user("x", id="x")).thread
            at_once(
                partial(apply, record, add(f"fact {number}", sources=resting(key))),
                partial(other.write, Forget(ADAS, thread, f"word {number}")),
            )
            assert facts_of(record, versions=True) == []

    def test_readers_miss_nothing(self, record: Record, other: Record) -> None:
        """A reader that loads while facts change ends up with what is there."""
        mirror = Mirror(other, ADAS)

        def write() -> None:
            for number in range(EACH * 2):
                apply(record, add(f"fact {number % 5}", key=f"{number % 3}"))

        def load() -> None:
            for _ in range(EACH * 2):
                mirror.load()

        answers(at_once(write, load))
        mirror.check()
        self.whole(record)

    # --- claims

    def test_claims(self, record: Record, senders: list[Record]) -> None:
        """Of several who claim at once, each owner is had by one."""
        keys = {tell(record, "one", owner=owner) for owner in (ADA, BOB)}
        got = answers(by_each(senders, lambda _, sender: sender.write(ClaimThread(LEASE))))
        taken = [one for one in got if isinstance(one, Claim)]
        assert {one.thread for one in taken} <= keys
        assert len({one.owner for one in taken}) == len(taken)
        while (more := record.write(ClaimThread(LEASE))) is not None:
            taken.append(more)
        assert sorted(str(one.thread) for one in taken) == sorted(map(str, keys))

    def test_threads_of_one_owner(self, record: Record, senders: list[Record]) -> None:
        """Two workers never hold threads of one owner at the same time."""
        for number in range(SENDERS):
            tell(record, "one", thread=f"t{number}")
        got = answers(by_each(senders, lambda _, sender: sender.write(ClaimThread(LEASE))))
        assert sum(one is not None for one in got) == 1

    def test_append_while_it_is_formed(self, record: Record, other: Record) -> None:
        """A message that comes at the moment when its thread is finished is not left behind."""
        for number in range(EACH):
            id_ = f"t{number}"
            key = tell(record, "one", thread=id_)
            taken = claim(record, key)
            answers(
                at_once(
                    lambda taken=taken: apply(record, formed=Formed(taken, 1)) is None,  # type: ignore[misc]
                    lambda id_=id_: tell(other, "two", thread=id_) is None,  # type: ignore[misc]
                )
            )
            again = claim(record, key)
            assert words(unformed(record, again)) == ["two"]
            apply(record, formed=Formed(again, 2))

    def test_one_formation_from_all(self, record: Record, senders: list[Record]) -> None:
        """One formation that all deliver at once is done once."""
        tell(record, "one")
        formed = Formed(claim(record), 1)
        got = by_each(senders, lambda number, sender: apply(sender, add(f"fact {number}"), formed=formed))
        assert sum(isinstance(one, LeaseLost) for one in got) == SENDERS - 1
        assert len(facts_of(record)) == 1
        assert record.write(ClaimThread(LEASE, early=True)) is None

    def test_work_until_nothing_is_due(self, record: Record, senders: list[Record]) -> None:
        """Several workers form everything that is said meanwhile, each message once."""
        for number in range(SENDERS):
            tell(record, *(f"{number}.{count}" for count in range(EACH)), thread=f"t{number}")

        def work(_: int, sender: Record) -> int:
            done, patience = 0, time.monotonic() + PATIENCE
            while sender.read(ReadFormation()).due_threads and time.monotonic() < patience:
                taken = sender.write(ClaimThread(LEASE))
                if taken is None:
                    time.sleep(0.01)  # somebody else has this owner
                    continue
                got = unformed(sender, taken, limit=4)
                edits = [add(message.text, sources=resting(key)) for key, message in got.messages]
                apply(sender, *edits, formed=Formed(taken, got.messages[-1][1].seq or 0))
                done += len(edits)
            return done

        assert sum(answers(by_each(senders, work))) == SENDERS * EACH
        assert kinds(history(record)) == ["ADD"] * SENDERS * EACH
        self.whole(record)

    def test_items(self, record: Record, senders: list[Record]) -> None:
        """Work that several take at once is had by one each."""
        record.write(PutDue(tuple(DueItem("reform", ADA, f"{number}") for number in range(EACH))))
        got = answers(by_each(senders, lambda _, sender: sender.write(TakeDue(("reform",), LEASE, 2))))
        names = [item.item for items in got for item in items]
        assert len(names) == len(set(names))
        assert not any(isinstance(one, KeepwellError) for one in got)

    def test_secret(self, senders: list[Record]) -> None:
        """Several who ask for a tenant's secret first get the same one."""
        assert len(set(answers(by_each(senders, lambda _, sender: sender.read(ReadSecret()))))) == 1
