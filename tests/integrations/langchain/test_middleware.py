"""Agents of ``create_agent`` that remember."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from keepwell import Memory, Message, errors
from langchain_keepwell import KeepwellMiddleware

from .agents import ScriptedChat, calling, following
from .conftest import Outage


@tool
def pantry(shelf: str) -> str:
    """Tell what is on a shelf of the pantry."""
    return f"{shelf}: rice and beans"


def run(user: str, thread: str = "t", **more: str) -> Any:
    """Give the configuration of a run."""
    return {"configurable": {"thread_id": thread, "user_id": user, **more}}


def asking(text: str) -> Any:
    """Give the input of a turn."""
    return {"messages": [{"role": "user", "content": text}]}


def kept(memory: Memory, user: str, thread: str = "t") -> list[tuple[str, str]]:
    """Give what is stored of a thread: role and words."""
    return [(one.role, one.text) for one in memory.scope(user_id=user).thread(thread).messages()]


def blocks(messages: Sequence[BaseMessage]) -> list[str]:
    """Give the blocks of memory that a model saw."""
    return [str(one.text) for one in messages if "<memory>" in str(one.text)]


TURN = [
    ("user", "what can I cook without peanuts?"),
    ("assistant", ""),
    ("tool", "top: rice and beans"),
    ("assistant", "rice"),
]


def known(memory: Memory) -> Memory:
    """Let a memory know one thing of Ada."""
    memory.scope(user_id="ada").thread("before").append(Message.user("I can't eat peanuts."))
    return memory


def test_a_turn_with_a_tool_is_kept_whole_and_in_order(memory: Memory) -> None:
    """What the person said, the call, its result and the answer are stored once each, in the order of the turn."""
    model = following(calling("pantry", shelf="top"), AIMessage("rice"))
    agent = create_agent(model, [pantry], middleware=[KeepwellMiddleware(known(memory))], checkpointer=InMemorySaver())
    agent.invoke(asking(TURN[0][1]), run("ada"))
    assert kept(memory, "ada") == TURN


def test_each_call_of_the_model_sees_what_was_recalled_and_the_state_does_not(memory: Memory) -> None:
    """The block is the last message of both calls of the turn, and no message of the state."""
    model = following(calling("pantry", shelf="top"), AIMessage("rice"))
    agent = create_agent(model, [pantry], middleware=[KeepwellMiddleware(known(memory))], checkpointer=InMemorySaver())
    ended = agent.invoke(asking(TURN[0][1]), run("ada"))
    assert [["can't eat peanuts" in block for block in blocks(asked)] for asked in model.asked] == [[True], [True]]
    assert all("<memory>" in str(asked[-1].text) for asked in model.asked)
    assert not blocks(ended["messages"])
    assert not [one for one in kept(memory, "ada") if "<memory>" in one[1]]


@pytest.mark.parametrize("placement", ["last", "before_user", "system"])
def test_the_block_stands_where_it_is_asked_for(memory: Memory, placement: Any) -> None:
    """The model sees the block at the end, before the person's message, or in its instructions."""
    model = following(AIMessage("rice"))
    middleware = KeepwellMiddleware(known(memory), placement=placement)
    create_agent(model, middleware=[middleware], system_prompt="Be brief.").invoke(asking("peanuts?"), run("ada"))
    (seen,) = model.asked
    shown = [("block" if "<memory>" in str(one.text) else "words", one.type) for one in seen]
    assert (
        shown
        == {
            "last": [("words", "system"), ("words", "human"), ("block", "human")],
            "before_user": [("words", "system"), ("block", "human"), ("words", "human")],
            "system": [("block", "system"), ("words", "human")],
        }[placement]
    )
    assert str(seen[0].text).startswith("Be brief.")


async def test_the_asynchronous_and_the_streaming_way_are_the_same(memory: Memory) -> None:
    """An agent that is awaited, and one that is streamed, keep what an invoked one keeps."""
    for thread in ("awaited", "streamed"):
        model = following(calling("pantry", shelf="top"), AIMessage("rice"))
        agent = create_agent(model, [pantry], middleware=[KeepwellMiddleware(memory)], checkpointer=InMemorySaver())
        if thread == "awaited":
            await agent.ainvoke(asking(TURN[0][1]), run("ada", thread))
        else:
            async for _ in agent.astream(asking(TURN[0][1]), run("ada", thread), stream_mode="messages"):
                pass
        assert kept(memory, "ada", thread) == TURN


def test_the_persons_words_are_durable_before_the_model_is_called(memory: Memory) -> None:
    """A model that raises loses nothing, and the turn that is tried again doubles nothing."""
    model = following(RuntimeError("out of order"), AIMessage("rice"))
    agent = create_agent(model, middleware=[KeepwellMiddleware(memory)], checkpointer=InMemorySaver())
    with pytest.raises(RuntimeError, match="out of order"):
        agent.invoke(asking("what can I cook?"), run("ada"))
    assert kept(memory, "ada") == [("user", "what can I cook?")]
    agent.invoke(None, run("ada"))
    assert kept(memory, "ada") == [("user", "what can I cook?"), ("assistant", "rice")]


def test_an_interrupted_turn_goes_on_where_it_stopped(memory: Memory) -> None:
    """A turn that waits for approval has the person's words stored; once it goes on, in another agent, all is."""
    saver = InMemorySaver()

    def agent(*answers: AIMessage) -> Any:
        middleware = [KeepwellMiddleware(known(memory)), HumanInTheLoopMiddleware({"pantry": True})]
        return create_agent(following(*answers), [pantry], middleware=middleware, checkpointer=saver)

    agent(calling("pantry", shelf="top")).invoke(asking(TURN[0][1]), run("ada"))
    assert kept(memory, "ada") == TURN[:1]
    agent(AIMessage("rice")).invoke(Command(resume={"decisions": [{"type": "approve"}]}), run("ada"))
    assert kept(memory, "ada") == TURN


@pytest.mark.parametrize("first", [True, False], ids=["before it", "after it"])
def test_what_a_summary_removes_was_kept_before(memory: Memory, first: bool) -> None:
    """Beside a middleware that puts a summary in the place of messages every message is stored, and no summary."""
    remembering = KeepwellMiddleware(memory)
    summing = SummarizationMiddleware(
        following(*[AIMessage("in short: talk") for _ in range(9)]), trigger=("messages", 4), keep=("messages", 1)
    )
    model = following(*[AIMessage(f"answer {n}") for n in range(6)])
    order: list[Any] = [remembering, summing] if first else [summing, remembering]
    agent = create_agent(model, middleware=order, checkpointer=InMemorySaver())
    for turn in range(6):
        agent.invoke(asking(f"question {turn}"), run("ada"))
    assert kept(memory, "ada") == [
        pair for n in range(6) for pair in (("user", f"question {n}"), ("assistant", f"answer {n}"))
    ]


@dataclass
class Who:
    """A run's context."""

    user_id: str = ""
    agent_id: str | None = None
    incognito: bool = False


def test_ids_come_from_the_context_first_and_an_empty_one_counts_as_absent(memory: Memory) -> None:
    """The context's ids go before those of ``configurable``, which serve where the context's are empty."""
    agent = create_agent(following(*map(AIMessage, "ab")), middleware=[KeepwellMiddleware(memory)], context_schema=Who)
    agent.invoke(asking("first"), run("bob"), context=Who("ada", "cook"))
    agent.invoke(asking("second"), run("bob"), context=Who(""))
    assert [one.text for one in memory.scope("ada", "cook").thread("t").messages()] == ["first", "a"]
    assert [one.text for one in memory.scope("bob").thread("t").messages()] == ["second", "b"]


def test_the_run_id_of_a_server_is_nobodys(memory: Memory) -> None:
    """``run_id`` in ``configurable`` is the server's own, and makes no owner; in the context it is one."""
    agent = create_agent(following(*map(AIMessage, "ab")), middleware=[KeepwellMiddleware(memory)])
    agent.invoke(asking("first"), run("ada", run_id="server-1"))
    agent.invoke(asking("second"), run("ada"), context={"run_id": "r"})
    assert [one.text for one in memory.scope("ada").thread("t").messages()] == ["first", "a"]
    assert [one.text for one in memory.scope("ada", run_id="r").thread("t").messages()] == ["second", "b"]


def test_a_run_that_names_nobody_has_no_memory(memory: Memory, caplog: pytest.LogCaptureFixture) -> None:
    """Without an id nothing is kept or recalled, one line says so, and a strict middleware raises."""
    quiet = create_agent(following(AIMessage("hello")), middleware=[KeepwellMiddleware(memory)])
    with caplog.at_level(logging.WARNING, "langchain_keepwell"):
        quiet.invoke(asking("hello?"), {"configurable": {"thread_id": "t"}})
    assert [line.message for line in caplog.records].count(
        "no user_id, agent_id or run_id in the run's context or configurable: this turn has no memory"
    ) == 1
    assert memory.status().record.messages == 0
    strict = create_agent(following(AIMessage("hello")), middleware=[KeepwellMiddleware(memory, strict=True)])
    with pytest.raises(errors.InvalidScope):
        strict.invoke(asking("hello?"), {"configurable": {"thread_id": "t"}})


def test_incognito_leaves_nothing(memory: Memory) -> None:
    """An incognito run is told nothing that is remembered, and nothing of it is kept."""
    model = following(AIMessage("rice"))
    agent = create_agent(model, middleware=[KeepwellMiddleware(known(memory))], context_schema=Who)
    agent.invoke(asking("what of peanuts?"), run("ada"), context=Who("ada", incognito=True))
    assert not blocks(model.asked[0])
    assert memory.status().record.threads == 1


def test_a_run_without_a_thread_gets_one_of_its_own(memory: Memory) -> None:
    """Two runs that name no thread, and have no checkpoints, are two conversations of the same person."""
    model = following(calling("pantry", shelf="top"), AIMessage("rice"), AIMessage("beans"))
    agent = create_agent(model, [pantry], middleware=[KeepwellMiddleware(memory)])
    for text in (TURN[0][1], "and then?"):
        agent.invoke(asking(text), {"configurable": {"user_id": "ada"}})
    ada = memory.scope("ada")
    talks = [
        [one.text for one in ada.thread(t.id).messages()] for t in ada.threads(order="created", newest_first=False)
    ]
    assert talks == [[text for _, text in TURN], ["and then?", "beans"]]


def test_a_store_that_fails_stops_no_agent(memory: Memory, outage: Outage) -> None:
    """While the store is away the agent answers without memory; what was said then is stored when it is back."""
    model = following(AIMessage("rice"), AIMessage("beans"))
    agent = create_agent(model, middleware=[KeepwellMiddleware(known(memory))], checkpointer=InMemorySaver())
    outage.begin()
    agent.invoke(asking("first"), run("ada"))
    assert memory.holding.held == 2
    outage.end()
    agent.invoke(asking("second"), run("ada"))
    assert kept(memory, "ada") == [("user", "first"), ("assistant", "rice"), ("user", "second"), ("assistant", "beans")]


def test_a_strict_middleware_raises_what_the_store_raises(memory: Memory, outage: Outage) -> None:
    """With ``strict`` a store that fails fails the turn."""
    agent = create_agent(following(AIMessage("rice")), middleware=[KeepwellMiddleware(memory, strict=True)])
    outage.begin()
    with pytest.raises(errors.StoreUnavailable):
        agent.invoke(asking("first"), run("ada"))


def test_many_people_at_once_see_only_their_own(memory: Memory) -> None:
    """Sixteen turns at once through one agent: each person's block holds nobody else's words."""

    def answer(messages: Sequence[BaseMessage]) -> AIMessage:
        said = [str(one.text) for one in messages if isinstance(one, HumanMessage) and "<memory>" not in str(one.text)]
        return AIMessage(f"noted for {said[-1].split()[-1]}")

    model = ScriptedChat(answer=answer)
    agent = create_agent(model, middleware=[KeepwellMiddleware(memory)])
    people = [f"person{n}" for n in range(8)]

    def talk(name: str) -> None:
        for turn in range(4):
            agent.invoke(asking(f"my secret number {turn} is of {name}"), run(name, f"t{turn}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(talk, people))
    for asked in model.asked:
        (name,) = {str(one.text).split()[-1] for one in asked if "<memory>" not in str(one.text)}
        for block in blocks(asked):
            assert not [other for other in people if other != name and f"of {other}" in block]
    assert any(blocks(asked) for asked in model.asked)


async def test_two_people_at_once_on_one_loop(memory: Memory) -> None:
    """Turns that interleave on one event loop are kept in their own threads."""
    model = ScriptedChat(answer=lambda messages: AIMessage(f"to {messages[0].text}"))
    agent = create_agent(model, middleware=[KeepwellMiddleware(memory)])
    await asyncio.gather(*(agent.ainvoke(asking(name), run(name, context="")) for name in ("ada", "bob", "eve")))
    for name in ("ada", "bob", "eve"):
        assert kept(memory, name) == [("user", name), ("assistant", f"to {name}")]


def test_a_long_conversation_keeps_its_prompts_bounded(memory: Memory) -> None:
    """After many turns the block has as many lines as it was given room for, and every message is stored once."""
    model = ScriptedChat(answer=lambda messages: AIMessage(f"answer to {len(messages)}"))
    agent = create_agent(model, middleware=[KeepwellMiddleware(memory, limit=3, characters=80)])
    for turn in range(40):
        agent.invoke(asking(f"tell me of tea, turn {turn} " + "and more " * 40), run("ada", f"t{turn}"))
    assert max(block.count("\n- ") for asked in model.asked for block in blocks(asked)) == 3
    assert max(len(block) for asked in model.asked for block in blocks(asked)) < 700
    assert memory.status().record.messages == 80


def test_two_of_them_need_two_names(memory: Memory) -> None:
    """An agent may have two memories where each has a name."""
    middleware = [KeepwellMiddleware(memory), KeepwellMiddleware(memory, name="second")]
    agent = create_agent(following(AIMessage("rice")), middleware=middleware)
    agent.invoke(asking("first"), run("ada"))
    assert kept(memory, "ada") == [("user", "first"), ("assistant", "rice")]


def test_results_that_end_a_turn_are_kept(memory: Memory) -> None:
    """A tool that returns directly ends the turn, and its result is stored all the same."""

    @tool(return_direct=True)
    def last_word(word: str) -> str:
        """Say the last word."""
        return f"the end: {word}"

    agent = create_agent(
        following(calling("last_word", word="x")), [last_word], middleware=[KeepwellMiddleware(memory)]
    )
    ended = agent.invoke(asking("end it"), run("ada"))
    assert isinstance(ended["messages"][-1], ToolMessage)
    assert kept(memory, "ada")[-1] == ("tool", "the end: x")
