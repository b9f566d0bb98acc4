"""Taking over LangChain's chat histories in PostgreSQL: those of langchain-postgres, and the community's older ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping

from langchain_core.messages import messages_from_dict
from psycopg import sql

from langchain_keepwell.importing.pouring import Entry, Target, pour, thread_of
from langchain_keepwell.importing.tables import Source, examined, reading
from langchain_keepwell.importing.tally import Imported, Tally

PAGE = 1_000


def import_postgres_chat_history(
    to: Target,
    source: str,
    table: str = "chat_history",
    *,
    sessions: Collection[str] | None = None,
    thread_prefix: str = "",
    dry_run: bool = False,
) -> Imported:
    """Take over the conversations of a ``PostgresChatMessageHistory``, and count what was done.

    Each session becomes a thread of its id. Messages keep their order, their ids and times, and every field that the
    table has. What is there already stays as it is, so it can be stopped and run again.

    Args:
        to: whose they are: a view for all of them, or a function that gives the view for a session's id.
        source: the DSN of the database with the table, which is only read.
        table: the table, with its schema in front where that is not in the search path (``app.chat_history``).
        sessions: take over these alone.
        thread_prefix: put before each thread's id.
        dry_run: count, and write nothing.

    Raises:
        ImportFormatError: there is no such table, or it is not of that form.
        StoreError: the store cannot be written to.
    """
    tally = Tally(dry_run)
    with reading(source) as connection:
        name, columns = examined(connection, table, ("id", "session_id", "message"), "no chat history")
        dated = "created_at" in columns
        for session in _sessions(connection, name, sessions):
            pour(thread_of(to, session, thread_prefix), _entries(connection, name, session, dated=dated), tally)
    return tally.done()


def _sessions(connection: Source, name: sql.Identifier, wanted: Collection[str] | None) -> list[str]:
    query = sql.SQL("select session_id::text from {} group by 1 order by min(id)").format(name)
    found = [session for (session,) in connection.execute(query)]
    return [session for session in found if wanted is None or session in wanted]


def _entries(connection: Source, name: sql.Identifier, session: str, *, dated: bool) -> Iterator[Entry]:
    """Give the messages of a session in the order of their ids, a page at a time."""
    query = sql.SQL(
        "select id, message::text::jsonb, {} from {} where session_id::text = %s and id > %s order by id limit %s"
    ).format(sql.SQL("created_at" if dated else "null::timestamptz"), name)
    last = -1
    while rows := connection.execute(query, [session, last, PAGE]).fetchall():
        for number, message, at in rows:
            yield _entry(f"{session}:{number}", message, at)
        last = rows[-1][0]


def _entry(place: str, message: object, at: dt.datetime | None) -> Entry:
    if not isinstance(message, Mapping):
        return Entry(place, None, trouble=f"it is {type(message).__name__}, not an object")
    try:
        (found,) = messages_from_dict([dict(message)])
    except (KeyError, TypeError, ValueError) as error:  # pydantic's own is a ValueError
        return Entry(place, None, trouble=f"LangChain cannot read it ({str(error).splitlines()[0]})")
    return Entry(place, found, at if at is None or at.tzinfo else at.replace(tzinfo=dt.UTC))
