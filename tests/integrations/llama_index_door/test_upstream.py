"""What LlamaIndex promises of its own memories, agents and chat engines, with a conversation that is kept."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, TextBlock
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.llms import mock
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent, JsonSerializer
from workflows.errors import WorkflowCancelledByUser

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
Make = Callable[..., KeepwellMemory]


def user(text: str) -> ChatMessage:
    """Give a person's message."""
    return ChatMessage(role="user", content=text)


def assistant(text: str) -> ChatMessage:
    """Give a model's message."""
    return ChatMessage(role="assistant", content=text)


def calling(*ids: str, tool: str = "look_up", **args: Any) -> ChatMessage:
    """Give a model's message that calls a tool."""
    blocks = [ToolCallBlock(tool_call_id=one, tool_name=tool, tool_kwargs=args) for one in ids]
    return ChatMessage(role="assistant", blocks=blocks)


def answer(call: str, text: str = "found") -> ChatMessage:
    """Give a tool's answer."""
    return ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": call})


def look_up(what: str) -> str:
    """Look something up."""
    return f"all about {what}"


def contents(messages: Sequence[ChatMessage]) -> list[str | None]:
    """Give the words of messages."""
    return [message.content for message in messages]


def roles(messages: Sequence[ChatMessage]) -> list[str]:
    """Give the roles of messages."""
    return [message.role.value for message in messages]


def words(text: str) -> int:
    """Count tokens so that a person can check them."""
    return len(text.split())


class Script:
    """A model that says what it was told to say, and remembers what it was shown."""

    def __init__(self, *answers: ChatMessage | str | Exception) -> None:
        self.answers: Iterator[ChatMessage | str | Exception] = iter(answers)
        self.shown: list[list[ChatMessage]] = []

    def __call__(self, messages: Sequence[ChatMessage], **options: Any) -> ChatMessage:
        """Give the next answer, or raise it."""
        self.shown.append(list(messages))
        said = next(self.answers)
        if isinstance(said, Exception):
            raise said
        return assistant(said) if isinstance(said, str) else said

    @property
    def model(self) -> mock.MockFunctionCallingLLM:
        """Give the model for LlamaIndex."""
        return mock.MockFunctionCallingLLM(response_generator=self, is_chat_model=True)


@pytest.fixture
def make(open_memory: Callable[..., Memory]) -> Make:
    """Give a function that makes memories of one session whose tokens are words, and which recall nothing."""
    memory = open_memory(token_counter=words)
    return lambda **options: KeepwellMemory.from_defaults(
        **{"memory": memory, "user_id": "ada", "session_id": "s", "recall_limit": 0, **options}
    )


@pytest.fixture
def chat(make: Make) -> KeepwellMemory:
    """Give the memory of a new session."""
    return make()


@pytest.fixture
def own_loop() -> Iterator[None]:
    """Give LlamaIndex's synchronous code a loop to find: one that it makes itself, it leaves open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


# A memory with a limit


async def test_under_the_limit_everything_is_given(make: Make) -> None:
    """A conversation that fits is given whole, also one that a model began."""
    chat = make(token_limit=1_000)
    said = [assistant("How can I help?"), user("a"), assistant("b"), user("c")]
    for message in said:
        await chat.aput(message)
    assert await chat.aget() == said


async def test_over_the_limit_the_oldest_leave(make: Make) -> None:
    """Beyond the limit the oldest turns are not given any more, the newest is, and nothing is lost."""
    chat = make(token_limit=30)
    said = [one for n in range(10) for one in (user(f"question number {n}"), assistant(f"answer number {n}"))]
    await chat.aput_messages(said)
    assert await chat.aget() == said[-4:]
    assert await chat.aget_all() == said


@pytest.mark.parametrize("limit", range(5, 80, 5))
async def test_a_window_begins_with_a_person(make: Make, limit: int) -> None:
    """No model's words and no tool's answer stand first where the beginning was left out."""
    chat = make(token_limit=limit)
    await chat.aput_messages([user("a"), calling("x", q="y"), answer("x"), assistant("b")])
    await chat.aput_messages([user("c"), assistant("d"), assistant("e"), user("f"), assistant("g")])
    window = await chat.aget()
    assert (window[0].role, window[-1].content) == ("user", "g")


async def test_a_turn_with_tools_is_kept_whole(make: Make) -> None:
    """The newest turn is given with the call, all answers and the words that followed."""
    chat = make(token_limit=60)
    turn = [user("q"), calling("x", "y", q="z"), answer("x"), answer("y"), assistant("so")]
    await chat.aput_messages([user("old " * 30), assistant("older " * 30), *turn])
    assert await chat.aget() == turn


async def test_only_tools_are_left(make: Make) -> None:
    """Where only a tool's answer fits, its call comes with it: half a pair is never given."""
    chat = make(token_limit=8)
    await chat.aput_messages([user("a long question " * 5), calling("x", q="z " * 9), answer("x", "a long " * 9)])
    window = await chat.aget()
    assert roles(window) == ["user", "assistant", "tool"]


async def test_what_the_caller_spent_is_left_free(make: Make) -> None:
    """``initial_token_count`` makes the window smaller; the newest message is given even if nothing is left."""
    chat = make(token_limit=60)
    await chat.aput_messages([one for n in range(6) for one in (user(f"q{n}"), assistant(f"a{n}"))])
    sizes = [len(await chat.aget(initial_token_count=spent)) for spent in (0, 20, 40, 58, 1_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (12, 2)


def test_every_form_of_writing_it_out(make: Make) -> None:
    """Dict, JSON and pickle all give a memory of the same class, with the same settings and messages."""
    chat = make(token_limit=77)
    chat.put(user("a"))
    copies = [
        KeepwellMemory.from_dict(chat.to_dict()),
        KeepwellMemory.from_json(chat.to_json()),
        KeepwellMemory.from_dict(json.loads(json.dumps(chat.model_dump()))),
        pickle.loads(pickle.dumps(chat)),  # noqa: S301 - our own
    ]
    for copy in copies:
        assert (type(copy), copy.token_limit, copy.get_all()) == (KeepwellMemory, 77, [user("a")])
    assert KeepwellMemory.class_name() == "KeepwellMemory" == chat.to_dict()["class_name"]


def test_a_model_says_how_much_fits() -> None:
    """``from_defaults(llm=...)`` leaves room for the answer in the model's window, as LlamaIndex's engines do."""
    made = KeepwellMemory.from_defaults(user_id="ada", llm=Script().model)
    assert made.token_limit == Script().model.metadata.context_window - 256
    assert made.session_id != KeepwellMemory.from_defaults(user_id="ada").session_id


# Agents


async def test_a_tool_that_answers_directly(chat: KeepwellMemory) -> None:
    """The answer of a tool that ends the run is stored as the tool's and as the agent's."""
    tool = FunctionTool.from_defaults(look_up, return_direct=True)
    agent = FunctionAgent(tools=[tool], llm=Script(calling("x", what="tea")).model)
    assert str(await agent.run(user_msg="q", memory=chat)) == "all about tea"
    assert roles(chat.get_all()) == ["user", "assistant", "tool", "assistant"]
    assert contents(chat.get_all())[2:] == ["all about tea"] * 2
    next_one = Script("fine")
    await FunctionAgent(tools=[tool], llm=next_one.model).run(user_msg="and now?", memory=chat)
    assert roles(next_one.shown[0]) == ["user", "assistant", "tool", "assistant", "user"]


async def test_too_many_steps(chat: KeepwellMemory) -> None:
    """A run that is stopped leaves the question, and the next one goes on from there."""
    endless = Script(*(calling(f"x{n}", what="tea") for n in range(10)))
    agent = FunctionAgent(tools=[look_up], llm=endless.model)
    with pytest.raises(Exception, match="Max iterations"):
        await agent.run(user_msg="q", memory=chat, max_iterations=2)
    assert contents(chat.get_all()) == ["q"]
    second = Script("fine")
    await FunctionAgent(tools=[look_up], llm=second.model).run(user_msg="again", memory=chat)
    assert roles(second.shown[0]) == ["user", "user"]
    assert contents(chat.get_all()) == ["q", "again", "fine"]


async def test_too_many_steps_with_a_last_word(chat: KeepwellMemory) -> None:
    """A run that is stopped with an answer of the model's leaves question and answer."""
    script = Script(calling("x", what="tea"), calling("y", what="tea"), "enough")
    agent = FunctionAgent(tools=[look_up], llm=script.model, early_stopping_method="generate")
    assert str(await agent.run(user_msg="q", memory=chat, max_iterations=2)) == "enough"
    assert contents(chat.get_all()) == ["q", "enough"]


async def test_a_tool_that_fails(chat: KeepwellMemory) -> None:
    """The error of a tool, and the call of a tool that is not there, are stored as answers to their calls."""

    def broken(what: str) -> str:
        raise ValueError(f"no {what}")

    script = Script(calling("x", tool="broken", what="tea"), calling("y", tool="nowhere"), "sorry")
    await FunctionAgent(tools=[broken], llm=script.model).run(user_msg="q", memory=chat)
    stored = chat.get_all()
    assert roles(stored) == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert "no tea" in (stored[2].content or "")
    assert [message.additional_kwargs["tool_call_id"] for message in stored if message.role == "tool"] == ["x", "y"]


async def test_a_reasoning_agent_that_is_corrected(chat: KeepwellMemory) -> None:
    """What a ReAct agent is told about its form is not stored; question and reasoning are."""
    script = Script("", "Thought: now\nAnswer: tea")
    agent = ReActAgent(tools=[look_up], llm=script.model)
    assert str(await agent.run(user_msg="q", memory=chat)) == "tea"
    assert roles(chat.get_all()) == ["user", "assistant"]
    assert "tea" in (chat.get_all()[1].content or "")


async def test_a_run_that_waits_for_a_person(chat: KeepwellMemory) -> None:
    """An agent that asks a person and goes on in another process, from JSON, stores the turn once."""

    async def ask(ctx: Context, what: str) -> str:
        """Ask the person."""
        waiting = InputRequiredEvent(prefix=what)
        event = await ctx.wait_for_event(HumanResponseEvent, waiter_id="ask", waiter_event=waiting)
        return str(event.response)

    ask.__annotations__["ctx"] = Context  # LlamaIndex looks for the class itself, not for its name

    def model(messages: Sequence[ChatMessage], **options: Any) -> ChatMessage:
        return assistant("done") if messages[-1].role == "tool" else calling("x", tool="ask", what="sure?")

    agent = FunctionAgent(tools=[ask], llm=mock.MockFunctionCallingLLM(response_generator=model, is_chat_model=True))
    run = agent.run(user_msg="q", memory=chat)
    async for event in run.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    saved = json.dumps(run.ctx.to_dict(serializer=JsonSerializer()))
    await run.cancel_run()
    with suppress(WorkflowCancelledByUser):
        await run
    restored = Context.from_dict(agent, json.loads(saved), serializer=JsonSerializer())
    resumed = agent.run(ctx=restored)
    resumed.ctx.send_event(HumanResponseEvent(response="yes"))
    assert str(await resumed) == "done"
    assert contents(chat.get_all()) == ["q", None, "yes", "done"]


async def test_events_of_a_run(chat: KeepwellMemory) -> None:
    """A run that is watched gives its events, and stores the same as one that is not."""
    run = FunctionAgent(tools=[look_up], llm=Script(calling("x", what="tea"), "done").model).run(
        user_msg="q", memory=chat
    )
    kinds = [type(event) async for event in run.stream_events()]
    await run
    assert {ToolCallResult, AgentStream} <= set(kinds)
    assert contents(chat.get_all()) == ["q", None, "all about tea", "done"]


async def test_turn_after_turn_with_one_context(chat: KeepwellMemory) -> None:
    """A context that is used again has the memory already, and each turn sees the ones before."""
    script = Script("one", "two", "three")
    agent = FunctionAgent(llm=script.model)
    context = Context(agent)
    for turn in range(3):
        await agent.run(user_msg=f"q{turn}", memory=chat, ctx=context)
    assert [len(shown) for shown in script.shown] == [1, 3, 5]
    assert contents(chat.get_all()) == ["q0", "one", "q1", "two", "q2", "three"]


async def test_agents_that_hand_over_and_back(chat: KeepwellMemory) -> None:
    """Two turns of a workflow with a hand-over in each are one conversation, in order, with all calls answered."""
    clerk = Script(
        calling("h1", tool="handoff", to_agent="cook", reason="food"),
        calling("h3", tool="handoff", to_agent="cook", reason="food"),
    )
    cook = Script(
        calling("x", what="tea"),
        "tea is hot",
        calling("h2", tool="handoff", to_agent="clerk", reason="bill"),
        "no bill",
    )
    workflow = AgentWorkflow(
        agents=[
            FunctionAgent(name="clerk", description="asks", llm=clerk.model, can_handoff_to=["cook"]),
            FunctionAgent(name="cook", description="cooks", tools=[look_up], llm=cook.model, can_handoff_to=["clerk"]),
        ],
        root_agent="clerk",
    )
    context = Context(workflow)
    await workflow.run(user_msg="q", memory=chat, ctx=context)
    assert roles(chat.get_all()) == ["user", *["assistant", "tool"] * 2, "assistant"]
    await workflow.run(user_msg="and the bill?", ctx=context)
    stored = chat.get_all()
    calls = [block.tool_call_id for m in stored for block in m.blocks if block.block_type == "tool_call"]
    assert calls == [m.additional_kwargs["tool_call_id"] for m in stored if m.role == "tool"]
    assert contents(stored)[0] == "q"
    assert roles(stored)[-1] == "assistant"


async def test_two_runs_at_once(make: Make) -> None:
    """Agents of two sessions that run at once do not mix them up."""
    chats = [make(session_id=f"s{number}") for number in range(4)]
    agents = [FunctionAgent(tools=[look_up], llm=Script(calling("x", what="tea"), f"done {n}").model) for n in range(4)]
    await asyncio.gather(*(agent.run(user_msg=f"q{n}", memory=chats[n]) for n, agent in enumerate(agents)))
    for number, chat in enumerate(chats):
        assert contents(chat.get_all()) == [f"q{number}", None, "all about tea", f"done {number}"]


# Chat engines


class Shelf(BaseRetriever):
    """A retriever that always finds the same page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="a page"), score=1.0)]


def _with_pictures(llm: Any, chat: KeepwellMemory) -> Any:
    from llama_index.core.chat_engine.multi_modal_context import MultiModalContextChatEngine as Engine

    return Engine.from_defaults(Shelf(), multi_modal_llm=llm, memory=chat)


def _condensing_with_pictures(llm: Any, chat: KeepwellMemory) -> Any:
    from llama_index.core.chat_engine.multi_modal_condense_plus_context import (
        MultiModalCondensePlusContextChatEngine as Engine,
    )

    return Engine.from_defaults(Shelf(), multi_modal_llm=llm, memory=chat)


ENGINES: dict[str, Callable[[Any, KeepwellMemory], Any]] = {
    "simple": lambda llm, chat: SimpleChatEngine.from_defaults(llm=llm, memory=chat),
    "context": lambda llm, chat: ContextChatEngine.from_defaults(Shelf(), llm=llm, memory=chat),
    "condense plus context": lambda llm, chat: CondensePlusContextChatEngine.from_defaults(
        Shelf(), llm=llm, memory=chat
    ),
    "pictures": _with_pictures,
    "condense plus pictures": _condensing_with_pictures,
}


@pytest.mark.usefixtures("own_loop")
@pytest.mark.parametrize("kind", ENGINES)
def test_a_history_that_is_given_with_a_question(chat: KeepwellMemory, kind: str) -> None:
    """``chat(..., chat_history=...)`` makes it the conversation, and goes on with it."""
    chat.put(user("something old"))
    script = Script(*["fine"] * 3)
    ENGINES[kind](script.model, chat).chat("q", chat_history=[user("a"), assistant("b")])
    assert contents(chat.get_all()) == ["a", "b", "q", "fine"]
    assert "something old" not in str(script.shown)


@pytest.mark.parametrize("kind", ENGINES)
async def test_two_turns_of_an_engine(chat: KeepwellMemory, kind: str) -> None:
    """The second turn's model sees the first turn, streamed or not, awaited or not."""
    script = Script(*["fine"] * 9)
    engine = ENGINES[kind](script.model, chat)
    engine.chat("first")
    streamed = await engine.astream_chat("second")
    _ = [token async for token in streamed.async_response_gen()]
    if streamed.awrite_response_to_history_task is not None:
        await streamed.awrite_response_to_history_task
    await engine.achat("third")
    assert contents(chat.get_all()) == ["first", "fine", "second", "fine", "third", "fine"]
    assert "first" in str(script.shown[-1])
    assert contents(engine.chat_history) == contents(chat.get_all())


@pytest.mark.parametrize("awaited", [False, True])
async def test_an_engine_that_condenses_questions_and_streams(chat: KeepwellMemory, *, awaited: bool) -> None:
    """Its streamed answers are stored behind the questions as they were asked, not as they were condensed."""
    script = Script(*["fine"] * 9)
    answers = get_response_synthesizer(llm=script.model, streaming=True)
    shelf = RetrieverQueryEngine(Shelf(), answers)
    engine = CondenseQuestionChatEngine.from_defaults(shelf, memory=chat, llm=script.model)
    for question in ("first", "second"):
        if awaited:
            given = await engine.astream_chat(question)
            _ = [token async for token in given.async_response_gen()]
            if given.awrite_response_to_history_task is not None:
                await given.awrite_response_to_history_task
        else:
            streamed = engine.stream_chat(question)
            _ = list(streamed.response_gen)
            if streamed.write_response_to_history_thread is not None:
                streamed.write_response_to_history_thread.join()
    assert contents(chat.get_all()) == ["first", "fine", "second", "fine"]


@pytest.mark.skipif(
    tuple(map(int, version("llama-index-core").split(".")[:3])) < (0, 14, 24),
    reason="not available here: chat engines of this LlamaIndex keep only the text of a streamed answer",
)
async def test_a_streamed_answer_of_several_blocks(chat: KeepwellMemory) -> None:
    """What a model streamed is stored with all of its blocks."""
    whole = ChatMessage(role="assistant", blocks=[TextBlock(text="look"), ImageBlock(image=b"x")])

    class Painter(mock.MockLLM):
        def stream_chat(self, messages: Sequence[ChatMessage], **options: Any) -> Iterator[ChatResponse]:
            yield ChatResponse(message=whole, delta="look")

    streamed = SimpleChatEngine.from_defaults(llm=Painter(), memory=chat).stream_chat("paint")
    assert "".join(streamed.response_gen) == "look"
    if streamed.write_response_to_history_thread is not None:
        streamed.write_response_to_history_thread.join()
    stored = chat.get_all()
    assert contents(stored) == ["paint", "look"]
    assert [block.block_type for block in stored[1].blocks][:1] == ["text"]
