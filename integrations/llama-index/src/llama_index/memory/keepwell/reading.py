"""Reading a thread so that a row which cannot be read costs its own words and nothing else."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Final

from keepwell import Message, ScopedThread, errors
from llama_index.memory.keepwell.steps import Script, call

FAILURES: Final = (errors.StoreError, errors.EmbeddingError)
"""What a memory that is not strict survives. A wrong call is not among them: it would fail each time."""
SPOILT: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a row raises that another program, or a later version, has written. No error of keepwell's own."""
_SLACK = 64
_log = logging.getLogger("llama_index.memory.keepwell")


def read(
    thread: ScopedThread,
    *,
    after: int = 0,
    before: int | None = None,
    last: int | None = None,
    limit: int | None = None,
) -> Script[list[Message]]:
    """Give messages of a thread, oldest first: all between two places, the ``last`` or the first ``limit`` of them.

    A row that cannot be read is a few words in brackets.

    Raises:
        StoreError: the store fails.
    """
    try:
        answer: Sequence[Message] = yield call(thread.messages, last, after=after or None, before=before, limit=limit)
    except errors.KeepwellError:
        raise
    except SPOILT as error:
        _log.debug("a stretch of a thread is read in parts: %s", error)
    else:
        return list(answer)
    found = yield from _in_parts(thread, after, before, last)
    return found[:limit]


def _in_parts(thread: ScopedThread, after: int, before: int | None, last: int | None) -> Script[list[Message]]:
    """Read backwards, stretch by stretch, until enough is found."""
    known = yield call(thread.info)
    end = (known.last_seq if known else 0) + 1 if before is None else before
    found: list[Message] = []
    while end > after + 1 and (last is None or len(found) < last):
        start = max(after, end - _SLACK - 1)
        part = yield from _halved(thread, start, end)
        found, end = [*part, *found], start + 1
    return found if last is None else found[-last:]


def _halved(thread: ScopedThread, after: int, before: int) -> Script[list[Message]]:
    """Read what lies between two places, narrowing down to the row at fault."""
    try:
        found: Sequence[Message] = yield call(thread.messages, after=after, before=before)
    except errors.KeepwellError:
        raise
    except SPOILT as error:
        problem = f"{type(error).__name__}: {error}"
    else:
        return list(found)
    if before - after == 2:  # noqa: PLR2004 - one number lies between
        _say_once(thread.id, after + 1, problem)
        return [_placeholder(after + 1)]
    middle = (after + before) // 2
    older = yield from _halved(thread, after, middle + 1)
    newer = yield from _halved(thread, middle, before)
    return [*older, *newer]


def _placeholder(seq: int) -> Message:
    words = f"[message {seq} of this conversation cannot be read]"
    return Message.assistant(words, id=f"unreadable-{seq}").model_copy(update={"seq": seq})


@functools.lru_cache(maxsize=1_024)  # bounded; so that a thread that is read at each turn does not fill the log
def _say_once(thread: str, seq: int, problem: str) -> None:
    _log.warning("message %d of thread %r cannot be read and is given as words in brackets: %s", seq, thread, problem)
