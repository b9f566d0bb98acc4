"""What a tenant keeps of facts: their versions, changes and rejections, as values that are never changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from keepwell.formation.settle import mark
from keepwell.models import Change, ChangeKind, Fact, Owner, Rejection, Scope, Source, codec


@dataclass(frozen=True, slots=True)
class Times:
    """What only an item of a store has: when it began and was put last, and how many minutes it lives after that."""

    began: dt.datetime
    touched: dt.datetime
    ttl: float | None


@dataclass(frozen=True)
class Version:
    """One version of a fact; everywhere else its key is the negative of ``number``."""

    number: int
    fact: Fact
    terms: str
    signals: str
    times: Times | None = None

    @property
    def key(self) -> int:
        """What names it among messages."""
        return -self.number

    @property
    def view(self) -> Fact:
        """The fact as a reader gets it, so that nobody holds what the store holds."""
        return replace(self.fact, metadata=codec.loads(codec.dumps(dict(self.fact.metadata))))

    @property
    def words(self) -> list[str]:
        """Its analysed terms, in order and with repeats."""
        return self.terms.split()

    @cached_property
    def mark(self) -> bytes:
        """What is the same for statements that say the same."""
        return mark(self.fact.text, self.fact.kind, self.fact.key)

    @cached_property
    def labels(self) -> Any:  # noqa: ANN401 - any JSON value
        """Its metadata as filters see it."""
        return codec.searchable(self.fact.metadata)

    @property
    def retired(self) -> float:
        """When it ended, for a ranking: infinite while it stands, 0 while it stands re-opened."""
        if self.fact.retired_at is not None:
            return self.fact.retired_at.timestamp()
        return 0.0 if self.fact.reopened else np.inf

    def held(self, at: dt.datetime) -> bool:
        """Tell whether it was what was held at that instant."""
        fact = self.fact
        return fact.recorded_at <= at and (fact.retired_at is None or at < fact.retired_at)


def in_order(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Give sources, each once: messages by number, then facts as they were named."""
    return tuple(sorted(dict.fromkeys(sources), key=lambda one: (one.message is None, one.message or 0, one.start)))


@dataclass(frozen=True, slots=True)
class Kept:
    """A version with its vectors by (space, chunk), and what it rests on."""

    row: Version
    sources: tuple[Source, ...] = ()
    vectors: Mapping[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict)

    @property
    def fact(self) -> Fact:
        """What it says."""
        return self.row.fact

    def of_space(self, space: int | None) -> dict[int, NDArray[np.float32]]:
        """Give its vectors of one space, by chunk."""
        return {chunk: vector for (of, chunk), vector in sorted(self.vectors.items()) if of == space}

    def lacks(self, space: int) -> bool:
        """Tell whether it stands, has words, and no vector of that space."""
        return self.fact.stands and bool(self.row.terms) and not self.of_space(space)

    def saying(self, **fields: Any) -> Kept:  # noqa: ANN401 - fields of Fact
        """Give it with other fields of its fact: another row to whoever compares."""
        return replace(self, row=replace(self.row, fact=replace(self.row.fact, **fields)))

    def ended(self, at: dt.datetime) -> Kept:
        """Give it as a version that is past: it is found by its words no more, nor by its vectors."""
        return replace(self.saying(retired_at=at), vectors={})


@dataclass(frozen=True, slots=True)
class Event:
    """A change as it is kept: numbers of versions in the place of what they say; ``number`` is its place."""

    number: int
    id: UUID
    kind: ChangeKind
    fact: UUID
    owner: Owner
    before: int | None
    after: int | None
    reason: str
    at: dt.datetime
    actor: str
    batch: UUID
    cause: UUID | None
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, change: Change, number: int) -> Event:
        """Give what is kept of a change."""
        before, after = (None if fact is None else fact.version for fact in (change.before, change.after))
        return cls(
            number, change.id, change.kind, change.fact, change.owner, before, after, change.reason, change.at,
            change.actor, change.batch, change.cause, change.sources,
        )  # fmt: skip

    def view(self, versions: Mapping[tuple[UUID, int], Kept]) -> Change:
        """Give the change as a reader gets it."""
        before, after = (self._version(versions, number) for number in (self.before, self.after))
        return Change(
            self.id, self.kind, self.fact, self.owner, before, after, self.reason, self.at, self.actor, self.batch,
            self.cause, self.sources,
        )  # fmt: skip

    def _version(self, versions: Mapping[tuple[UUID, int], Kept], number: int | None) -> Fact | None:
        kept = None if number is None else versions.get((self.fact, number))
        return None if kept is None else kept.row.view


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rejection with its hash, and the view that said so."""

    id: int
    view: Scope
    hash: bytes
    at: dt.datetime
    reason: str

    @property
    def seen(self) -> Rejection:
        """The rejection as a reader gets it."""
        view = self.view
        return Rejection(self.id, view.user_id, view.agent_id, view.run_id, self.at, self.reason)

    def within(self, scope: Scope) -> bool:
        """Tell whether its view sees nothing that the scope does not see."""
        return scope.covers(self.view.owner) and (scope.across_users or not self.view.across_users)
