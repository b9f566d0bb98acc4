"""LlamaIndex's own agents and chat engines with a conversation that is kept; the model is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.llms import mock
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.workflow import Context, JsonSerializer
from llama_index.core.workflow.context_serializers import PickleSerializer

from keepwell import Memory
from llama_index.memory.keepwell import KeepwellMemory
from llama_index.memory.keepwell.kinds import HAS_TOOL_CALLS, ToolCallBlock

if not HAS_TOOL_CALLS or not hasattr(mock, "MockFunctionCallingLLM"):
    pytest.skip("not available here: a scripted model that calls tools, in this LlamaIndex", allow_module_level=True)

# LlamaIndex's workflows look at every attribute of an agent, and so at those that pydantic has deprecated; its
# agents ask for one that its workflows have deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

PEANUTS = "I can't eat peanuts."
QUESTION = "which peanuts may I eat?"


class Script:
    """A model that says what it was told to say, and remembers what it was shown."""

    def __init__(self, *answers: ChatMessage | str | Exception) -> None:
        self.answers: Iterator[ChatMessage | str | Exception] = iter(answers)
        self.shown: list[list[ChatMessage]] = []

    def __call__(self, messages: Sequence[ChatMessage], **options: Any) -> ChatMessage:
        """Give the next answer, or raise it."""
        self.shown.append([message.model_copy(deep=True) for message in messages])
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return ChatMessage(role="assistant", content=answer) if isinstance(answer, str) else answer

    @property
    def model(self) -> mock.MockFunctionCallingLLM:
        """Give the model for LlamaIndex."""
        return mock.MockFunctionCallingLLM(response_generator=self, is_chat_model=True)


def call(*names: str, **args: Any) -> ChatMessage:
    """Give a model's wish to call tools; the id is the name and its place."""
    blocks = [
        ToolCallBlock(tool_call_id=f"{name}-{place}", tool_name=name, tool_kwargs=args)
        for place, name in enumerate(names)
    ]
    return ChatMessage(role="assistant", blocks=blocks)


def look_up(what: str) -> str:
    """Look something up."""
    return f"all about {what}"


def roles(messages: Sequence[ChatMessage]) -> list[str]:
    """Give the roles of messages."""
    return [message.role.value for message in messages]


@pytest.fixture
def make(memory: Memory) -> Callable[..., KeepwellMemory]:
    """Give a function that makes memories of conversations in one store, in which Ada spoke of peanuts elsewhere."""
    given: dict[str, Any] = {"memory": memory, "user_id": "ada", "session_id": "holiday"}
    kitchen = KeepwellMemory.from_defaults(**{**given, "session_id": "kitchen"})
    kitchen.put_messages([ChatMessage(PEANUTS), ChatMessage("Noted.", role="assistant")])
    return lambda **options: KeepwellMemory.from_defaults(**{**given, **options})


@pytest.fixture
def chat(make: Callable[..., KeepwellMemory]) -> KeepwellMemory:
    """Give the memory of a new conversation."""
    return make()


# Agents


async def test_an_agent_that_calls_tools(chat: KeepwellMemory) -> None:
    """The model sees what was recalled before and after the tools ran; stored is the turn alone, in order."""
    script = Script(call("look_up", "look_up", what="nuts"), "None at all.")
    agent = FunctionAgent(tools=[look_up], llm=script.model, system_prompt="be brief")
    assert str(await agent.run(user_msg=QUESTION, memory=chat)) == "None at all."
    for shown in script.shown:
        assert roles(shown)[:2] == ["system", "user"]
        assert PEANUTS in (shown[1].content or "")
        assert (shown[1].content or "").endswith(QUESTION)
    assert roles(script.shown[1]) == ["system", "user", "assistant", "tool", "tool"]
    stored = chat.get_all()
    assert roles(stored) == ["user", "assistant", "tool", "tool", "assistant"]
    assert stored[0].content == QUESTION
    assert [block.tool_call_id for block in stored[1].blocks] == ["look_up-0", "look_up-1"]
    assert stored[2].additional_kwargs["tool_call_id"] == "look_up-0"
    assert stored[-1].content == "None at all."


async def test_the_next_turn_sees_the_one_before(make: Callable[..., KeepwellMemory]) -> None:
    """A new agent with a new memory object goes on with the conversation, tools and all."""
    first = Script(call("look_up", what="nuts"), "None at all.")
    await FunctionAgent(tools=[look_up], llm=first.model).run(user_msg=QUESTION, memory=make())
    second = Script("As I said.")
    await FunctionAgent(tools=[look_up], llm=second.model).run(user_msg="and now?", memory=make())
    assert roles(second.shown[0]) == ["user", "assistant", "tool", "assistant", "user"]
    assert second.shown[0][-1].content == "and now?"


async def test_the_state_of_an_agent_is_not_stored(chat: KeepwellMemory) -> None:
    """LlamaIndex writes an agent's state into the message that it was given; the stored one stays as it was said."""
    script = Script("ok")
    agent = FunctionAgent(llm=script.model, initial_state={"mood": "sunny"})
    await agent.run(user_msg=QUESTION, memory=chat)
    assert "sunny" in (script.shown[0][-1].content or "")
    assert PEANUTS in (script.shown[0][-1].content or "")
    assert chat.get_all()[0].content == QUESTION


async def test_a_given_history_is_not_doubled(chat: KeepwellMemory) -> None:
    """An application that passes the whole history in each turn has it stored once."""
    history: list[ChatMessage] = []
    for turn in range(3):
        answer = f"answer {turn}"
        await FunctionAgent(llm=Script(answer).model).run(user_msg=f"turn {turn}", chat_history=history, memory=chat)
        history = chat.get_all()
    assert [m.content for m in history] == ["turn 0", "answer 0", "turn 1", "answer 1", "turn 2", "answer 2"]


@pytest.mark.parametrize("system_prompt", [None, "be brief"])
async def test_a_reasoning_agent_sees_what_is_recalled(chat: KeepwellMemory, system_prompt: str | None) -> None:
    """A ReAct agent is shown what was recalled, whether or not it has instructions of its own."""
    script = Script(
        'Thought: I must look.\nAction: look_up\nAction Input: {"what": "nuts"}',
        "Thought: I can answer.\nAnswer: None at all.",
    )
    agent = ReActAgent(tools=[look_up], llm=script.model, system_prompt=system_prompt)
    assert str(await agent.run(user_msg=QUESTION, memory=chat)) == "None at all."
    for shown in script.shown:
        assert any(PEANUTS in (message.content or "") for message in shown)
    stored = chat.get_all()
    assert roles(stored) == ["user", "assistant"]
    assert stored[0].content == QUESTION


async def test_a_coding_agent(chat: KeepwellMemory) -> None:
    """A CodeAct agent's code, its output and its answer are stored in order."""
    script = Script("<execute>\nprint(1)\n</execute>", "It is 1.")

    def run(code: str) -> str:
        return f"ran {len(code)}"

    agent = CodeActAgent(code_execute_fn=run, tools=[], llm=script.model)
    assert str(await agent.run(user_msg=QUESTION, memory=chat)) == "It is 1."
    assert PEANUTS in str(script.shown[0])
    assert roles(chat.get_all())[0::3] == ["user", "assistant"]


async def test_agents_that_hand_over(chat: KeepwellMemory) -> None:
    """Two agents of a workflow share one conversation, and the second sees what was recalled as well."""
    clerk = Script(call("handoff", to_agent="cook", reason="it is about food"))
    cook = Script("None at all.")
    workflow = AgentWorkflow(
        agents=[
            FunctionAgent(name="clerk", description="asks", llm=clerk.model, can_handoff_to=["cook"]),
            FunctionAgent(name="cook", description="cooks", llm=cook.model),
        ],
        root_agent="clerk",
    )
    assert str(await workflow.run(user_msg=QUESTION, memory=chat)) == "None at all."
    assert PEANUTS in str(cook.shown[0])
    assert roles(chat.get_all()) == ["user", "assistant", "tool", "assistant"]


async def test_a_turn_that_broke_off_is_not_doubled(chat: KeepwellMemory) -> None:
    """A person who asks again because the model failed is stored as having asked once."""
    agent = FunctionAgent(llm=Script(RuntimeError("model away"), "None at all.").model)
    with pytest.raises(RuntimeError, match="model away"):
        await agent.run(user_msg=QUESTION, memory=chat)
    await agent.run(user_msg=QUESTION, memory=chat)
    assert roles(chat.get_all()) == ["user", "assistant"]


def test_each_turn_in_a_loop_of_its_own(chat: KeepwellMemory) -> None:
    """Scripts call ``asyncio.run`` for each turn; one memory serves them all."""
    for turn in range(2):
        asyncio.run(_one_turn(chat, f"turn {turn}"))
    assert [message.content for message in chat.get_all()] == ["turn 0", "ok", "turn 1", "ok"]


async def _one_turn(chat: KeepwellMemory, words: str) -> None:
    await FunctionAgent(llm=Script("ok").model).run(user_msg=words, memory=chat)


# Contexts


@pytest.mark.parametrize(
    "serializer",
    [JsonSerializer(), JsonSerializer(allowed_types=[KeepwellMemory, ChatMessage]), PickleSerializer()],
    ids=["json", "json with allowed types", "pickle"],
)
async def test_a_context_goes_on_elsewhere(chat: KeepwellMemory, serializer: JsonSerializer | PickleSerializer) -> None:
    """A context that was saved and restored writes to the same conversation, and LlamaIndex replaces nothing."""
    agent = FunctionAgent(llm=Script("ok", "fine").model)
    context = Context(agent)
    await agent.run(user_msg="turn 0", memory=chat, ctx=context)
    saved = context.to_dict(serializer=serializer)
    restored = Context.from_dict(agent, saved, serializer=serializer)
    await agent.run(user_msg="turn 1", ctx=restored)
    again = await restored.store.get("memory")
    assert isinstance(again, KeepwellMemory)
    assert [message.content for message in chat.get_all()] == ["turn 0", "ok", "turn 1", "fine"]


# Chat engines


@pytest.fixture
def own_loop() -> Iterator[None]:
    """Give LlamaIndex's synchronous code a loop to find: one that it makes itself, it leaves open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


class Shelf(BaseRetriever):
    """A retriever that always finds the same page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="a page"), score=1.0)]


def _condensing(script: Script, chat: KeepwellMemory) -> BaseChatEngine:
    answers = get_response_synthesizer(llm=script.model, streaming=False)
    engine = RetrieverQueryEngine(Shelf(), answers)
    return CondenseQuestionChatEngine.from_defaults(engine, memory=chat, llm=script.model)


ENGINES: dict[str, Callable[[Script, KeepwellMemory], BaseChatEngine]] = {
    "simple": lambda script, chat: SimpleChatEngine.from_defaults(llm=script.model, memory=chat),
    "context": lambda script, chat: ContextChatEngine.from_defaults(Shelf(), llm=script.model, memory=chat),
    "condense plus context": lambda script, chat: CondensePlusContextChatEngine.from_defaults(
        Shelf(), llm=script.model, memory=chat
    ),
}


@pytest.fixture(params=ENGINES.values(), ids=ENGINES.keys())
def engine_of(request: pytest.FixtureRequest) -> Callable[[Script, KeepwellMemory], BaseChatEngine]:
    """Give a function that makes a chat engine."""
    made: Callable[[Script, KeepwellMemory], BaseChatEngine] = request.param
    return made


Engines = Callable[[Script, KeepwellMemory], BaseChatEngine]


@pytest.mark.usefixtures("own_loop")
def test_a_chat_engine(engine_of: Engines, chat: KeepwellMemory) -> None:
    """A chat engine's model sees what was recalled, and the turn is stored as it was said."""
    script = Script(*["None at all."] * 2)
    assert str(engine_of(script, chat).chat(QUESTION)) == "None at all."
    assert PEANUTS in str(script.shown[-1])
    assert [message.content for message in chat.get_all()] == [QUESTION, "None at all."]


async def test_a_chat_engine_awaited(engine_of: Engines, chat: KeepwellMemory) -> None:
    """The same, awaited."""
    script = Script(*["None at all."] * 2)
    assert str(await engine_of(script, chat).achat(QUESTION)) == "None at all."
    assert PEANUTS in str(script.shown[-1])
    assert [message.content for message in chat.get_all()] == [QUESTION, "None at all."]


@pytest.mark.usefixtures("own_loop")
def test_a_chat_engine_that_streams(engine_of: Engines, chat: KeepwellMemory) -> None:
    """What was streamed is stored, from another thread than the one that asked."""
    streamed = engine_of(Script(*["None at all."] * 2), chat).stream_chat(QUESTION)
    assert "".join(streamed.response_gen) == "None at all."
    if streamed.write_response_to_history_thread is not None:
        streamed.write_response_to_history_thread.join()
    assert [message.content for message in chat.get_all()] == [QUESTION, "None at all."]


async def test_a_chat_engine_that_streams_awaited(engine_of: Engines, chat: KeepwellMemory) -> None:
    """The same on a running loop."""
    streamed = await engine_of(Script(*["None at all."] * 2), chat).astream_chat(QUESTION)
    assert "".join([token async for token in streamed.async_response_gen()]) == "None at all."
    if streamed.awrite_response_to_history_task is not None:
        await streamed.awrite_response_to_history_task
    assert [message.content for message in chat.get_all()] == [QUESTION, "None at all."]


@pytest.mark.usefixtures("own_loop")
def test_a_chat_engine_that_condenses_questions(chat: KeepwellMemory) -> None:
    """A second question is condensed with the first turn, which the engine reads from the conversation."""
    script = Script("one", "condensed", "two", "three")
    engine = _condensing(script, chat)
    engine.chat("first question")
    engine.chat("second question")
    assert [m.content for m in chat.get_all()][0::2] == ["first question", "second question"]
    assert "first question" in str(script.shown)


@pytest.mark.usefixtures("own_loop")
def test_a_chat_engine_is_reset(chat: KeepwellMemory) -> None:
    """An engine's history is the conversation, and its reset forgets it."""
    engine = SimpleChatEngine.from_defaults(llm=Script("ok").model, memory=chat)
    engine.chat("hello")
    assert len(engine.chat_history) == 2
    engine.reset()
    assert chat.get_all() == []


@pytest.mark.usefixtures("own_loop")
def test_a_chat_engine_makes_its_memory(memory: Memory) -> None:
    """A class that knows whose memory it is can be given to an engine as ``memory_cls``."""

    class Adas(KeepwellMemory):
        @classmethod
        def from_defaults(cls, **options: Any) -> KeepwellMemory:
            return KeepwellMemory.from_defaults(memory, user_id="ada", session_id="s", **options)

    SimpleChatEngine.from_defaults(llm=Script("ok").model, memory_cls=Adas, chat_history=[]).chat("hello")
    assert len(KeepwellMemory.from_defaults(memory, user_id="ada", session_id="s").get_all()) == 2
