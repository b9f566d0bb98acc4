"""Sixteen processes write; one that has recalled from the start answers as one that was opened just now."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from keepwell import Memory, Message, Recollections, ScopedMemory
from keepwell.errors import Conflict, EmbedderMismatch, NotFound, UsageError
from keepwell.testing import HashEmbedder

WRITERS = 16
WORDS = "nut pear plum fig apple bread cheese olive rice soup salt honey".split()
ASKED = ("nut and pear", "what about cheese soup", "fig", "honey on bread with salt")
MOST = 1000
PATIENCE = 100.0
"""Seconds after which a process that waits for the others gives up."""
ODD = (Conflict, NotFound, UsageError)
"""What a writer meets where another took away what it wrote on."""


def act(memory: Memory, chance: random.Random, number: int, step: int) -> None:
    """Write something: mostly messages, else what takes them away, moves them or states a fact."""
    ada = memory.scope("ada", agent_id=chance.choice([None, None, "bot"]))
    chat = ada.thread(f"t{chance.randrange(6)}")
    kinds = {"append": 10, "held": 4, "delete": 3, "move": 1, "fact": 3, "correct": 2, "forget": 1}
    kind = chance.choices(list(kinds), list(kinds.values()))[0]
    said = f"{' '.join(chance.sample(WORDS, 3))} w{number}x{step}"
    match kind:
        case "append":
            chat.append(*(Message.user(f"{said} {n}", id=f"{number}-{step}-{n}") for n in range(chance.randint(1, 3))))
        case "held":  # others commit meanwhile, and the reader looks: the lower number comes later
            with memory.transaction() as connection:
                memory.scope("ada").thread(f"own{number}").append(Message.user(said), connection=connection)
                time.sleep(chance.uniform(0.02, 0.2))
        case "delete" if known := chat.messages(last=20):
            chat.delete(*chance.sample(known, min(2, len(known))))
        case "move":
            chat.move(memory.scope("ada", agent_id=chance.choice(["bot", "other"])))
        case "fact":
            ada.remember(said, key=chance.choice([None, f"k{chance.randrange(5)}"]))
        case "correct" if held := ada.facts(limit=5):
            ada.correct(chance.choice(held), said)
        case "forget" if held := ada.facts(limit=5):
            ada.forget(chance.choice(held))
        case _:
            pass


def write(dsn: str, tenant: str, number: int, size: tuple[int, int], gate: Barrier) -> None:
    """Be one of the writers: so many steps a round, after which all wait until the reader has looked."""
    (steps, rounds), chance = size, random.Random(number)
    with Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(8), pool_size=1, worker="none") as memory:
        gate.wait(PATIENCE)
        for round_ in range(rounds):
            for step in range(steps):
                try:
                    act(memory, chance, number, round_ * steps + step)
                except ODD:
                    continue
            gate.wait(PATIENCE)
            gate.wait(PATIENCE)


@contextmanager
def writers(dsn: str, tenant: str, steps: int, rounds: int) -> Iterator[Barrier]:
    """Start the writers; the reader is one more at the gate."""
    # Forked from a process that has imported all and opened nothing: sixteen imports would take a minute.
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload([__name__, "keepwell.memory.front", "keepwell.memory.recalling", "numpy"])
    gate = fresh.Barrier(WRITERS + 1)
    started = [
        fresh.Process(target=write, args=(dsn, tenant, number, (steps, rounds), gate), daemon=True)
        for number in range(WRITERS)
    ]
    for one in started:
        one.start()
    try:
        yield gate
        for one in started:
            one.join(PATIENCE)
        assert [one.exitcode for one in started] == [0] * WRITERS
    finally:
        gate.abort()
        for one in started:
            one.kill()


def told(found: Recollections) -> dict[str, float]:
    """Give what was recalled, with its score: where two score alike their order is open, and which of them are last."""
    bound = found[-1].score + 4e-4 if len(found) == MOST else 0.0
    return {f"{item.kind} {item.thread} {item.text}": item.score for item in found if item.score >= bound}


def same(held: ScopedMemory, fresh: ScopedMemory) -> None:
    """Check that one who has held the scope answers as one that never did."""
    for question in ASKED:
        left, right = (view.recall(question, limit=MOST, neighbours=0) for view in (held, fresh))
        assert left.loaded == right.loaded == "snapshot"
        assert told(left) == pytest.approx(told(right), abs=2e-4)


def alike(memory: Memory, dsn: str, tenant: str, embedder: Any) -> None:
    """Compare a long-lived memory with one opened now, as the whole user sees it and as one agent."""
    with Memory.open(dsn, tenant=tenant, embedder=embedder, pool_size=1, worker="none", name="fresh") as fresh:
        for agent in (None, "bot"):
            same(memory.scope("ada", agent_id=agent), fresh.scope("ada", agent_id=agent))


def in_a_child(memory: Memory, dsn: str, tenant: str) -> None:
    """Do the comparison in a fork of this process, which holds what its parent had loaded."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            alike(memory, dsn, tenant, HashEmbedder(8))
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")  # the use of it is what is proved
def test_what_is_held_stays_right_under_sixteen_processes(dsn: str, proof: bool) -> None:
    """After each burst of appends, deletions, moves and facts a reader answers as a fresh one, and so does its fork.

    While they write it asks all the time, so that it takes in what is half done.
    """
    tenant, rounds, steps = f"t{uuid.uuid4().hex}", 12 if proof else 3, 25 if proof else 8
    with Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(8), pool_size=2, worker="none") as memory:
        memory.scope("ada").thread("t0").append(Message.user("nut and pear"))
        with writers(dsn, tenant, steps, rounds) as gate:
            gate.wait(PATIENCE)
            for round_ in range(rounds):
                until = time.monotonic() + (2 if proof else 0.5)
                while time.monotonic() < until:
                    memory.scope("ada").recall(random.choice(ASKED))
                gate.wait(PATIENCE)
                memory.drain()
                alike(memory, dsn, tenant, HashEmbedder(8))
                if round_ == rounds // 2:
                    in_a_child(memory, dsn, tenant)
                gate.wait(PATIENCE)


@pytest.mark.timeout(600)
def test_what_is_held_follows_another_model(dsn: str, proof: bool) -> None:
    """Vectors that are made anew while sixteen processes write leave no answer behind, once all speak of one model."""
    tenant, steps = f"t{uuid.uuid4().hex}", 40 if proof else 6
    with Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(8), pool_size=2, worker="none") as memory:
        memory.scope("ada").thread("t0").append(Message.user("nut and pear"))
        with writers(dsn, tenant, steps, 1) as gate:
            gate.wait(PATIENCE)
            with Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(8), pool_size=1, name="switch") as other:
                other.reembed(HashEmbedder(8, model="renamed"))
            assert "vector" in memory.scope("ada").recall("nut").skipped
            gate.wait(PATIENCE)
            gate.wait(PATIENCE)
        with pytest.raises(EmbedderMismatch):
            Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(8), name="late")
        assert memory.reembed(HashEmbedder(8, model="renamed")) >= 0
        memory.drain()
        alike(memory, dsn, tenant, HashEmbedder(8, model="renamed"))


def test_the_budget_is_kept(dsn: str) -> None:
    """What is held never exceeds its bound after a recall, and answers are the same where nothing may be held."""
    tenant = f"t{uuid.uuid4().hex}"
    with Memory.open(dsn, tenant=tenant, embedder=HashEmbedder(8), pool_size=1, worker="none") as memory:
        views = [memory.scope(f"user{number}") for number in range(12)]
        for view in views:
            said = (Message.user(f"{' '.join(random.sample(WORDS, 4))} {n}") for n in range(60))
            view.thread("t").append(*said)
        views[0].recall("nut")
        memory._engine.cache.budget = 3 * memory._engine.cache.nbytes
        for view in (*views, *reversed(views)):
            assert view.recall("nut and pear").loaded == "snapshot"
            assert memory._engine.cache.nbytes <= memory._engine.cache.budget
        memory._engine.cache.budget = 0
        views[0].recall("nut and pear", limit=1)
        assert memory._engine.cache.nbytes == 0
        assert views[0].recall("nut and pear", limit=1).loaded == "candidates"
