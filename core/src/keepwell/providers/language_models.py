"""Adapters to the language model seam, by what an object can do: no framework is imported."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from keepwell.errors import KeepwellError, UsageError
from keepwell.models import Message
from keepwell.providers.language import Answer, LanguageModel, parsed, tokens, validated
from keepwell.providers.language_guard import GuardedModel, is_passing
from keepwell.providers.language_words import InWords, Said, Talk, spent_on, talk_of, with_request
from keepwell.providers.openai import OpenAIModel

M = TypeVar("M", bound=BaseModel)
_REFUSALS = frozenset((400, 404, 422))
_URL = re.compile(r"openai:(https?://[^#\s]+)#(.+)", re.DOTALL)


def language_model_of(
    given: Any,  # noqa: ANN401 - that is its purpose
    *,
    model: str | None = None,
    api_key: str | None = None,
    seconds: float = 60.0,
    attempts: int = 3,
) -> LanguageModel:
    """Give a language model for one of ours, a LangChain or LlamaIndex model, a name, an address or a function.

    Names are LangChain's (``"anthropic:claude-sonnet-4-5"``, with LangChain installed); an address is
    ``"openai:http://host:port/v1#model"``, of any server that speaks OpenAI's protocol (``api_key`` is for it). A
    function takes the messages and the schema, and gives an instance of it, its fields, or its JSON. One of ours is
    taken as it is; all others get a deadline of ``seconds`` and up to ``attempts`` tries.

    Raises:
        UsageError: it is none of these.
        MissingExtra: a server's address was given, and the extra ``openai`` is not installed.
    """
    if isinstance(given, str):
        given = _named(given, api_key, seconds)
    if isinstance(given, GuardedModel):
        return given
    if isinstance(given, OpenAIModel):
        return GuardedModel(InWords(given.model, given.say, native=True), seconds=seconds, attempts=attempts)
    if isinstance(given, LanguageModel):
        return given
    return GuardedModel(_adapted(given, model), seconds=seconds, attempts=attempts)


def _adapted(given: Any, model: str | None) -> LanguageModel:  # noqa: ANN401 - see language_model_of
    name = model or _name(given)
    if callable(getattr(given, "with_structured_output", None)) and callable(getattr(given, "invoke", None)):
        return _Structured(name, _LangChain(given))
    if callable(getattr(given, "as_structured_llm", None)) and callable(getattr(given, "complete", None)):
        return _Structured(name, _LlamaIndex(given))
    if callable(given):
        return _Function(name, given)
    raise UsageError(
        "language_model= takes a LanguageModel, a LangChain or LlamaIndex model, 'provider:model', "
        f"'openai:http://host/v1#model' or a function, not {type(given).__name__}"
    )


def _named(name: str, api_key: str | None, seconds: float) -> Any:  # noqa: ANN401 - a model of LangChain, or ours
    if address := _URL.fullmatch(name):
        return OpenAIModel(address.group(1), address.group(2), api_key=api_key, seconds=seconds)
    if ":" not in name or name.startswith(("openai:http", "http")):
        raise UsageError(f"the language model {name!r} is neither 'provider:model' nor 'openai:http://host/v1#model'")
    try:
        make = importlib.import_module("langchain.chat_models").init_chat_model
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the language model {name!r} needs LangChain; pip install langchain") from error
    try:
        return make(name)
    except Exception as error:
        raise UsageError(f"LangChain does not give the language model {name!r}: {error}") from error


def _name(given: Any) -> str:  # noqa: ANN401 - see language_model_of
    for field in ("model_name", "model", "model_id"):
        if isinstance(value := getattr(given, field, None), str) and value:
            return value
    return getattr(given, "__name__", None) or type(given).__name__


class _LangChain:
    """A chat model of LangChain."""

    def __init__(self, given: Any) -> None:  # noqa: ANN401 - a chat model
        self._given = given

    def structured(self, talk: Talk, schema: type[M]) -> tuple[M | None, Said]:
        """Answer by the model's own way to a schema; None where what it said is not of it."""
        bound = self._given.with_structured_output(schema, include_raw=True)
        answer = bound.invoke(talk)
        if isinstance(answer, schema):
            return answer, Said(answer.model_dump_json())
        said = _langchain_said(answer.get("raw"))
        value = answer.get("parsed")
        return (None, said) if value is None else (validated(value, schema), said)

    def say(self, talk: Talk, schema: type[BaseModel]) -> Said:  # noqa: ARG002 - it was asked for in words
        return _langchain_said(self._given.invoke(talk))


def _langchain_said(message: Any) -> Said:  # noqa: ANN401 - an AIMessage
    content = getattr(message, "content", message)
    if isinstance(content, list):
        content = "".join(
            part if isinstance(part, str) else str(part.get("text", ""))
            for part in content
            if isinstance(part, str | dict)
        )
    usage = getattr(message, "usage_metadata", None) or {}
    return Said(content, usage.get("input_tokens"), usage.get("output_tokens"))


class _LlamaIndex:
    """An LLM of LlamaIndex; it is asked by one text, which takes no class of the framework."""

    def __init__(self, given: Any) -> None:  # noqa: ANN401 - an LLM
        self._given = given

    def structured(self, talk: Talk, schema: type[M]) -> tuple[M | None, Said]:
        """Answer by the model's own way to a schema; None where what it said is not of it."""
        answer = self._given.as_structured_llm(schema).complete(_flat(talk))
        value = getattr(answer, "raw", None)
        said = _llama_said(answer)
        return (value, said) if isinstance(value, schema) else (None, said)

    def say(self, talk: Talk, schema: type[BaseModel]) -> Said:  # noqa: ARG002 - it was asked for in words
        return _llama_said(self._given.complete(_flat(talk)))


def _flat(talk: Talk) -> str:
    return "\n\n".join(text if role in ("system", "user") else f"{role}: {text}" for role, text in talk)


def _llama_said(answer: Any) -> Said:  # noqa: ANN401 - a CompletionResponse
    spent = getattr(answer, "additional_kwargs", None) or {}
    return Said(getattr(answer, "text", answer), spent.get("prompt_tokens"), spent.get("completion_tokens"))


class _Structured:
    """A framework's model: asked by its own way to a schema, or in words where it has none that works."""

    def __init__(self, model: str, given: _LangChain | _LlamaIndex) -> None:
        self.model = model
        self._given = given
        self._words = InWords(model, given.say)
        self._in_words = False

    def ask(self, messages: Sequence[Message], schema: type[M]) -> Answer[M]:
        if self._in_words:
            return self._words.ask(messages, schema)
        talk = talk_of(messages)
        try:
            value, said = self._given.structured(talk, schema)
        except Exception as error:
            if is_passing(error) or isinstance(error, KeepwellError):
                raise
            # Where the way is not there, or the server refuses the schema, it is not gone again.
            missing = isinstance(error, NotImplementedError | AttributeError | TypeError)
            self._in_words = missing or getattr(error, "status_code", None) in _REFUSALS
            return self._words.ask(messages, schema)
        if value is None:
            return self._words.answer(with_request(talk, schema), schema, said)
        return Answer(value, *spent_on(talk, said))


class _Function:
    """A function of messages and schema."""

    def __init__(self, model: str, given: Callable[..., Any]) -> None:
        self.model = model
        self._given = given

    def ask(self, messages: Sequence[Message], schema: type[M]) -> Answer[M]:
        answer = self._given(messages, schema)
        if isinstance(answer, Answer):
            return Answer(validated(answer.value, schema), answer.input_tokens, answer.output_tokens, answer.calls)
        value = parsed(answer, schema) if isinstance(answer, str) else validated(answer, schema)
        return Answer(value, tokens(*(message.text for message in messages)), tokens(value.model_dump_json()))
