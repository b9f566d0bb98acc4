"""A retriever for LlamaIndex that recalls from a store."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID, uuid5

from keepwell import Memory, Message, Recollection, Scope, ScopedMemory, errors
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.memory.keepwell.door import FAILURES, Door

Kind: TypeAlias = Literal["fact", "message"]

KINDS: Final[tuple[Kind, ...]] = ("fact", "message")
_SPACE = UUID("b6d0c1a6-3f6e-5d5b-9d1b-3c3a5a3b7f10")
_NOTHING = "nothing is recalled"
_log = logging.getLogger("llama_index.memory.keepwell")


class KeepwellRetriever(BaseRetriever):
    """Nodes of what is known and was said that bears on the query, best first.

    A node's text is the fact or the message alone. Its metadata say when, by whom, in which thread and why it came;
    they are kept out of what a model is shown and out of what is embedded. Its id is unique in the store and stays
    the same, so LlamaIndex can tell one from another. The words of a query are what is asked; an embedding that a
    ``QueryBundle`` carries is of another model than the store's, and is not used.

    With ``strict=False`` a recall that fails gives no nodes and one line in the log, and so does a blank query.
    With ``strict=True`` both raise. Opening the default store always raises.

    Args:
        memory: the store; the default one of the settings where it is not given.
        user_id: whose memory it is; at least one of the three ids is needed, or ``across_users``.
        agent_id: which agent's.
        run_id: of which run.
        across_users: whether everyone's is searched.
        similarity_top_k: how many nodes at most.
        kinds: facts, messages or both.
        thread: only this thread of the owner; all that the scope sees where it is not given.
        where: only messages whose metadata contain this.
        since: only what was said from then on.
        until: only what was said before then.
        min_score: only what fits at least so well.
        neighbours: how many messages on each side of a found one are given in its metadata.
        strict: whether failures are raised.
        callback_manager: LlamaIndex's, for its traces.
        verbose: whether LlamaIndex prints what it does.

    Raises:
        InvalidScope: the ids name nobody.
        InvalidQuery: ``similarity_top_k`` or ``neighbours`` is out of range.

    Example:
        >>> receipt = chat.append(Message.user("I can't eat peanuts."))
        >>> retriever = KeepwellRetriever(memory, user_id="ada", similarity_top_k=3)
        >>> [found.text for found in retriever.retrieve("who can't eat peanuts?")]
        ["I can't eat peanuts."]
    """

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        across_users: bool = False,
        similarity_top_k: int = 4,
        kinds: Sequence[Kind] = KINDS,
        thread: str | None = None,
        where: Mapping[str, Any] | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        min_score: float | None = None,
        neighbours: int = 1,
        strict: bool = False,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        """Keep what is needed to recall; nothing is opened here."""
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        if similarity_top_k < 1 or neighbours < 0:
            raise errors.InvalidQuery("give 1 or more for similarity_top_k, and 0 or more for neighbours")
        self._door = Door(memory, Scope(user_id, agent_id, run_id, across_users=across_users), strict)
        self._thread = thread
        self._bounds: dict[str, Any] = {
            "limit": similarity_top_k,
            "kinds": tuple(kinds),
            "where": where,
            "since": since,
            "until": until,
            "min_score": min_score,
            "neighbours": neighbours,
            "explain": True,
        }

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._is_blank(query_bundle.query_str):
            return []
        view = self._door.view()
        try:
            return [node_of(found) for found in view.recall(query_bundle.query_str, **self._asked(view))]
        except FAILURES as error:
            self._door.survive(error, _NOTHING)
        return []

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._is_blank(query_bundle.query_str):
            return []
        view = await self._door.aview()
        try:
            return [node_of(found) for found in await view.arecall(query_bundle.query_str, **self._asked(view))]
        except FAILURES as error:
            self._door.survive(error, _NOTHING)
        return []

    def _is_blank(self, query: str) -> bool:
        if query.strip() or self._door.strict:
            return False
        _log.warning("%s: the query is blank", _NOTHING)
        return True

    def _asked(self, view: ScopedMemory) -> dict[str, Any]:
        return {**self._bounds, "thread": None if self._thread is None else view.thread(self._thread)}


def node_of(found: Recollection) -> NodeWithScore:
    """Give a recollection as a node whose metadata no model is shown."""
    metadata = _about(found)
    hidden = list(metadata)
    node = TextNode(
        id_=_node_id(found),
        text=found.text,
        metadata=metadata,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
    )
    return NodeWithScore(node=node, score=found.score)


def _node_id(found: Recollection) -> str:
    """Give an id that no other node has: a fact's own, or one made of a message's place, whose id is its thread's."""
    if found.kind == "fact":
        return found.id
    return str(uuid5(_SPACE, repr((*found.owner, found.thread, found.kind, found.id))))


def _about(found: Recollection) -> dict[str, Any]:
    """Give what is known about it, in plain JSON: LlamaIndex writes nodes into stores of its own."""
    about = {
        "kind": found.kind,
        "why": found.why,
        "evidence": {name: {"rank": said.rank, "score": said.score} for name, said in found.evidence.items()},
        "thread": found.thread,
        "who": found.who,
        "at": found.at.isoformat(),
        "user_id": found.owner.user_id,
        "agent_id": found.owner.agent_id,
        "run_id": found.owner.run_id,
    }
    if found.kind == "fact":
        return {**about, "fact_id": found.id, "version": found.fact.version, "key": found.fact.key}
    lines = {"before": [_line(one) for one in found.before], "after": [_line(one) for one in found.after]}
    return {**about, "message_id": found.id, "role": found.message.role, **lines}


def _line(message: Message) -> dict[str, str | None]:
    return {"role": message.role, "name": message.name, "text": message.text}
