"""What the face adds to an edit of facts: terms, signals, vectors, keyed hashes, and the numbers of its sources."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from keepwell.errors import FactNotFound, MessageNotFound, ThreadNotFound, UsageError
from keepwell.formation.settle import Draft, fingerprint, hashes
from keepwell.models import Fact, Message, Owner, Quote, Recollection, Scope, Source
from keepwell.models.message import utc
from keepwell.models.scope import check_id
from keepwell.recall.chunks import chunks
from keepwell.storage.base import FetchMessages, FindThread
from keepwell.storage.facts import MessageKeys
from keepwell.work.tools import completed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from keepwell.memory.engine import Engine

SourceLike: TypeAlias = Message | Fact | Quote | Recollection
FactLike: TypeAlias = Fact | UUID | str
MAX_CHARACTERS = 20_000
"""A fact is one short statement; what is longer than this is a document."""
_log = logging.getLogger("keepwell.memory")


def ident_of(fact: FactLike) -> UUID:
    """Give the id of a fact, of an id, or of an id as text.

    Raises:
        UsageError: it is none of them.
    """
    if isinstance(fact, Fact):
        return fact.id
    if isinstance(fact, UUID):
        return fact
    try:
        return UUID(fact)
    except (ValueError, AttributeError, TypeError):
        raise UsageError(f"{fact!r} is neither a fact nor the id of one") from None


@dataclass(frozen=True, slots=True)
class Statement:
    """What a caller says of a fact, as it was given; None and ``()`` are not said."""

    text: str
    key: str | None = None
    subject: str = ""
    kind: str = ""
    valid_from: dt.datetime | None = None
    valid_to: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    metadata: Mapping[str, Any] | None = None
    confidence: float = 1.0

    def draft(self, sources: tuple[Source, ...]) -> Draft:
        """Give it as a draft.

        Raises:
            UsageError: a part of it cannot be kept, or means nothing.
        """
        begin, end, over = (None if at is None else utc(at) for at in (self.valid_from, self.valid_to, self.expires_at))
        if begin is not None and end is not None and end < begin:
            raise UsageError(f"valid_to ({end:%Y-%m-%d}) is before valid_from ({begin:%Y-%m-%d})")
        if not 0 <= self.confidence <= 1:
            raise UsageError(f"confidence is {self.confidence}; give 0 to 1")
        return Draft(
            text=statement(self.text),
            subject=word(self.subject, "subject"),
            kind=word(self.kind, "kind"),
            key=None if self.key is None else check_id(self.key, "key"),
            valid_from=begin,
            valid_to=end,
            expires_at=over,
            confidence=float(self.confidence),
            metadata=dict(self.metadata or {}),
            sources=sources,
        )


def statement(text: object) -> str:
    """Give the text of a fact back, if it is one.

    Raises:
        UsageError: it is no text, is blank, or too long for a statement.
    """
    if not isinstance(text, str) or not text.strip():
        raise UsageError("a fact needs a text with something in it")
    if len(text) > MAX_CHARACTERS:
        raise UsageError(
            f"a fact has at most {MAX_CHARACTERS} characters, this has {len(text)}; append it as a message"
        )
    return text.strip()


def word(text: object, name: str) -> str:
    """Give a subject or kind back, if it is one that can be looked for (``''`` is none).

    Raises:
        UsageError: it is no text, or one that no database can compare.
    """
    return "" if text in ("", None) else check_id(text, name)


def filled(engine: Engine, drafts: Sequence[Draft]) -> list[Draft]:
    """Give drafts with their terms, signals and keyed hashes, and with vectors where an embedder is in this process.

    Where there are no vectors, embedding the facts is due work.
    """
    secret = engine.secret()
    vectors = _vectors(engine, [draft.text for draft in drafts])
    return [completed(draft, secret, rows, engine.language) for draft, rows in zip(drafts, vectors, strict=True)]


def space_of(engine: Engine, drafts: Iterable[Draft | None]) -> int | None:
    """Give the number of the space that the vectors of these drafts are of; None where they have none."""
    space = engine.space() if any(draft is not None and draft.vectors for draft in drafts) else None
    return None if space is None else space.key


def rejecting(engine: Engine, facts: Iterable[Fact], unless: str | None = None) -> tuple[bytes, ...]:
    """Give the hashes under which these statements are rejected, but not the one that says the same as ``unless``."""
    secret = engine.secret()
    kept = None if unless is None else fingerprint(unless)
    found = (hashes(secret, fact.text, fact.key) for fact in facts if fingerprint(fact.text) != kept)
    return tuple(dict.fromkeys(mark for marks in found for mark in marks))


def _vectors(engine: Engine, texts: list[str]) -> list[tuple[NDArray[np.float32], ...]]:
    embedder = engine.models.embedder
    none: list[tuple[NDArray[np.float32], ...]] = [()] * len(texts)
    if embedder is None or not embedder.local or not texts:
        return none
    pieces = [(place, piece) for place, text in enumerate(texts) for piece in chunks(text)]
    try:
        engine.space()
        rows = engine.unit_vectors([piece for _, piece in pieces])
    except Exception:  # noqa: BLE001 - a foreign model may raise anything, and vectors can be made later
        _log.warning("%d facts wait for their vectors", len(texts), exc_info=True)
        return none
    by_text: list[list[NDArray[np.float32]]] = [[] for _ in texts]
    for (place, _), row in zip(pieces, rows, strict=True):
        by_text[place].append(row)
    return [tuple(found) for found in by_text]


def sources_of(engine: Engine, scope: Scope, given: SourceLike | Iterable[SourceLike]) -> tuple[Source, ...]:
    """Give the sources that a caller names as messages, quotes, facts and recollections.

    Raises:
        MessageNotFound: a message is not in the record, or not in this scope.
        FactNotFound: a fact is not in this scope.
        UsageError: something else was named.
    """
    named = [given] if isinstance(given, (Message, Fact, Quote, Recollection)) else list(given)
    found = (source for one in named for source in _sources(engine, scope, one))
    return tuple(dict.fromkeys(found))


def _sources(engine: Engine, scope: Scope, one: object) -> Iterator[Source]:
    match one:
        case Recollection(item=item) if isinstance(item, Fact):
            yield from _sources(engine, scope, item)
        case Fact(id=ident, version=version, owner=owner):
            if not scope.covers(owner):
                raise FactNotFound(f"there is no fact {ident} in this scope")
            yield Source(fact=ident, version=version)
        case Quote(message=message, thread=thread, owner=owner, start=start, end=end):
            yield Source(_number(engine, scope, message, thread, owner), start, end)
        case Recollection(item=message, thread=thread, owner=owner) if isinstance(message, Message):
            yield Source(_number(engine, scope, message, thread, owner))
        case Message():
            yield from (Source(number) for number in _copies(engine, scope, one))
        case _:
            raise UsageError(
                f"a source is a Message, a Quote, a Fact or a Recollection, not {type(one).__name__}; nothing was done"
            )


def _number(engine: Engine, scope: Scope, message: Message, thread: str, owner: Owner) -> int:
    known = engine.record.read(FindThread(owner, thread)) if scope.covers(owner) else None
    if known is None:
        raise ThreadNotFound(f"there is no thread {thread!r} in this scope")
    found = engine.record.read(MessageKeys(scope, ((known.key, message.id),)))
    if not found:
        raise _unknown(message)
    return next(iter(found.values()))


def _copies(engine: Engine, scope: Scope, message: Message) -> list[int]:
    """Give the numbers of a message in every thread of the scope that has it: a clone holds the same message.

    Ids are unique only within a thread, so those of another message of that id are left out.
    """
    numbers = tuple(engine.record.read(MessageKeys(scope, ((None, message.id),))).values())
    if not numbers:
        raise _unknown(message)
    there = engine.record.read(FetchMessages(scope, numbers, 0))
    same = [number for number in numbers if number in there and _equal(there[number].message, message)]
    if not same:
        raise _unknown(message)
    return same


def _equal(one: Message, other: Message) -> bool:
    return (one.role, one.text, one.created_at) == (other.role, other.text, other.created_at)


def _unknown(message: Message) -> MessageNotFound:
    return MessageNotFound(f"message {message.id!r} is not in this scope; append it before a fact rests on it")
