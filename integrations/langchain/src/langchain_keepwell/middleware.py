"""Memory for agents of ``create_agent``: a middleware that recalls before the model runs and keeps what was said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, assert_never
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.config import get_config

from keepwell import Memory, Message, ScopedThread, errors
from langchain_keepwell.failopen import FAILURES, Door
from langchain_keepwell.messages import to_message
from langchain_keepwell.place import place_of

if TYPE_CHECKING:
    from langgraph.runtime import Runtime

Placement = Literal["last", "before_user", "system"]
_log = logging.getLogger("langchain_keepwell")
_NOBODY = "no user_id, agent_id or run_id in the run's context or configurable: this turn has no memory"
_SUMMARY = "summarization"


class KeepwellState(AgentState[Any]):
    """What the middleware keeps of a turn: the block that was recalled for it, its thread, and what is stored."""

    keepwell_block: NotRequired[Annotated[str, PrivateStateAttr]]
    keepwell_thread: NotRequired[Annotated[str, PrivateStateAttr]]
    keepwell_stored: NotRequired[Annotated[list[str], PrivateStateAttr]]


class KeepwellMiddleware(AgentMiddleware[KeepwellState, Any, Any]):
    """An agent that remembers who it talks to.

    Whose memory it is, each run says itself: ``user_id``, ``agent_id`` and ``run_id`` in its ``context``, else
    ``user_id`` and ``agent_id`` in ``configurable``. A run that names nobody has no memory, and the log says so. The
    thread is ``configurable["thread_id"]``; a run without one gets a thread of its own.

    Once a turn, what bears on the person's message is recalled; each call of the model in that turn sees it as a
    fenced block, which no checkpoint keeps. The person's message is durable before the model is called, and what
    follows as soon as it is there (a call that waits for approval, once it is decided), each message once, whatever
    is interrupted, resumed or tried again. With ``incognito=True`` in the context nothing is recalled or kept.

    Put it before a ``SummarizationMiddleware``: that one removes messages from the state.

    Args:
        memory: the store; the default one of the settings where it is not given.
        limit: how many memories a turn is given; the settings' number where it is not given.
        characters: how many characters of each, likewise.
        tokens: how many tokens the block may have in all.
        placement: where the model sees the block: as the ``last`` message, right ``before_user``'s latest message,
            or at the end of the ``system`` message.
        strict: whether failures of the store, and runs that name nobody, are raised. Else the conversation goes on,
            and what could not be written is held and tried again.
        name: what the middleware is called in the graph; two in one agent need two names.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import GenericFakeChatModel
        >>> model = GenericFakeChatModel(messages=iter(["Noted."]))
        >>> agent = create_agent(model, middleware=[KeepwellMiddleware(memory)])
        >>> said = {"messages": [{"role": "user", "content": "I can't eat peanuts."}]}
        >>> _ = agent.invoke(said, {"configurable": {"thread_id": "holiday", "user_id": "ada"}})
        >>> [message.text for message in memory.scope(user_id="ada").thread("holiday").messages()][0]
        "I can't eat peanuts."
    """

    state_schema = KeepwellState

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        limit: int | None = None,
        characters: int | None = None,
        tokens: int | None = None,
        placement: Placement = "last",
        strict: bool = False,
        name: str = "KeepwellMiddleware",
    ) -> None:
        """Keep what is needed; nothing is opened here."""
        super().__init__()
        self.tools = []
        self._memory = memory
        self._bounds: dict[str, int | None] = {"limit": limit, "characters": characters, "tokens": tokens}
        self._placement: Placement = placement
        self._strict = strict
        self._name = name

    @property
    def name(self) -> str:
        """What it is called in the graph."""
        return self._name

    # What the agent calls, once a turn and around each call of its model

    def before_agent(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Keep what the person said, and recall what bears on it."""
        turn = self._turn(state, runtime, begins=True)
        if turn is None:
            return _nothing(state)
        turn.keep()
        return {"keepwell_block": turn.recall(self._bounds), **turn.noted()}

    async def abefore_agent(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Do what ``before_agent`` does, without holding up the loop."""
        turn = await asyncio.to_thread(self._turn, state, runtime, begins=True, configurable=_configurable())
        if turn is None:
            return _nothing(state)
        await turn.akeep()
        return {"keepwell_block": await turn.arecall(self._bounds), **turn.noted()}

    def before_model(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Keep what is new, such as results of tools."""
        turn = self._turn(state, runtime)
        return turn.noted() if turn is not None and turn.keep() else None

    async def abefore_model(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Do what ``before_model`` does, without holding up the loop."""
        turn = self._turn(state, runtime)
        return turn.noted() if turn is not None and await turn.akeep() else None

    def after_model(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Keep what the model answered."""
        return self.before_model(state, runtime)

    async def aafter_model(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Do what ``after_model`` does, without holding up the loop."""
        return await self.abefore_model(state, runtime)

    def after_agent(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Keep what is left, such as the result of a tool that ends the turn."""
        return self.before_model(state, runtime)

    async def aafter_agent(self, state: KeepwellState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Do what ``after_agent`` does, without holding up the loop."""
        return await self.abefore_model(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Let the model see what was recalled for this turn; nothing of it stays in the state."""
        return handler(self._with_block(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Do what ``wrap_model_call`` does."""
        return await handler(self._with_block(request))

    def _with_block(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        block = str(request.state.get("keepwell_block") or "")
        if not block:
            return request
        messages = list(request.messages)
        match self._placement:
            case "last":
                return request.override(messages=[*messages, HumanMessage(block)])
            case "before_user":
                asked = max(
                    (n for n, one in enumerate(messages) if isinstance(one, HumanMessage)), default=len(messages)
                )
                return request.override(messages=[*messages[:asked], HumanMessage(block), *messages[asked:]])
            case "system":
                said = "" if request.system_message is None else f"{request.system_message.text}\n\n"
                return request.override(system_message=SystemMessage(f"{said}{block}"))
        assert_never(self._placement)

    def _turn(
        self,
        state: KeepwellState,
        runtime: Runtime[Any],
        *,
        begins: bool = False,
        configurable: Mapping[str, Any] | None = None,
    ) -> Turn | None:
        """Give the turn's place in the store; None where it has no memory."""
        place = place_of(runtime.context, _configurable() if configurable is None else configurable)
        if place is None:
            if self._strict:
                raise errors.InvalidScope(_NOBODY)
            if begins:
                _log.warning(_NOBODY)
            return None
        if place.incognito:
            return None
        door = Door(self._memory, place.scope, strict=self._strict)
        thread = door.view().thread(place.thread or _own_thread(state, begins=begins))
        stored = frozenset(state.get("keepwell_stored") or ())
        return Turn(door, thread, tuple(state["messages"]), stored)


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said since the person last spoke, and where it is kept."""

    door: Door
    thread: ScopedThread
    messages: tuple[AnyMessage, ...]
    stored: frozenset[str]

    def keep(self) -> bool:
        """Make what is not stored yet durable; tell whether there was anything."""
        new = self._new()
        if not new:
            return False
        self.door.keep(self.thread, new)
        return True

    async def akeep(self) -> bool:
        """Do what ``keep`` does, without holding up the loop."""
        new = self._new()
        if not new:
            return False
        await self.door.akeep(self.thread, new)
        return True

    def recall(self, bounds: Mapping[str, int | None]) -> str:
        """Give the block of what bears on what the person said; ``''`` where there is nothing, or no answer."""
        asked = self._asked()
        if not asked:
            return ""
        try:
            return self.thread.context(asked, last=1, exclude=self._shown(), **bounds).text
        except FAILURES as error:
            self.door.survive(error, "nothing is recalled for this turn")
        return ""

    async def arecall(self, bounds: Mapping[str, int | None]) -> str:
        """Do what ``recall`` does, without holding up the loop."""
        asked = self._asked()
        if not asked:
            return ""
        try:
            return (await self.thread.acontext(asked, last=1, exclude=self._shown(), **bounds)).text
        except FAILURES as error:
            self.door.survive(error, "nothing is recalled for this turn")
        return ""

    def noted(self) -> dict[str, Any]:
        """Give what the state keeps of it."""
        return {
            "keepwell_thread": self.thread.id,
            "keepwell_stored": [one.id for one in self._said() if one.id is not None],
        }

    def _said(self) -> tuple[AnyMessage, ...]:
        """Give the messages from the person's latest on; a summary that took their place is nobody's word."""
        spoken = [n for n, one in enumerate(self.messages) if isinstance(one, HumanMessage) and not _summary(one)]
        return tuple(one for one in self.messages[spoken[-1] if spoken else 0 :] if not _summary(one))

    def _new(self) -> list[Message]:
        return [to_message(one) for one in self._said() if one.id not in self.stored]

    def _asked(self) -> str:
        said = self._said()
        return said[0].text.strip() if said and isinstance(said[0], HumanMessage) else ""

    def _shown(self) -> tuple[str, ...]:
        return tuple(one.id for one in self.messages if one.id is not None)


def _nothing(state: KeepwellState) -> dict[str, Any] | None:
    """Take away what an earlier turn of this thread was given."""
    return {"keepwell_block": ""} if state.get("keepwell_block") else None


def _configurable() -> Mapping[str, Any]:
    found: Mapping[str, Any] = get_config().get("configurable") or {}
    return found


def _own_thread(state: KeepwellState, *, begins: bool) -> str:
    """Give the thread of a run that names none: a new one as it begins, and the same until it ends."""
    known = state.get("keepwell_thread")
    return str(uuid4()) if begins or known is None else known


def _summary(message: BaseMessage) -> bool:
    return message.additional_kwargs.get("lc_source") == _SUMMARY
