"""LangGraph's checkpoints in a store: its own PostgreSQL saver, on our connections and behind our walls."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from keepwell import Memory, Scope, default_memory, errors
from langchain_keepwell.incognito import Incognito
from langchain_keepwell.whereabouts import Stay, Whereabouts, marked

try:
    from langgraph.checkpoint.postgres import PostgresSaver
except ImportError as error:
    raise errors.UsageError(
        "this needs langgraph-checkpoint-postgres; install it with: pip install 'langchain-keepwell[checkpoints]'"
    ) from error

if TYPE_CHECKING:
    from contextlib import _GeneratorContextManager

    from psycopg import Cursor
    from psycopg.rows import DictRow

_Values: TypeAlias = list[Any]
"""Said here, because the class has a method of the name ``list``."""


def keepwell_checkpointer(
    memory: Memory | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    allowed: Collection[tuple[str, str] | type] = (),
    serde: SerializerProtocol | None = None,
) -> KeepwellSaver:
    """Give a checkpointer for LangGraph that keeps its checkpoints in a store.

    Each run says whose its thread is, as for the middleware: ``user_id``, ``agent_id`` and ``run_id`` in its context,
    else ``user_id`` and ``agent_id`` in ``configurable``. Ids that are given here need not be said, and a run that
    names others is refused, as is one that names nobody. A run whose context says ``incognito`` is kept in this
    process alone.

    Args:
        memory: the store; the default one of the settings where it is not given.
        user_id: whose checkpoints they are, where all are one person's.
        agent_id: which agent's, likewise.
        run_id: of which run, likewise.
        allowed: classes of your own that checkpoints may hold, or their module and name. What is not allowed is not
            made when a checkpoint is read: bytes from a database must not run code.
        serde: another serializer than LangGraph's strict one, such as an encrypting one.

    Raises:
        InvalidScope: an id names nobody.
        UsageError: the store is not PostgreSQL, or its tables are older than the installed LangGraph needs.

    Example:
        >>> from langgraph.graph import END, START, MessagesState, StateGraph
        >>> graph = StateGraph(MessagesState).add_node("echo", lambda state: {"messages": state["messages"][-1:]})
        >>> graph = graph.add_edge(START, "echo").add_edge("echo", END).compile(keepwell_checkpointer(memory))
        >>> ada = {"configurable": {"thread_id": "holiday", "user_id": "ada"}}
        >>> _ = graph.invoke({"messages": [("user", "Hello!")]}, ada)
        >>> graph.get_state(ada).values["messages"][0].content
        'Hello!'
    """
    ids = (user_id, agent_id, run_id)
    scope = None if ids == (None, None, None) else Scope(*ids)
    strict = JsonPlusSerializer(allowed_msgpack_modules=[*allowed] or None) if serde is None else serde
    return KeepwellSaver(default_memory() if memory is None else memory, scope, strict)


class KeepwellSaver(PostgresSaver):
    """LangGraph's PostgreSQL saver, whose threads belong to owners; made by :func:`keepwell_checkpointer`.

    Every call has a connection and a transaction of its own, so calls run side by side. The ``a`` methods work from any
    event loop. Errors of the database are raised as keepwell's.
    """

    def __init__(self, memory: Memory, scope: Scope | None, serde: SerializerProtocol) -> None:
        """Bind a store and, where all checkpoints are one owner's, that owner."""
        super().__init__(cast("Any", None), serde=serde)  # it takes connections from us, not from an object of its own
        self._memory, self._scope = memory, scope
        self._kept = memory.checkpoints()
        self._where = Whereabouts(self._kept, scope)
        self._private = Incognito(serde)
        self._writing: tuple[str, bool] | None = None
        if len(self.MIGRATIONS) > self._kept.migrations:
            raise errors.UsageError(
                f"the installed langgraph-checkpoint-postgres has {len(self.MIGRATIONS)} migrations, and the tables "
                f"here are at {self._kept.migrations}; upgrade keepwell, or install an older one of that"
            )

    def __repr__(self) -> str:
        """Name the store and whose checkpoints they are."""
        return f"KeepwellSaver({self._memory!r}, {self._scope!r})"

    @classmethod
    def from_conn_string(cls, conn_string: str, *, pipeline: bool = False) -> NoReturn:  # noqa: ARG003 - LangGraph's
        """Refuse: whose checkpoints they are, a connection does not say."""
        raise errors.UsageError("open a Memory on that address and give it to keepwell_checkpointer(memory)")

    def setup(self) -> None:
        """Do nothing: the tables were made with the store's."""

    # What LangGraph asks for

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Give the checkpoint that the config names, or the newest of its thread."""
        stay = self._where.stay(config)
        if stay.private:
            found = self._private.of(stay.owner, stay.thread).get_tuple(config)
            return None if found is None else marked(found)
        placed = self._where.placed(config, stay)
        return self._kept.twice(lambda: PostgresSaver.get_tuple(self, placed))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Give checkpoints, newest first: those of a thread, or without a config all of the saver's owner."""
        asked: dict[str, Any] = {"filter": filter, "before": before, "limit": limit}
        if config is None or "thread_id" not in config.get("configurable", {}):
            return iter(self._kept.twice(lambda: [*PostgresSaver.list(self, None, **asked)]))
        stay = self._where.stay(config)
        if stay.private:
            found = self._private.of(stay.owner, stay.thread).list(config, **asked)
            return iter([marked(one) for one in found])
        placed = self._where.placed(config, stay)
        return iter(self._kept.twice(lambda: [*PostgresSaver.list(self, placed, **asked)]))

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, and give the config that names it."""
        stay = self._where.stay(config)
        if stay.private:
            there = self._private.of(stay.owner, stay.thread)
            return self._where.told(there.put(config, checkpoint, metadata, new_versions), stay)
        saver, placed = self._writer(stay, written=True), self._where.placed(config, stay)
        done = self._kept.twice(lambda: PostgresSaver.put(saver, placed, checkpoint, metadata, new_versions))
        return self._where.told(done, stay)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task of a checkpoint wrote."""
        stay = self._where.stay(config)
        if stay.private:
            self._private.of(stay.owner, stay.thread).put_writes(config, writes, task_id, task_path)
            return
        saver, placed = self._writer(stay, written=False), self._where.placed(config, stay)
        self._kept.twice(lambda: PostgresSaver.put_writes(saver, placed, writes, task_id, task_path))

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Give what channels that are kept as differences are made of."""
        stay = self._where.stay(config)
        if stay.private:
            return self._private.of(stay.owner, stay.thread).get_delta_channel_history(config=config, channels=channels)
        placed = self._where.placed(config, stay)
        return self._kept.twice(lambda: PostgresSaver.get_delta_channel_history(self, config=placed, channels=channels))

    # Removing and copying

    def delete_thread(self, thread_id: str) -> None:
        """Remove all checkpoints of a thread.

        Raises:
            InvalidScope: several owners that it may see have a thread of that id.
        """
        self._private.drop(None if self._scope is None else self._scope.owner, str(thread_id))
        self._kept.drop(self._where.lodgings([thread_id]))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints that LangGraph's runs of these ids made, of every thread of the saver's owner."""
        for lodging in self._kept.of_scope(self._where.everything):
            self._kept.drop_runs(lodging, [str(run) for run in run_ids])

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread's checkpoints to another thread of the same owner, which must have none; none copies none.

        Raises:
            Conflict: it has some.
            InvalidScope: several owners that it may see have a thread of the source's id.
        """
        for lodging in self._where.lodgings([source_thread_id]):
            owner, _ = self._kept.lodger(lodging)
            self._kept.copy(lodging, owner, str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove all but the latest checkpoint of each namespace of these threads, or with ``delete`` all.

        Raises:
            NotImplementedError: a thread uses a ``DeltaChannel``, whose value older checkpoints hold.
            InvalidScope: several owners that it may see have a thread of such an id.
        """
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids takes several ids, not one text")
        lodgings = self._where.lodgings(thread_ids)
        match strategy:
            case "delete":
                self._kept.drop(lodgings)
            case "keep_latest":
                for lodging in lodgings:
                    self._kept.thin_out(lodging, 1)
            case _:
                raise ValueError(f"strategy is {strategy!r}; give 'keep_latest' or 'delete'")

    def tidy(self, *, keep: int | None = None, idle: dt.timedelta | None = None) -> int:
        """Remove what a policy says of every thread of the saver's owner (or of all owners), and count what went.

        ``idle`` removes all checkpoints of threads that were not written for so long; of the others, ``keep`` removes
        all but the newest so many of each namespace. Threads with a ``DeltaChannel`` are left whole by ``keep``.
        """
        if keep is not None and keep < 1:
            raise errors.UsageError(f"keep is {keep}; give 1 or more, or remove threads with idle=")
        everything, gone = self._where.everything, 0
        if idle is not None:
            gone += self._kept.drop(self._kept.of_scope(everything, idle=idle))
        for lodging in self._kept.of_scope(everything) if keep is not None else ():
            gone += self._thinned(lodging, cast("int", keep))
        return gone

    def _thinned(self, lodging: str, keep: int) -> int:
        try:
            return self._kept.thin_out(lodging, keep)
        except NotImplementedError:  # its state is made of what would go
            return 0

    # The same, awaited

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Do what ``get_tuple`` does, without holding up the loop."""
        return await self._memory.run(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Do what ``list`` does, without holding up the loop."""
        for found in await self._memory.run(self.list, config, filter=filter, before=before, limit=limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do what ``put`` does, without holding up the loop."""
        return await self._memory.run(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do what ``put_writes`` does, without holding up the loop."""
        await self._memory.run(self.put_writes, config, writes, task_id, task_path)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Do what ``get_delta_channel_history`` does, without holding up the loop."""
        return await self._memory.run(self.get_delta_channel_history, config=config, channels=channels)

    async def adelete_thread(self, thread_id: str) -> None:
        """Do what ``delete_thread`` does, without holding up the loop."""
        await self._memory.run(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Do what ``delete_for_runs`` does, without holding up the loop."""
        await self._memory.run(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Do what ``copy_thread`` does, without holding up the loop."""
        await self._memory.run(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Do what ``prune`` does, without holding up the loop."""
        await self._memory.run(self.prune, thread_ids, strategy=strategy)

    async def atidy(self, *, keep: int | None = None, idle: dt.timedelta | None = None) -> int:
        """Do what ``tidy`` does, without holding up the loop."""
        return await self._memory.run(self.tidy, keep=keep, idle=idle)

    # Where LangGraph's statements run

    def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        """Give a row's checkpoint under the thread's id as its caller knows it."""
        found = super()._load_checkpoint_tuple(value)
        stay = self._where.of(value["thread_id"])
        parent = None if found.parent_config is None else self._where.told(found.parent_config, stay)
        return found._replace(config=self._where.told(found.config, stay), parent_config=parent)

    def _search_where(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
    ) -> tuple[str, _Values]:
        """Keep a search that names no thread to the saver's own."""
        where, values = super()._search_where(config, filter, before)
        if config is not None:
            return where, values
        mine = "thread_id = any(%s)"
        values.append(self._kept.of_scope(self._where.everything))
        return f"{where} AND {mine}" if where else f"WHERE {mine}", values

    def _writer(self, stay: Stay, *, written: bool) -> Self:
        """Give the saver as it is while it writes to one thread."""
        writer = copy.copy(self)
        writer._writing = self._where.lodging(stay), written  # noqa: SLF001 - it is one of us
        return writer

    def _cursor(self, *, pipeline: bool = False) -> _GeneratorContextManager[Cursor[DictRow]]:
        """Give a cursor in a transaction of its own; no lock is held meanwhile, so calls do not wait for each other."""
        del pipeline  # a transaction is sent as it is: a pipeline saves little here, and poolers differ in it
        if self._writing is None:
            return self._kept.cursor()
        lodging, written = self._writing
        return self._kept.cursor(lodging, written=written)
