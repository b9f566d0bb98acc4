"""What a recall gives: recollections, with why each came."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

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
    message: Message
    thread: str
    owner: Owner
    evidence: Mapping[str, Evidence]
    before: tuple[Message, ...] = ()
    after: tuple[Message, ...] = ()

    @property
    def text(self) -> str:
        """The words that were recalled."""
        return self.message.text

    @property
    def at(self) -> dt.datetime:
        """When it was said."""
        return self.message.created_at

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
        rows = [(f"{f.score:.3f}", f"{f.at:%Y-%m-%d}", f.message.name or f.message.role, f.text, f.why) for f in self]
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
class Receipt:
    """What a ``forget`` removed: counts per place, when, and a hash over them; and what it does not cover."""

    counts: Mapping[str, int]
    at: dt.datetime
    digest: str
    not_covered: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return table(("place", "removed"), self.counts.items(), f"forgotten {self.at:%Y-%m-%d %H:%M:%S}")
