"""Language models for tests: scripted, failing, slow and spoiling ones; and one made of rules."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, assert_never

from pydantic import BaseModel

from keepwell.errors import AnswerInvalid
from keepwell.models import Message
from keepwell.providers.language import Answer, parsed, tokens, validated
from keepwell.testing.language_rules import RuleModel

M = TypeVar("M", bound=BaseModel)
Script = Callable[[Sequence[Message], type[BaseModel]], Any]
Spoilt = Literal["empty", "cut off", "wrong schema", "invented ids", "too long", "retract everything"]


class ScriptedModel:
    """Answers what it was told to: from a list, one after the other, or by a function of messages and schema.

    An answer is an instance of the schema, its fields, or text as a model would send it; an exception is raised.
    ``calls``, ``input_tokens`` and ``output_tokens`` count; ``asked`` keeps what it was asked.

    Example:
        >>> class City(BaseModel):
        ...     name: str
        >>> ScriptedModel([{"name": "Leeds"}]).ask([Message.user("Where?")], City).value.name
        'Leeds'
    """

    def __init__(self, answers: Iterable[Any] | Script, *, model: str = "scripted") -> None:
        """Keep the script."""
        self.model = model
        self.calls = self.input_tokens = self.output_tokens = 0
        self.asked: list[Sequence[Message]] = []
        self._script: Script | None = answers if callable(answers) else None
        self._answers = iter(()) if callable(answers) else iter(answers)
        self._lock = threading.Lock()

    def ask(self, messages: Sequence[Message], schema: type[M]) -> Answer[M]:
        """Give the next answer of the script."""
        put = tokens(*(message.text for message in messages))
        with self._lock:
            self.calls += 1
            self.input_tokens += put
            self.asked.append(messages)
            answer = next(self._answers, None) if self._script is None else None
        if self._script is not None:
            answer = self._script(messages, schema)
        if answer is None:
            raise AnswerInvalid("the script has no further answer")
        if isinstance(answer, Exception):
            raise answer
        value = parsed(answer, schema) if isinstance(answer, str) else validated(answer, schema)
        got = tokens(value.model_dump_json())
        with self._lock:
            self.output_tokens += got
        return Answer(value, put, got)


class ScriptedExtractor(ScriptedModel):
    """Forms facts from plain English sentences by rules, so that the whole path runs without a model.

    See :mod:`keepwell.testing.language_rules` for what it understands.
    """

    def __init__(self) -> None:
        """Make it; it knows nothing but what it is asked."""
        super().__init__(RuleModel(), model=RuleModel.model)


class FailingModel(ScriptedModel):
    """Raises ``error`` while ``failing`` is True, and answers by rules (or by ``then``) once it is False."""

    def __init__(self, error: Exception | None = None, *, failing: bool = True, then: Script | None = None) -> None:
        """Make a model that fails with that error."""
        super().__init__(self._answer, model="failing")
        self.error = error or ConnectionError("the model does not answer")
        self.failing = failing
        self._then = then or RuleModel()

    def _answer(self, messages: Sequence[Message], schema: type[BaseModel]) -> Any:  # noqa: ANN401 - see ScriptedModel
        return self.error if self.failing else self._then(messages, schema)


class SlowModel(ScriptedModel):
    """Takes ``seconds`` for each answer, which it gives by rules (or by ``then``)."""

    def __init__(self, seconds: float, *, then: Script | None = None) -> None:
        """Make a model that takes so long."""
        super().__init__(self._answer, model="slow")
        self.seconds = seconds
        self._then = then or RuleModel()

    def _answer(self, messages: Sequence[Message], schema: type[BaseModel]) -> Any:  # noqa: ANN401 - see ScriptedModel
        time.sleep(self.seconds)
        return self._then(messages, schema)


class GarbageModel(ScriptedModel):
    """Answers by rules and spoils the answer, always or only where the text that it reads holds ``only``."""

    def __init__(self, spoilt: Spoilt, *, only: str | None = None) -> None:
        """Make a model that spoils its answers in that way."""
        super().__init__(self._answer, model="garbage")
        self.spoilt = spoilt
        self.only = only

    def _answer(self, messages: Sequence[Message], schema: type[BaseModel]) -> Any:  # noqa: ANN401 - see ScriptedModel
        right = RuleModel()(messages, schema)
        if self.only is not None and self.only not in messages[-1].text:
            return right
        return _spoil(right, self.spoilt, json.loads(messages[-1].text))


def _spoil(  # noqa: PLR0911 - one way to spoil an answer a line
    right: dict[str, Any], spoilt: Spoilt, asked: dict[str, Any]
) -> Any:  # noqa: ANN401 - see ScriptedModel
    match spoilt:
        case "empty":
            return ""
        case "cut off":
            whole = json.dumps(right)
            return whole[: len(whole) // 2]
        case "wrong schema":
            return {"memories": ["something else"], "facts": "none"}
        case "invented ids":
            return {key: [_misnamed(entry) for entry in value] for key, value in right.items()}
        case "too long":
            return json.dumps({"facts": [], "padding": "x" * 10_000_000})
        case "retract everything":
            if asked["task"] != "reconcile":
                return right
            ended = ({"new": 1, "action": "DELETE", "old": old["number"]} for old in asked["old"])
            return {"decisions": list(ended)}
    assert_never(spoilt)


def _misnamed(entry: dict[str, Any]) -> dict[str, Any]:
    wrong: dict[str, Any] = {"message": 999, "old": 999, "new": 999, "supports": [999]}
    return {key: wrong.get(key, value) for key, value in entry.items()}
