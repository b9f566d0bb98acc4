"""Facts, where they come from, and what became of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload
from uuid import UUID

from keepwell.models.html import table
from keepwell.models.message import Message
from keepwell.models.scope import Owner

ChangeKind = Literal["ADD", "UPDATE", "DELETE", "RESTORE", "NONE"]
Trust = Literal["user", "assistant", "tool"]
"""Whose word it is: a person's (or that of who calls the verbs), a model's answer, a tool's result."""
TRUST: Mapping[Trust, int] = {"tool": 0, "assistant": 1, "user": 2}
"""The order of trust: what is less trusted never supersedes what is more trusted."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a fact rests on: a message with the span of its text, or a version of another fact.

    ``message`` is the message's number in the store (the caller's ids are unique only within a thread); ``start``
    and ``end`` count characters of :attr:`Message.text`, 0 and 0 where no span was named.
    """

    message: int | None = None
    start: int = 0
    end: int = 0
    fact: UUID | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class Fact:
    """One short statement held to be true.

    ``id`` stays through every version; ``version`` counts from 1. ``valid_from`` and ``valid_to`` say when it is
    true, ``recorded_at`` and ``retired_at`` when this version was held (``retired_at`` is None while it stands).
    ``reopened`` tells that something it rests on has changed, and that it has not been looked at since.
    """

    id: UUID
    version: int
    text: str
    owner: Owner
    recorded_at: dt.datetime
    subject: str = ""
    kind: str = ""
    key: str | None = None
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None
    retired_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    confidence: float = 1.0
    trust: Trust = "user"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reopened: bool = False

    @property
    def stands(self) -> bool:
        """Tell whether this version is the one that is held to be true now."""
        return self.retired_at is None

    @property
    def at(self) -> dt.datetime:
        """When it became true, as far as that is known, else when it was recorded."""
        return self.valid_from or self.recorded_at

    def _repr_html_(self) -> str:
        return Facts((self,))._repr_html_()


@dataclass(frozen=True, slots=True)
class Facts(Sequence[Fact]):
    """Some facts; ``next`` is what to pass as ``after`` for the following page, None at the end."""

    facts: tuple[Fact, ...] = ()
    next: str | None = None

    def __len__(self) -> int:
        """Count the facts."""
        return len(self.facts)

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fact]: ...
    def __getitem__(self, index: int | slice) -> Fact | Sequence[Fact]:
        """Give one of them, or a slice of them."""
        return self.facts[index]

    def _repr_html_(self) -> str:
        rows = [(f"{f.at:%Y-%m-%d}", f.subject, f.text, f.key or "", f.kind, str(f.version)) for f in self]
        return table(("since", "about", "fact", "key", "kind", "version"), rows)


@dataclass(frozen=True, slots=True)
class Quote:
    """Words of a message that a fact rests on; ``text`` is the span, or the whole message where none was named."""

    message: Message
    thread: str
    owner: Owner
    start: int
    end: int

    @property
    def text(self) -> str:
        """The words themselves, as the message has them now."""
        return self.message.text[self.start : self.end] if self.end else self.message.text


@dataclass(frozen=True, slots=True)
class Sources:
    """What a fact rests on: quotes of messages, and facts in the version that it was formed from."""

    quotes: tuple[Quote, ...] = ()
    facts: tuple[Fact, ...] = ()

    def __len__(self) -> int:
        """Count them."""
        return len(self.quotes) + len(self.facts)

    def _repr_html_(self) -> str:
        rows = [(f"{q.message.created_at:%Y-%m-%d}", q.thread, q.text) for q in self.quotes]
        rows += [(f"{f.at:%Y-%m-%d}", "fact", f.text) for f in self.facts]
        return table(("when", "where", "words"), rows)


@dataclass(frozen=True, slots=True)
class Change:
    """One row of history: what a fact was before and is after, why, and who did it.

    ``batch`` is shared by the changes of one write: of a call, or of one formation. ``cause`` is the change that
    made this one necessary, where there is one. ``before`` and ``after`` are None where there was, or is, nothing.
    """

    id: UUID
    kind: ChangeKind
    fact: UUID
    owner: Owner
    before: Fact | None
    after: Fact | None
    reason: str
    at: dt.datetime
    actor: str
    batch: UUID
    cause: UUID | None = None
    sources: tuple[Source, ...] = ()


def _words(fact: Fact | None) -> str:
    return "" if fact is None else fact.text


@dataclass(frozen=True, slots=True)
class Changes(Sequence[Change]):
    """Some changes, newest first unless said otherwise; ``next`` is the mark of the following page."""

    changes: tuple[Change, ...] = ()
    next: str | None = None

    def __len__(self) -> int:
        """Count the changes."""
        return len(self.changes)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Change]: ...
    def __getitem__(self, index: int | slice) -> Change | Sequence[Change]:
        """Give one of them, or a slice of them."""
        return self.changes[index]

    def _repr_html_(self) -> str:
        rows = [(f"{c.at:%Y-%m-%d %H:%M}", c.kind, _words(c.before), _words(c.after), c.actor, c.reason) for c in self]
        return table(("when", "what", "before", "after", "who", "why"), rows)


@dataclass(frozen=True, slots=True)
class Diff:
    """How two moments differ: facts that came, facts that went, and pairs of what a fact said then and later."""

    added: tuple[Fact, ...] = ()
    removed: tuple[Fact, ...] = ()
    changed: tuple[tuple[Fact, Fact], ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return bool(self.added or self.removed or self.changed)

    def _repr_html_(self) -> str:
        rows = [("+", "", f.text) for f in self.added] + [("-", f.text, "") for f in self.removed]
        rows += [("~", old.text, new.text) for old, new in self.changed]
        return table(("", "then", "later"), rows)


@dataclass(frozen=True, slots=True)
class Rejection:
    """That something was rejected: which view said so (absent ids are None), when and why; never the words."""

    id: int
    user_id: str | None
    agent_id: str | None
    run_id: str | None
    at: dt.datetime
    reason: str
