"""What a recall gives: recollections, with why each came."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload
from uuid import UUID

from keepwell.errors import UsageError
from keepwell.models.fact import Fact
from keepwell.models.html import table
from keepwell.models.message import Message
from keepwell.models.scope import Owner

Kind = Literal["fact", "message"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one source said of an item: its rank there (1 is best, 0 was not asked for) and its share of the score."""

    rank: int
    score: float

    def __str__(self) -> str:
        """Give share and rank in a few characters."""
        return f"{self.score:.2f} (#{self.rank})" if self.rank else f"{self.score:.2f}"


@dataclass(frozen=True, slots=True)
class Recollection:
    """One recalled item: what, how well it fits, and where it is from."""

    kind: Kind
    score: float
    item: Message | Fact
    thread: str
    owner: Owner
    evidence: Mapping[str, Evidence]
    before: tuple[Message, ...] = ()
    after: tuple[Message, ...] = ()

    @property
    def message(self) -> Message:
        """The message that was recalled.

        Raises:
            UsageError: it is a fact; look at ``kind`` first, or ask ``recall`` for ``kinds=("message",)``.
        """
        if isinstance(self.item, Message):
            return self.item
        raise UsageError("this recollection is a fact, not a message; see its kind, or recall kinds=('message',)")

    @property
    def fact(self) -> Fact:
        """The fact that was recalled.

        Raises:
            UsageError: it is a message; look at ``kind`` first, or ask ``recall`` for ``kinds=("fact",)``.
        """
        if isinstance(self.item, Fact):
            return self.item
        raise UsageError("this recollection is a message, not a fact; see its kind, or recall kinds=('fact',)")

    @property
    def id(self) -> str:
        """The message's id within its thread, or the fact's."""
        return str(self.item.id)

    @property
    def text(self) -> str:
        """The words that were recalled."""
        return self.item.text

    @property
    def who(self) -> str:
        """Who said it (name, else role); of a fact, whom it is about."""
        return self.item.subject if isinstance(self.item, Fact) else self.item.name or self.item.role

    @property
    def at(self) -> dt.datetime:
        """When it was said; of a fact, since when it is true, as far as that is known."""
        return self.item.at if isinstance(self.item, Fact) else self.item.created_at

    @property
    def why(self) -> str:
        """Why it came, in a few words: ``vector 0.61 (#1), keyword 0.42 (#3)``; ranks where they were asked for."""
        return ", ".join(f"{name} {said}" for name, said in self.evidence.items())

    def _repr_html_(self) -> str:
        return Recollections((self,))._repr_html_()


@dataclass(frozen=True, slots=True)
class Recollections(Sequence[Recollection]):
    """What a recall found, best first; ``skipped`` names each source that had no part in it, and why."""

    found: tuple[Recollection, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    loaded: str = ""

    def __len__(self) -> int:
        """Count the recollections."""
        return len(self.found)

    def __iter__(self) -> Iterator[Recollection]:
        """Give them, best first."""
        return iter(self.found)

    @overload
    def __getitem__(self, index: int) -> Recollection: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recollection]: ...
    def __getitem__(self, index: int | slice) -> Recollection | Sequence[Recollection]:
        """Give one of them, or a slice of them."""
        return self.found[index]

    def _repr_html_(self) -> str:
        rows = [(f"{f.score:.3f}", f"{f.at:%Y-%m-%d}", f.who, f.text, f.why) for f in self]
        skipped = "; ".join(f"{source} skipped: {why}" for source, why in self.skipped.items())
        return table(("score", "when", "who", "text", "why"), rows, skipped)


@dataclass(frozen=True, slots=True)
class Context:
    """A bounded block for a prompt, and the recent messages that follow it.

    ``text`` is the fenced block (empty where nothing was recalled); ``messages`` are the recent messages of
    the thread, oldest first; ``tokens`` counts both.
    """

    text: str
    messages: tuple[Message, ...]
    tokens: int
    recollections: Recollections

    def _repr_html_(self) -> str:
        rows = [("block", self.text), *((m.name or m.role, m.text) for m in self.messages)]
        return table(("part", "text"), rows, f"{self.tokens} tokens")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a ``forget`` was asked for: a view, or one thing in it. It holds ids, never words."""

    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    across_users: bool = False
    thread: UUID | None = None
    message: str | None = None
    fact: UUID | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a ``forget`` removed: counts per place, when, and a hash over them; and what it does not cover.

    ``what`` names what is gone, so that it can be verified later that it is.
    """

    counts: Mapping[str, int]
    at: dt.datetime
    digest: str
    not_covered: tuple[str, ...] = ()
    what: Forgotten = field(default_factory=Forgotten)

    def _repr_html_(self) -> str:
        return table(("place", "removed"), self.counts.items(), f"forgotten {self.at:%Y-%m-%d %H:%M:%S}")
