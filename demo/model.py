"""The model that answers: a real one where a key or an address is set, else a scripted one.

``KEEPWELL_DEMO_URL`` (a server that speaks OpenAI's chat completions, such as ``http://127.0.0.1:11434/v1``),
``OPENAI_API_KEY`` or ``ANTHROPIC_API_KEY`` choose a real model, ``KEEPWELL_DEMO_MODEL`` which one. One call that all
three understand serves both frameworks, so that the demonstration needs no package of any provider.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from keepwell.testing import parrot

INSTRUCTIONS = (
    "You are Mara's assistant. Answer in one sentence from what is remembered and from this conversation. "
    "Where two memories disagree, the newer one holds. If neither says it, say that you do not know."
)
_SECONDS = 60.0
Turn = tuple[str, str]
"""A role (``system``, ``user`` or ``assistant``) and what was said."""


@dataclass(frozen=True, slots=True)
class Model:
    """Something that answers a prompt, and what it is."""

    name: str
    scripted: bool
    answer: Callable[[Sequence[Turn]], str]

    def introduction(self) -> str:
        """Say plainly who answers."""
        if self.scripted:
            return (
                "The model is SCRIPTED: it can only repeat a sentence that stands in its prompt, so what it says shows "
                "what was remembered. For a real one, set OPENAI_API_KEY, ANTHROPIC_API_KEY or KEEPWELL_DEMO_URL."
            )
        return f"The model is {self.name}; the sample and the questions are sent there."


@dataclass(frozen=True, slots=True)
class _Server:
    url: str
    model: str
    key: str | None


def choose() -> Model:
    """Give the model that the environment names, else the scripted one."""
    server = _server()
    if server is None:
        return Model("a scripted model", scripted=True, answer=lambda turns: parrot(_prompt(turns)))
    return Model(f"{server.model} at {server.url}", scripted=False, answer=lambda turns: _completed(server, turns))


def _server() -> _Server | None:
    given = os.environ.get
    url, wanted = given("KEEPWELL_DEMO_URL"), given("KEEPWELL_DEMO_MODEL")
    if url:
        return _Server(url.rstrip("/"), wanted or _first_model(url.rstrip("/")), given("OPENAI_API_KEY"))
    if key := given("OPENAI_API_KEY"):
        return _Server("https://api.openai.com/v1", wanted or "gpt-4.1-mini", key)
    if key := given("ANTHROPIC_API_KEY"):
        return _Server("https://api.anthropic.com/v1", wanted or "claude-haiku-4-5", key)
    return None


def _completed(server: _Server, turns: Sequence[Turn]) -> str:
    asked = {"model": server.model, "messages": [{"role": role, "content": text} for role, text in turns]}
    answer = _asked("POST", f"{server.url}/chat/completions", server.key, asked)
    return str(answer["choices"][0]["message"]["content"])


def _first_model(url: str) -> str:
    return str(_asked("GET", f"{url}/models", None, None)["data"][0]["id"])


def _asked(method: str, url: str, key: str | None, asked: object) -> dict[str, list[dict[str, dict[str, str]]]]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx.request(method, url, json=asked, headers=headers, timeout=_SECONDS)
        response.raise_for_status()
    except httpx.HTTPError as error:
        sys.exit(f"demo: the model does not answer: {error}; without the variable that names it, a scripted one does")
    found: dict[str, list[dict[str, dict[str, str]]]] = response.json()
    return found


def _prompt(turns: Sequence[Turn]) -> str:
    # The role on a line of its own: a fence opens at the beginning of a line.
    return "\n".join(f"{role}:\n{text}" for role, text in turns)
