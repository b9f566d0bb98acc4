"""The third process: a LlamaIndex agent goes on with the thread that LangChain began."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from html import escape
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from model import INSTRUCTIONS, Model, choose
from script import LIMIT, SESSION, last_questions

from keepwell import Memory, Recollection, ScopedMemory
from keepwell.cli.demo import USER, Answered, Stage, shown
from keepwell.cli.plain import one_line
from keepwell.samples import DemoQuestion
from llama_index.memory.keepwell import KeepwellMemory

_ENOUGH = 120
"""So many characters of a text tell it from all others."""
_LAST = 4


class Seeing:
    """The demonstration's model as LlamaIndex wants one, and the prompt that it was shown last."""

    def __init__(self, model: Model) -> None:
        """Show it nothing yet."""
        self.prompt = ""
        self._model = model

    def __call__(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatMessage:  # noqa: ANN401 - the contract
        """Answer a prompt."""
        del kwargs
        turns = [(message.role.value, "\n".join(_texts(message))) for message in messages]
        self.prompt = "\n".join(text for _, text in turns)
        return ChatMessage(role="assistant", content=self._model.answer(turns))

    def saw(self, item: Recollection) -> bool:
        """Tell whether a recollection stood in the prompt."""
        words = " ".join(item.text.split())[:_ENOUGH]
        return words in self.prompt or escape(words, quote=False) in self.prompt


def _texts(message: ChatMessage) -> list[str]:
    return [block.text for block in message.blocks if block.block_type == "text"]


async def ask(
    agent: FunctionAgent, seeing: Seeing, chat: KeepwellMemory, view: ScopedMemory, question: DemoQuestion
) -> Answered:
    """Ask the agent, and give what of the recalled stood before its model, and what it said."""
    found = await view.arecall(question.question, limit=LIMIT, neighbours=0)
    answer = await agent.run(question.question, memory=chat)
    recalled = tuple(shown(item) for item in found if seeing.saw(item))
    return Answered(
        question.question, recalled, question.answer, question.evidence, question.outdated, answer=str(answer)
    )


def show_thread(stage: Stage, chat: KeepwellMemory) -> None:
    """Show what another framework left in the thread."""
    known = chat.get_all()
    stage.say(
        f"\nThread {chat.session_id!r} has {len(known)} messages already, written by LangChain. The last of them:"
    )
    for message in known[-_LAST:]:
        stage.say(f"   {message.role.value}: {one_line(message.content or '', _ENOUGH)}")


async def main() -> None:
    """Look at what is there, and go on."""
    stage, model = Stage(), choose()
    stage.say(model.introduction(), "yellow")
    async with await Memory.aopen() as memory:
        chat = KeepwellMemory.from_defaults(memory=memory, user_id=USER, session_id=SESSION, recall_limit=LIMIT)
        show_thread(stage, chat)
        seeing = Seeing(model)
        llm = MockFunctionCallingLLM(response_generator=seeing, is_chat_model=True)
        agent = FunctionAgent(llm=llm, system_prompt=INSTRUCTIONS, streaming=False)
        view = memory.scope(user_id=USER)
        answers = [await ask(agent, seeing, chat, view, question) for question in last_questions()]
        for said in answers:
            stage.answered(said)
        stage.score(answers)
        stage.say(f"The thread has {len(chat.get_all())} messages now, of both.")


if __name__ == "__main__":
    asyncio.run(main())
