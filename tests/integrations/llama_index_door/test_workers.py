"""Eight processes on one session: nothing is lost, doubled, torn or out of order."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import MessageRole

from keepwell import Memory
from llama_index.memory.keepwell import KeepwellMemory

WORKERS, TURNS = 8, 6
PROGRAM = """
import asyncio, json, os, sys
from keepwell import Memory
from llama_index.core.base.llms.types import ChatMessage
from llama_index.memory.keepwell import KeepwellMemory

dsn, workers, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def calls(ident):
    return [{"id": ident, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]

async def work(memory, worker):
    chat = KeepwellMemory.from_defaults(memory=memory, user_id="ada", session_id="s", token_limit=400, strict=True)
    for turn in range(turns):
        mark = f"{worker}-{turn}"
        await chat.aput(ChatMessage(role="user", content=f"question {mark}"))
        window = await chat.aget()
        assert window and window[-1].role in ("user", "assistant", "tool"), window
        await chat.aput_messages([
            ChatMessage(role="assistant", content=f"thought {mark}", additional_kwargs={"tool_calls": calls(mark)}),
            ChatMessage(role="tool", content=f"found {mark}", additional_kwargs={"tool_call_id": mark}),
            ChatMessage(role="assistant", content=f"answer {mark}"),
        ])
        if turn % 2:  # what a resumed worker does: the same batch again is there already, or others were quicker
            await chat.aget()

children = []
for worker in range(workers):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with Memory.open(dsn, embedder=None, pool_size=2, tenant="workers") as memory:
                asyncio.run(work(memory, worker))
            status = 0
        finally:
            os._exit(status)
    children.append(child)
print(json.dumps([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.mark.timeout(300)
def test_eight_workers_on_one_session(dsn: str, tmp_path: Path) -> None:
    """Each worker's messages are there once and in its order, each batch in one piece, and windows stay paired."""
    program = tmp_path / "workers.py"
    program.write_text(textwrap.dedent(PROGRAM))
    with Memory.open(dsn, embedder=None, tenant="workers") as memory:
        command = [sys.executable, "-W", "ignore", str(program), dsn, str(WORKERS), str(TURNS)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=250, check=True)
        assert json.loads(ended.stdout) == [0] * WORKERS, ended.stderr
        chat = KeepwellMemory.from_defaults(
            memory=memory, user_id="ada", session_id="s", token_limit=400, recall_limit=0
        )
        said = [str(message.content) for message in chat.get_all()]
        assert len(said) == len(set(said)) == WORKERS * TURNS * 4
        for worker in range(WORKERS):
            own = [text for text in said if text.split()[1].startswith(f"{worker}-")]
            kinds = ("question", "thought", "found", "answer")
            assert own == [f"{kind} {worker}-{turn}" for turn in range(TURNS) for kind in kinds]
        for place, text in enumerate(said):
            kind, mark = text.split()
            if kind == "thought":
                assert said[place + 1 : place + 3] == [f"found {mark}", f"answer {mark}"]
        window = chat.get()
        assert window[0].role == MessageRole.USER
        asked = {m.additional_kwargs["tool_calls"][0]["id"] for m in window if "tool_calls" in m.additional_kwargs}
        answered = {m.additional_kwargs["tool_call_id"] for m in window if m.role == MessageRole.TOOL}
        assert asked == answered != set()
        thread = memory.scope(user_id="ada").thread("s")
        assert [message.seq for message in thread.iterate()] == list(range(1, len(said) + 1))
