"""Turns of a conversation, decided without any store: what is new, what belongs together, what an agent is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

from keepwell import Message, ReasoningPart, ToolCallPart
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.memory.keepwell.messages import KIND, content_digest, to_chat_message

Position: TypeAlias = Literal["user", "system"]

_INSTRUCTIONS = frozenset({"system", "developer"})
_MANY = 64
"""A batch of more messages than a turn has is an import, which nobody repeats at once."""
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


def identified(batch: Sequence[Message], place: Sequence[str]) -> list[Message]:
    """Give a batch ids that say what is said and where: two who repeat one step at once say the same.

    ``place`` names the thread and its end as it was read; a number of it is never used again.
    """
    if len(batch) > _MANY:
        return list(batch)
    marks = zip(batch, digests(batch), strict=True)
    names = (("\x1f".join([*place, str(number), mark]), message) for number, (message, mark) in enumerate(marks))
    return [
        message.model_copy(update={"id": blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest()})
        for name, message in names
    ]


@dataclass(frozen=True, slots=True)
class Change:
    """How a history becomes another one: what stays, what is no longer shown, and what is put at the end."""

    kept: Sequence[Message]
    gone: Sequence[Message]
    new: Sequence[Message]


def change(stored: Sequence[Message], wanted: Sequence[Message]) -> Change:
    """Give the least change that makes one history of another.

    What both begin with stays. So does the end of the stored one where the rest of the wanted one begins with
    it, as it does where an application passes the newest messages only.
    """
    same = _shared(stored, wanted)
    rest, more = stored[same:], wanted[same:]
    if more:
        first = _Marked(more[0])
        for skipped, message in enumerate(rest):
            length = len(rest) - skipped
            if length <= len(more) and first.is_same(message) and _shared(rest[skipped:], more) == length:
                return Change([*stored[:same], *rest[skipped:]], rest[:skipped], more[length:])
    return Change(stored[:same], rest, more)


@dataclass(slots=True)
class _Marked:
    """A message and its mark, which is made once and only if it is needed."""

    message: Message
    mark: str = ""

    def is_same(self, other: Message) -> bool:
        """Tell whether another message says the same, as LlamaIndex sees both."""
        own = self.message
        is_ours = other.native is not None and other.native.kind == KIND
        if is_ours and (own.role, own.text) != (other.role, other.text):
            return False
        self.mark = self.mark or digests([own])[0]
        return digests([other])[0] == self.mark


def _shared(stored: Sequence[Message], wanted: Sequence[Message]) -> int:
    """Give how many messages two histories have in common from their beginning."""
    pairs = enumerate(zip(stored, wanted, strict=False))
    return next((n for n, (old, new) in pairs if not _Marked(new).is_same(old)), min(len(stored), len(wanted)))


def without_block(message: ChatMessage, block: str) -> ChatMessage:
    """Give the message without the recalled text that was put into it, so that it is not stored as said."""
    if not block or not any(isinstance(one, TextBlock) and one.text == block for one in message.blocks):
        return message
    kept = [one for one in message.blocks if not (isinstance(one, TextBlock) and one.text == block)]
    return message.model_copy(update={"blocks": kept})


# What an agent is given


def question_of(window: Sequence[Message], given: object) -> Question | None:
    """Give what to recall for: the words given, else the person's last; None where there are no words."""
    if isinstance(given, ChatMessage):
        given = given.content
    said = next((message for message in reversed(window) if message.role == "user"), None)
    words = said.text if said else ""
    text = given if isinstance(given, str) and given.strip() else words
    if not text.strip():
        return None
    return Question(text, said.id if said else "", asked=said is not None and (text == words or _is_open(window)))


def repaired(window: Sequence[Message]) -> list[Message]:
    """Give the messages so that every call has one answer right behind it and every answer its call.

    Services refuse a history that is otherwise. A call at the very end may still be answered, and stays. Something
    is given even where nothing fits together.
    """
    said = [message for message in window if message.role != _REMOVAL]
    steps = _steps(said)
    kept: list[Message] = []
    for step in steps:
        answers = _answers(step[0], step[1:])
        answered = {message.tool_call_id for message in answers}
        asking = step[0] if step is steps[-1] else _without_calls(step[0], answered)
        kept += [asking, *answers] if asking is not None else []
    return kept or said[-1:]


def presented(
    window: Sequence[Message],
    block: str,
    question: Question | None,
    position: Position,
    show: Callable[[Message], ChatMessage] = to_chat_message,
) -> list[ChatMessage]:
    """Give the messages for a model: instructions first, what was recalled in its place, the newest last.

    Words that the caller has still to store cannot carry what was recalled, so an instruction does. ``show``
    gives a message as LlamaIndex has it, shared with nobody.
    """
    instructions = [show(message) for message in window if message.role in _INSTRUCTIONS]
    talk = [show(message) for message in window if message.role not in _INSTRUCTIONS]
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


def _steps(messages: Iterable[Message]) -> list[list[Message]]:
    """Give each message with the tools' messages right behind it; those at the beginning answer nothing."""
    steps: list[list[Message]] = []
    for message in messages:
        if message.role != "tool":
            steps.append([message])
        elif steps:
            steps[-1].append(message)
    return steps


def _answers(asking: Message, answers: Iterable[Message]) -> list[Message]:
    """Give the first answer to each call of a message."""
    called = {call.id for call in asking.tool_calls}
    kept: dict[str, Message] = {}
    for message in answers:
        if message.tool_call_id in called:
            kept.setdefault(message.tool_call_id or message.id, message)
    return list(kept.values())


def _without_calls(message: Message, answered: set[str | None]) -> Message | None:
    """Leave out calls that nobody answered; None where nothing else was said: a thought alone is not."""
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
    said = any(not isinstance(part, ReasoningPart | ToolCallPart) for part in parts)
    return message.model_copy(update={"parts": parts, "tool_calls": calls}) if said or calls else None
