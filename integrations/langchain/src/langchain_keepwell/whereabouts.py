"""Where a thread's checkpoints are: whose it is, said by the checkpointer or by the run, and under which name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from keepwell import Owner, Scope, errors
from langchain_keepwell.incognito import is_incognito
from langchain_keepwell.place import place_of

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointTuple

_OWNER, _PRIVATE, _RUNTIME = "__keepwell_owner", "__keepwell_incognito", "__pregel_runtime"
_NOBODY = (
    "no user_id, agent_id or run_id in the run's context or configurable: whose checkpoints are these? Name one there "
    "(a call outside of a run has configurable alone), or give keepwell_checkpointer(memory, user_id=...)"
)


class Names(Protocol):
    """What turns an owner's thread into the name it has in LangGraph's tables, and back."""

    def lodging(self, owner: Owner, thread: str) -> str:
        """Give the name."""

    def lodger(self, lodging: str) -> tuple[Owner, str]:
        """Give whose and which thread it is."""

    def named(self, threads: Sequence[str]) -> list[str]:
        """Give the names of threads of these ids, whoever's they are."""


class Lodging(str):
    """A ``thread_id`` as LangGraph's tables have it, told apart from a caller's."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Stay:
    """Where a thread's checkpoints are kept: in the database, or with ``private`` in this process."""

    owner: Owner | None
    thread: str
    private: bool = False


class Whereabouts:
    """Finds the stay of a run, for a checkpointer of one owner or of all."""

    def __init__(self, names: Names, scope: Scope | None) -> None:
        """Bind a store's names and, where all checkpoints are one owner's, that owner."""
        self._names, self._scope = names, scope

    @property
    def everything(self) -> Scope:
        """The owners whose checkpoints the checkpointer may see."""
        return self._scope or Scope(across_users=True)

    def stay(self, config: RunnableConfig) -> Stay:
        """Give where the thread of a config is kept.

        Raises:
            InvalidScope: it names nobody, or somebody else than the checkpointer is for.
        """
        configurable: Mapping[str, Any] = config["configurable"]
        thread = configurable["thread_id"]
        if isinstance(thread, Lodging):
            return self.of(thread)
        context = getattr(configurable.get(_RUNTIME), "context", None)
        place = place_of(context, configurable)
        private = bool(configurable.get(_PRIVATE)) or is_incognito(context)
        owner = self._owner(configurable, None if place is None else place.scope)
        if owner is None and not private:
            raise errors.InvalidScope(_NOBODY)
        return Stay(owner, str(thread), private)

    def _owner(self, configurable: Mapping[str, Any], named: Scope | None) -> Owner | None:
        """Give the owner that an earlier answer told, or that the checkpointer and the run name together."""
        told = configurable.get(_OWNER)
        if told is not None:
            owner = Owner(*told)
            if not self.everything.covers(owner):
                raise errors.InvalidScope(f"these are checkpoints of {owner}, and the checkpointer is of {self._scope}")
            _agree(owner, named)
            return owner
        if named is None or self._scope is None:
            either = named or self._scope
            return None if either is None else either.owner
        _agree(self._scope.owner, named)
        user, agent, run = (meant or said for meant, said in zip(self._scope.owner, named.owner, strict=True))
        return Owner(user, agent, run)

    def of(self, lodging: str) -> Stay:
        """Give the stay of a name in LangGraph's tables."""
        return Stay(*self._names.lodger(lodging))

    def lodging(self, stay: Stay) -> str:
        """Give the name of a stay in LangGraph's tables."""
        return self._names.lodging(cast("Owner", stay.owner), stay.thread)

    def placed(self, config: RunnableConfig, stay: Stay) -> RunnableConfig:
        """Give the config as LangGraph's statements take it."""
        return {**config, "configurable": {**config["configurable"], "thread_id": Lodging(self.lodging(stay))}}

    def told(self, config: RunnableConfig, stay: Stay) -> RunnableConfig:
        """Give a config as a caller takes it, who can hand it back without saying once more whose it is."""
        marks: dict[str, Any] = {"thread_id": stay.thread}
        if stay.owner is not None and (self._scope is None or self._scope.owner != stay.owner):
            marks[_OWNER] = [*stay.owner]
        if stay.private:
            marks[_PRIVATE] = True
        return {**config, "configurable": {**config["configurable"], **marks}}

    def lodgings(self, threads: Sequence[str]) -> list[str]:
        """Give where threads are kept that a caller names by their ids alone.

        Raises:
            InvalidScope: several owners that the checkpointer may see have a thread of such an id.
        """
        there = self._names.named([str(thread) for thread in threads])
        found = [lodging for lodging in there if self.everything.covers(self._names.lodger(lodging)[0])]
        ids = [self.of(lodging).thread for lodging in found]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise errors.InvalidScope(
                f"several owners have a thread {twice[0]!r}; say whose with keepwell_checkpointer(memory, user_id=...)"
            )
        return found


def _agree(meant: Owner, named: Scope | None) -> None:
    """Refuse a run that names another than whose checkpoints they are."""
    for name, own, said in zip(Owner._fields, meant, named.owner if named else ("", "", ""), strict=True):
        if own and said and own != said:
            raise errors.InvalidScope(f"these checkpoints are of {name} {own!r}, and the run names {said!r}")


def marked(found: CheckpointTuple) -> CheckpointTuple:
    """Give a checkpoint of this process with configs that lead back to it."""
    parent = found.parent_config
    return found._replace(config=_private(found.config), parent_config=None if parent is None else _private(parent))


def _private(config: RunnableConfig) -> RunnableConfig:
    return {**config, "configurable": {**config["configurable"], _PRIVATE: True}}
