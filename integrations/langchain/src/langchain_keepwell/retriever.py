"""A retriever for LangChain that recalls from a store."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID, uuid5

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from keepwell import Fact, Memory, Message, Recollection, Recollections, Scope, ScopedMemory
from langchain_keepwell.failopen import FAILURES, Door

_log = logging.getLogger("langchain_keepwell")
_SPACE = UUID("b6d0c1a6-3f6e-5d5b-9d1b-3c3a5a3b7f10")
_NOTHING = "nothing is recalled"


class KeepwellRetriever(BaseRetriever):
    """Documents of what is known and what was said that bears on the query, best first.

    A document's text is a fact or a message; its metadata say which (``kind``), when, by whom, in which thread, how
    well it fits (``score``) and why it came (``why``, ``evidence``). Its id is unique in the store and stays the same.

    With ``strict=False`` a recall that fails gives no documents and one line in the log, and so does a blank
    query. With ``strict=True`` both raise. Opening the default store always raises.

    Raises:
        InvalidScope: the ids name nobody.

    Example:
        >>> receipt = chat.append(Message.user("I can't eat peanuts."))
        >>> retriever = KeepwellRetriever(memory=memory, user_id="ada", k=3)
        >>> [found.page_content for found in retriever.invoke("who can't eat peanuts?")]
        ["I can't eat peanuts."]
    """

    memory: Memory | None = Field(default=None, exclude=True, repr=False)
    """The store; the default one of the settings where it is not given."""
    user_id: str | None = None
    agent_id: str | None = None
    run_id: str | None = None
    across_users: bool = False
    k: int = Field(default=4, gt=0)
    """How many documents at most; ``invoke(query, k=...)`` overrides it for one call."""
    kinds: tuple[Literal["fact", "message"], ...] = ("fact", "message")
    """Facts, messages, or both."""
    thread: str | None = None
    """Only messages of this thread of the owner; all that the scope sees where it is not given."""
    where: Mapping[str, Any] | None = None
    """Only messages whose metadata contain this."""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    min_score: float | None = None
    neighbours: int = Field(default=1, ge=0)
    """How many messages on each side of a found one are given in its metadata (``before``, ``after``)."""
    strict: bool = False

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - pydantic validates each of them
        """Keep what is needed to recall; nothing is opened here."""
        super().__init__(**fields)
        self._door()

    def _door(self) -> Door:
        """Make the door of the fields as they are now: LangChain copies and changes them."""
        scope = Scope(self.user_id, self.agent_id, self.run_id, across_users=self.across_users)
        return Door(self.memory, scope, strict=self.strict)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager  # the base class reports start, end and errors
        if self._blank(query):
            return []
        door = self._door()
        view = door.view()
        try:
            return _documents(view.recall(query, **self._bounds(view, k)))
        except FAILURES as error:
            door.survive(error, _NOTHING)
        return []

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager
        if self._blank(query):
            return []
        door = self._door()
        view = await door.aview()
        try:
            return _documents(await view.arecall(query, **self._bounds(view, k)))
        except FAILURES as error:
            door.survive(error, _NOTHING)
        return []

    def _blank(self, query: str) -> bool:
        if query.strip() or self.strict:
            return False
        _log.warning("%s: the query is blank", _NOTHING)
        return True

    def _bounds(self, view: ScopedMemory, k: int | None) -> dict[str, Any]:
        return {
            "limit": self.k if k is None else k,
            "kinds": self.kinds,
            "thread": None if self.thread is None else view.thread(self.thread),
            "where": self.where,
            "since": self.since,
            "until": self.until,
            "min_score": self.min_score,
            "neighbours": self.neighbours,
            "explain": True,
        }


def _documents(found: Recollections) -> list[Document]:
    return [_document(one) for one in found]


def _document(found: Recollection) -> Document:
    place = (*found.owner, found.thread, found.kind, found.id)
    metadata = {
        "kind": found.kind,
        "score": found.score,
        "why": found.why,
        "evidence": {name: {"rank": said.rank, "score": said.score} for name, said in found.evidence.items()},
        **(_of_fact(found.fact) if found.kind == "fact" else _of_message(found)),
        "user_id": found.owner.user_id,
        "agent_id": found.owner.agent_id,
        "run_id": found.owner.run_id,
    }
    return Document(page_content=found.text, id=str(uuid5(_SPACE, repr(place))), metadata=metadata)


def _of_message(found: Recollection) -> dict[str, Any]:
    message = found.message
    return {
        "thread": found.thread,
        "message_id": message.id,
        "role": message.role,
        "name": message.name,
        "created_at": message.created_at.isoformat(),
        "before": [_line(one) for one in found.before],
        "after": [_line(one) for one in found.after],
    }


def _of_fact(fact: Fact) -> dict[str, Any]:
    return {
        "fact_id": str(fact.id),
        "version": fact.version,
        "subject": fact.subject,
        "key": fact.key,
        "fact_kind": fact.kind,
        "created_at": fact.at.isoformat(),
        "valid_to": None if fact.valid_to is None else fact.valid_to.isoformat(),
    }


def _line(message: Message) -> dict[str, str | None]:
    return {"role": message.role, "name": message.name, "text": message.text}
