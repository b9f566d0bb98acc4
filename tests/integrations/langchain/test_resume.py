"""An agent that is killed between any two calls, and resumed by another process, leaves the turn as it should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from keepwell import Memory

TURN = [("user", "question"), ("assistant", ""), ("tool", "found c1"), ("tool", "found c2"), ("assistant", "done")]
ROOT = Path(__file__).parents[3]
SURROUNDINGS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
PROGRAM = """
import itertools, json, os, signal, sys
from contextlib import contextmanager
from keepwell import Memory
from keepwell.testing import HashEmbedder
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_keepwell import KeepwellMiddleware
from langchain_keepwell.checkpoints import keepwell_checkpointer
from tests.integrations.langchain.agents import ScriptedChat

dsn, durability, side, stride = sys.argv[1:]


class Life:
    # counts the calls of a run, to the store, the checkpoints, the model and the tool, and may end it at one of them
    def __init__(self, death):
        self.death, self.calls = death, itertools.count(1)

    @contextmanager
    def call(self):
        number = next(self.calls)
        self.die(number, "before")
        yield
        self.die(number, "after")

    def die(self, number, where):
        if (number, where) == (self.death, side):
            os.kill(os.getpid(), signal.SIGKILL)


class Record:
    def __init__(self, record, life):
        self.record, self.life = record, life

    def write(self, change, connection=None):
        with self.life.call():
            return self.record.write(change, connection)

    async def awrite(self, change, connection):
        return await self.record.awrite(change, connection)

    def read(self, query):
        return self.record.read(query)


def model(life):
    def answer(messages):
        with life.call():
            said = [one for one in messages if "<memory>" not in one.text]
            if said[-1].type == "tool":
                return AIMessage("done")
            calls = [{"name": "look_up", "args": {"what": one}, "id": one} for one in ("c1", "c2")]
            return AIMessage("", tool_calls=calls)
    return ScriptedChat(answer=answer)


def turn(memory, name, life):
    @tool
    def look_up(what: str) -> str:
        "Look something up."
        with life.call():
            return f"found {what}"

    memory._engine.record = Record(memory._engine.record, life)
    saver = keepwell_checkpointer(memory)
    real = saver.put
    def put(*arguments):
        with life.call():
            return real(*arguments)
    saver.put = put
    agent = create_agent(model(life), [look_up], middleware=[KeepwellMiddleware(memory)], checkpointer=saver)
    config = {"configurable": {"thread_id": name, "user_id": "ada"}}
    state = agent.get_state(config)
    said = {"messages": [HumanMessage("question", id=f"q-{name}")]}
    if state.values.get("messages") and not state.tasks:
        return state.values["messages"][-1].text
    ended = agent.invoke(None if state.tasks else said, config, durability=durability)
    return ended["messages"][-1].text


def opened():
    return Memory.open(dsn, embedder=HashEmbedder(), pool_size=4, tenant="resume")


def lives(name, death):
    # another process, which may not survive; tells how it ended
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with opened() as memory:
                turn(memory, name, Life(death))
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


ends = []
while not ends or ends[-1] == -signal.SIGKILL:
    ends.append(lives(f"{durability}-{side}{len(ends)}", 1 + len(ends) * int(stride)))
said = []
for number in range(len(ends)):
    with opened() as memory:
        said.append(turn(memory, f"{durability}-{side}{number}", Life(None)))
print(json.dumps([ends, said]))
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_turn_that_was_killed_is_gone_on_with(dsn: str, tmp_path: Path, durability: str, proof: bool) -> None:
    """Killed at any call to the store, the checkpoints, the model or a tool: the whole turn is stored once, in order.

    LangGraph's default, ``async``, may lose a step that was done and do it again: then both attempts are stored.
    """
    program = tmp_path / "resume.py"
    program.write_text(textwrap.dedent(PROGRAM))
    for side in ("after", "before") if proof else ("after",):
        command = [sys.executable, "-W", "ignore", str(program), dsn, durability, side, "1" if proof else "3"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=SURROUNDINGS)
        assert ran.returncode == 0, ran.stderr
        ends, said = json.loads(ran.stdout)
        assert len(ends) > (20 if proof else 6)
        assert set(ends[:-1]) == {-9}
        assert ends[-1] == 0
        assert set(said) == {"done"}
        with Memory.open(dsn, embedder=None, tenant="resume") as memory:
            for number in range(len(ends)):
                thread = memory.scope(user_id="ada").thread(f"{durability}-{side}{number}")
                history = [(message.role, message.text) for message in thread.messages()]
                once = history if durability == "sync" else [*dict.fromkeys(history)]
                assert once == TURN, f"killed {side}, {number} of {len(ends)}"
