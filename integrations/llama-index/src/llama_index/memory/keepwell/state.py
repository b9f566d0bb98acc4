"""The state of a workflow in the record, so that it can be paused here and go on elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import llama_index.core
from keepwell import DataPart, Memory, Message, Scope, ScopedThread, Thread, errors
from llama_index.core.workflow import Context
from llama_index.memory.keepwell.door import Door
from llama_index.memory.keepwell.steps import Script, aperform, beside, call, perform

if TYPE_CHECKING:
    from workflows.context.serializers import BaseSerializer

    from llama_index.core.workflow import Workflow
    from llama_index.memory.keepwell.memory import KeepwellMemory

PREFIX: Final = "llama_index.workflow/"
"""What the ids of threads begin with that hold states and no conversation."""
KIND: Final = "llama_index.context"
KEEP: Final = 10


@dataclass(frozen=True, slots=True)
class SavedContext:
    """A state that was saved: under which name, as which version (they count from 1), and when."""

    name: str
    version: int
    at: dt.datetime


def save_context(
    memory: Memory | KeepwellMemory | None,
    ctx: Context[Any],
    name: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    serializer: BaseSerializer | None = None,
    expect: int | None = None,
    keep: int = KEEP,
) -> SavedContext:
    """Save the state of a workflow under a name, as its newest version; give what was saved.

    It is what ``Context.to_dict`` gives, memory and all: a ``KeepwellMemory`` in it travels by its store's name. It
    is kept in a thread of the owner's that holds nothing else, is never recalled, and goes with
    ``memory.scope(...).forget()``. A failure always raises: what is believed to be saved must be.

    Args:
        memory: the store, or the workflow's ``KeepwellMemory``, whose store, owner and session it is then; the
            default store of the settings where it is None.
        ctx: the context; that of a run is ``handler.ctx``.
        name: what to find it by again; the session's id where a ``KeepwellMemory`` is given.
        user_id: whose it is; at least one of the three ids is needed, but with a ``KeepwellMemory``.
        agent_id: which agent's.
        run_id: of which run.
        serializer: LlamaIndex's; a ``JsonSerializer`` where it is not given.
        expect: the version that this one follows, 0 where there was none; somebody else's is not overtaken.
        keep: how many versions are kept.

    Raises:
        StoreError: the store fails.
        Conflict: ``expect`` is not the newest version: somebody else saved meanwhile.
        InvalidScope: the ids name nobody.
        UsageError: there is no name, or ``keep`` is not 1 or more.

    Example:
        >>> from llama_index.core.workflow import Context, StartEvent, StopEvent, Workflow, step
        >>> class Trip(Workflow):
        ...     @step
        ...     async def plan(self, ev: StartEvent) -> StopEvent:
        ...         return StopEvent()
        >>> save_context(memory, Context(Trip()), "trip", user_id="ada").version
        1
    """
    place = _place(memory, name, user_id, agent_id, run_id)
    return perform(_save(place, _message(ctx, serializer), expect, _checked(keep)))


async def asave_context(
    memory: Memory | KeepwellMemory | None,
    ctx: Context[Any],
    name: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    serializer: BaseSerializer | None = None,
    expect: int | None = None,
    keep: int = KEEP,
) -> SavedContext:
    """Do what ``save_context`` does, without holding up the loop."""
    place = _place(memory, name, user_id, agent_id, run_id)
    return await aperform(_save(place, _message(ctx, serializer), expect, _checked(keep)))


def load_context(
    memory: Memory | KeepwellMemory | None,
    workflow: Workflow,
    name: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    serializer: BaseSerializer | None = None,
    version: int | None = None,
) -> Context[Any]:
    """Give the context that was saved under a name, to go on with: ``workflow.run(ctx=...)``.

    What it holds is made by LlamaIndex's serializer, which imports the classes that the state names. Whoever may
    write to the database may thereby choose which; ``JsonSerializer(allowed_types=[...])`` says which may be.

    Args:
        memory: as for :func:`save_context`.
        workflow: the workflow, or agent, that goes on.
        name: as for :func:`save_context`.
        user_id: whose it is.
        agent_id: which agent's.
        run_id: of which run.
        serializer: of the kind that it was saved with.
        version: which version; the newest where it is not given.

    Raises:
        NotFound: nothing is saved there, or not that version.
        StoreError: the store fails.
    """
    found = perform(_load(_place(memory, name, user_id, agent_id, run_id), version))
    return Context.from_dict(workflow, found, serializer=serializer)


async def aload_context(
    memory: Memory | KeepwellMemory | None,
    workflow: Workflow,
    name: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    serializer: BaseSerializer | None = None,
    version: int | None = None,
) -> Context[Any]:
    """Do what ``load_context`` does, without holding up the loop."""
    found = await aperform(_load(_place(memory, name, user_id, agent_id, run_id), version))
    return Context.from_dict(workflow, found, serializer=serializer)


def saved_contexts(
    memory: Memory | KeepwellMemory | None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
) -> list[SavedContext]:
    """Give the newest version under each name, that which was saved last coming first."""
    return perform(_listed(_place(memory, "", user_id, agent_id, run_id).door))


async def asaved_contexts(
    memory: Memory | KeepwellMemory | None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
) -> list[SavedContext]:
    """Do what ``saved_contexts`` does, without holding up the loop."""
    return await aperform(_listed(_place(memory, "", user_id, agent_id, run_id).door))


def forget_context(
    memory: Memory | KeepwellMemory | None,
    name: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
) -> bool:
    """Forget what is saved under a name, every version of it; tell whether there was anything."""
    return perform(_forgotten(_place(memory, name, user_id, agent_id, run_id)))


async def aforget_context(
    memory: Memory | KeepwellMemory | None,
    name: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
) -> bool:
    """Do what ``forget_context`` does, without holding up the loop."""
    return await aperform(_forgotten(_place(memory, name, user_id, agent_id, run_id)))


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose state it is, and under which name."""

    door: Door
    name: str

    def thread(self) -> ScopedThread:
        """Give the thread that holds it."""
        if not self.name:
            raise errors.UsageError("give the state a name to find it by again")
        return self.door.view().thread(PREFIX + self.name)


def _place(
    memory: Memory | KeepwellMemory | None,
    name: str | None,
    user_id: str | None,
    agent_id: str | None,
    run_id: str | None,
) -> _Place:
    if memory is None or isinstance(memory, Memory):
        return _Place(Door(memory, Scope(user_id, agent_id, run_id), strict=True), name or "")
    if user_id or agent_id or run_id:
        raise errors.UsageError("a KeepwellMemory has its owner; give no ids with it")
    owner = Scope(memory.user_id, memory.agent_id, memory.run_id)
    door = Door(None, owner, strict=True, store=memory.store, tenant=memory.tenant)
    return _Place(door, memory.session_id if name is None else name)


def _message(ctx: Context[Any], serializer: BaseSerializer | None) -> Message:
    """Give the state as a message without words: nothing in it is recalled, and no fact is learned from it."""
    state = DataPart(kind=KIND, value=ctx.to_dict(serializer=serializer))
    return Message.system([state], metadata={"llama_index": llama_index.core.__version__})


def _checked(keep: int) -> int:
    if keep < 1:
        raise errors.UsageError(f"keep is {keep}; give 1 or more")
    return keep


def _save(place: _Place, message: Message, expect: int | None, keep: int) -> Script[SavedContext]:
    thread = yield beside(place.thread)
    if expect is None:
        (saved,) = yield call(thread.append, message)
    else:
        saved = yield beside(_appended_after, place.door.memory(), thread, message, expect)
    version = saved.seq or 0
    if version > keep:
        old = yield call(thread.messages, before=version - keep + 1)
        if old:
            yield call(thread.delete, *old)
    return SavedContext(place.name, version, saved.created_at)


def _appended_after(memory: Memory, thread: ScopedThread, message: Message, expect: int) -> Message:
    """Append where the newest version is the one expected, under the thread's lock."""
    try:
        with memory.transaction() as connection:
            held: Thread = (thread.update if expect else thread.create)(connection=connection)
            if held.last_seq != expect:
                raise errors.Conflict(f"version {held.last_seq} was saved meanwhile, after version {expect}")
            return thread.append(message, connection=connection)[0]
    except errors.ThreadExists:
        raise errors.Conflict("a first version was saved meanwhile") from None
    except errors.ThreadNotFound:
        raise errors.Conflict(f"version {expect} is not there any more") from None


def _load(place: _Place, version: int | None) -> Script[dict[str, Any]]:
    thread = yield beside(place.thread)
    if version is None:
        found: Sequence[Message] = yield call(thread.messages, last=1)
    else:
        found = yield call(thread.messages, after=version - 1, before=version + 1)
    part = found[0].parts[0] if found and found[0].parts else None
    if not isinstance(part, DataPart) or part.kind != KIND:
        which = "no state" if version is None else f"no version {version} of a state"
        raise errors.NotFound(f"{which} is saved under {place.name!r}")
    return dict(part.value)


def _listed(door: Door) -> Script[list[SavedContext]]:
    view = yield beside(door.view)
    found: list[SavedContext] = []
    after: str | None = None
    while True:
        page = yield call(view.threads, after=after, limit=1_000)
        found += [
            SavedContext(thread.id.removeprefix(PREFIX), thread.last_seq, thread.updated_at)
            for thread in page
            if thread.id.startswith(PREFIX) and thread.owner == view.scope.owner and thread.message_count
        ]
        after = page.next
        if after is None:
            return found


def _forgotten(place: _Place) -> Script[bool]:
    thread = yield beside(place.thread)
    try:
        yield call(thread.scope.forget, thread)
    except errors.NotFound:
        return False
    return True
