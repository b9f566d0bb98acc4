"""What is recalled for a turn: once, and given for as long as the turn lasts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeAlias

from keepwell import Context, Message, Recollection, errors
from llama_index.memory.keepwell.conversation import Conversation
from llama_index.memory.keepwell.reading import FAILURES, SPOILT
from llama_index.memory.keepwell.steps import Script, call
from llama_index.memory.keepwell.turns import Question

PER_RECOLLECTION = 120
"""About the tokens of one recalled item of 300 characters, of its date and of its share of the fence."""
_ROUNDS = 5
_MANY = 512
"""So many hidden messages are left out together where one of them was found."""
_Key: TypeAlias = tuple[str, str, str]
_log = logging.getLogger("llama_index.memory.keepwell")


class Recalled:
    """The block of the turn at hand."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last: tuple[_Key, str] | None = None

    @property
    def block(self) -> str:
        """What was recalled last; ``""`` where nothing was."""
        return self._last[1] if self._last else ""

    def recall(
        self, talk: Conversation, question: Question | None, window: Sequence[Message], limit: int, room: int
    ) -> Script[str]:
        """Give the block for a question, of ``limit`` items and ``room`` tokens at most; ``""`` where nothing is found.

        Neither what stands in the window is recalled nor what is hidden in this conversation. A failure gives
        nothing, and is tried again at the next call.
        """
        if question is None or limit == 0:
            return ""
        key = (talk.thread.id, question.about, question.text)
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        shown = [message.id for message in window]
        try:
            block = yield from _found(talk, question.text, limit, room, shown)
        except FAILURES as error:
            talk.survive(error, "nothing is recalled")
            return ""
        except errors.KeepwellError:
            raise
        except SPOILT as error:  # a row that another program has written
            talk.survive(error, "nothing is recalled")
            return ""
        self._last = (key, block)
        return block


def _found(talk: Conversation, words: str, limit: int, room: int, shown: list[str]) -> Script[str]:
    """Recall, and once more without what turns out to be hidden; a context's block takes a third of its tokens."""
    for _ in range(_ROUNDS):
        bounds = {"last": 1, "tokens": 3 * room, "limit": limit, "exclude": shown}
        found: Context = yield call(talk.thread.context, words, **bounds)
        gone = [one.id for one in found.recollections if _is_hidden(talk, one)]
        if not gone:
            return found.text
        older: Sequence[Message] = yield call(talk.thread.messages, _MANY, before=talk.hidden.spans[-1][1] + 1)
        shown = list({*shown, *gone, *(message.id for message in older if talk.hidden.has(message))})
    _log.warning("nothing is recalled: what fits best is hidden in this conversation")
    return ""


def _is_hidden(talk: Conversation, found: Recollection) -> bool:
    here = found.kind == "message" and (found.thread, found.owner) == (talk.thread.id, talk.thread.owner)
    return here and talk.hidden.has(found.message)
