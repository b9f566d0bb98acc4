"""One conversation."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keepwell.errors import InvalidMessage, InvalidQuery, UsageError
from keepwell.memory.engine import Engine, Script
from keepwell.memory.policy import days
from keepwell.memory.request import Request
from keepwell.memory.twins import twin
from keepwell.models import Context, Message, Messages, Owner, Recollections, Thread
from keepwell.models.message import new_id, utc
from keepwell.models.scope import check_id
from keepwell.recall import context as contexts
from keepwell.recall.analysis import analysed
from keepwell.recall.tokens import count_message
from keepwell.storage import base
from keepwell.storage.facts import SetPolicy

if TYPE_CHECKING:
    from keepwell.memory.scoped import ScopedMemory

_PAGE = 64


class ScopedThread:
    """One conversation of one owner; cheap to make, safe to share between threads, picklable.

    Nothing is written before the first append.

    Example:
        >>> chat = memory.scope(user_id="ada").thread("holiday")
        >>> _ = chat.append(Message.user("I can't eat peanuts."), Message.assistant("Noted."))
        >>> [message.text for message in chat.messages(last=2)]
        ["I can't eat peanuts.", 'Noted.']
    """

    def __init__(self, scope: ScopedMemory, ident: str, *, incognito: bool = False) -> None:
        """Made by ``ScopedMemory.thread``."""
        self.scope = scope
        self.id = check_id(ident, "thread id")
        self.incognito = incognito

    def __repr__(self) -> str:
        """Name the conversation and whose it is."""
        return f"ScopedThread({self.id!r}, {self.scope!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as scope and id."""
        return _thread, (self.scope, self.id, self.incognito)

    @property
    def owner(self) -> Owner:
        """The exact owner."""
        return self.scope.scope.owner

    @property
    def _engine(self) -> Engine:
        return self.scope._engine  # noqa: SLF001 - the three objects of the face share it

    # Reading

    @property
    def key(self) -> UUID | None:
        """The thread's key, unique in the store; None before the first write."""
        # Not kept: the thread may be forgotten, moved or made again by somebody else.
        known = self.info()
        return None if known is None else known.key

    def info(self) -> Thread | None:
        """Give what is known about the thread; None before the first write."""
        return self._engine.record.read(base.FindThread(self.owner, self.id))

    def messages(
        self,
        last: int | None = None,
        *,
        after: int | None = None,
        before: int | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        limit: int | None = None,
    ) -> Messages:
        """Give messages, oldest first: all of them, the ``last`` ones, or the first ``limit``.

        ``after`` and ``before`` are ``seq`` numbers, ``since`` (included) and ``until`` (not included) times;
        neither end of a pair is required. A thread that was never written gives none.
        """
        for name, number in (("last", last), ("limit", limit)):
            if number is not None and number < 1:
                raise InvalidQuery(f"{name} is {number}; give 1 or more")
        if last is not None and limit is not None:
            raise InvalidQuery("give last or limit, not both")
        if self.incognito:
            return Messages()
        span = (None if since is None else utc(since), None if until is None else utc(until))
        found = self._engine.record.read(base.ReadMessages(self.owner, self.id, last, limit, after, before, *span))
        return Messages(found)

    def window(self, last: int | None = None, *, tokens: int | None = None) -> Messages:
        """Give the newest whole turns: within ``last`` messages, within ``tokens``, oldest first.

        A turn begins with a person's message; tool calls stay with their results.
        """
        if tokens is not None and tokens < 1:
            raise InvalidQuery(f"tokens is {tokens}; give 1 or more")
        if tokens is None:
            found: Sequence[Message] = self.messages(last=last)
        else:
            found = self._newest_within(tokens, last)
        return Messages(contexts.window(found, tokens=tokens, counter=self._engine.models.counter))

    def around(self, *messages: Message | str, before: int = 1, after: int = 1) -> Messages:
        """Give these messages (or ids) with as many neighbours on each side, in order and without repeats."""
        if before < 0 or after < 0:
            raise InvalidQuery("before and after must be 0 or more")
        if not messages or self.incognito:
            return Messages()
        found = self._engine.record.read(base.ReadAround(self.owner, self.id, _ids(messages), before, after))
        return Messages(found)

    def count_tokens(self, *what: Message | str) -> int:
        """Give about the tokens that messages, or words, take in a prompt, by the counter that the memory has."""
        counter = self._engine.models.counter
        return sum(counter(one) if isinstance(one, str) else count_message(one, counter) for one in what)

    def iterate(self, batch: int = 500) -> Iterator[Message]:
        """Go through the whole thread, oldest first, holding at most ``batch`` messages at a time."""
        if batch < 1:
            raise InvalidQuery(f"batch is {batch}; give 1 or more")
        seq: int | None = 0
        while page := self.messages(after=seq, limit=batch):
            yield from page
            seq = page[-1].seq

    async def aiterate(self, batch: int = 500) -> AsyncIterator[Message]:
        """Do what ``iterate`` does, without holding up the loop."""
        seq: int | None = 0
        while page := await self.amessages(after=seq, limit=batch):
            for message in page:
                yield message
            seq = page[-1].seq

    # Writing

    def append(
        self,
        *messages: Message,
        idempotency_key: str | None = None,
        connection: object = None,
        incognito: bool = False,
    ) -> Messages:
        """Put messages at the end, all or none, in order; give them with their ``seq``.

        The same id with the same content again changes nothing; with other content it replaces the message in
        its place, and the old version is kept. With ``connection`` they join that connection's transaction.

        Raises:
            IdempotencyConflict: the key was used for another append.
            InvalidMessage: what was given is no message.
        """
        _check_messages(messages)
        if self._unwritten(messages, incognito=incognito):
            return Messages(messages)
        return self._engine.perform(self._append(messages, idempotency_key, joined=connection is not None), connection)

    async def aappend(
        self,
        *messages: Message,
        idempotency_key: str | None = None,
        connection: object = None,
        incognito: bool = False,
    ) -> Messages:
        """Do what ``append`` does, without holding up the loop."""
        _check_messages(messages)
        if self._unwritten(messages, incognito=incognito):
            return Messages(messages)
        script = self._append(messages, idempotency_key, joined=connection is not None)
        return await self._engine.aperform(script, connection)

    def replace(self, message: Message, *, connection: object = None) -> Message:
        """Replace the message of that id in its place; the old version is kept.

        Raises:
            MessageNotFound: the thread has no message of that id.
        """
        return self._engine.perform(self._replace(message, joined=connection is not None), connection)

    async def areplace(self, message: Message, *, connection: object = None) -> Message:
        """Do what ``replace`` does, without holding up the loop."""
        return await self._engine.aperform(self._replace(message, joined=connection is not None), connection)

    def delete(self, *messages: Message | str, connection: object = None) -> int:
        """Delete messages (or ids) with all that hangs on them, and count those that were there.

        Raises:
            UsageError: no message is given; a whole thread goes by ``forget(thread)``.
        """
        return self._engine.perform(self._delete(messages), connection)

    async def adelete(self, *messages: Message | str, connection: object = None) -> int:
        """Do what ``delete`` does, without holding up the loop."""
        return await self._engine.aperform(self._delete(messages), connection)

    def create(
        self, title: str | None = None, metadata: Mapping[str, Any] | None = None, *, connection: object = None
    ) -> Thread:
        """Make the thread before its first message.

        Raises:
            ThreadExists: it is there already.
        """
        return self._engine.perform(
            _one(base.CreateThread(self.owner, self.id, _title(title), metadata or {})), connection
        )

    async def acreate(
        self, title: str | None = None, metadata: Mapping[str, Any] | None = None, *, connection: object = None
    ) -> Thread:
        """Do what ``create`` does, without holding up the loop."""
        change = base.CreateThread(self.owner, self.id, _title(title), metadata or {})
        return await self._engine.aperform(_one(change), connection)

    def update(
        self, title: str | None = None, metadata: Mapping[str, Any] | None = None, *, connection: object = None
    ) -> Thread:
        """Change the title where one is given, and merge the metadata: a key set to None is removed.

        Raises:
            ThreadNotFound: it was never written.
        """
        return self._engine.perform(
            _one(base.UpdateThread(self.owner, self.id, _title(title), metadata or {})), connection
        )

    async def aupdate(
        self, title: str | None = None, metadata: Mapping[str, Any] | None = None, *, connection: object = None
    ) -> Thread:
        """Do what ``update`` does, without holding up the loop."""
        change = base.UpdateThread(self.owner, self.id, _title(title), metadata or {})
        return await self._engine.aperform(_one(change), connection)

    def clone(
        self,
        new_ident: str | None = None,
        *,
        to: ScopedMemory | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        until: Message | int | None = None,
        connection: object = None,
    ) -> ScopedThread:
        """Copy the thread (up to and with ``until``) under a new id, with its lineage; give the copy."""
        copy, change = self._clone(new_ident, to, title, metadata, until)
        self._engine.perform(_one(change), connection)
        return copy

    async def aclone(
        self,
        new_ident: str | None = None,
        *,
        to: ScopedMemory | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        until: Message | int | None = None,
        connection: object = None,
    ) -> ScopedThread:
        """Do what ``clone`` does, without holding up the loop."""
        copy, change = self._clone(new_ident, to, title, metadata, until)
        await self._engine.aperform(_one(change), connection)
        return copy

    def move(self, to: ScopedMemory, *, connection: object = None) -> ScopedThread:
        """Give the thread, with all that hangs on it, to the owner that ``to`` writes as.

        Raises:
            ThreadNotFound: it was never written.
            ThreadExists: the new owner has a thread of that id.
        """
        self._engine.perform(_one(base.MoveThread(self.owner, self.id, self._owner_of(to))), connection)
        return to.thread(self.id)

    async def amove(self, to: ScopedMemory, *, connection: object = None) -> ScopedThread:
        """Do what ``move`` does, without holding up the loop."""
        await self._engine.aperform(_one(base.MoveThread(self.owner, self.id, self._owner_of(to))), connection)
        return to.thread(self.id)

    def configure(self, *, retention: float | dt.timedelta | None, connection: object = None) -> Mapping[str, Any]:
        """Set how many days the messages of this thread are kept, and give all that is set for it.

        None takes it off: then the owner's retention holds, or the store's. What is older is forgotten, with the
        facts that rest on it, by the next ``drain``.

        Raises:
            UsageError: it is not a number above 0.
            ThreadNotFound: the thread was never written.
        """
        return self._engine.write(SetPolicy(self.owner, {"retention": days(retention)}, self.id), connection)

    # Recall

    def recall(self, query: str, **options: Any) -> Recollections:  # noqa: ANN401 - those of ScopedMemory.recall
        """Find what fits in this thread alone; the options are those of ``ScopedMemory.recall``."""
        return self.scope.recall(query, thread=self, **options)

    async def arecall(self, query: str, **options: Any) -> Recollections:  # noqa: ANN401 - as above
        """Do what ``recall`` does, without holding up the loop."""
        return await self.scope.arecall(query, thread=self, **options)

    def context(
        self,
        query: str | None = None,
        *,
        last: int = 20,
        tokens: int | None = None,
        limit: int | None = None,
        characters: int | None = None,
        exclude: Sequence[str] = (),
    ) -> Context:
        """Give the block for a prompt and the recent messages.

        What fits the query (the last message of a person where none is given) is recalled from the whole scope,
        but not what stands in the recent messages or in ``exclude`` (ids). Facts come before messages, each with its
        date; ``limit`` items of ``characters`` each (the settings' five and 300). ``tokens`` bounds the block and
        the messages together: the block takes a third of it at most.
        """
        recent = self._recent(last, tokens)
        request = self._context_request(query, recent, limit, exclude)
        found = Recollections() if request is None else self.scope.recall_request(request)
        return self._context(recent, found, tokens, characters)

    async def acontext(
        self,
        query: str | None = None,
        *,
        last: int = 20,
        tokens: int | None = None,
        limit: int | None = None,
        characters: int | None = None,
        exclude: Sequence[str] = (),
    ) -> Context:
        """Do what ``context`` does, without holding up the loop."""
        recent = await self._engine.run(self._recent, last, tokens)
        request = self._context_request(query, recent, limit, exclude)
        found = Recollections() if request is None else await self.scope.arecall_request(request)
        return self._context(recent, found, tokens, characters)

    ainfo = twin(info)
    aconfigure = twin(configure)
    amessages = twin(messages)
    awindow = twin(window)
    aaround = twin(around)

    # Parts of the verbs

    def _unwritten(self, messages: Sequence[Message], *, incognito: bool) -> bool:
        return incognito or self.incognito or not messages

    def _append(self, messages: Sequence[Message], idempotency_key: str | None, *, joined: bool) -> Script[Messages]:
        told = [analysed(message.text, self._engine.language) for message in messages]
        if idempotency_key is not None:
            check_id(idempotency_key, "idempotency_key")
        appended = yield base.AppendMessages(
            self.owner,
            self.id,
            tuple(messages),
            tuple(one.terms for one in told),
            idempotency_key,
            tuple(one.signals for one in told),
            self._engine.habits.forming,
        )
        if not joined:
            self._engine.after_append(appended)
        return Messages(appended.messages)

    def _replace(self, message: Message, *, joined: bool) -> Script[Message]:
        _check_messages((message,))
        told = analysed(message.text, self._engine.language)
        replaced = yield base.ReplaceMessage(
            self.owner, self.id, message, told.terms, told.signals, self._engine.habits.forming
        )
        if not joined:
            self._engine.after_append(replaced)
        return replaced.messages[0]  # type: ignore[no-any-return]  # a script is sent untyped answers

    def _delete(self, messages: Sequence[Message | str]) -> Script[int]:
        if not messages:
            raise UsageError("delete() needs a message; a whole thread goes by scope.forget(thread)")
        count = yield base.DeleteMessages(self.owner, self.id, _ids(messages))
        return int(count)

    def _clone(
        self,
        new_ident: str | None,
        to: ScopedMemory | None,
        title: str | None,
        metadata: Mapping[str, Any] | None,
        until: Message | int | None,
    ) -> tuple[ScopedThread, base.CloneThread]:
        copy = (to or self.scope).thread(new_ident or new_id())
        seq = until.seq if isinstance(until, Message) else until
        owner = self._owner_of(to or self.scope)
        return copy, base.CloneThread(self.owner, self.id, owner, copy.id, _title(title), metadata or {}, seq)

    def _owner_of(self, to: ScopedMemory) -> Owner:
        if to._engine.record is not self._engine.record and to.memory != self.scope.memory:  # noqa: SLF001 - see _engine
            raise UsageError("a thread stays in its store and tenant; export it and import it there")
        return to.scope.owner

    def _newest_within(self, tokens: int, last: int | None) -> list[Message]:
        """Read backwards, a page at a time, until the budget is full."""
        found: list[Message] = []
        before: int | None = None
        while last is None or len(found) < last:
            size = _PAGE if last is None else min(_PAGE, last - len(found))
            page = self.messages(last=size, before=before)
            found = [*page, *found]
            tokens -= sum(count_message(message, self._engine.models.counter) for message in page)
            if tokens < 0 or len(page) < size:
                break
            before = page[0].seq
        return found

    def _recent(self, last: int, tokens: int | None) -> Messages:
        if tokens is not None and tokens < 1:
            raise InvalidQuery(f"tokens is {tokens}; give 1 or more")
        return self.window(last, tokens=None if tokens is None else max(1, tokens - tokens // 3))

    def _context_request(
        self, query: str | None, recent: Sequence[Message], limit: int | None, exclude: Sequence[str]
    ) -> Request | None:
        asked = query if query is not None else next((m.text for m in reversed(recent) if m.role == "user"), "")
        if self.incognito or (query is None and not asked.strip()):
            return None
        shown = frozenset(message.id for message in recent) | frozenset(exclude)
        return Request(
            asked, self._engine.habits.context_items if limit is None else limit, neighbours=0, exclude=shown
        )

    def _context(
        self, recent: Sequence[Message], found: Recollections, tokens: int | None, characters: int | None
    ) -> Context:
        counter, habits = self._engine.models.counter, self._engine.habits
        room = None if tokens is None else tokens // 3
        each = habits.context_characters if characters is None else characters
        text = contexts.block(found, characters=each, tokens=room, counter=counter)
        total = (counter(text) if text else 0) + sum(count_message(message, counter) for message in recent)
        return Context(text, tuple(recent), total, found)

    def _repr_html_(self) -> str:
        known = self.info()
        return f"<p>{self.id} (not written yet)</p>" if known is None else known._repr_html_()


def _thread(scope: ScopedMemory, ident: str, incognito: bool) -> ScopedThread:
    return scope.thread(ident, incognito=incognito)


def _one(change: base.Write[base.R]) -> Script[base.R]:
    return (yield change)  # type: ignore[no-any-return]  # a script is sent untyped answers


def _ids(messages: Sequence[Message | str]) -> tuple[str, ...]:
    return tuple(
        message.id if isinstance(message, Message) else check_id(message, "message id") for message in messages
    )


def _title(given: object) -> str | None:
    """Give a title back, if it is one that a database can hold.

    Raises:
        UsageError: it is no text, or holds NUL or a lone surrogate.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise UsageError(f"the title must be text, not {type(given).__name__}")
    if "\x00" in given or given != given.encode("utf-8", "replace").decode():
        raise UsageError("the title holds a NUL character or a lone surrogate, which no database can store as text")
    return given


def _check_messages(messages: Sequence[object]) -> None:
    for message in messages:
        if not isinstance(message, Message):
            raise InvalidMessage(
                f"append takes Message values, not {type(message).__name__}; write Message.user('...')"
            )
