"""One conversation of an agent's: read within a budget, gone on with, begun anew, ended; each told once.

Every verb is a script (see ``steps``), so that the awaited memory and the other one are the same code.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from keepwell import Memory, Message, ScopedThread, Thread, errors
from llama_index.memory.keepwell.epochs import PINNED, Hidden, with_pinned
from llama_index.memory.keepwell.reading import FAILURES, read
from llama_index.memory.keepwell.steps import Script, beside, call
from llama_index.memory.keepwell.turns import Change, change, identified, looks_back, unseen
from llama_index.memory.keepwell.window import INSTRUCTIONS, Shown, Window, load, weigh

OnReset: TypeAlias = Literal["hide", "purge"]

_TRIES = 20
UNREADABLE: Final = "the history cannot be read; what waits to be written is given"
_log = logging.getLogger("llama_index.memory.keepwell")


class Conversation:
    """A thread, as one object of an application sees it: the window that it read last, and what was hidden then.

    It may be shared between threads and loops: what it keeps is replaced whole, and only ever used where the
    thread in the store is as it was.
    """

    def __init__(self, memory: Memory, thread: ScopedThread, *, strict: bool, tokens: int) -> None:
        """Bind it; nothing is read here."""
        self.memory = memory
        self.thread = thread
        self.shown = Shown()
        self.hidden = Hidden()
        self._strict = strict
        self._tokens = tokens
        self._window: Window | None = None

    def survive(self, error: Exception, lost: str, level: int = logging.WARNING) -> None:
        """Raise the error where the memory is strict; else leave one line in the log that says what is missing."""
        if self._strict:
            raise error
        _log.log(level, "%s: %s", lost, error)

    # Reading

    def newest(self, tokens: int) -> Script[list[Message]]:
        """Give the instructions and the newest whole turns within a budget, and what waits to be written."""
        stored: list[Message] = []
        try:
            known = yield call(self.thread.info)
            self.hidden = Hidden.of(known)
            window = self._window
            if known is not None and (window is None or not window.stands(known, tokens)):
                window = yield from load(self.thread, known, max(tokens, self._tokens))
                self._keep(window.kept(self._tokens))
            if known is not None and window is not None:
                stored = window.newest(tokens)
        except FAILURES as error:
            self.survive(error, UNREADABLE)
        return self._with_held(stored)

    def whole(self) -> Script[list[Message]]:
        """Give all messages of the present epoch, and what waits to be written."""
        stored: list[Message] = []
        try:
            stored = yield from self._standing(Hidden.of((yield call(self.thread.info))))
        except FAILURES as error:
            self.survive(error, UNREADABLE)
        return self._with_held(stored)

    # Writing

    def put(self, batch: Sequence[Message]) -> Script[None]:
        """Put messages at the end, all or none, but for what stands there already."""
        known: Thread | None = None
        tail: list[Message] = []
        try:
            known = yield call(self.thread.info)
            tail = yield from self._tail(known, looks_back(batch))
        except FAILURES as error:
            self.survive(error, "repetitions cannot be told from new messages", logging.INFO)
        else:
            batch = self._identified(batch, known)
        tail = self._with_held(tail)
        written = yield from self._append(unseen(tail, batch))
        yield from self._follow(known, written)
        yield from self._pin(known, written or tail[-len(batch) :])

    def replace(self, batch: Sequence[Message]) -> Script[None]:
        """Make this the whole conversation; what is no longer part of it is hidden.

        Raises:
            StoreError: the store fails; the conversation is as it was before.
            Conflict: others write to it without a pause; it is as they left it.
        """
        yield from self._write_held()
        for _ in range(_TRIES):
            known: Thread | None = yield call(self.thread.info)
            hidden = Hidden.of(known)
            stored = yield from self._standing(hidden)
            wanted: Change = yield beside(change, self._with_held(stored), batch)
            if not wanted.gone:
                written = yield from self._append(self._identified(wanted.new, known))
                yield from self._follow(known, written)
                return
            # What was kept but still waits to be written is written now, before what is new.
            new = [message for message in wanted.kept if message.seq is None] + list(wanted.new)
            after = hidden.hiding(wanted.gone, stored) if wanted.kept else hidden.all_to(known.last_seq if known else 0)
            if (yield beside(self._begin_epoch, known, after, new)):
                return
        raise errors.Conflict("the conversation is being written to without a pause; it was not replaced")

    def end(self, on_reset: OnReset) -> Script[None]:
        """Forget the conversation with all that hangs on it, or hide all its messages.

        Raises:
            StoreError: the store fails; the conversation is as it was before.
            Conflict: others write to it without a pause; it is as they left it.
        """
        if on_reset == "hide":
            yield from self._write_held()
        for _ in range(_TRIES):
            known: Thread | None = yield call(self.thread.info)
            if known is None:
                break
            if on_reset == "purge":
                yield from self._forget()
                break
            if (yield beside(self._begin_epoch, known, Hidden.of(known).all_to(known.last_seq), [])):
                return
        else:
            raise errors.Conflict("the conversation is being written to without a pause; it was not ended")
        self._dropped()

    # Parts of the verbs

    def _keep(self, window: Window | None) -> None:
        self._window = window
        self.shown.keep(window)

    def _standing(self, hidden: Hidden) -> Script[list[Message]]:
        found = yield from read(self.thread, after=hidden.floor)
        return hidden.shown(found)

    def _tail(self, known: Thread | None, count: int) -> Script[list[Message]]:
        """Give the newest messages of the present epoch."""
        if known is None:
            return []
        window = self._window
        if window is not None and window.stands(known, 0) and (window.whole or len(window.entries) >= count):
            return window.last(count)
        hidden = Hidden.of(known)
        found = yield from read(self.thread, after=hidden.floor, last=count)
        return hidden.shown(found)

    def _identified(self, batch: Sequence[Message], known: Thread | None) -> list[Message]:
        if self.memory.holding.messages(self.thread):
            return list(batch)
        generation, last = (str(known.key), str(known.last_seq)) if known else ("", "0")
        return identified(batch, [*self.thread.owner, self.thread.id, generation, last])

    def _with_held(self, stored: Sequence[Message]) -> list[Message]:
        """Put what waits to be written behind what is stored: it was said later."""
        held = self.memory.holding.messages(self.thread)
        known = {message.id for message in stored} if held else set()
        return [*stored, *(message for message in held if message.id not in known)]

    def _write_held(self) -> Script[None]:
        """Try to write what waits, which belongs to the history that is about to be hidden."""
        if self.memory.holding.messages(self.thread):
            yield call(self.memory.holding.append, self.thread, ())

    def _append(self, messages: Sequence[Message]) -> Script[Sequence[Message]]:
        if not messages:
            return []
        if self._strict:
            return (yield call(self.thread.append, *messages))  # type: ignore[no-any-return]  # answers are untyped
        return (yield call(self.memory.holding.append, self.thread, messages))  # type: ignore[no-any-return]  # as above

    def _follow(self, known: Thread | None, written: Sequence[Message]) -> Script[None]:
        """Add what was written to the window that was read; drop it where that is not all that happened."""
        window = self._window
        if window is None or not written:
            return
        followed: Window | None = None
        try:
            if known is not None and window.stands(known, 0):
                now = yield call(self.thread.info)
                followed = window.followed(written, now, weigh(self.thread), self._tokens)
        except FAILURES as error:
            _log.info("the history is read anew for the next answer: %s", error)
        self._keep(followed)

    def _pin(self, known: Thread | None, messages: Sequence[Message]) -> Script[None]:
        """Note instructions that came after the beginning, so that they stay in sight."""
        idents = [m.id for m in messages if m.role in INSTRUCTIONS and m.seq is not None]
        if not idents or known is None or known.message_count == 0:
            return
        try:
            yield beside(self._note_pinned, idents)
        except errors.NotFound as error:
            _log.debug("the conversation was forgotten by somebody else meanwhile: %s", error)
        except FAILURES as error:
            self.survive(error, "an instruction may get out of sight when the conversation is long")

    def _note_pinned(self, idents: Sequence[str]) -> None:
        with self.memory.transaction() as connection:
            now = self.thread.update(connection=connection)  # takes the thread's lock
            metadata: dict[str, Any] = with_pinned(now, idents)
            if metadata[PINNED] != now.metadata.get(PINNED):
                self.thread.update(metadata=metadata, connection=connection)

    def _begin_epoch(self, known: Thread | None, hidden: Hidden, new: Sequence[Message]) -> bool:
        """Hide messages and put new ones at the end; False where the thread is not as it was known any more."""
        try:
            with self.memory.transaction() as connection:
                if known is not None:
                    now = self.thread.update(connection=connection)  # takes the thread's lock
                    if _counts(now) != _counts(known):
                        return False
                    self.thread.update(metadata=hidden.note(), connection=connection)
                self.thread.append(*new, connection=connection)
        except errors.NotFound:
            _log.debug("the conversation was forgotten by somebody else meanwhile")
            return False
        self._dropped()
        return True

    def _forget(self) -> Script[None]:
        try:
            yield call(self.thread.scope.forget, self.thread)
        except errors.NotFound as error:
            _log.debug("the conversation was forgotten by somebody else meanwhile: %s", error)

    def _dropped(self) -> None:
        self.memory.holding.discard(self.thread)
        self._keep(None)


def _counts(thread: Thread) -> tuple[object, ...]:
    return thread.key, thread.last_seq, thread.message_count, Hidden.of(thread)
