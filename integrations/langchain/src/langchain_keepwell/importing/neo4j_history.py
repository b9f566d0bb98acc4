"""Taking over LangChain's chat histories in Neo4j: the whole chain of a session, not the window that it reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from keepwell import errors
from langchain_keepwell.importing.pouring import Entry, Target, pour, thread_of
from langchain_keepwell.importing.tally import Imported, Tally

_SESSIONS = "MATCH (s:`{label}`) WHERE s.id IS NOT NULL RETURN toString(s.id) AS session ORDER BY session"
_CHAIN = """
MATCH (s:`{label}`) WHERE toString(s.id) = $session
MATCH (s)-[:LAST_MESSAGE]->(last:Message)
MATCH path = (first:Message)-[:NEXT*0..]->(last)
WHERE NOT (:Message)-[:NEXT]->(first)
UNWIND nodes(path) AS message
RETURN message.role AS role, message.content AS content, message.createdAt AS at
"""
_SIMPLE: Mapping[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "user": HumanMessage,
    "ai": AIMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
}


class Driver(Protocol):
    """What is asked of a driver of the package ``neo4j``, 5 or 6."""

    def execute_query(self, query_: str, parameters_: dict[str, Any] | None = None, **options: Any) -> Any:  # noqa: ANN401 - the driver's
        """Give the records of a query first."""


def import_neo4j_chat_history(
    to: Target,
    driver: Driver,
    *,
    database: str | None = None,
    node_label: str = "Session",
    sessions: Collection[str] | None = None,
    thread_prefix: str = "",
    dry_run: bool = False,
) -> Imported:
    """Take over the conversations of a ``Neo4jChatMessageHistory``, and count what was done.

    Each session becomes a thread of its id, with all its messages in order. That class kept a message's role, content
    and time; the rest was lost when it was written. A tool's result, at which that class itself breaks off, is taken
    over without the call that it answers, and counted as ``lacking``.

    Args:
        to: whose they are: a view for all of them, or a function that gives the view for a session's id.
        driver: a driver of the package ``neo4j``, which is only asked to read.
        database: the database; the server's default where it is not given.
        node_label: the label of the session nodes.
        sessions: take over these alone.
        thread_prefix: put before each thread's id.
        dry_run: count, and write nothing.

    Raises:
        UsageError: a label that cannot be one.
        StoreError: the store cannot be written to.
    """
    if "`" in node_label or not node_label:
        raise errors.UsageError(f"node_label is {node_label!r}; give the label of the session nodes")
    tally = Tally(dry_run)
    options: dict[str, Any] = {"routing_": "r"} | ({} if database is None else {"database_": database})
    found = [str(row["session"]) for row in driver.execute_query(_SESSIONS.format(label=node_label), **options)[0]]
    for session in found:
        if sessions is None or session in sessions:
            rows = driver.execute_query(_CHAIN.format(label=node_label), {"session": session}, **options)[0]
            pour(thread_of(to, session, thread_prefix), _entries(session, rows, tally), tally)
    return tally.done()


def _entries(session: str, rows: Any, tally: Tally) -> Iterator[Entry]:  # noqa: ANN401 - the driver's records
    for number, row in enumerate(rows, 1):
        place = f"{session}:{number}"
        content = row["content"]
        if not isinstance(content, str):
            yield Entry(place, None, trouble=f"its content is {type(content).__name__}, not text")
            continue
        yield Entry(place, _message(str(row["role"]), content, tally), _moment(row["at"]))


def _message(role: str, content: str, tally: Tally) -> BaseMessage:
    if (kind := _SIMPLE.get(role)) is not None:
        return kind(content=content)
    match role:
        case "tool":
            tally.lacking += 1
            return ToolMessage(content=content, tool_call_id="")
        case "function":
            tally.lacking += 1
            return FunctionMessage(content=content, name="")
        case _:
            return ChatMessage(content=content, role=role)


def _moment(value: object) -> dt.datetime | None:
    """Give the driver's moment as Python's; None where there is none that can be one."""
    native = value.to_native() if hasattr(value, "to_native") else value
    if not isinstance(native, dt.datetime):
        return None
    return native if native.tzinfo else native.replace(tzinfo=dt.UTC)
