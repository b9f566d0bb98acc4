"""Learn the weights of the ranking from labelled conversations: ``python -m benchmarks.learn --help``.

Listwise softmax: of the best rows by the cheap score and those that answer, the latter are to share the whole; a
question with more of them counts more. First linear (L-BFGS), then with a few tanh units (Adam), from that. Figures
are cross-validated by conversation: each is ranked by weights that never saw it. The features are those of the
library, made by its own code.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]  # it ships no types

from benchmarks.conversations import UNANSWERABLE, Cached, Conversation, embedder_named, read
from benchmarks.scores import by_category, show
from keepwell.providers.words import bundled_words
from keepwell.recall.analysis import analyse
from keepwell.recall.arrays import Delta, Ints, Mark, MessageColumns, VectorColumns, halves
from keepwell.recall.asking import Question, ask
from keepwell.recall.chunks import chunks
from keepwell.recall.features import FEATURES, cheap, features
from keepwell.recall.rank import POOL
from keepwell.recall.signals import signals
from keepwell.recall.snapshot import Snapshot
from keepwell.recall.words import Words

Table = NDArray[np.float32]
NOW = 1_790_000_000.0
"""When the questions are asked: long after the conversations, so that recency decides nothing."""
ASSISTANT = ("cosine", "cosine_human", "match", "match_human", "covered_near", "speaker", "session")
PEOPLE = tuple(name for name in FEATURES if not name.endswith("_human"))
TRAINED = 400
"""Rows of a question that are learned from, beside those that answer."""
UNITS, SEEDS, STEPS, RATE, WARM_UP = 8, 4, 400, 0.01, 20
MORE = 0.5
"""A question counts by this power of its answers; not between people and assistants, where some have dozens."""
FAR = 8.0
"""In log-odds: a row that is so far below the best has no part in learning the units."""
DROPPED = 0.1
"""Of the features are left out at each step, so that none is relied on alone."""
OUTER_PENALTY = 0.001


@dataclass(frozen=True, slots=True)
class Sample:
    """One question in one scope: features of its pool (rows, names), which rows answer, and their names."""

    conversation: int
    ident: str
    category: str
    table: Table
    answers: NDArray[np.bool_]
    pool: NDArray[np.bool_]
    order: Table
    turns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Learned:
    """Weights for features as they are: ``linear · x + outer · tanh(x inner + bias)``."""

    linear: Table
    inner: Table
    bias: Table
    outer: Table

    def sums(self, table: Table) -> Table:
        """Give the sum of each row of features (rows, names)."""
        total: Table = table @ self.linear
        return total + np.tanh(table @ self.inner + self.bias) @ self.outer if len(self.outer) else total


# --- samples


def snapshot_of(conversation: Conversation, embedder: Cached | None) -> Snapshot:
    """Give a conversation as a scope in the process, as a store would load it: a session is a thread."""
    turns = conversation.turns
    threads = [uuid.uuid5(uuid.NAMESPACE_OID, f"{conversation.ident} {turn.session}") for turn in turns]
    places: defaultdict[uuid.UUID, int] = defaultdict(int)
    seqs = []
    for thread in threads:
        places[thread] += 1
        seqs.append(places[thread])
    keys = np.arange(1, len(turns) + 1)
    created = np.array([0.0 if turn.at is None else turn.at.timestamp() for turn in turns])
    columns = MessageColumns(
        keys,
        halves(*threads),
        np.array(seqs),
        created,
        created,
        np.full(len(turns), np.inf),
        tuple(analyse(turn.text) for turn in turns),
        tuple(turn.speaker for turn in turns),
        tuple(signals(turn.text) for turn in turns),
    )
    vectors = VectorColumns.empty()
    if embedder is not None:
        pieces = [(key, piece) for key, turn in zip(keys, turns, strict=True) for piece in chunks(turn.text)]
        matrix = embedder.embed([piece for _, piece in pieces])
        vectors = VectorColumns(np.array([key for key, _ in pieces]), _units(matrix))
    return Snapshot(Delta(full=True, mark=Mark("", "", 0), messages=columns, vectors=vectors))


def _units(matrix: Table) -> Table:
    units: Table = (matrix / np.maximum(1e-9, np.linalg.norm(matrix, axis=1, keepdims=True))).astype(np.float32)
    return units


def questions_of(conversation: Conversation, snapshot: Snapshot, embedder: Cached | None) -> list[Question]:
    """Give what a conversation's questions ask, with their vectors."""
    asked = [ask(question.text, snapshot.speakers(), NOW) for question in conversation.questions]
    if embedder is None:
        return asked
    vectors = _units(embedder.embed([one.readable for one in asked]))
    return [replace(one, vector=vector) for one, vector in zip(asked, vectors, strict=True)]


class Samples:
    """The questions of all conversations as samples, and asked of a conversation that cannot answer them."""

    def __init__(
        self, conversations: Sequence[Conversation], embedder: Cached | None, words: Words | None, names: Sequence[str]
    ) -> None:
        """Make the snapshots and all features."""
        self._words, self._names = words, names
        self._snapshots = [snapshot_of(one, embedder) for one in conversations]
        self._asked = [questions_of(one, s, embedder) for one, s in zip(conversations, self._snapshots, strict=True)]
        self._conversations = conversations
        self.own = [self._sample(at, at, nth) for at, one in enumerate(self._asked) for nth in range(len(one))]

    def foreign(self) -> list[Sample]:
        """Give the questions asked of the next conversation, where nothing answers them."""
        count = len(self._asked)
        return [
            self._sample((at + 1) % count, at, nth) for at, one in enumerate(self._asked) for nth in range(len(one))
        ]

    def _sample(self, scope: int, source: int, nth: int) -> Sample:
        snapshot, asked = self._snapshots[scope], self._asked[source][nth]
        question, conversation = self._conversations[source].questions[nth], self._conversations[scope]
        if scope != source and len(asked.who) == 1:
            asked = replace(asked, who=frozenset(snapshot.speakers()[:1]))
        first = cheap(snapshot, asked)
        best = np.argsort(-first.score, kind="stable")[:POOL]
        names = [turn.ident for turn in conversation.turns]
        evidence = set(question.evidence) if scope == source else set()
        answering = np.array([at for at, name in enumerate(names) if name in evidence], np.int64)
        rows: Ints = np.unique(np.concatenate([best, answering]))
        columns = features(snapshot, asked, first, rows, names=self._names, words=self._words)
        table = np.array([columns[name] for name in self._names], np.float32).T
        turns = tuple(names[row] for row in rows)
        answers, pool = np.isin(rows, answering), np.isin(rows, best)
        return Sample(scope, question.ident, question.category, table, answers, pool, first.score[rows], turns)


# --- learning


@dataclass(frozen=True, slots=True)
class _Batch:
    """Samples of one size: ``table`` (all rows, names), where they are, and what each row is to get.

    ``weight`` is what the row's question counts: a power of how many rows answer it, over the mean of that.
    """

    table: Table
    shape: tuple[int, int]
    places: Ints
    target: Table
    weight: Table

    def softmax(self, sums: Table) -> Table:
        """Give each row's part of its question."""
        full = np.full(self.shape, -1e9, np.float32)
        full.reshape(-1)[self.places] = sums
        full -= full.max(axis=1, keepdims=True)
        np.exp(full, out=full)
        parts: Table = (full / full.sum(axis=1, keepdims=True)).reshape(-1)[self.places]
        return parts


def _batch(samples: Sequence[Sample], power: float) -> tuple[_Batch, Table]:
    kept = []
    for sample in samples:
        chosen = np.zeros(len(sample.order), np.bool_)
        chosen[np.argsort(-sample.order)[:TRAINED]] = True
        kept.append((sample.table[chosen | sample.answers], sample.answers[chosen | sample.answers]))
    width = max(len(table) for table, _ in kept)
    places = np.concatenate([at * width + np.arange(len(table)) for at, (table, _) in enumerate(kept)])
    table = np.concatenate([table for table, _ in kept])
    target = np.concatenate([answers / answers.sum() for _, answers in kept]).astype(np.float32)
    scale = table.std(axis=0) + np.float32(1e-6)
    counts = np.array([float(answers.sum()) for _, answers in kept]) ** power
    weight = (counts / counts.mean())[places // width].astype(np.float32)
    return _Batch((table / scale).astype(np.float32), (len(kept), width), places, target, weight), scale


def learn(samples: Sequence[Sample], penalty: float, units: int) -> Learned:
    """Learn from samples: the mean of the linear weights and of those with tanh units, these from some beginnings."""
    usable = [one for one in samples if one.category != UNANSWERABLE and one.answers.any()]
    batch, scale = _batch(usable, MORE if units else 0.0)
    linear = _linear(batch, penalty)
    if not units:
        none = np.empty(0, np.float32)
        return Learned(linear / scale, np.empty((len(linear), 0), np.float32), none, none)
    near = _near(batch, linear)
    runs = [_with_units(near, linear, units, penalty, seed) for seed in range(SEEDS)]
    return Learned(
        ((np.mean([run[0] for run in runs], axis=0) + linear) / 2 / scale).astype(np.float32),
        (np.concatenate([run[1] for run in runs], axis=1) / scale[:, None]).astype(np.float32),
        np.concatenate([run[2] for run in runs]),
        (np.concatenate([run[3] for run in runs]) / (2 * SEEDS)).astype(np.float32),
    )


def _linear(batch: _Batch, penalty: float) -> Table:
    count = batch.shape[0]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        parts = batch.softmax(batch.table @ weights.astype(np.float32))
        told = -float((batch.weight * batch.target) @ np.log(np.maximum(parts, 1e-30))) / count
        slope = (batch.weight * (parts - batch.target)) @ batch.table / count
        return told + penalty * float(weights @ weights), slope + 2 * penalty * weights

    found = minimize(loss, np.zeros(batch.table.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    weights: Table = found.x.astype(np.float32)
    return weights


def _near(batch: _Batch, linear: Table) -> _Batch:
    """Leave out what the linear weights put far below the best of its question: it would only cost time."""
    sums = batch.table @ linear
    question = batch.places // batch.shape[1]
    best = np.full(batch.shape[0], -np.inf, np.float32)
    np.maximum.at(best, question, sums)
    kept = (sums > best[question] - FAR) | (batch.target > 0)
    return replace(
        batch,
        table=batch.table[kept],
        places=batch.places[kept],
        target=batch.target[kept],
        weight=batch.weight[kept],
    )


def _with_units(batch: _Batch, linear: Table, units: int, penalty: float, seed: int) -> list[Table]:
    """Go on from the linear weights with tanh units, by Adam over all samples at once."""
    chance = np.random.default_rng(seed)
    names = len(linear)
    inner = chance.normal(0, 0.3 / np.sqrt(names), (names, units)).astype(np.float32)
    outer = chance.normal(0, 0.1, units).astype(np.float32)
    values = [linear.copy(), inner, np.zeros(units, np.float32), outer]
    penalties = (penalty, OUTER_PENALTY, 0.0, OUTER_PENALTY)
    first, second = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    for step in range(1, STEPS + 1):
        kept = (chance.random(names) > DROPPED).astype(np.float32) / np.float32(1 - DROPPED)
        slopes = _slopes(batch, batch.table * kept, values)
        rate = RATE * min(1, step / WARM_UP) * (1 if step < 0.6 * STEPS else 0.3)
        for at, slope in enumerate(slopes):
            slope = slope + 2 * penalties[at] * values[at]  # noqa: PLW2901 - the penalty's own slope
            first[at] = 0.9 * first[at] + 0.1 * slope
            second[at] = 0.98 * second[at] + 0.02 * slope * slope
            change = first[at] / (1 - 0.9**step) / (np.sqrt(second[at] / (1 - 0.98**step)) + 1e-8)
            values[at] = (values[at] - rate * change).astype(np.float32)
    return values


def _slopes(batch: _Batch, table: Table, values: Sequence[Table]) -> list[Table]:
    linear, inner, bias, outer = values
    hidden = np.tanh(table @ inner + bias)
    parts = batch.softmax(table @ linear + hidden @ outer)
    wrong = batch.weight * (parts - batch.target) / np.float32(batch.shape[0])
    back = wrong[:, None] * outer * (1 - hidden * hidden)
    return [table.T @ wrong, table.T @ back, back.sum(axis=0), hidden.T @ wrong]


# --- judging


def cross_validated(
    samples: Samples, conversations: int, penalty: float, units: int
) -> tuple[dict[str, list[str]], Table, NDArray[np.bool_]]:
    """Give rankings by weights that never saw the conversation, and sums of rows with whether they answer."""
    rankings: dict[str, list[str]] = {}
    sums: list[Table] = []
    answers: list[NDArray[np.bool_]] = []
    foreign = samples.foreign()
    for held in range(conversations):
        learned = learn([one for one in samples.own if one.conversation != held], penalty, units)
        for one in samples.own:
            if one.conversation == held:
                rankings[one.ident] = _ranked(learned, one)
        for one in [*samples.own, *foreign]:
            if one.conversation == held and one.category != UNANSWERABLE:
                best = np.argsort(-learned.sums(one.table))[:10]
                sums.append(learned.sums(one.table)[best])
                answers.append(one.answers[best])
    return rankings, np.concatenate(sums), np.concatenate(answers)


def _ranked(learned: Learned, sample: Sample) -> list[str]:
    sums = np.where(sample.pool, learned.sums(sample.table), np.float32(-1e9))
    order = np.argsort(-sums, kind="stable")[:50]
    return [sample.turns[at] for at in order if sample.pool[at]]


def calibrated(sums: Table, answers: NDArray[np.bool_]) -> tuple[float, float]:
    """Give how odds follow from sums (steepness, offset), so that a score is how often such a row answers."""

    def loss(given: NDArray[np.float64]) -> float:
        odds = given[0] * sums + given[1]
        return float(np.mean(np.logaddexp(0, odds) - answers * odds))

    found = minimize(loss, np.array([1.0, -float(sums.mean())]), method="Nelder-Mead", options={"maxiter": 2000})
    return float(found.x[0]), float(found.x[1])


def as_data(learned: Learned, names: Sequence[str], scale: tuple[float, float]) -> dict[str, Any]:
    """Give weights as they are kept in the file."""
    units = [
        {
            "in": {name: round(float(value), 4) for name, value in zip(names, learned.inner[:, at], strict=True)},
            "bias": round(float(learned.bias[at]), 4),
            "out": round(float(learned.outer[at]), 4),
        }
        for at in range(len(learned.outer))
    ]
    linear = {name: round(float(value), 4) for name, value in zip(names, learned.linear, strict=True)}
    return {"linear": linear, "units": units, "steepness": round(scale[0], 4), "offset": round(scale[1], 4)}


def main() -> None:
    """Learn one set, print its cross-validated figures, and write it into the file of weights."""
    given = _arguments()
    conversations = read(given.data)
    embedder = embedder_named(given.embedder, given.vectors)
    static = {"minilm": "vectors", "bundled": "static", "none": "none"}[given.embedder]
    names = PEOPLE if given.chat == "people" else ASSISTANT
    if embedder is None:
        names = tuple(name for name in names if not name.startswith(("cosine", "soft")))
    samples = Samples(conversations, embedder, None if embedder is None else bundled_words(), names)
    if embedder is not None:
        embedder.save()
    units, penalty = (UNITS, 0.005) if given.chat == "people" else (0, 0.05)
    rankings, sums, answers = cross_validated(samples, len(conversations), penalty, units)
    show(f"{given.chat}, {given.embedder}, cross-validated", {"learned": rankings}, conversations)
    scale = calibrated(sums, answers)
    if given.out is not None:
        given.out.write_text(json.dumps(rankings))
    if given.write:
        path = Path(str(files("keepwell.recall").joinpath("weights.json")))
        data = json.loads(path.read_text("utf-8"))
        figures = by_category(rankings, conversations)["headline"]
        kept = as_data(learn(samples.own, penalty, units), names, scale)
        kept["cross_validated"] = {name: round(figures[name], 1) for name in ("all@10", "all@50")}
        data["learned"].setdefault(given.chat, {})[static] = kept
        path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learn", description=__doc__)
    parser.add_argument("chat", choices=["people", "assistant"])
    parser.add_argument("--data", type=Path, required=True, help="labelled conversations, one JSON object a line")
    parser.add_argument("--embedder", choices=["minilm", "bundled", "none"], default="minilm")
    parser.add_argument("--vectors", type=Path, help="a file (.npz) that keeps the vectors")
    parser.add_argument("--out", type=Path, help="a file for the cross-validated rankings")
    parser.add_argument("--write", action="store_true", help="write the weights into the package")
    return parser.parse_args()


if __name__ == "__main__":
    main()
