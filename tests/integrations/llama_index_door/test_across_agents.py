"""One conversation of agents of both frameworks; every service's adapter takes the history each time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import mock
from pydantic import TypeAdapter

from keepwell import Memory
from langchain_keepwell import KeepwellChatMessageHistory
from llama_index.memory.keepwell import KeepwellMemory
from llama_index.memory.keepwell.kinds import HAS_TOOL_CALLS, ThinkingBlock, ToolCallBlock


def _installed(*names: str) -> None:
    """Leave this file out where a package is missing, or too old to have what is looked for."""
    for name in names:
        pytest.importorskip(name, reason=f"not available here: {name}")


_installed("langchain.agents", "langchain_openai", "langchain_anthropic")
_installed("llama_index.llms.openai", "llama_index.llms.anthropic")
if not HAS_TOOL_CALLS or not hasattr(mock, "MockFunctionCallingLLM"):
    pytest.skip("not available here: a scripted model that calls tools, in this LlamaIndex", allow_module_level=True)

from anthropic.types import MessageParam  # noqa: E402 - below what leaves this file out
from langchain.agents import create_agent  # noqa: E402
from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from llama_index.llms.anthropic.utils import messages_to_anthropic_messages  # noqa: E402
from llama_index.llms.openai.utils import to_openai_message_dicts  # noqa: E402
from openai.types.chat import ChatCompletionMessageParam  # noqa: E402

# LlamaIndex's workflows look at every attribute of an agent, and so at those that pydantic has deprecated; its
# agents ask for one that its workflows have deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)
ANTHROPICS_IDS = re.compile(r"^[a-zA-Z0-9_-]+$")


def look_up(what: str) -> str:
    """Look something up."""
    return f"all about {what}"


# What the services demand


def check_openai(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what OpenAI's service refuses: wrong fields, calls without answers right behind them, stray answers."""
    TypeAdapter(list[ChatCompletionMessageParam]).validate_python(list(messages), strict=False)
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, f"{waiting} were not answered"
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
        assert message.get("content") or waiting or message["role"] != "assistant"
    assert not waiting


def check_anthropic(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what Anthropic's service refuses: the same, a model's words first, empty texts, ids of other letters."""
    TypeAdapter(list[MessageParam]).validate_python(list(messages), strict=False)
    assert messages[0]["role"] == "user"
    waiting: set[str] = set()
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        assert answered == waiting
        assert all(block["type"] == "tool_result" for block in blocks[: len(answered)])
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        assert all(ANTHROPICS_IDS.match(ident) for ident in waiting)
        assert not waiting or message["role"] == "assistant"
    assert not waiting


def check_langchain(messages: list[BaseMessage]) -> None:
    """Let LangChain's adapters make requests of a history, and check those."""
    openai = ChatOpenAI(model="gpt-4o", api_key="none")  # type: ignore[arg-type]  # it makes a secret of the text
    check_openai(openai._get_request_payload(messages)["messages"])
    anthropic = ChatAnthropic(model="claude-sonnet-4-5", api_key="none")  # type: ignore[call-arg]  # as above
    check_anthropic(anthropic._get_request_payload(messages)["messages"])


def check_llama_index(messages: list[ChatMessage]) -> None:
    """Let LlamaIndex's adapters make requests of a history, and check those."""
    made = to_openai_message_dicts(messages, model="gpt-4o")
    assert not isinstance(made, str)
    check_openai([dict(message) for message in made])
    requests, _ = messages_to_anthropic_messages(messages)
    check_anthropic([dict(message) for message in requests])


# The conversation


class Talker(GenericFakeChatModel):
    """LangChain's scripted model, which keeps what it was shown."""

    shown: list[list[BaseMessage]] = []  # noqa: RUF012 - pydantic copies it for each

    def bind_tools(self, tools: Any, **options: Any) -> Talker:  # type: ignore[override]  # it calls what the script says
        """Take any tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> Any:
        self.shown.append(list(messages))
        return super()._generate(messages, *args, **options)


def langchain_turn(history: KeepwellChatMessageHistory, words: str, *script: AIMessage) -> list[BaseMessage]:
    """Let a LangChain agent go on with a history, store what is new, and give what its model was shown first."""
    model = Talker(messages=iter(script), shown=[])
    before = [*history.messages, HumanMessage(words)]
    after = create_agent(model, [look_up]).invoke({"messages": before})["messages"]
    history.add_messages(after[len(before) - 1 :])
    return model.shown[0]


async def llama_index_turn(chat: KeepwellMemory, words: str, *script: ChatMessage) -> list[ChatMessage]:
    """Let a LlamaIndex agent go on with a memory, and give what its model was shown first."""
    answers: Iterator[ChatMessage] = iter(script)
    shown: list[list[ChatMessage]] = []

    def model(messages: Sequence[ChatMessage], **options: Any) -> ChatMessage:
        shown.append(list(messages))
        return next(answers)

    llm = mock.MockFunctionCallingLLM(response_generator=model, is_chat_model=True)
    await FunctionAgent(tools=[look_up], llm=llm).run(user_msg=words, memory=chat)
    return shown[0]


def lc_calls(*calls: tuple[str, str], text: str = "") -> AIMessage:
    """Give the wish of LangChain's model to call the tool."""
    made: list[Any] = [{"name": "look_up", "args": {"what": what}, "id": ident} for ident, what in calls]
    return AIMessage(text, tool_calls=made)


def li_calls(*calls: tuple[str, Any], text: str = "") -> ChatMessage:
    """Give the wish of LlamaIndex's model to call the tool, after a thought."""
    blocks: list[Any] = [ThinkingBlock(content="hm", additional_information={"signature": "s"})]
    blocks += [ChatMessage(text).blocks[0]] if text else []
    blocks += [ToolCallBlock(tool_call_id=ident, tool_name="look_up", tool_kwargs=args) for ident, args in calls]
    return ChatMessage(role="assistant", blocks=blocks)


@pytest.fixture
def doors(memory: Memory) -> tuple[KeepwellChatMessageHistory, KeepwellMemory]:
    """Give one conversation as each framework opens it."""
    chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="s", recall_limit=0)
    return KeepwellChatMessageHistory("s", memory=memory, user_id="ada"), chat


async def test_begun_there_continued_here_and_back(
    doors: tuple[KeepwellChatMessageHistory, KeepwellMemory],
) -> None:
    """LangChain's agent begins, LlamaIndex's goes on, and so on; tools are called in each turn; nothing is lost."""
    history, chat = doors
    lc_turns = [("tea", "a1", "a2"), ("coffee", "a3", "a4")]
    li_turns = [("milk", "b1", "b2"), ("sugar", "b3", "b4")]
    asked: list[str] = []
    for (first, one, two), (second, three, four) in zip(lc_turns, li_turns, strict=True):
        shown = langchain_turn(
            history,
            f"what is {first}?",
            lc_calls((one, first), (two, "cups"), text="I look."),
            AIMessage(f"{first} is hot."),
        )
        asked += [f"what is {first}?", f"{first} is hot."]
        assert [m.content for m in shown if isinstance(m, HumanMessage)] == [a for a in asked if "?" in a]
        check_langchain(history.messages)
        check_llama_index(chat.get())
        seen = await llama_index_turn(
            chat,
            f"what is {second}?",
            li_calls((three, {"what": second})),
            li_calls((four, '{"what": "more"}'), text="More."),
            ChatMessage(role="assistant", content=f"{second} is white."),
        )
        asked += [f"what is {second}?", f"{second} is white."]
        assert [m.content for m in seen if m.role == "user"] == [a for a in asked if "?" in a]
        check_langchain(history.messages)
        check_llama_index(chat.get())
    said = [text for text in (str(message.content) for message in chat.get_all()) if text in asked]
    assert said == asked == [text for text in (str(m.content) for m in history.messages) if text in asked]
    assert [m.content for m in history.messages if m.type == "tool"] == [
        message.content for message in chat.get_all() if message.role == "tool"
    ]
    assert len(chat.get_all()) == len(history.messages) == 2 * (5 + 6)


async def test_each_reads_back_its_own_exactly(doors: tuple[KeepwellChatMessageHistory, KeepwellMemory]) -> None:
    """After the other framework went on, each still has its own messages as they were, thoughts and all."""
    history, chat = doors
    langchain_turn(history, "what is tea?", lc_calls(("a1", "tea")), AIMessage("Hot.", response_metadata={"m": 1}))
    theirs = history.messages
    await llama_index_turn(
        chat, "and milk?", li_calls(("b1", {"what": "milk"})), ChatMessage(role="assistant", content="White.")
    )
    ours = chat.get_all()
    assert history.messages[: len(theirs)] == theirs
    langchain_turn(history, "thanks", AIMessage("You're welcome."))
    assert chat.get_all()[: len(ours)] == ours


@pytest.mark.parametrize(
    "broken",
    [
        lambda history, chat: history.add_messages([HumanMessage("q"), lc_calls(("a1", "x"), ("a2", "y"))]),
        lambda history, chat: chat.put_messages([ChatMessage("q"), li_calls(("b1", {"what": "x"}))]),
    ],
    ids=["by langchain", "by llama index"],
)
async def test_a_turn_that_broke_off_there_does_not_stop_us_here(
    doors: tuple[KeepwellChatMessageHistory, KeepwellMemory], broken: Callable[..., None]
) -> None:
    """Calls that were never answered are not shown to the next turn's model, which services would refuse."""
    history, chat = doors
    broken(history, chat)
    seen = await llama_index_turn(chat, "and now?", ChatMessage(role="assistant", content="Now we go on."))
    check_llama_index(seen)
    check_llama_index(chat.get())
