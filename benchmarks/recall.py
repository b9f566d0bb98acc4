"""How well recalls find labelled evidence: ``python -m benchmarks.recall --data FILE [--embedder NAME]``.

Stores every conversation of the file through the public API, each as the scope of a user, asks every question, and
prints what share of the questions has its evidence among the best; beside cosine, BM25 and their fusion by rank
(k = 60) over the same texts and vectors, and the peers that are installed (``--peers``). The weights in the package
were learned from such files: figures for those are not held out; ``python -m benchmarks.learn`` prints some that are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.conversations import Cached, Conversation, embedder_named, read
from benchmarks.ground import ground, quantile
from benchmarks.learn import NOW, snapshot_of
from benchmarks.peers import PEERS
from benchmarks.scores import show
from keepwell import Memory, Message
from keepwell.recall.analysis import analyse
from keepwell.recall.asking import Question
from keepwell.recall.features import cheap
from keepwell.recall.snapshot import Snapshot

DEPTH = 50
FUSED = 60
"""The usual constant of fusion by rank."""


def recalled(dsn: str, conversations: Sequence[Conversation], embedder: Cached | None) -> dict[str, list[str]]:
    """Give the rankings of keepwell itself, all conversations in one store."""
    rankings: dict[str, list[str]] = {}
    times: list[float] = []
    with Memory.open(dsn, embedder=embedder, tenant="recall") as memory:
        start = time.perf_counter()
        for one in conversations:
            _store(memory, one)
        memory.drain()
        count = sum(len(one.turns) for one in conversations)
        print(f"{count} turns stored in {time.perf_counter() - start:.1f} s, vectors included")
        for one in conversations:
            scope = memory.scope(user_id=one.ident)
            for question in one.questions:
                start = time.perf_counter()
                found = scope.recall(question.text, limit=DEPTH, neighbours=0, kinds=("message",))
                times.append(time.perf_counter() - start)
                rankings[question.ident] = [item.message.id for item in found]
    p50, p95 = quantile(times, 0.5) * 1e3, quantile(times, 0.95) * 1e3
    print(f"a recall of {DEPTH}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, reading the texts included")
    return rankings


def _store(memory: Memory, conversation: Conversation) -> None:
    sessions: dict[str, list[Message]] = {}
    for turn in conversation.turns:
        sessions.setdefault(turn.session, []).append(turn.message())
    for session, messages in sessions.items():
        memory.scope(user_id=conversation.ident).thread(session).append(*messages)


def baselines(conversations: Sequence[Conversation], embedder: Cached | None) -> dict[str, dict[str, list[str]]]:
    """Give the rankings by cosine, by BM25, and by the fusion of both.

    They read who speaks in front of the text, and the question as it was asked.
    """
    rankings: dict[str, dict[str, list[str]]] = {"BM25": {}}
    if embedder is not None:
        rankings |= {"cosine": {}, "fusion by rank": {}}
    for one in conversations:
        said = tuple(replace(turn, text=turn.said) for turn in one.turns)
        snapshot = snapshot_of(replace(one, turns=said), embedder)
        names = [turn.ident for turn in one.turns]
        for question in one.questions:
            orders = _orders(snapshot, question.text, embedder)
            for system, order in orders.items():
                rankings[system][question.ident] = [names[row] for row in order[:DEPTH]]
    return rankings


def _orders(snapshot: Snapshot, text: str, embedder: Cached | None) -> dict[str, list[int]]:
    terms = tuple(dict.fromkeys(analyse(text).split()))
    match = cheap(snapshot, Question(None, terms, NOW)).match
    orders = {"BM25": np.argsort(-match, kind="stable")}
    if embedder is not None:
        vector = embedder.embed_query(text)
        cosine = snapshot.similarities(vector / max(1e-9, float(np.linalg.norm(vector))))
        orders["cosine"] = np.argsort(-cosine, kind="stable")
        places = [np.argsort(order) for order in orders.values()]
        fused = sum(1 / (FUSED + 1 + place) for place in places)
        orders["fusion by rank"] = np.argsort(-np.asarray(fused), kind="stable")
    return {system: order.tolist() for system, order in orders.items()}


def main() -> None:
    """Run it."""
    given = _arguments()
    conversations = read(given.data)
    embedder = embedder_named(given.embedder, given.vectors)
    rankings = baselines(conversations, embedder)
    with ground() as place:
        for name in given.peers:
            asked = PEERS[name](place.admin_dsn, conversations, embedder)
            if asked is not None:
                rankings[name] = asked
        mine = recalled(place.dsn, conversations, embedder)
    if embedder is not None:
        embedder.save()
    show(f"{given.data.name}, {given.embedder}", rankings | {"keepwell": mine}, conversations)
    if given.out is not None:
        given.out.write_text(json.dumps(mine), "utf-8")
    if given.others is not None:
        given.others.mkdir(parents=True, exist_ok=True)
        for name, ranking in rankings.items():
            (given.others / f"{name.replace(' ', '-')}.json").write_text(json.dumps(ranking), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="labelled conversations, one JSON object a line")
    parser.add_argument("--embedder", choices=["minilm", "bundled", "none"], default="bundled")
    parser.add_argument("--vectors", type=Path, help="a file (.npz) that keeps the vectors")
    parser.add_argument("--out", type=Path, help="a file for the rankings, {question: [turn, ...]}")
    parser.add_argument("--others", type=Path, help="a folder for the rankings of what is compared with, a file each")
    parser.add_argument("--peers", nargs="*", default=[], choices=sorted(PEERS), help="systems to compare with")
    return parser.parse_args()


if __name__ == "__main__":
    main()
