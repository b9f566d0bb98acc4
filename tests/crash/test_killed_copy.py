"""A copying that is killed at any moment goes on where it was, and ends with the same in both stores."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from keepwell import Memory, Message
from keepwell.memory.graph_carrying import graph_size
from keepwell.storage.graph_copying import GraphSize

NAMES = ("Katherine Jones", "Max Weber", "Zoe Maier", "Tom Berger", "Ingrid Holm")
PLACES = ("Leeds", "Rome", "Lisbon", "Oslo", "Bremen")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a data folder that is nobody's yet, where whoever runs an embedded server can reach it."""
    place = Path(tempfile.mkdtemp(prefix="keepwell-copy-"))
    place.chmod(0o755)
    yield place / "data"
    shutil.rmtree(place, ignore_errors=True)


def furnish(memory: Memory) -> None:
    """Let people speak of each other, and put right who is who."""
    for user in range(2):
        view = memory.scope(user_id=f"user-{user}")
        for thread in range(2):
            said = [
                f"Then {NAMES[n % 5]} met {NAMES[(n + 1) % 5]} in {PLACES[n % 5]}, she said {n}." for n in range(40)
            ]
            view.thread(f"t{thread}").append(*map(Message.user, said))
        for n in range(10):
            view.remember(f"{NAMES[n % 5]} likes number {n}", subject=NAMES[n % 5])
    memory.drain()
    for user in range(2):
        graph = memory.scope(user_id=f"user-{user}").graph
        graph.merge(graph.add("Kate"), "Katherine Jones", reason="the same")
        graph.split("Max Weber", "Max junior", mentions=graph.mentions("Max Weber")[:5], reason="the son")
        for n in range(5):
            graph.link(NAMES[n], "knows", NAMES[(n + 2) % 5])


def copying(words: list[str]) -> subprocess.Popen[str]:
    """Start a copying in another process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPWELL_")}
    command = [sys.executable, "-m", "keepwell", "copy", *words, "--json"]
    return subprocess.Popen(command, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(memory: Memory) -> int:
    """Count what has arrived so far: messages, facts and the graph."""
    size = graph_size(memory._engine.record) or GraphSize()
    return memory.status().record.messages + size.rows


@pytest.mark.timeout(300)
def test_a_killed_copying_goes_on(folder: Path, dsn: str, proof: bool, chance: Callable[[], float]) -> None:
    """From an embedded store to a server, killed again and again: nothing is lost, nothing is doubled, all is the same."""
    with Memory.open(path=folder, embedder=None, worker="none", name="here") as here:
        furnish(here)
        held = graph_size(here._engine.record)
        assert held is not None
        with closing(Memory.open(dsn, embedder=None, name="there")) as there:
            for _ in range(40 if proof else 3):
                before = rows(there)
                with copying([str(folder), dsn]) as process:
                    while process.poll() is None and rows(there) <= before:
                        time.sleep(0.02)
                    time.sleep(chance())
                    process.send_signal(signal.SIGKILL)
            with copying([str(folder), dsn]) as process:
                out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            told = json.loads(out)
            assert (told["same"], told["left_out"]) == (True, [])
            assert graph_size(there._engine.record) == held
            graph = there.scope(user_id="user-1").graph
            (split,) = [one for one in graph.history(limit=500) if one.reason == "the son"]
            graph.revert(split)
            assert "Max junior" not in {one.name for one in graph.entities()}


@pytest.fixture
def chance() -> Callable[[], float]:
    """Give how long a copying lives after it began to write: seconds, another time each."""
    drawn = random.Random(11)
    return lambda: drawn.uniform(0.0, 0.4)
