"""Forming facts: what it costs in calls, tokens and time, and what it adds to an append."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.ground import Ground, medians, quantile, sentence, show
from keepwell.formation.options import FormationSettings
from keepwell.formation.settle import Draft, Edit
from keepwell.models import Message, Owner
from keepwell.providers.bundled import BundledEmbedder, is_installed
from keepwell.providers.embedding import Embedder
from keepwell.recall.analysis import analyse
from keepwell.recall.signals import signals
from keepwell.storage.base import AppendMessages, Forming, OpenSpace, Record
from keepwell.storage.facts import ApplyEdits, ListFacts, ReadSecret
from keepwell.storage.postgres import PostgresStore
from keepwell.testing import ScriptedExtractor
from keepwell.work import Tools, drain, filled, remembered_by_words, scope_of

ADA = Owner("ada", "", "")
TURNS = 100
FACTS = 10_000
TOWNS = ("Leeds", "York", "Bath", "Hull", "Ayr", "Wells", "Ely")
MEM0 = [
    ("mem0 2.2.1, published code", "100", "not told", "one call a write: mem0/memory/main.py:881-1222"),
    ("mem0 1.x, published code", "200; 500 with graph", "not told", "two calls a write, and three for the graph"),
    ("mem0, time of an add", "", "", "3-8 s (mem0#4537), 4-12 s (mem0#3097)"),
    ("mem0, cost of an episode", "", "$0.10", "MEME (arXiv 2605.12477), gpt-4.1-mini"),
]


def formation(ground: Ground) -> None:
    """Measure all of it."""
    model_use(ground)
    rows = [*_reconciliation(ground), *_append(ground)]
    show("formation and the record (medians)", rows)


def model_use(ground: Ground) -> None:
    """Print calls, tokens and lag for a hundred turns of a model that takes no time, mem0's figures beside them."""
    table = Table(title=f"{TURNS} turns (a person's message and its answer)", title_justify="left")
    for column in ("", "calls", "tokens in + out", "from write to formed; source"):
        table.add_column(column)
    with closing(PostgresStore(ground.dsn)) as store:
        for label, every in (("keepwell, formed after each turn", 1), ("keepwell, formed ten turns at a time", 10)):
            table.add_row(label, *_formed(store.record(f"turns-{every}"), every))
    for row in MEM0:
        table.add_row(*row)
    Console(width=140).print(table)


def _formed(record: Record, every: int) -> tuple[str, str, str]:
    """Talk, form every so many turns, and give calls, tokens and lags."""
    model = ScriptedExtractor()
    tools = _tools(record, model)
    waiting: list[float] = []
    lags: list[float] = []
    for turn in range(TURNS):
        _say(record, _turn(turn))
        waiting.append(time.perf_counter())
        if (turn + 1) % every == 0:
            drain(tools, rounds=False)
            done = time.perf_counter()
            lags += [done - said for said in waiting]
            waiting.clear()
    lag = f"p50 {quantile(lags, 0.5) * 1e3:.0f} ms, p95 {quantile(lags, 0.95) * 1e3:.0f} ms, without pause and model"
    return str(model.calls), f"{model.input_tokens:,} + {model.output_tokens:,}", lag


def _turn(number: int) -> tuple[Message, Message]:
    """Give a turn: of a person's life in every second of them, chat in the others."""
    told = f"My friend Anna{number % 9} lives in {TOWNS[number % len(TOWNS)]}. I like book {number}."
    said = told if number % 2 else f"What do you think of {sentence(number, 8)}?"
    return Message.user(said, name="Ada"), Message.assistant(sentence(number + 1000, 40))


def _say(record: Record, messages: Sequence[Message]) -> None:
    terms = tuple(analyse(message.text) for message in messages)
    marks = tuple(signals(message.text) for message in messages)
    record.write(AppendMessages(ADA, "chat", tuple(messages), terms, signals=marks, forming=Forming(pause=0.0)))


def _tools(record: Record, model: ScriptedExtractor | None = None, embedder: Embedder | None = None) -> Tools:
    space = None if embedder is None else record.write(OpenSpace(embedder.model, embedder.dimension))
    settings = FormationSettings(distil_hour=None)
    return Tools(record, model, embedder, space, record.read(ReadSecret()), settings, remembered_by_words(record))


def _reconciliation(ground: Ground) -> list[tuple[str, str, str]]:
    """Measure the transaction of a batch of five edits for somebody with ten thousand facts."""
    rows = []
    with closing(PostgresStore(ground.dsn)) as store:
        for label, embedder in (("", None), (" with vectors", BundledEmbedder() if is_installed() else None)):
            if label and embedder is None:
                continue
            tools = _tools(store.record(f"ten thousand{label}"), embedder=embedder)
            _fill(tools)
            _analyse(ground)
            batches = iter([filled(tools, edits) for edits in _batches(tools, 330)])
            (median,) = medians(partial(_apply_next, tools, batches), rounds=300)
            what = f"five edits beside {FACTS:,} facts{label}: two ADD, two UPDATE, one DELETE"
            rows.append((what, f"{median * 1e3:.1f} ms", "≤ 10 ms"))
    return rows


def _fill(tools: Tools) -> None:
    for start in range(0, FACTS, 500):
        drafts = [Draft(f"Ada knows {sentence(n, 8)} {n}", "Ada", "attribute") for n in range(start, start + 500)]
        _apply(tools, filled(tools, [Edit("ADD", draft=draft) for draft in drafts]))


def _analyse(ground: Ground) -> None:
    """Do what the server does by itself within a minute."""
    with psycopg.connect(ground.admin_dsn, autocommit=True) as admin:
        admin.execute("analyze")


def _batches(tools: Tools, count: int) -> list[list[Edit]]:
    """Give batches, each with facts of its own to change."""
    found = tools.record.read(ListFacts(scope_of(ADA), limit=3 * count))
    facts = iter(found)
    batches = []
    for number in range(count):
        first, second, third = (next(facts) for _ in range(3))
        added = [Edit("ADD", draft=Draft(f"Ada says {sentence(number, 9)} {number} {n}", "Ada")) for n in range(2)]
        updated = [
            Edit("UPDATE", fact.id, Draft(f"{fact.text} now", "Ada"), fact.version, "it changed")
            for fact in (first, second)
        ]
        batches.append([*added, *updated, Edit("DELETE", third.id, version=third.version, reason="it is over")])
    return batches


def _apply(tools: Tools, edits: tuple[Edit, ...]) -> None:
    tools.record.write(ApplyEdits(ADA, edits, "formation", uuid.uuid4(), scope_of(ADA), space=tools.space_key))


def _apply_next(tools: Tools, batches: Iterator[tuple[Edit, ...]]) -> None:
    _apply(tools, next(batches))


def _append(ground: Ground) -> list[tuple[str, str, str]]:
    """Measure the append of one message with formation on and off, in turns."""
    with closing(PostgresStore(ground.dsn)) as store:
        record = store.record("appends")
        off, on = medians(_appending(record, None), _appending(record, 30.0), rounds=2000)
    return [
        ("append with formation off", f"{off * 1e6:.0f} µs", ""),
        ("append with formation on", f"{on * 1e6:.0f} µs, {on / off:.2f} x", "≤ 1.1"),
    ]


def _appending(record: Record, pause: float | None) -> Callable[[], object]:
    number = itertools.count()
    forming = Forming(pause=pause, every=1_000_000)

    def append() -> None:
        text = sentence(next(number))
        change = AppendMessages(
            ADA, f"pause {pause}", (Message.user(text),), (analyse(text),), signals=(signals(text),), forming=forming
        )
        record.write(change)

    return append
