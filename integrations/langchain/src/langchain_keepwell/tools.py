"""Tools by which a model looks into memory and changes it, never leaving the memory of whom it talks to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from keepwell import Memory, Scope, errors
from langchain_keepwell.failopen import FAILURES, Door
from langchain_keepwell.place import Place, place_of

if TYPE_CHECKING:
    from keepwell import ScopedMemory

Action = Literal["create", "update", "delete"]
_log = logging.getLogger("langchain_keepwell")
_MANAGE = (
    "Create, update or delete a long-term memory about the person you talk to. Create one when you learn something"
    " lasting or are asked to remember; update or delete one, by its id, when it is no longer true."
)
_SEARCH = "Search your long-term memory of the person you talk to: facts you keep, and what was said before."
_HISTORY = "See how a memory came to be what it is: each change with its time and reason, newest first."
_FORGET = (
    "Forget a memory for good, by its id, with its history: it cannot be restored or learned again. Only when the"
    " person asks for it; to correct a memory, update or delete it."
)


class ManageMemory(BaseModel):
    """What is asked of ``manage_memory``."""

    content: str | None = Field(None, description="One short statement, for create and update.")
    action: Action = "create"
    id: str | None = Field(None, description="Which memory, for update and delete.")


class SearchMemory(BaseModel):
    """What is asked of ``search_memory``."""

    query: str = Field(description="What to look for.")
    limit: int = Field(10, ge=1, le=50, description="How many memories at most.")


class OneMemory(BaseModel):
    """What is asked of ``memory_history`` and ``forget_memory``."""

    id: str = Field(description="Which memory.")


@dataclass(frozen=True, slots=True)
class Bound:
    """A store, and whose memory its tools see: those of ids given once, else those of the run they are called in."""

    memory: Memory | None = None
    scope: Scope | None = None
    strict: bool = False

    def door(self) -> Door:
        """Give the door to the scope of this call.

        Raises:
            InvalidScope: the run names nobody.
        """
        scope = self.scope
        if scope is None:
            place = _run()
            if place is None:
                raise errors.InvalidScope("this run names no user_id, agent_id or run_id, so there is no memory of it")
            scope = place.scope
        return Door(self.memory, scope, strict=self.strict)


def memory_tools(
    memory: Memory | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    forget: bool = False,
    strict: bool = False,
) -> list[BaseTool]:
    """Give the tools ``manage_memory``, ``search_memory`` and ``memory_history``; with ``forget``, ``forget_memory``.

    Whose memory they see is said here, or else by each run (``context``, then ``configurable``, as for
    :class:`KeepwellMiddleware`); a model cannot name another. What goes wrong they tell the model in words, unless
    ``strict`` is set.

    Example:
        >>> manage, search, history = memory_tools(memory, user_id="ada")
        >>> told = manage.invoke({"content": "Ada can't eat peanuts."})
        >>> "peanuts" in search.invoke({"query": "what can't she eat?"})
        True
    """
    named = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}
    scope = Scope(user_id, agent_id, run_id) if any(value is not None for value in named.values()) else None
    bound = Bound(memory, scope, strict)
    tools = [
        create_manage_memory_tool(bound=bound),
        create_search_memory_tool(bound=bound),
        create_memory_history_tool(bound=bound),
    ]
    return [*tools, create_forget_memory_tool(bound=bound)] if forget else tools


def create_manage_memory_tool(
    memory: Memory | None = None,
    *,
    bound: Bound | None = None,
    instructions: str = _MANAGE,
    actions_permitted: Sequence[Action] = ("create", "update", "delete"),
    name: str = "manage_memory",
) -> BaseTool:
    """Give the tool that creates, updates and deletes facts; langmem's shape: ``content``, ``action``, ``id``.

    What it deletes is retracted, and can be restored.
    """
    bound = bound or Bound(memory)

    def manage(view: ScopedMemory, content: str | None, action: Action, id: str | None) -> str:  # noqa: A002 - langmem's name
        if action not in actions_permitted:
            return f"Not permitted: {action}. Permitted: {', '.join(actions_permitted)}."
        if action == "create":
            return _created(view, content)
        if id is None:
            return f"To {action} a memory, give its id."
        if action == "delete":
            view.retract(_ident(id), why="deleted by the agent")
            return f"Deleted memory {id}."
        if not (content or "").strip():
            return "To update a memory, give its new content."
        fact = view.correct(_ident(id), content or "", why="updated by the agent", reject=False)
        return f"Updated memory {fact.id}: {fact.text}"

    return _tool(bound, manage, ManageMemory, name, instructions)


def _created(view: ScopedMemory, content: str | None) -> str:
    if not (content or "").strip():
        return "To create a memory, give its content."
    fact = view.remember(content or "")
    return f"Created memory {fact.id}: {fact.text}"


def create_search_memory_tool(
    memory: Memory | None = None,
    *,
    bound: Bound | None = None,
    instructions: str = _SEARCH,
    name: str = "search_memory",
) -> BaseTool:
    """Give the tool that recalls facts and messages: a line each, with its date, and a fact's id."""

    def search(view: ScopedMemory, query: str, limit: int) -> str:
        found = view.recall(query, limit=limit, neighbours=0)
        lines = [
            f"- [{one.at:%Y-%m-%d}] " + (f"(id {one.id}) " if one.kind == "fact" else f"{one.who}: ") + one.text
            for one in found
        ]
        return "\n".join(lines) or "Nothing was found."

    return _tool(bound or Bound(memory), search, SearchMemory, name, instructions)


def create_memory_history_tool(
    memory: Memory | None = None,
    *,
    bound: Bound | None = None,
    instructions: str = _HISTORY,
    name: str = "memory_history",
) -> BaseTool:
    """Give the tool that tells what became of one fact."""

    def history(view: ScopedMemory, id: str) -> str:  # noqa: A002 - as the other tools name it
        lines = [
            f"- [{one.at:%Y-%m-%d %H:%M}] {one.kind}: {one.after.text if one.after else 'nothing'}"
            + (f" ({one.reason})" if one.reason else "")
            for one in view.history(_ident(id), limit=20)
        ]
        return "\n".join(lines) or f"There is no memory {id}."

    return _tool(bound or Bound(memory), history, OneMemory, name, instructions)


def create_forget_memory_tool(
    memory: Memory | None = None,
    *,
    bound: Bound | None = None,
    instructions: str = _FORGET,
    name: str = "forget_memory",
) -> BaseTool:
    """Give the tool that forgets a fact for good; it can neither be restored nor learned again."""

    def forget(view: ScopedMemory, id: str) -> str:  # noqa: A002 - as the other tools name it
        receipt = view.forget(view.fact(_ident(id)))
        return f"Forgotten: memory {id} (receipt {receipt.digest[:16]})."

    return _tool(bound or Bound(memory), forget, OneMemory, name, instructions)


def _tool(bound: Bound, act: Callable[..., str], schema: type[BaseModel], name: str, text: str) -> BaseTool:
    """Give a tool that does ``act`` on the view of the call, and tells failures in words."""

    def run(**given: Any) -> str:  # noqa: ANN401 - validated by the schema
        try:
            door = bound.door()
            return act(door.view(), **given)
        except (errors.KeepwellError, *FAILURES) as error:
            return _told(bound, name, error)

    async def arun(**given: Any) -> str:  # noqa: ANN401 - validated by the schema
        try:
            door = bound.door()
            return await asyncio.to_thread(act, await door.aview(), **given)
        except (errors.KeepwellError, *FAILURES) as error:
            return _told(bound, name, error)

    return StructuredTool.from_function(run, coroutine=arun, name=name, description=text, args_schema=schema)


def _told(bound: Bound, name: str, error: errors.KeepwellError) -> str:
    if bound.strict:
        raise error
    if not isinstance(error, errors.UsageError | errors.NotFound | errors.Conflict):
        _log.warning("the tool %s failed: %s", name, error)
    return f"That did not work: {error}"


def _ident(id: str) -> UUID:  # noqa: A002 - as the tools name it
    try:
        return UUID(id.strip())
    except ValueError:
        raise errors.InvalidQuery(f"{id!r} is not the id of a memory; search for it, its id is shown") from None


def _run() -> Place | None:
    """Give the place of the run that a tool is called in, if it is called in one."""
    try:
        from langgraph.config import get_config  # noqa: PLC0415 - tools serve without LangGraph as well
        from langgraph.runtime import get_runtime  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    try:
        configurable = get_config().get("configurable") or {}
    except RuntimeError:
        return None
    runtime = get_runtime() if "__pregel_runtime" in configurable else None
    return place_of(None if runtime is None else runtime.context, configurable)
