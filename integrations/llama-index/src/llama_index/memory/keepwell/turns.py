"""Turns of a conversation, decided without any store: what is new, what belongs together, what an agent is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from keepwell import Message, ToolCallPart
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.memory.keepwell.messages import content_digest, to_chat_message

Position: TypeAlias = Literal["user", "system"]

_INSTRUCTIONS = frozenset({"system", "developer"})
_REMOVAL = "remove"
"""A wish of LangChain's to delete a message; nothing that an agent could be given."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the memory in a turn; ``about`` is the id of the person's last message, if there is one.

    ``asked`` says that this message is the question, and not one that the caller has still to store.
    """

    text: str
    about: str
    asked: bool


# What is stored


def looks_back(batch: Sequence[Message]) -> int:
    """Give how many of the newest messages must be known to tell which of a batch are new."""
    called: set[str | None] = set()
    for message in batch:
        called.update(call.id for call in message.tool_calls)
        if message.tool_call_id and message.tool_call_id not in called:
            return 64 + len(batch)  # its call was stored before: far more messages than one turn has
    return len(batch)


def unseen(tail: Sequence[Message], batch: Sequence[Message]) -> list[Message]:
    """Give those of a batch that are not at the end of the thread yet.

    A workflow that is resumed repeats its last step, and LlamaIndex's messages have no ids. So a batch equal to
    the very end of the thread is that batch once more, and a tool's answer to a call that has its answer is not
    another one. A word said again after an answer is new.
    """
    if batch and digests(tail[-len(batch) :]) == digests(batch):
        return []
    before = {message.id for message in tail}
    return [message for message in _answered_once([*tail, *batch]) if message.id not in before]


def digests(messages: Iterable[Message]) -> list[str]:
    """Give a mark for each message, as LlamaIndex sees it."""
    return [content_digest(to_chat_message(message)) for message in messages]


def shared(stored: Sequence[Message], wanted: Sequence[Message]) -> int:
    """Give how many messages two histories have in common from their beginning."""
    pairs = zip(digests(stored[: len(wanted)]), digests(wanted), strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(stored), len(wanted)))


def without_block(message: ChatMessage, block: str) -> ChatMessage:
    """Give the message without the recalled text that was put into it, so that it is not stored as said."""
    if not block or not any(isinstance(one, TextBlock) and one.text == block for one in message.blocks):
        return message
    kept = [one for one in message.blocks if not (isinstance(one, TextBlock) and one.text == block)]
    return message.model_copy(update={"blocks": kept})


# What an agent is given


def question_of(window: Sequence[Message], given: str | None) -> Question | None:
    """Give what to recall for: the words given, else the person's last; None where there are no words."""
    said = next((message for message in reversed(window) if message.role == "user"), None)
    words = said.text if said else ""
    text = given if isinstance(given, str) and given.strip() else words
    if not text.strip():
        return None
    return Question(text, said.id if said else "", asked=said is not None and (text == words or _is_open(window)))


def repaired(window: Sequence[Message]) -> list[Message]:
    """Give the messages so that every call has one answer and every answer its call, as services demand.

    A call at the very end may still be answered, and stays.
    """
    kept = [message for message in _answered_once(window) if message.role != _REMOVAL]
    last = max((place for place, message in enumerate(kept) if message.role == "user"), default=-1)
    answered = {message.tool_call_id for message in kept}
    closed = [_without_calls(message, answered) for message in kept[: last + 1]]
    return [message for message in closed if message is not None] + kept[last + 1 :]


def presented(
    window: Sequence[Message], block: str, question: Question | None, position: Position
) -> list[ChatMessage]:
    """Give the messages for a model: instructions first, what was recalled in its place, the newest last.

    Words that the caller has still to store cannot carry what was recalled, so an instruction does.
    """
    instructions = [to_chat_message(message) for message in window if message.role in _INSTRUCTIONS]
    talk = [to_chat_message(message) for message in window if message.role not in _INSTRUCTIONS]
    if not block or question is None:
        return [*instructions, *talk]
    if position == "user" and question.asked:
        carrier = next(message for message in reversed(talk) if message.role == MessageRole.USER)
        carrier.blocks.insert(0, TextBlock(text=block))
    elif instructions:
        instructions[-1].blocks.append(TextBlock(text=block))
    else:
        instructions = [ChatMessage(role=MessageRole.SYSTEM, content=block)]
    return [*instructions, *talk]


def _is_open(window: Sequence[Message]) -> bool:
    """Tell whether the last turn waits for an answer."""
    last = window[-1]
    return last.role != "assistant" or bool(last.tool_calls)


def _answered_once(messages: Iterable[Message]) -> list[Message]:
    """Leave out a further answer to a call; a call of the same id, later on, may be answered again."""
    answered: set[str] = set()
    kept: list[Message] = []
    for message in messages:
        answered.difference_update(call.id for call in message.tool_calls if call.id)
        if message.role == "tool" and message.tool_call_id:
            if message.tool_call_id in answered:
                continue
            answered.add(message.tool_call_id)
        kept.append(message)
    return kept


def _without_calls(message: Message, answered: set[str | None]) -> Message | None:
    """Leave out calls that nobody answered; None where nothing else was said."""
    places = [place for place, call in enumerate(message.tool_calls) if not call.id or call.id in answered]
    if len(places) == len(message.tool_calls):
        return message
    moved = {old: new for new, old in enumerate(places)}
    parts = tuple(
        ToolCallPart(index=moved[part.index]) if isinstance(part, ToolCallPart) else part
        for part in message.parts
        if not isinstance(part, ToolCallPart) or part.index in moved
    )
    calls = tuple(message.tool_calls[place] for place in places)
    return message.model_copy(update={"parts": parts, "tool_calls": calls}) if parts or calls else None
