"""The language model seam: from messages and a schema to a checked answer.

A model is anything with a name that answers messages with an instance of a pydantic class. What comes from outside
is taken as it is by :func:`~keepwell.providers.language_models.language_model_of`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from keepwell.errors import AnswerInvalid
from keepwell.models import Message

M = TypeVar("M", bound=BaseModel)
MAX_ANSWER = 200_000
"""Characters of an answer: what is longer is refused unread."""
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """What a model answered, and what it cost; ``calls`` counts the repair of an answer too."""

    value: M
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 1


@runtime_checkable
class LanguageModel(Protocol):
    """A model that answers by a schema; ``model`` names it in the record of calls."""

    @property
    def model(self) -> str:
        """The name under which its calls are counted."""

    def ask(self, messages: Sequence[Message], schema: type[M]) -> Answer[M]:
        """Answer the messages with an instance of the schema.

        Raises:
            LanguageModelFailed: it raised, or does not answer.
            AnswerInvalid: what it answered is not of the schema, or too long.
        """


def tokens(*texts: str) -> int:
    """Give about how many tokens texts take, for models that do not say."""
    return sum(1 + len(text) // _CHARACTERS_PER_TOKEN for text in texts)


def parsed(text: object, schema: type[M]) -> M:
    """Give the instance that a text holds as JSON, alone or with words or a code fence around it.

    Raises:
        AnswerInvalid: it holds none, or is too long.
    """
    if not isinstance(text, str):
        raise AnswerInvalid(f"the answer is {type(text).__name__}, not text")
    check_size(text)
    body = text.strip()
    if not body:
        raise AnswerInvalid("the answer is empty")
    fenced = _FENCE.search(body)
    start, end = body.find("{"), body.rfind("}")
    tries = [body, *([fenced.group(1)] if fenced else []), *([body[start : end + 1]] if 0 <= start < end else [])]
    values = [value for value in map(_json, dict.fromkeys(tries)) if value is not None]
    if not values:
        raise AnswerInvalid("the answer is no JSON, or is cut off")
    return validated(values[0], schema)


def validated(value: object, schema: type[M]) -> M:
    """Give a value as an instance of the schema.

    Raises:
        AnswerInvalid: it is none; the message names the place, never the words.
    """
    if isinstance(value, schema):
        return value
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise AnswerInvalid(f"the answer is not of the schema: {_problem(error)}") from None
    except RecursionError:
        raise AnswerInvalid("the answer is nested too deep") from None


def check_size(text: str) -> None:
    """Raise :class:`~keepwell.errors.AnswerInvalid` where an answer is too long."""
    if len(text) > MAX_ANSWER:
        raise AnswerInvalid(f"the answer has {len(text):,} characters; at most {MAX_ANSWER:,} are read")


def schema_request(schema: type[BaseModel]) -> str:
    """Give the words that ask for JSON of a schema, for models that know no better way."""
    form = json.dumps(schema.model_json_schema(), ensure_ascii=False, separators=(",", ":"))
    return f"Answer with one JSON object and nothing else. It must be valid by this JSON schema:\n{form}"


def _json(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(step) for step in first["loc"]) or "the whole"
    return f"{place}: {first['msg']}"
