"""What an agent is given of a long conversation: its newest whole turns, within a budget of tokens.

A window is kept by the object that read it, with what each message costs, and is good for as long as the thread is
as it was read: the thread's own counts say so, in one small query. What the object itself puts at the end is added
to it. So a turn of an agent, which asks for its history three times, reads it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias
from uuid import UUID

from keepwell import CitationPart, MediaPart, Message, ReasoningPart, ScopedThread, TextPart, Thread, ToolCallPart
from llama_index.core.base.llms.types import ChatMessage
from llama_index.memory.keepwell.epochs import Hidden, pinned
from llama_index.memory.keepwell.messages import copied, to_chat_message
from llama_index.memory.keepwell.reading import read
from llama_index.memory.keepwell.steps import Script, call

INSTRUCTIONS: Final = frozenset({"system", "developer"})
_PAGE, _MAX_PAGE = 64, 512
_HEAD = 8
"""Instructions stand at the beginning of a thread; so many messages are looked through for them."""
_FARTHEST = 2_000
"""So many messages are looked through for the person's message that a very long turn began with."""
_MAX_AGE = 30.0
"""Seconds. An edit by somebody else in the very instant of an own write is the one change that counts do not show."""
_LEAST = 4_000
"""Tokens. A window of a smaller limit is kept as if it had this one: a page of short messages has more."""
_MAX_BYTES = 4_000_000
"""A window with more media than this is not kept."""
_PLAIN = (TextPart, ReasoningPart, ToolCallPart)

Count: TypeAlias = Callable[[Message], int]


def weigh(thread: ScopedThread) -> Count:
    """Give a function that says about how many tokens a message costs; what it cites counts too."""

    def count(message: Message) -> int:
        cited = [part.text for part in message.parts if isinstance(part, CitationPart)]
        return thread.count_tokens(message, *cited)

    return count


@dataclass(frozen=True, slots=True)
class Entry:
    """A message and about how many tokens it costs."""

    message: Message
    tokens: int


@dataclass(frozen=True, slots=True)
class Window:
    """The end of a thread as it was read: ``head`` are the instructions that stand before ``entries``."""

    known: Thread
    entries: tuple[Entry, ...] = ()
    head: tuple[Entry, ...] = ()
    whole: bool = True
    read_at: float = 0.0

    def stands(self, known: Thread | None, tokens: int) -> bool:
        """Tell whether the thread is as it was read, and enough of it was."""
        if known is None or _mark(known) != _mark(self.known) or time.monotonic() - self.read_at > _MAX_AGE:
            return False
        return self.whole or sum(entry.tokens for entry in self.entries) >= tokens

    def newest(self, tokens: int) -> list[Message]:
        """Give the instructions and the newest whole turns that fit; the newest message always.

        A conversation that fits is given as it is, also where it began with a model's words.
        """
        lasting = set(pinned(self.known))
        lead = next((n for n, e in enumerate(self.entries) if e.message.role not in INSTRUCTIONS), len(self.entries))
        lasting.update(entry.message.id for entry in self.entries[:lead] if self.whole)
        kept = [entry for entry in self.entries if _is_lasting(entry, lasting)]
        room = tokens - sum(entry.tokens for entry in (*self.head, *kept))
        talk = [entry for entry in self.entries if not _is_lasting(entry, lasting)]
        fits = self.whole and sum(entry.tokens for entry in talk) <= room
        chosen = talk if fits else _turns_within(talk, room)
        return [entry.message for entry in (*self.head, *kept, *chosen)]

    def last(self, count: int) -> list[Message]:
        """Give the newest messages."""
        return [entry.message for entry in self.entries[-count:]]

    def followed(self, written: Sequence[Message], known: Thread | None, count: Count, tokens: int) -> Window | None:
        """Give the window with what was put at its end; None where anything else happened to the thread as well."""
        before, more = self.known, len(written)
        places = list(range(before.last_seq + 1, before.last_seq + more + 1))
        if known is None or [message.seq for message in written] != places or not _is_after(known, before, more):
            return None
        entries = (*self.entries, *(Entry(message, count(message)) for message in written))
        return replace(self, known=known, entries=entries).kept(tokens)

    def kept(self, tokens: int) -> Window | None:
        """Give the window if it is worth keeping; None where it has grown too large."""
        if sum(entry.tokens for entry in self.entries) > 3 * max(tokens, _LEAST):
            return None
        media = [part.data for e in self.entries for part in e.message.parts if isinstance(part, MediaPart)]
        return None if sum(len(data) for data in media if data is not None) > _MAX_BYTES else self


def load(thread: ScopedThread, known: Thread, tokens: int) -> Script[Window]:
    """Read the end of a thread, backwards until the budget is full and a turn's beginning is there."""
    count, hidden = weigh(thread), Hidden.of(known)
    taken, entries, room = time.monotonic(), list[Entry](), tokens
    before, size, whole = None, _PAGE, False
    while not whole and (room >= 0 or not (_has_person(entries) or len(entries) > _FARTHEST)):
        page = yield from read(thread, after=hidden.floor, before=before, last=size)
        fresh = [Entry(message, count(message)) for message in hidden.shown(page)]
        entries = [*fresh, *entries]
        room -= sum(entry.tokens for entry in fresh)
        before, whole = page[0].seq if page else before, len(page) < size
        size = min(_MAX_PAGE, max(_PAGE, room * len(entries) // max(1, tokens - room)))
    head = () if whole else (yield from _head(thread, known, before or 1, count))
    return Window(known, tuple(entries), tuple(head), whole, taken)


class Shown:
    """LlamaIndex's forms of messages that were given before; each time a fresh copy is given."""

    def __init__(self) -> None:
        """Begin with none."""
        self._made: dict[str, tuple[Message, ChatMessage]] = {}

    def __call__(self, message: Message) -> ChatMessage:
        """Give the message as LlamaIndex has it, shared with nobody."""
        known = self._made.get(message.id)
        if known is not None and known[0] is message:
            return copied(known[1])
        made = to_chat_message(message)
        if all(isinstance(part, _PLAIN) for part in message.parts):  # media may have gone, or be large
            self._made[message.id] = (message, made)
            return copied(made)
        return made

    def keep(self, window: Window | None) -> None:
        """Let go of what is no longer in a window."""
        if window is None or len(self._made) > 2 * len(window.entries) + _PAGE:
            self._made = {}


def _mark(known: Thread) -> tuple[UUID, int, int, object]:
    return known.key, known.last_seq, known.message_count, known.updated_at


def _is_after(known: Thread, before: Thread, more: int) -> bool:
    """Tell whether a thread is as it was, with so many messages more."""
    counts = (known.last_seq, known.message_count) == (before.last_seq + more, before.message_count + more)
    return counts and (known.key, known.metadata) == (before.key, before.metadata)


def _is_lasting(entry: Entry, lasting: set[str]) -> bool:
    return entry.message.role in INSTRUCTIONS and entry.message.id in lasting


def _has_person(entries: Sequence[Entry]) -> bool:
    return any(entry.message.role == "user" for entry in entries)


def _head(thread: ScopedThread, known: Thread, before: int, count: Count) -> Script[list[Entry]]:
    """Give the instructions that a thread begins with, and those that were pinned, from before a place."""
    hidden = Hidden.of(known)
    first = yield from read(thread, after=hidden.floor, before=before, limit=_HEAD)
    stop = next((place for place, message in enumerate(first) if message.role not in INSTRUCTIONS), len(first))
    found = {message.seq or 0: message for message in hidden.shown(first[:stop])}
    idents = pinned(known)
    if idents:
        given: Sequence[Message] = yield call(thread.around, *idents, before=0, after=0)
        found |= {message.seq or 0: message for message in hidden.shown(given) if (message.seq or 0) < before}
    return [Entry(message, count(message)) for _, message in sorted(found.items())]


def _turns_within(talk: Sequence[Entry], room: int) -> Sequence[Entry]:
    """Give the newest whole turns that fit; of a newest turn that does not, its beginning and its end.

    A turn begins with a person's message; instructions right before one belong to it.
    """
    start, spent = len(talk), 0
    for place in range(len(talk) - 1, -1, -1):
        spent += talk[place].tokens
        if spent > room:
            break
        role = talk[place].message.role
        if role == "user" or (start == place + 1 < len(talk) and role in INSTRUCTIONS):
            start = place
    if start < len(talk) or not talk:
        return talk[start:]
    first = next((place for place in range(len(talk) - 1, -1, -1) if talk[place].message.role == "user"), 0)
    return _ends_of(talk[first:], room)


def _ends_of(turn: Sequence[Entry], room: int) -> list[Entry]:
    """Give what a turn began with, and the newest steps that fit beside it; the newest step always.

    A step is a message with the answers of the tools that it called: both or neither.
    """
    opening = list(turn[:1]) if turn[0].message.role == "user" else []
    steps: list[list[Entry]] = []
    for entry in turn[len(opening) :]:
        if entry.message.role == "tool" and steps:
            steps[-1].append(entry)
        else:
            steps.append([entry])
    room -= sum(entry.tokens for entry in opening)
    kept: list[list[Entry]] = []
    for step in reversed(steps):
        room -= sum(entry.tokens for entry in step)
        if room < 0 and kept:
            break
        kept.insert(0, step)
    return [*opening, *(entry for step in kept for entry in step)]
