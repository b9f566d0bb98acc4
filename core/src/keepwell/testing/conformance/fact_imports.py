"""History that comes from elsewhere: kept as it was, once, and against what is here already."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

import pytest

from keepwell.formation.settle import Edit, hashes
from keepwell.models import Fact, Message, Owner, Source
from keepwell.storage.base import FindCandidates, Record
from keepwell.storage.facts import PutHistory, RawSources, TakeDue
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, Capability, StoreConformance, terms_of
from keepwell.testing.conformance.facts_base import (
    SECRET,
    add,
    apply,
    facts_of,
    hashed,
    history,
    kinds,
    remember,
    resting,
    retract,
    said,
    statements,
    update,
)


def export(record: Record, owner: Owner = ADA, sources: Mapping[int, int] | None = None) -> PutHistory:
    """Give all facts of Ada as an import for an owner; ``sources`` maps numbers of messages."""
    facts = facts_of(record, ADAS, versions=True)[::-1]
    kept = record.read(RawSources(ADAS, tuple({fact.id for fact in facts})))
    mapped = sources or {}
    return PutHistory(
        owner,
        tuple(facts),
        tuple(terms_of(Message.user(fact.text)) for fact in facts),
        ("",) * len(facts),
        tuple(
            tuple(
                Source(one.message and mapped[one.message], one.start, one.end, one.fact, one.version) for one in named
            )
            for named in (kept.get((fact.id, fact.version), ()) for fact in facts)
        ),
        tuple(history(record)),
        {fact.id: hashed_versions(facts, fact.id) for fact in facts},
    )


def hashed_versions(facts: list[Fact], ident: UUID) -> tuple[bytes, ...]:
    """Give the keyed hashes of all statements of a fact."""
    return tuple(one for fact in facts if fact.id == ident for one in hashes(SECRET, fact.text, fact.key))


class FactImportsConformance(StoreConformance):
    """What a store promises about history that comes from elsewhere."""

    capability: ClassVar[Capability] = "fact_imports"

    @pytest.fixture
    def lived(self, stranger: Record) -> Record:
        """Give another tenant's record in which Ada changed her mind a few times."""
        first, second = said(stranger, "tea", "coffee")
        tea = remember(stranger, "Ada drinks tea", key="drink", sources=resting(first), metadata={"n": 1})
        apply(stranger, update(tea, "Ada drinks coffee", key="drink", sources=resting(second)), actor="who")
        gone = remember(stranger, "Ada plays chess")
        apply(stranger, retract(gone), Edit("NONE", gone.id, reason="already gone"))
        return stranger

    def test_whole(self, record: Record, lived: Record) -> None:
        """Facts, versions, sources and changes are kept as they were elsewhere, and counted."""
        first, second = said(record, "tea", "coffee")
        old = [number for _, named in sorted(self.raw(lived).items(), key=repr) for number in named]
        counts = record.write(export(lived, sources=dict(zip(sorted(old), (first, second), strict=True))))
        assert {place: count for place, count in counts.items() if count} == {
            "facts": 2,
            "fact_versions": 3,
            "sources": 2,
            "changes": 5,
        }
        assert facts_of(record, versions=True) == facts_of(lived, versions=True)
        assert self.but_sources(record) == self.but_sources(lived)
        (fact,) = facts_of(record)
        assert record.read(RawSources(ADAS, (fact.id,))) == {
            (fact.id, 1): resting(first),
            (fact.id, 2): resting(second),
        }

    @staticmethod
    def raw(record: Record) -> dict[tuple[UUID, int], list[int]]:
        """Give the numbers of the messages that each version rests on."""
        ids = tuple({fact.id for fact in facts_of(record, versions=True)})
        got = record.read(RawSources(ADAS, ids))
        return {name: [one.message for one in named if one.message is not None] for name, named in got.items()}

    @staticmethod
    def but_sources(record: Record) -> list[tuple[object, ...]]:
        """Give what changes say but for the numbers of their messages."""
        return [
            (one.id, one.kind, one.fact, one.before, one.after, one.reason, one.at, one.actor, one.batch, one.cause)
            for one in history(record)
        ]

    def test_twice(self, record: Record, lived: Record) -> None:
        """What is here already is left as it is, however often it comes."""
        change = self.without_messages(lived)
        record.write(change)
        before = facts_of(record, versions=True), history(record)
        counts = record.write(change)
        assert not any(counts.values())
        assert (facts_of(record, versions=True), history(record)) == before

    @staticmethod
    def without_messages(lived: Record, owner: Owner = ADA) -> PutHistory:
        """Give an import whose facts rest on messages that are not here."""
        numbers = [one for named in FactImportsConformance.raw(lived).values() for one in named]
        return export(lived, owner, {number: 10**12 + number for number in numbers})

    def test_sources_that_are_not_here(self, record: Record, lived: Record) -> None:
        """A source that is not here is left out; the fact is kept."""
        counts = record.write(self.without_messages(lived))
        assert (counts["sources"], statements(record)) == (0, {"Ada drinks coffee"})

    def test_sources_of_another_tenant(self, record: Record, lived: Record) -> None:
        """A number that is another tenant's message is not here."""
        numbers = [one for named in self.raw(lived).values() for one in named]
        counts = record.write(export(lived, sources=dict(zip(numbers, numbers, strict=True))))
        assert (len(numbers), counts["sources"]) == (2, 0)

    def test_another_owner(self, record: Record, lived: Record) -> None:
        """Everything that comes becomes the owner's."""
        record.write(self.without_messages(lived, BOB))
        assert {fact.owner for fact in facts_of(record, BOBS, versions=True)} == {BOB}
        assert {change.owner for change in history(record, BOBS)} == {BOB}
        assert facts_of(record, versions=True) == []

    def test_goes_on(self, record: Record, lived: Record) -> None:
        """A later version that comes ends the one that stood here; edits go on from it."""
        record.write(self.without_messages(lived))
        (there,) = facts_of(lived)
        apply(lived, update(there, "Ada drinks water", key="drink"))
        counts = record.write(self.without_messages(lived))
        assert (counts["facts"], counts["fact_versions"], counts["changes"]) == (0, 1, 1)
        assert statements(record) == {"Ada drinks water"}
        apply(record, add("Ada drinks juice", key="drink"))
        (fact,) = facts_of(record)
        assert (fact.id, fact.version) == (there.id, 4)

    def test_rejected(self, record: Record, lived: Record) -> None:
        """What was rejected here is not brought back, in none of its versions, and is counted."""
        apply(record, Edit("NONE", reject=hashed("Ada drinks tea")), explicit=True)
        before = len(history(record))
        counts = record.write(self.without_messages(lived))
        assert counts["rejected"] == 1
        assert statements(record, versions=True) == {"Ada plays chess"}
        assert len(history(record)) - before == counts["changes"]
        assert "Ada drinks" not in repr(history(record))

    def test_held(self, record: Record, lived: Record) -> None:
        """A fact whose key or statement another fact holds here is left out, and counted."""
        mine = remember(record, "Ada drinks milk", key="drink")
        counts = record.write(self.without_messages(lived))
        assert (counts["held"], facts_of(record)) == (1, [mine])

    def test_found_by_its_words(self, record: Record, lived: Record) -> None:
        """What came is found by its words at once, and its vectors are due."""
        record.write(self.without_messages(lived))
        rows = record.read(FindCandidates(ADAS, None, None, ("coffee",), 5)).messages
        assert rows.terms == ("ada drinks coffee",)
        (fact,) = facts_of(record)
        items = record.write(TakeDue(("embed",), dt.timedelta(0)))
        assert [(item.owner, item.item) for item in items] == [(ADA, str(fact.id))]

    def test_said_again(self, record: Record, lived: Record) -> None:
        """What came is known: saying it again adds nothing."""
        record.write(self.without_messages(lived))
        assert kinds(apply(record, add("Ada drinks coffee"))) == ["NONE"]

    def test_nothing(self, record: Record) -> None:
        """An empty import keeps nothing."""
        counts = record.write(PutHistory(ADA, (), (), (), (), ()))
        assert (any(counts.values()), facts_of(record)) == (False, [])
