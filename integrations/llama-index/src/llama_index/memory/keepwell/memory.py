"""A memory for LlamaIndex's agents and chat engines that is kept in a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from pydantic import ConfigDict, Field, PrivateAttr

from keepwell import Memory, Message, Scope, default_memory, open_named
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory
from llama_index.memory.keepwell.conversation import Conversation, OnReset
from llama_index.memory.keepwell.messages import to_chat_message, to_message
from llama_index.memory.keepwell.recalling import PER_RECOLLECTION, Recalled
from llama_index.memory.keepwell.steps import Script, aperform, beside, perform
from llama_index.memory.keepwell.turns import Position, presented, question_of, repaired, without_block

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

TOKEN_LIMIT: Final = 30_000
"""LlamaIndex's own default."""
_FOR_THE_ANSWER = 256
_MANY = 16


class KeepwellMemory(BaseMemory):
    """One conversation, kept, and what is recalled for it from everything that its owner ever said.

    Give it to an agent (``agent.run("...", memory=chat)``) or to a chat engine. Nothing is opened before it is
    used, and nothing is bound to a thread or an event loop. What it gives is the newest whole turns within
    ``token_limit``, instructions first, each tool call with its answer; and once for each turn what was
    recalled, as the first text of the person's last message (``insert_position="user"``, which every agent
    passes on) or in the instructions (``"system"``; ``ReActAgent`` drops those if it has no prompt of its own).
    What is recalled is never stored again.

    A history that is replaced (``set``, and agents that are given a ``chat_history``) is hidden, not deleted. What
    ``reset`` does is for ``on_reset`` to say: ``"purge"`` forgets the conversation, ``"hide"`` keeps it in the record.

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
    on_reset: OnReset = "purge"
    """Whether ``reset`` forgets the conversation for good, or hides it and begins anew."""
    strict: bool = False

    _memory: Memory | None = PrivateAttr(default=None)
    _talk: tuple[tuple[object, ...], Conversation] | None = PrivateAttr(default=None)
    """The conversation that the fields name, and what they were when it was looked up."""
    _recalled: Recalled = PrivateAttr(default_factory=Recalled)

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

    def get(self, input: Any = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ANN401 - the contract
        """Give what a model should see now, oldest first; fresh copies.

        ``input`` is what is recalled for, words or a message; the person's last message where it is not given. Of
        other arguments ``initial_token_count`` is known: tokens that the caller has already spent.
        """
        return perform(self._getting(input, kwargs))

    async def aget(self, input: Any = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ANN401 - see get
        """Give what a model should see now; see :meth:`get`."""
        return await aperform(self._getting(input, kwargs))

    def get_all(self) -> list[ChatMessage]:
        """Give the whole conversation as it was said, oldest first."""
        return perform(self._getting_all())

    async def aget_all(self) -> list[ChatMessage]:
        """Give the whole conversation as it was said, oldest first."""
        return await aperform(self._getting_all())

    # Writing

    def put(self, message: ChatMessage) -> None:
        """Put a message at the end of the conversation; see :meth:`put_messages`."""
        perform(self._putting([message]))

    async def aput(self, message: ChatMessage) -> None:
        """Put a message at the end of the conversation; see :meth:`put_messages`."""
        await aperform(self._putting([message]))

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Put messages at the end of the conversation: all of them, in order, or none.

        A batch that stands at the very end already is a repetition (workflows repeat a step when they are
        resumed) and is not stored twice, even where two repeat it at once; nor is a second answer to a tool call.

        Raises:
            StoreError: the store cannot be written to, and the memory is strict.
        """
        perform(self._putting(messages))

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Put messages at the end of the conversation; see :meth:`put_messages`."""
        await aperform(self._putting(messages))

    def set(self, messages: list[ChatMessage]) -> None:
        """Make this the whole conversation, in one transaction.

        What both have stays as it is. What is no longer part of it is hidden and not deleted: a new epoch begins,
        and other conversations can still recall the old messages, with all that was learned from them.

        Raises:
            StoreError: the store fails, strict or not: the conversation is as it was before.
            Conflict: others write to it without a pause; it is as they left it.
        """
        perform(self._setting(messages))

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Make this the whole conversation; see :meth:`set`."""
        await aperform(self._setting(messages))

    def reset(self) -> None:
        """End the conversation; one that is not there is left at that.

        With ``on_reset="purge"`` it is forgotten, with everything that hangs on it, hidden messages too. With
        ``on_reset="hide"`` its messages stay in the record and can be recalled, and the session begins anew.

        Raises:
            StoreError: the store fails, strict or not: the conversation is as it was before.
        """
        perform(self._resetting())

    async def areset(self) -> None:
        """End the conversation; see :meth:`reset`."""
        await aperform(self._resetting())

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

    def _getting(self, given: object, options: Mapping[str, Any]) -> Script[list[ChatMessage]]:
        talk = yield from self._opened()
        window = yield from talk.newest(self._budget(options))
        question = question_of(window, given)
        block = yield from self._recalled.recall(talk, question, window, self.recall_limit, self._room())
        # Where a window was just read, many messages are made: that is done beside the loop.
        give = beside(presented, repaired(window), block, question, self.insert_position, talk.shown)
        return (yield give)  # type: ignore[no-any-return]  # answers are untyped

    def _getting_all(self) -> Script[list[ChatMessage]]:
        talk = yield from self._opened()
        found = yield from talk.whole()
        return (yield beside(lambda: [to_chat_message(message) for message in found]))  # type: ignore[no-any-return]

    def _putting(self, messages: Sequence[ChatMessage]) -> Script[None]:
        batch = yield from self._keeping(messages)
        if batch:
            yield from (yield from self._opened()).put(batch)

    def _setting(self, messages: Sequence[ChatMessage]) -> Script[None]:
        batch = yield from self._keeping(messages)
        yield from (yield from self._opened()).replace(batch)

    def _resetting(self) -> Script[None]:
        yield from (yield from self._opened()).end(self.on_reset)

    def _opened(self) -> Script[Conversation]:
        """Give the conversation; opening a store takes place beside the loop, because it may start a server."""
        if self._memory is None:
            yield beside(self._open)
        memory = self._open()
        view = memory.scope(user_id=self.user_id, agent_id=self.agent_id, run_id=self.run_id)
        key = (memory, view.scope.owner, self.session_id, self.strict, self.token_limit)
        known = self._talk
        if known is None or known[0] != key:
            thread = view.thread(self.session_id)
            known = (key, Conversation(memory, thread, strict=self.strict, tokens=self.token_limit))
            self._talk = known
        return known[1]

    def _open(self) -> Memory:
        if self._memory is None:
            known = self.tenant is None and self.store == "default"
            self._memory = default_memory() if known else open_named(self.store, self.tenant or "default")
        return self._memory

    def _keeping(self, messages: Sequence[ChatMessage]) -> Script[list[Message]]:
        """Give messages as they are stored; many are made beside the loop."""
        if len(messages) > _MANY:
            return (yield beside(self._kept, messages))  # type: ignore[no-any-return]  # answers are untyped
        return self._kept(messages)

    def _kept(self, messages: Sequence[ChatMessage]) -> list[Message]:
        block = self._recalled.block
        cleared = [(message, without_block(message, block)) for message in messages]
        return [to_message(said) for message, said in cleared if said.blocks or said is message]

    def _budget(self, asked: Mapping[str, Any]) -> int:
        spent = asked.get("initial_token_count")
        return max(1, self.token_limit - self._room() - (spent if isinstance(spent, int) else 0))

    def _room(self) -> int:
        """Give the tokens that are kept free for what is recalled."""
        return min(self.token_limit // 3, self.recall_limit * PER_RECOLLECTION)
