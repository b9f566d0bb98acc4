"""Models that answer in words: JSON is asked for, read out of what they say, and repaired once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from pydantic import BaseModel

from keepwell.errors import AnswerInvalid
from keepwell.models import Message
from keepwell.providers.language import Answer, check_size, parsed, schema_request, tokens

M = TypeVar("M", bound=BaseModel)
Talk: TypeAlias = "list[tuple[str, str]]"
_SHOWN = 4_000
"""Characters of a wrong answer that are shown to the model again."""


@dataclass(frozen=True, slots=True)
class Said:
    """A model's words, and what they cost (None where it does not say)."""

    text: object
    input_tokens: int | None = None
    output_tokens: int | None = None


def talk_of(messages: Sequence[Message]) -> Talk:
    """Give messages as pairs of role and text; lone surrogates, which no server takes, are replaced."""
    return [(message.role, message.text.encode("utf-8", "replace").decode()) for message in messages]


class InWords:
    """A model that answers in text: JSON is asked for in words, and once more where the answer is wrong.

    ``say`` gives the answer to pairs of role and text, and is told the schema. ``native`` says that it is asked for
    by the protocol, so that the words are not needed.
    """

    def __init__(self, model: str, say: Callable[[Talk, type[BaseModel]], Said], *, native: bool = False) -> None:
        self.model = model
        self._say, self._native = say, native

    def ask(self, messages: Sequence[Message], schema: type[M]) -> Answer[M]:
        """Answer messages."""
        talk = talk_of(messages)
        return self.answer(talk if self._native else with_request(talk, schema), schema)

    def answer(self, talk: Talk, schema: type[M], before: Said | None = None) -> Answer[M]:
        """Give the answer to a talk; ``before`` was said already, and is only repaired where it is wrong."""
        said = self._say(talk, schema) if before is None else before
        spent, calls = spent_on(talk, said), 1
        try:
            value = parsed(said.text, schema)
        except AnswerInvalid as problem:
            if isinstance(said.text, str):
                check_size(said.text)
            talk = _repair(talk, said.text, problem, schema)
            said = self._say(talk, schema)
            more, calls = spent_on(talk, said), 2
            spent = (spent[0] + more[0], spent[1] + more[1])
            value = parsed(said.text, schema)
        return Answer(value, *spent, calls)


def with_request(talk: Talk, schema: type[BaseModel]) -> Talk:
    """Give the talk with the words that ask for JSON of the schema, in its instructions."""
    request = schema_request(schema)
    if talk and talk[0][0] == "system":
        return [("system", f"{talk[0][1]}\n\n{request}"), *talk[1:]]
    return [("system", request), *talk]


def _repair(talk: Talk, text: object, problem: AnswerInvalid, schema: type[BaseModel]) -> Talk:
    shown = text[:_SHOWN] if isinstance(text, str) else ""
    return [
        *talk,
        ("assistant", shown or "(nothing)"),
        ("user", f"That cannot be used: {problem}. Answer again. {schema_request(schema)}"),
    ]


def spent_on(talk: Talk, said: Said) -> tuple[int, int]:
    """Give the tokens that went in and came out, estimated where the model does not say."""
    put, got = said.input_tokens, said.output_tokens
    return (
        tokens(*(text for _, text in talk)) if put is None else put,
        tokens(said.text if isinstance(said.text, str) else "") if got is None else got,
    )
