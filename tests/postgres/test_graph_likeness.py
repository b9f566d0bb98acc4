"""Whatever is done to a graph, PostgreSQL and the reference store come to the same."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest

from keepwell.errors import KeepwellError
from keepwell.formation.entities_settle import inverse
from keepwell.formation.graph_edits import (
    AddEntity,
    ChangeEntity,
    EndRelation,
    MergeEntities,
    Relate,
    RemoveEntity,
    RetractRelation,
    SplitEntity,
)
from keepwell.models import Source
from keepwell.models.graph import Mention
from keepwell.storage.base import Forget, MoveThread, Record
from keepwell.storage.facts import Remains
from keepwell.storage.graph import GraphHistory, ListEntities, ListRelations, ReadMentions
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing import ReferenceStore
from keepwell.testing.conformance.base import ADA, ADAS, BOB, BOBS, say
from keepwell.testing.conformance.graph_base import day, edit

NAMES = ("Priya", "Priya Shah", "Max", "Rome", "Zoe")
TEXTS = tuple(f"{one} met {two} {n}" for n, (one, two) in enumerate(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)))
PLACES = ("entities", "relations", "mentions", "graph_changes")


class Twin:
    """One record with the same messages under numbers of its own, and what was made so far."""

    def __init__(self, record: Record) -> None:
        """Say the same in two threads."""
        self.record = record
        self.numbers: dict[str, int] = {}
        for thread in ("t", "u"):
            texts = [f"{text} {thread}" for text in TEXTS]
            self.numbers |= {one.text: key for key, one in say(record, *texts, thread=thread).written.items()}

    def do(self, choose: random.Random) -> str:
        """Do something by chance, and say how that went."""
        step = choose.choice((self._name, self._name, self._name, self._relate, self._relate, self._change, self._undo,
                              self._forget))  # fmt: skip
        try:
            return f"{step.__name__} {step(choose)}"
        except KeepwellError as error:
            return f"{step.__name__} {type(error).__name__}"

    def _name(self, choose: random.Random) -> object:
        text, name = choose.choice(list(self.numbers)), choose.choice(NAMES)
        ident = _id(choose)
        mention = Mention(ident, name, choose.randrange(50), 60, self.numbers[text])
        return len(edit(self.record, AddEntity(ident, name), mentions=[mention]))

    def _relate(self, choose: random.Random) -> object:
        one, two, text = _id(choose), _id(choose), choose.choice(list(self.numbers))
        rests = (Source(self.numbers[text]),)
        relation = UUID(int=choose.randrange(100, 108))
        what: Any = choose.choice((
            Relate(relation, one, choose.choice(("knows", "likes")), two, sources=rests),
            Relate(relation, one, "is", two, given=True),
            EndRelation(relation, day(3), sources=rests),
            RetractRelation(relation, sources=rests),
        ))  # fmt: skip
        return len(edit(self.record, what))

    def _change(self, choose: random.Random) -> object:
        one, two = _id(choose), _id(choose)
        what: Any = choose.choice((
            MergeEntities(one, two),
            MergeEntities(one, two),
            ChangeEntity(one, choose.choice(NAMES)),
            ChangeEntity(one, given=(choose.choice(NAMES),)),
            RemoveEntity(one),
            SplitEntity(one, UUID(int=choose.randrange(200, 10**6)), "Part", given=("Part",)),
        ))  # fmt: skip
        return len(edit(self.record, what))

    def _undo(self, choose: random.Random) -> object:
        newest = self.record.read(GraphHistory(ADAS, limit=1))
        if not newest or choose.random() < 0.5:
            return None
        batch = self.record.read(GraphHistory(ADAS, batch=newest[0].batch, oldest_first=True, limit=100))
        return len(edit(self.record, *inverse(batch)))

    def _forget(self, choose: random.Random) -> object:
        text, chance = choose.choice(list(self.numbers)), choose.random()
        if chance < 0.3:
            self.record.write(MoveThread(ADA, text[-1], BOB))
            self.numbers = {said: key for said, key in self.numbers.items() if said[-1] != text[-1]}
            return "moved"
        before = self.record.read(Remains(ADAS, message=text))
        counts = self.record.write(Forget(ADAS, message=text)).counts
        del self.numbers[text]
        assert {place: before[place] for place in PLACES} == {place: counts[place] for place in PLACES}
        return [counts[place] for place in PLACES]

    @property
    def state(self) -> object:
        """What there is of ada's and bob's graph, without what each store numbers by itself."""
        found = []
        for scope in (ADAS, BOBS):
            entities = self.record.read(ListEntities(scope, limit=1000))
            lines = self.record.read(ListRelations(scope, versions=True, limit=1000))
            changes = self.record.read(GraphHistory(scope, limit=1000))
            found.append((
                sorted((str(one.id), one.name, sorted(one.aliases), sorted(one.given), one.last_seen) for one in entities),
                sorted(
                    (str(one.id), one.version, str(one.subject), one.predicate, str(one.object), one.stands,
                     one.valid_to, len(one.sources)) for one in lines
                ),
                sorted((one.kind, str(one.entity), str(one.relation)) for one in changes),
                sorted((str(one.id), len(self.record.read(ReadMentions(scope, one.id)))) for one in entities),
            ))  # fmt: skip
        return found


def _id(choose: random.Random) -> UUID:
    return UUID(int=choose.randrange(1, 8))


@pytest.mark.parametrize("seed", range(8))
def test_the_same_whatever_is_done(record: PostgresRecord, seed: int, *, proof: bool) -> None:
    """A history of edits, forgetting, moving and taking back leaves both stores with the same graph."""
    twins = Twin(record), Twin(ReferenceStore().record("t"))
    for step in range(200 if proof else 60):
        if not all(twin.numbers for twin in twins):
            return
        done = [twin.do(random.Random(seed * 1000 + step)) for twin in twins]
        assert done[0] == done[1], step
        assert twins[0].state == twins[1].state, (step, done)
