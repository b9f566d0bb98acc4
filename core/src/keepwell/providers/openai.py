"""Any server that speaks OpenAI's protocol: its own, vLLM, llama.cpp, Ollama (extra ``openai``)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from keepwell.errors import MissingExtra
from keepwell.providers.language_words import Said, Talk, with_request

_NO_KEY = "none"
"""Local servers want a key in the request, whatever it is."""


class OpenAIModel:
    """A model of a server: its address up to and with ``/v1``, and the model's name there.

    Without ``api_key`` none is sent: what the environment has is meant for another server.
    """

    def __init__(self, url: str, model: str, *, api_key: str | None = None, seconds: float = 60.0) -> None:
        """Connect to nothing yet.

        Raises:
            MissingExtra: the package is not installed.
        """
        try:
            import openai  # noqa: PLC0415 - an optional package, and a slow import
        except ImportError as error:
            raise MissingExtra("openai", "the package openai") from error
        self.model = model
        # Tries anew are the guard's business.
        self._client = openai.OpenAI(base_url=url, api_key=api_key or _NO_KEY, max_retries=0, timeout=seconds)
        self._refusals: tuple[type[Exception], ...] = (openai.BadRequestError, openai.UnprocessableEntityError)
        self._by_schema = True

    def say(self, talk: Talk, schema: type[BaseModel]) -> Said:
        """Give the model's text; the schema goes with the request, or in words where the server refuses that."""
        if self._by_schema:
            try:
                return self._create(talk, response_format=_form(schema))
            except self._refusals:
                self._by_schema = False
        return self._create(with_request(talk, schema))

    def _create(self, talk: Talk, **options: Any) -> Said:  # noqa: ANN401 - the client's own
        messages: list[Any] = [{"role": role, "content": text} for role, text in talk]
        answer = self._client.chat.completions.create(model=self.model, messages=messages, **options)
        text = answer.choices[0].message.content if answer.choices else None
        usage = answer.usage
        return Said(text or "", *((usage.prompt_tokens, usage.completion_tokens) if usage else ()))


def _form(schema: type[BaseModel]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": schema.__name__, "schema": schema.model_json_schema()}}
