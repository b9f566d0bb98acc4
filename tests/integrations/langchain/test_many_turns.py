"""Agents with everything at once: memory, checkpoints, tools and summaries, over many turns of two people."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool

from keepwell import Memory
from langchain_keepwell import KeepwellMiddleware, memory_tools
from langchain_keepwell.checkpoints import keepwell_checkpointer

from .agents import ScriptedChat

PEOPLE = ("ada", "bob")
LONGEST_PROMPT = 6000
"""Characters: a summary, at most thirteen messages, and a block of five memories."""


@tool
def pantry(shelf: str) -> str:
    """Tell what is on a shelf of the pantry."""
    return f"{shelf} holds rice"


def answer(messages: Sequence[BaseMessage]) -> AIMessage:
    """Look at the pantry in every third turn, else answer at once."""
    said = [one for one in messages if "<memory>" not in str(one.text)]
    turn, name = re.findall(r"turn (\d+) of (\w+)", str([one.text for one in said if one.type == "human"][-1]))[-1]
    if int(turn) % 3 == 0 and said[-1].type == "human":
        shelf = f"shelf {turn} of {name}"
        return AIMessage("", tool_calls=[{"name": "pantry", "args": {"shelf": shelf}, "id": f"{name}-{turn}"}])
    return AIMessage(f"answer {turn} for {name}")


def summarize(_messages: Sequence[BaseMessage]) -> AIMessage:
    """Give a summary that is as long as any other."""
    return AIMessage("much was said")


async def streamed(agent: Any, said: Any, config: Any) -> None:
    """Take a turn, piece by piece."""
    async for _ in agent.astream(said, config, stream_mode=["messages", "updates"]):
        pass


def ways(agent: Any) -> Sequence[Callable[[Any, Any], object]]:
    """Give the ways to take a turn."""
    return (
        agent.invoke,
        lambda said, config: asyncio.run(agent.ainvoke(said, config)),
        lambda said, config: [*agent.stream(said, config, stream_mode="updates")],
        lambda said, config: asyncio.run(streamed(agent, said, config)),
    )


def expected(name: str, turns: int) -> list[tuple[str, str]]:
    """Give what is to be stored of a person: role and words."""
    rows = []
    for turn in range(turns):
        looked = [("assistant", ""), ("tool", f"shelf {turn} of {name} holds rice")] if turn % 3 == 0 else []
        rows += [("user", f"turn {turn} of {name}"), *looked, ("assistant", f"answer {turn} for {name}")]
    return rows


@pytest.mark.timeout(400)
def test_many_turns_of_two_people(memory: Memory, proof: bool) -> None:
    """Every message is stored once and in order, each sees only their own, and prompts do not grow."""
    turns = 500 if proof else 24
    model = ScriptedChat(answer=answer)
    summary = SummarizationMiddleware(ScriptedChat(answer=summarize), trigger=("messages", 12), keep=("messages", 6))
    middleware: list[Any] = [KeepwellMiddleware(memory), summary]
    tools, saver = [pantry, *memory_tools(memory)], keepwell_checkpointer(memory)
    agent = create_agent(model, tools, middleware=middleware, checkpointer=saver)
    taken = ways(agent)
    for turn in range(turns):
        for name in PEOPLE:
            said = {"messages": [{"role": "user", "content": f"turn {turn} of {name}"}]}
            taken[turn % len(taken)](said, {"configurable": {"thread_id": "t", "user_id": name}})
    for name in PEOPLE:
        stored = [(one.role, one.text) for one in memory.scope(user_id=name).thread("t").messages()]
        assert stored == expected(name, turns)
    prompts = [" ".join(str(one.text) for one in asked) for asked in model.asked]
    assert not [prompt for prompt in prompts if all(f"of {name}" in prompt for name in PEOPLE)]
    assert max(map(len, prompts)) < LONGEST_PROMPT
    shown = Counter("<memory>" in prompt for prompt in prompts)
    assert shown[True] > shown[False]
