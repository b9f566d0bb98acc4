"""A chat model that follows a script and shows what it was asked, and agents of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

Answer = AIMessage | Exception


class ScriptedChat(BaseChatModel):
    """Answers by a function of what it is asked; an exception in the place of an answer is raised."""

    answer: Callable[[Sequence[BaseMessage]], Answer]
    _asked: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[list[BaseMessage]]:
        """What the model saw, call by call."""
        return self._asked

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Take tools; the script knows when to call them."""
        del tools, kwargs
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager, kwargs
        self._asked.append(list(messages))
        answer = self.answer(messages)
        if isinstance(answer, Exception):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=answer)])


def following(*answers: Answer) -> ScriptedChat:
    """Give a model that says these in turn."""
    left = iter(answers)
    return ScriptedChat(answer=lambda _messages: next(left))


def calling(name: str, number: int = 1, **args: Any) -> AIMessage:
    """Give an answer that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{number}"}])
