"""Tools by which a model reads and changes the memory of whom it talks to."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from keepwell import Memory, Message, errors
from langchain_keepwell import create_manage_memory_tool, memory_tools

from .agents import calling, following
from .conftest import Outage


def tools_of(memory: Memory, **options: Any) -> dict[str, BaseTool]:
    """Give Ada's tools by name."""
    return {tool.name: tool for tool in memory_tools(memory, user_id="ada", forget=True, **options)}


def ident(told: str) -> str:
    """Give the id that a tool tells."""
    found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", told)
    assert found is not None
    return found[0]


def standing(memory: Memory, user: str = "ada") -> list[str]:
    """Give the facts that stand for a person."""
    return [fact.text for fact in memory.scope(user_id=user).facts()]


def test_a_memory_is_made_changed_and_taken_back(memory: Memory) -> None:
    """Create, update and delete act on one fact, which keeps its id; each step stands in its history."""
    tools = tools_of(memory)
    made = ident(tools["manage_memory"].invoke({"content": "Ada likes tea."}))
    told = tools["manage_memory"].invoke({"content": "Ada likes coffee.", "action": "update", "id": made})
    assert ident(told) == made
    assert standing(memory) == ["Ada likes coffee."]
    tools["manage_memory"].invoke({"action": "delete", "id": made})
    assert standing(memory) == []
    lines = tools["memory_history"].invoke({"id": made}).splitlines()
    assert [line.split("] ")[1].split(":")[0] for line in lines] == ["DELETE", "UPDATE", "ADD"]


def test_what_an_agent_updated_can_be_learned_again(memory: Memory) -> None:
    """A model's update is no person's rejection: the old statement may come back."""
    tools = tools_of(memory)
    made = ident(tools["manage_memory"].invoke({"content": "Ada likes tea."}))
    tools["manage_memory"].invoke({"content": "Ada likes coffee.", "action": "update", "id": made})
    assert memory.scope(user_id="ada").rejections() == ()


def test_search_gives_facts_with_their_ids_and_messages(memory: Memory) -> None:
    """A search finds what is known and what was said, a line each; a fact's line has the id that it is changed by."""
    ada = memory.scope(user_id="ada")
    fact = ada.remember("Ada can't eat peanuts.")
    ada.thread("t").append(Message.user("peanuts made me ill in May"))
    told = tools_of(memory)["search_memory"].invoke({"query": "peanuts"}).splitlines()
    assert any(f"(id {fact.id}) Ada can't eat peanuts." in line for line in told)
    assert any("user: peanuts made me ill" in line for line in told)
    assert tools_of(memory)["search_memory"].invoke({"query": "zeppelin"}) == "Nothing was found."


def test_forgetting_is_for_good(memory: Memory) -> None:
    """A forgotten memory has no history any more, and a rejection keeps it from being learned."""
    tools = tools_of(memory)
    made = ident(tools["manage_memory"].invoke({"content": "Ada likes tea."}))
    assert "Forgotten" in tools["forget_memory"].invoke({"id": made})
    assert tools["memory_history"].invoke({"id": made}) == f"There is no memory {made}."
    assert len(memory.scope(user_id="ada").rejections()) == 1


def test_a_model_cannot_reach_another_persons_memory(memory: Memory) -> None:
    """An id of somebody else's is not found by any tool, and nothing changes."""
    bobs = memory.scope(user_id="bob").remember("Bob owes Ada money.")
    tools = tools_of(memory)
    for name, given in (
        ("manage_memory", {"action": "delete"}),
        ("manage_memory", {"action": "update", "content": "Bob owes nothing."}),
        ("forget_memory", {}),
    ):
        assert "did not work" in tools[name].invoke({"id": str(bobs.id), **given})
    assert "no memory" in tools["memory_history"].invoke({"id": str(bobs.id)})
    assert tools["search_memory"].invoke({"query": "who owes Ada money?"}) == "Nothing was found."
    assert standing(memory, "bob") == ["Bob owes Ada money."]


@pytest.mark.parametrize("awaited", [False, True])
async def test_the_run_says_whose_memory_it_is(memory: Memory, awaited: bool) -> None:
    """Tools that were bound to nobody act for whom the run names, in its context or its configuration."""
    for user, how in (("ada", "context"), ("bob", "configurable")):
        model = following(calling("manage_memory", content=f"{user} likes tea."), AIMessage("done"))
        agent = create_agent(model, memory_tools(memory))
        given: Any = {"messages": [("user", "remember it")]}
        more: Any = (
            {"context": {"user_id": user}} if how == "context" else {"config": {"configurable": {"user_id": user}}}
        )
        if awaited:
            await agent.ainvoke(given, **more)
        else:
            agent.invoke(given, **more)
        assert standing(memory, user) == [f"{user} likes tea."]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give its content"),
        ({"action": "update", "content": "x"}, "give its id"),
        ({"action": "delete"}, "give its id"),
        ({"action": "delete", "id": "the first"}, "not the id of a memory"),
        ({"action": "delete", "id": "00000000-0000-0000-0000-000000000000"}, "did not work"),
    ],
)
def test_a_wrong_call_is_told_in_words(memory: Memory, given: dict[str, str], told: str) -> None:
    """A model that calls a tool wrongly reads what to do, and nothing is raised."""
    assert told in tools_of(memory)["manage_memory"].invoke(given)


def test_only_permitted_actions_are_done(memory: Memory) -> None:
    """A tool that may only create deletes nothing."""
    fact = memory.scope(user_id="ada").remember("Ada likes tea.")
    tool = create_manage_memory_tool(memory, actions_permitted=("create",))
    config: Any = {"configurable": {"user_id": "ada"}}
    agent = create_agent(following(calling(tool.name, action="delete", id=str(fact.id)), AIMessage("done")), [tool])
    agent.invoke({"messages": [("user", "delete it")]}, config)
    assert standing(memory) == ["Ada likes tea."]


def test_without_a_person_there_is_no_memory(memory: Memory) -> None:
    """Outside a run, and in one that names nobody, an unbound tool says so and does nothing."""
    manage, *_ = memory_tools(memory)
    assert "names no user_id" in manage.invoke({"content": "x"})
    assert memory.status().formation.facts == 0


def test_a_store_that_fails_is_told_and_logged(
    memory: Memory, outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store is away a tool says that it did not work, with a line in the log; a strict one raises."""
    tools, strict = tools_of(memory), tools_of(memory, strict=True)
    outage.begin()
    with caplog.at_level(logging.WARNING, "langchain_keepwell"):
        assert "did not work" in tools["search_memory"].invoke({"query": "tea"})
    assert any("search_memory" in line.message for line in caplog.records)
    with pytest.raises(errors.StoreError):
        strict["manage_memory"].invoke({"content": "Ada likes tea."})


class _OfOurs:
    """What the standard suites ask of the tool under test."""

    @pytest.fixture(autouse=True)
    def _bind(self, memory: Memory) -> None:
        self._tool = tools_of(memory)[self.name]

    name: str
    example: dict[str, Any]

    @property
    def tool_constructor(self) -> BaseTool:
        """The tool."""
        return self._tool

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        """Arguments that it takes."""
        return self.example


class TestManageUnit(_OfOurs, ToolsUnitTests):
    """LangChain's unit suite for tools."""

    name, example = "manage_memory", {"content": "Ada likes tea.", "action": "create"}


class TestManage(_OfOurs, ToolsIntegrationTests):
    """LangChain's integration suite for tools."""

    name, example = "manage_memory", {"content": "Ada likes tea.", "action": "create"}


class TestSearchUnit(_OfOurs, ToolsUnitTests):
    """LangChain's unit suite for tools."""

    name, example = "search_memory", {"query": "tea"}


class TestSearch(_OfOurs, ToolsIntegrationTests):
    """LangChain's integration suite for tools."""

    name, example = "search_memory", {"query": "tea"}


class TestHistoryUnit(_OfOurs, ToolsUnitTests):
    """LangChain's unit suite for tools."""

    name, example = "memory_history", {"id": "00000000-0000-0000-0000-000000000000"}


class TestHistory(_OfOurs, ToolsIntegrationTests):
    """LangChain's integration suite for tools."""

    name, example = "memory_history", {"id": "00000000-0000-0000-0000-000000000000"}
