"""Asking the language model on behalf of an owner: within its budget, and counted."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from keepwell.errors import BudgetSpent, KeepwellError, NoLanguageModel
from keepwell.models import Message, Owner
from keepwell.providers.language import LanguageModel, check_size, tokens, validated
from keepwell.providers.language_guard import failure
from keepwell.storage.facts import ModelCall, ReadSpent
from keepwell.work.tools import Tools

M = TypeVar("M", bound=BaseModel)
_log = logging.getLogger("keepwell.work")


@dataclass(slots=True)
class Asking:
    """Asks for one owner; ``made`` are calls that are not in the record yet."""

    tools: Tools
    owner: Owner
    policy: Mapping[str, Any]
    made: list[ModelCall] = field(default_factory=list)

    def ask(self, purpose: str, messages: Sequence[Message], schema: type[M]) -> M:
        """Give the model's answer.

        Raises:
            NoLanguageModel: there is none.
            BudgetSpent: the owner's tokens or calls of today are spent.
            LanguageModelFailed: the model raised, or does not answer.
            AnswerInvalid: its answer is not of the schema, or too long.
        """
        model = self.tools.language_model
        if model is None:
            raise NoLanguageModel("this needs a language model; open the memory with one")
        self._check_budget()
        started = time.perf_counter()
        try:
            answer = model.ask(messages, schema)
            value = validated(answer.value, schema)
            check_size(value.model_dump_json())
        except KeepwellError:
            self._failed(model, purpose, messages, started)
            raise
        except Exception as error:
            self._failed(model, purpose, messages, started)
            raise failure(model.model, error) from error
        seconds = time.perf_counter() - started
        self.made.append(ModelCall(model.model, purpose, answer.input_tokens, answer.output_tokens, seconds))
        self.made += [ModelCall(model.model, purpose, 0, 0, 0.0, ok=False)] * (answer.calls - 1)
        _log.debug("%s by %s: %d + %d tokens", purpose, model.model, answer.input_tokens, answer.output_tokens)
        return value

    def taken(self) -> tuple[ModelCall, ...]:
        """Give the calls that are to be written now."""
        made, self.made = tuple(self.made), []
        return made

    def _failed(self, model: LanguageModel, purpose: str, messages: Sequence[Message], started: float) -> None:
        put = tokens(*(message.text for message in messages))
        self.made.append(ModelCall(model.model, purpose, put, 0, time.perf_counter() - started, ok=False))

    def _check_budget(self) -> None:
        most_tokens = self._limit("tokens_per_day", self.tools.settings.tokens_per_day)
        most_calls = self._limit("calls_per_day", self.tools.settings.calls_per_day)
        if most_tokens is None and most_calls is None:
            return
        rows = self.tools.record.read(ReadSpent(midnight(), self.owner))
        spent = sum(row.input_tokens + row.output_tokens for row in rows)
        spent += sum(call.input_tokens + call.output_tokens for call in self.made)
        calls = sum(row.calls for row in rows) + len(self.made)
        if most_tokens is not None and spent >= most_tokens:
            raise BudgetSpent(f"{spent:,} of {most_tokens:,} tokens of today are spent; it goes on after midnight UTC")
        if most_calls is not None and calls >= most_calls:
            raise BudgetSpent(f"{calls:,} of {most_calls:,} calls of today are made; it goes on after midnight UTC")

    def _limit(self, name: str, default: int | None) -> int | None:
        value = self.policy.get(name, default)
        return default if value is None or isinstance(value, bool) else int(value)


def midnight(now: dt.datetime | None = None) -> dt.datetime:
    """Give when this day began, in UTC."""
    return (now or dt.datetime.now(dt.UTC)).replace(hour=0, minute=0, second=0, microsecond=0)


def until_midnight(now: dt.datetime | None = None) -> dt.timedelta:
    """Give how long this day still lasts, in UTC."""
    here = now or dt.datetime.now(dt.UTC)
    return midnight(here) + dt.timedelta(days=1) - here
