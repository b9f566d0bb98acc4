"""LangChain's chat history: ours against langchain-postgres' own, where that is installed.

langchain-postgres asks for an older pgvector than keepwell's lock has, so an environment that has both is made by
`pip install --no-deps langchain-postgres` with sqlalchemy, asyncpg and greenlet beside it.
"""

from __future__ import annotations

import itertools
import sys
import uuid
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import psycopg

from benchmarks.ground import Ground, medians, sentence, show, timed
from keepwell import Memory

MANY = 10_000


def chat_history(ground: Ground) -> None:
    """Measure appending 1, 100 and 10,000 messages, and reading the last twenty of 10,000."""
    try:
        from langchain_postgres import (  # type: ignore[import-not-found]  # noqa: PLC0415 - where it is installed
            PostgresChatMessageHistory,
        )
    except ImportError as error:
        print(f"chat-history is left out: {error}", file=sys.stderr)
        return
    with (
        Memory.open(ground.dsn, embedder=None, tenant="history") as memory,
        psycopg.connect(ground.admin_dsn, options="-c synchronous_commit=off") as connection,
    ):
        PostgresChatMessageHistory.create_tables(connection, "theirs")
        ways = (
            lambda: PostgresChatMessageHistory("theirs", str(uuid.uuid4()), sync_connection=connection),
            lambda: _ours(memory),
        )
        rows = [_appending(ways, 1), _appending(ways, 100), _bulk(ways), *_reading(memory, ways)]
    show("LangChain's chat history: ours against PostgresChatMessageHistory (medians, in turns)", rows)


def _ours(memory: Memory, session: str | None = None, last: int | None = None) -> Any:  # noqa: ANN401 - as theirs
    from langchain_keepwell import KeepwellChatMessageHistory  # noqa: PLC0415 - LangChain takes long to import

    session = session or uuid.uuid4().hex
    return KeepwellChatMessageHistory(session, memory=memory, user_id="ada", last=last, strict=True)


def _turns(many: int, start: int = 0) -> list[Any]:
    from langchain_core.messages import AIMessage, HumanMessage  # noqa: PLC0415 - LangChain takes long to import

    kinds = (HumanMessage, AIMessage)
    return [kinds[n % 2](sentence(start + n), id=uuid.uuid4().hex) for n in range(many)]


def _appending(ways: tuple[Callable[[], Any], ...], many: int) -> tuple[str, str, str]:
    number = itertools.count()

    def appends(history: Any) -> Callable[[], object]:  # noqa: ANN401 - theirs or ours
        return lambda: history.add_messages(_turns(many, next(number) * many))

    theirs, ours = medians(*(appends(way()) for way in ways), rounds=400 if many == 1 else 40)
    return _row(f"add {many}", theirs, ours)


def _bulk(ways: tuple[Callable[[], Any], ...]) -> tuple[str, str, str]:
    taken: tuple[list[float], ...] = ([], [])
    for _ in range(3):
        for times, way in zip(taken, ways, strict=True):
            history, messages = way(), _turns(MANY)
            times.append(timed(partial(history.add_messages, messages)))
    return _row(f"add {MANY:,}", *map(median, taken))


def _reading(memory: Memory, ways: tuple[Callable[[], Any], ...]) -> list[tuple[str, str, str]]:
    theirs, ours = (way() for way in ways)
    for history in (theirs, ours):
        history.add_messages(_turns(MANY))
    window = _ours(memory, ours.session_id, last=20)
    last, windowed = medians(lambda: theirs.messages[-20:], lambda: window.messages, rounds=10, warm=1)
    whole, all_of_it = medians(lambda: theirs.messages, lambda: ours.messages, rounds=5, warm=1)
    return [_row(f"the last 20 of {MANY:,}", last, windowed), _row(f"all {MANY:,}", whole, all_of_it)]


def _row(what: str, theirs: float, ours: float) -> tuple[str, str, str]:
    return what, f"theirs {theirs * 1e3:.2f} ms, ours {ours * 1e3:.2f} ms: {ours / theirs:.2f} x", ""
