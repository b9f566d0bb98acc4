"""The second process: a LangChain chain answers from a store that another process filled.

It is what an application would write: a retriever, a prompt with the history of the conversation, and a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from operator import itemgetter
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnablePassthrough
from model import INSTRUCTIONS, Model, choose
from script import BOOKED, LIMIT, NOTED, SESSION, first_questions

from keepwell import Memory
from keepwell.cli.demo import USER, Answered, Shown, Stage
from keepwell.samples import DemoQuestion
from langchain_keepwell import KeepwellChatMessageHistory, KeepwellRetriever

ROLES = {"human": "user", "ai": "assistant"}


class DemoChatModel(BaseChatModel):
    """The demonstration's model as LangChain wants one."""

    model: Model

    @property
    def _llm_type(self) -> str:
        return "keepwell-demo"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - LangChain's contract
    ) -> ChatResult:
        del stop, run_manager, kwargs
        turns = [(ROLES.get(message.type, message.type), str(message.text)) for message in messages]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.model.answer(turns)))])


def chain(memory: Memory, model: Model) -> Runnable[Any, Any]:
    """Give the chain: what is recalled for a question, then a prompt with the history, then the model."""
    retriever = KeepwellRetriever(memory=memory, user_id=USER, k=LIMIT)
    prompt = ChatPromptTemplate.from_messages(
        [("system", INSTRUCTIONS), MessagesPlaceholder("history"), ("human", "{memory}\n\n{question}")]
    )
    answering = prompt | DemoChatModel(model=model) | StrOutputParser()
    return (
        RunnablePassthrough.assign(documents=itemgetter("question") | retriever)
        | RunnablePassthrough.assign(memory=lambda known: fenced(known["documents"]))
        | RunnablePassthrough.assign(answer=answering)
    )


def fenced(documents: Sequence[Document]) -> str:
    """Give what was recalled as data: each on its line, none able to close the fence."""
    lines = [
        f"- [{found.metadata['created_at'][:10]}] {escape(who(found))}: {escape(' '.join(found.page_content.split()))}"
        for found in documents
    ]
    return "\n".join(["<memory>", *lines, "</memory>"])


def who(found: Document) -> str:
    """Give who said it."""
    return str(found.metadata["name"] or found.metadata["role"])


def shown(found: Document) -> Shown:
    """Give a document as it is shown."""
    about = found.metadata
    day = str(about["created_at"])[:10]
    return Shown(about["message_id"], about["score"], day, who(found), found.page_content, about["why"])


def ask(answering: Runnable[Any, Any], history: KeepwellChatMessageHistory, question: DemoQuestion) -> Answered:
    """Ask a question within the conversation, and give what came of it."""
    came = answering.invoke({"question": question.question, "history": history.messages})
    history.add_messages([HumanMessage(question.question), AIMessage(came["answer"])])
    recalled = tuple(map(shown, came["documents"]))
    return Answered(
        question.question, recalled, question.answer, question.evidence, question.outdated, answer=came["answer"]
    )


def main() -> None:
    """Ask, and then tell it something."""
    stage, model = Stage(), choose()
    stage.say(model.introduction(), "yellow")
    with Memory.open() as memory:
        history = KeepwellChatMessageHistory(SESSION, memory=memory, user_id=USER)
        answering = chain(memory, model)
        answers = [ask(answering, history, question) for question in first_questions()]
        for said in answers:
            stage.answered(said)
        stage.score(answers)
        history.add_messages([HumanMessage(BOOKED.text, id=BOOKED.ident), AIMessage(NOTED)])
        stage.say(f"Then Mara says, in the same thread: {BOOKED.text}")


if __name__ == "__main__":
    main()
