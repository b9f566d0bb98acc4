"""A memory for LlamaIndex's agents and chat engines that is kept in a store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from pydantic import ConfigDict, Field, PrivateAttr

from keepwell import Memory, Message, Scope, ScopedThread, default_memory, errors, open_named
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.memory.keepwell.messages import to_chat_message, to_message
from llama_index.memory.keepwell.turns import (
    Position,
    Question,
    looks_back,
    presented,
    question_of,
    repaired,
    shared,
    unseen,
    without_block,
)

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

TOKEN_LIMIT: Final = 30_000
"""LlamaIndex's own default."""
_FOR_THE_ANSWER = 256
_PER_RECOLLECTION = 120
"""About the tokens of one recalled item of 300 characters, of its date and of its share of the fence."""
_HEAD = 8
"""Instructions stand at the beginning of a thread; so many messages are looked through for them."""
_FAILURES = (errors.StoreError, errors.EmbeddingError)
_log = logging.getLogger("llama_index.memory.keepwell")


class KeepwellMemory(BaseMemory):
    """One conversation, kept, and what is recalled for it from everything that its owner ever said.

    Give it to an agent (``agent.run("...", memory=chat)``) or to a chat engine. Nothing is opened before it is
    used, and nothing is bound to a thread or an event loop. What it gives is the newest whole turns within
    ``token_limit``, instructions first, each tool call with its answer; and once for each turn what was
    recalled, as the first text of the person's last message (``insert_position="user"``, which every agent
    passes on) or in the instructions (``"system"``; ``ReActAgent`` drops those if it has no prompt of its own).
    What is recalled is never stored again.

    It travels as JSON, in a workflow's ``Context`` too, with the store's name and tenant; never with a DSN. A
    server that restricts ``JsonSerializer(allowed_types=...)`` must list this class.

    With ``strict=False`` the store may fail and the conversation goes on: what cannot be written is held in this
    process and tried again before the next write, and a history that cannot be read gives what is held.
    ``strict=True`` raises. Opening a store, replacing a history (``set``) and ``reset`` always raise.

    Example:
        >>> chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="holiday")
        >>> chat.put(ChatMessage("I can't eat peanuts."))
        >>> chat.get()[-1].content
        "I can't eat peanuts."
    """

    model_config = ConfigDict(extra="forbid")

    store: str = "default"
    """The name that the store was opened under, or has in the settings."""
    tenant: str | None = None
    """The tenant; that of the settings where it is not given."""
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    session_id: str
    """The thread's id, unique for its owner."""
    token_limit: int = Field(default=TOKEN_LIMIT, gt=0)
    insert_position: Position = "user"
    recall_limit: int = Field(default=5, ge=0)
    """How many items are recalled at most; 0 recalls nothing."""
    strict: bool = False

    _memory: Memory | None = PrivateAttr(default=None)
    _recalled: tuple[tuple[str, str, str], str] | None = PrivateAttr(default=None)
    """The question asked last (session, message, words) and the block that it got."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - pydantic validates each of them
        """Keep what is needed to find the thread.

        Raises:
            InvalidScope: the ids name nobody.
        """
        super().__init__(**fields)
        Scope(self.user_id, self.agent_id, self.run_id)

    @classmethod
    def class_name(cls) -> str:
        """Give the name that LlamaIndex writes when it serializes."""
        return "KeepwellMemory"

    @classmethod
    def from_defaults(
        cls,
        memory: Memory | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        chat_history: Sequence[ChatMessage] | None = None,
        token_limit: int | None = None,
        strict: bool = False,
        llm: LLM | None = None,
        **fields: Any,  # noqa: ANN401 - as above
    ) -> Self:
        """Give the memory of a conversation.

        Args:
            memory: the store; where there is none, the default one of the settings is opened on first use.
            user_id: whose conversation it is; at least one of the three ids is needed.
            agent_id: which agent's.
            run_id: of which run.
            session_id: the thread's id; a new one where it is not given.
            chat_history: what was said already, as for ``set``; an empty one changes nothing.
            token_limit: how much ``get`` gives; where it is not given, what ``llm`` takes, else 30,000 tokens.
            strict: whether failures of the store are raised.
            llm: the model that the memory is for.
            **fields: other fields of the class.

        Raises:
            InvalidScope: the ids name nobody.
        """
        if memory is not None:
            fields = {"store": memory.name, "tenant": memory.tenant, **fields}
        if token_limit is None:
            token_limit = TOKEN_LIMIT if llm is None else max(1, llm.metadata.context_window - _FOR_THE_ANSWER)
        made = cls(
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            session_id=session_id or uuid4().hex,
            token_limit=token_limit,
            strict=strict,
            **fields,
        )
        made._memory = memory
        if chat_history:
            made.set(list(chat_history))
        return made

    # Reading

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ANN401 - the contract
        """Give what a model should see now, oldest first; fresh copies.

        ``input`` is what is recalled for; the person's last message where it is not given. Of other arguments
        ``initial_token_count`` is known: tokens that the caller has already spent.
        """
        thread = self._thread()
        try:
            window = self._with_head(thread, thread.window(tokens=self._budget(kwargs)))
        except _FAILURES as error:
            self._survive(error, "the history cannot be read; what waits to be written is given")
            window = []
        window = self._with_held(thread, window)
        question = question_of(window, input)
        return presented(repaired(window), self._recall(thread, window, question), question, self.insert_position)

    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ANN401 - see get
        """Give what a model should see now; see :meth:`get`."""
        thread = await self._athread()
        try:
            window = await self._awith_head(thread, await thread.awindow(tokens=self._budget(kwargs)))
        except _FAILURES as error:
            self._survive(error, "the history cannot be read; what waits to be written is given")
            window = []
        window = self._with_held(thread, window)
        question = question_of(window, input)
        block = await self._arecall(thread, window, question)
        return presented(repaired(window), block, question, self.insert_position)

    def get_all(self) -> list[ChatMessage]:
        """Give the whole conversation as it was said, oldest first."""
        thread = self._thread()
        try:
            stored: Sequence[Message] = thread.messages()
        except _FAILURES as error:
            self._survive(error, "the history cannot be read; what waits to be written is given")
            stored = []
        return [to_chat_message(message) for message in self._with_held(thread, stored)]

    async def aget_all(self) -> list[ChatMessage]:
        """Give the whole conversation as it was said, oldest first."""
        thread = await self._athread()
        try:
            stored: Sequence[Message] = await thread.amessages()
        except _FAILURES as error:
            self._survive(error, "the history cannot be read; what waits to be written is given")
            stored = []
        return [to_chat_message(message) for message in self._with_held(thread, stored)]

    # Writing

    def put(self, message: ChatMessage) -> None:
        """Put a message at the end of the conversation; see :meth:`put_messages`."""
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """Put a message at the end of the conversation; see :meth:`put_messages`."""
        await self.aput_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Put messages at the end of the conversation: all of them, in order, or none.

        A batch that stands at the very end already is a repetition (workflows repeat a step when they are
        resumed) and is not stored twice; nor is a second answer to a tool call.

        Raises:
            StoreError: the store cannot be written to, and the memory is strict.
        """
        batch = self._kept(messages)
        if not batch:
            return
        thread = self._thread()
        try:
            tail: Sequence[Message] = thread.messages(last=looks_back(batch))
        except _FAILURES as error:
            self._survive(error, "repetitions cannot be told from new messages", logging.INFO)
            tail = []
        self._append(thread, unseen(self._with_held(thread, tail), batch))

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Put messages at the end of the conversation; see :meth:`put_messages`."""
        batch = self._kept(messages)
        if not batch:
            return
        thread = await self._athread()
        try:
            tail: Sequence[Message] = await thread.amessages(last=looks_back(batch))
        except _FAILURES as error:
            self._survive(error, "repetitions cannot be told from new messages", logging.INFO)
            tail = []
        await self._aappend(thread, unseen(self._with_held(thread, tail), batch))

    def set(self, messages: list[ChatMessage]) -> None:
        """Make this the whole conversation, in one transaction; what it begins with already stays as it is.

        Raises:
            StoreError: the store fails, strict or not: the conversation is as it was before.
        """
        batch, thread = self._kept(messages), self._thread()
        stored = self._with_held(thread, thread.messages())
        same = shared(stored, batch)
        if same < len(stored):
            self._exchange(thread, stored[same:], batch[same:])
        else:
            self._append(thread, batch[same:])

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Make this the whole conversation; see :meth:`set`."""
        batch, thread = self._kept(messages), await self._athread()
        stored = self._with_held(thread, await thread.amessages())
        same = shared(stored, batch)
        if same < len(stored):
            await asyncio.to_thread(self._exchange, thread, stored[same:], batch[same:])
        else:
            await self._aappend(thread, batch[same:])

    def reset(self) -> None:
        """Forget the conversation and everything that hangs on it; one that is not there is left at that.

        Raises:
            StoreError: the store fails, strict or not: what was to go is still there.
        """
        thread = self._thread()
        if thread.info() is not None:
            thread.scope.forget(thread)
        self._open().holding.discard(thread)

    async def areset(self) -> None:
        """Forget the conversation and everything that hangs on it; see :meth:`reset`."""
        thread = await self._athread()
        if await thread.ainfo() is not None:
            await thread.scope.aforget(thread)
        self._open().holding.discard(thread)

    # Travelling

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the fields, and find the store by its name at the other end."""
        return type(self).from_dict, (self.to_dict(),)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the fields and share the store."""
        copied = self.from_dict(self.to_dict())
        copied._memory = self._memory  # noqa: SLF001 - its own kind
        return copied

    # Parts of the verbs

    def _open(self) -> Memory:
        if self._memory is None:
            known = self.tenant is None and self.store == "default"
            self._memory = default_memory() if known else open_named(self.store, self.tenant or "default")
        return self._memory

    def _thread(self) -> ScopedThread:
        view = self._open().scope(user_id=self.user_id, agent_id=self.agent_id, run_id=self.run_id)
        return view.thread(self.session_id)

    async def _athread(self) -> ScopedThread:
        """Give the thread; opening a store takes place beside the loop, because it may start a server."""
        if self._memory is None:
            await asyncio.to_thread(self._open)
        return self._thread()

    def _survive(self, error: Exception, lost: str, level: int = logging.WARNING) -> None:
        """Raise the error where the memory is strict; else leave one line in the log that says what is missing."""
        if self.strict:
            raise error
        _log.log(level, "%s: %s", lost, error)

    def _kept(self, messages: Sequence[ChatMessage]) -> list[Message]:
        block = self._recalled[1] if self._recalled else ""
        cleared = [(message, without_block(message, block)) for message in messages]
        return [to_message(said) for message, said in cleared if said.blocks or said is message]

    def _with_held(self, thread: ScopedThread, stored: Sequence[Message]) -> list[Message]:
        """Put what waits to be written behind what is stored: it was said later."""
        held = self._open().holding.messages(thread)
        known = {message.id for message in stored} if held else set()
        return [*stored, *(message for message in held if message.id not in known)]

    def _append(self, thread: ScopedThread, messages: Sequence[Message]) -> None:
        if messages and self.strict:
            thread.append(*messages)
        elif messages:
            self._open().holding.append(thread, messages)

    async def _aappend(self, thread: ScopedThread, messages: Sequence[Message]) -> None:
        if messages and self.strict:
            await thread.aappend(*messages)
        elif messages:
            await self._open().holding.aappend(thread, messages)

    def _exchange(self, thread: ScopedThread, gone: Sequence[Message], new: Sequence[Message]) -> None:
        memory = self._open()
        written = [message for message in gone if message.seq is not None]  # the others are held
        with memory.transaction() as connection:
            if written:
                thread.delete(*written, connection=connection)
            thread.append(*new, connection=connection)
        memory.holding.discard(thread)

    def _budget(self, asked: dict[str, Any]) -> int:
        spent = asked.get("initial_token_count")
        return max(1, self.token_limit - self._room() - (spent if isinstance(spent, int) else 0))

    def _room(self) -> int:
        """Give the tokens that are kept free for what is recalled."""
        return min(self.token_limit // 3, self.recall_limit * _PER_RECOLLECTION)

    def _with_head(self, thread: ScopedThread, window: Sequence[Message]) -> Sequence[Message]:
        """Put the instructions before it that the conversation began with; never give nothing of a thread."""
        if not window:
            return thread.messages(last=1)
        return [*_instructions(thread.messages(limit=_HEAD, before=window[0].seq)), *window]

    async def _awith_head(self, thread: ScopedThread, window: Sequence[Message]) -> Sequence[Message]:
        if not window:
            return await thread.amessages(last=1)
        return [*_instructions(await thread.amessages(limit=_HEAD, before=window[0].seq)), *window]

    def _recall(self, thread: ScopedThread, window: Sequence[Message], question: Question | None) -> str:
        known = self._known(question)
        if known is not None or question is None:
            return known or ""
        try:
            context = thread.context(question.text, **self._bounds(window))
        except _FAILURES as error:
            self._survive(error, "nothing is recalled")
            return ""
        return self._remember(question, context.text)

    async def _arecall(self, thread: ScopedThread, window: Sequence[Message], question: Question | None) -> str:
        known = self._known(question)
        if known is not None or question is None:
            return known or ""
        try:
            context = await thread.acontext(question.text, **self._bounds(window))
        except _FAILURES as error:
            self._survive(error, "nothing is recalled")
            return ""
        return self._remember(question, context.text)

    def _known(self, question: Question | None) -> str | None:
        """Give the block of this turn, if it is known; the empty one where nothing is to be recalled."""
        if question is None or self.recall_limit == 0:
            return ""
        recalled = self._recalled
        return recalled[1] if recalled and recalled[0] == self._key(question) else None

    def _remember(self, question: Question, block: str) -> str:
        self._recalled = (self._key(question), block)
        return block

    def _key(self, question: Question) -> tuple[str, str, str]:
        return self.session_id, question.about, question.text

    def _bounds(self, window: Sequence[Message]) -> dict[str, Any]:
        """Bound the recall: a context's block takes a third of its tokens."""
        shown = [message.id for message in window]
        return {"last": 1, "tokens": 3 * max(1, self._room()), "limit": self.recall_limit, "exclude": shown}


def _instructions(head: Sequence[Message]) -> list[Message]:
    """Give the instructions that a thread begins with."""
    found: list[Message] = []
    for message in head:
        if message.role not in ("system", "developer"):
            break
        found.append(message)
    return found
