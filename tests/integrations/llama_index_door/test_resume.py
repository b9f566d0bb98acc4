"""An agent that is killed between any two calls, and resumed by another process, leaves the turn as it should be."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from llama_index.core.llms import mock

from keepwell import Memory
from llama_index.memory.keepwell import KeepwellMemory

if not hasattr(mock, "MockFunctionCallingLLM"):
    pytest.skip("not available here: a scripted model that calls tools, in this LlamaIndex", allow_module_level=True)

TURN = [("user", "question"), ("assistant", None), ("tool", "found"), ("tool", "found"), ("assistant", "done")]
PROGRAM = """
import asyncio, json, os, pathlib, signal, sys
from keepwell import Memory
from keepwell.testing import HashEmbedder
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.workflow import Context, JsonSerializer
from llama_index.memory.keepwell import steps
from llama_index.memory.keepwell.memory import KeepwellMemory

dsn, folder, side = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]


class Life:
    # counts the calls of a run, to the store, the model and the tool, saves the context before each, and may end it
    def __init__(self, name, death):
        self.file, self.death, self.calls, self.run = folder / f"{name}.json", death, 0, None

    def before(self):
        self.calls += 1
        if self.run is not None:
            text = json.dumps(self.run.ctx.to_dict(serializer=JsonSerializer()))
            fresh = self.file.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self.file)
        self.die("before")

    def die(self, where):
        if (self.calls, side) == (self.death, where):
            os.kill(os.getpid(), signal.SIGKILL)


LIFE = None
real = steps._awaited


async def awaited(step):
    LIFE.before()
    given = await real(step)
    LIFE.die("after")
    return given


steps._awaited = awaited


async def look_up(what: str) -> str:
    "Look something up."
    LIFE.before()
    LIFE.die("after")
    return "found"


def model(messages, **options):
    LIFE.before()
    LIFE.die("after")
    if messages[-1].role == "tool":
        return ChatMessage(role="assistant", content="done")
    calls = [ToolCallBlock(tool_call_id=one, tool_name="look_up", tool_kwargs={"what": one}) for one in ("c1", "c2")]
    return ChatMessage(role="assistant", blocks=calls)


async def turn(memory, life):
    global LIFE
    LIFE = life
    agent = FunctionAgent(tools=[look_up], llm=MockFunctionCallingLLM(response_generator=model, is_chat_model=True))
    if life.file.exists():
        saved = json.loads(life.file.read_text())
        life.run = agent.run(ctx=Context.from_dict(agent, saved, serializer=JsonSerializer()))
    else:
        chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id=life.file.stem)
        life.run = agent.run(user_msg="question", memory=chat)
    return str(await life.run)


def opened():
    return Memory.open(dsn, embedder=HashEmbedder(), pool_size=2, tenant="resume")


def lives(name, death):
    # another process, which may not survive; tells how it ended
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with opened() as memory:
                asyncio.run(turn(memory, Life(name, death)))
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


ends = []
while not ends or ends[-1] == -signal.SIGKILL:
    ends.append(lives(f"{side}{len(ends) + 1}", len(ends) + 1))
with opened() as memory:
    said = [asyncio.run(asyncio.wait_for(turn(memory, Life(f"{side}{n + 1}", None)), 20)) for n in range(len(ends))]
print(json.dumps([ends, said]))
"""


@pytest.mark.timeout(300)
def test_a_turn_that_was_killed_is_gone_on_with(dsn: str, tmp_path: Path, proof: bool) -> None:
    """Killed at any call to the store, the model or a tool: the whole turn is stored once and in order."""
    program = tmp_path / "resume.py"
    program.write_text(textwrap.dedent(PROGRAM))
    for side in ("after", "before") if proof else ("after",):
        folder = tmp_path / side
        folder.mkdir()
        command = [sys.executable, "-W", "ignore", str(program), dsn, str(folder), side]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
        assert ran.returncode == 0, ran.stderr
        ends, said = json.loads(ran.stdout)
        assert len(ends) > 12
        assert set(ends[:-1]) == {-9}
        assert ends[-1] == 0
        assert set(said) == {"done"}
        with Memory.open(dsn, embedder=None, tenant="resume") as memory:
            for number in range(1, len(ends) + 1):
                ident = f"{side}{number}"
                chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id=ident)
                history = [(message.role.value, message.content) for message in chat.get_all()]
                assert history == TURN, f"killed {side} call {number}"
