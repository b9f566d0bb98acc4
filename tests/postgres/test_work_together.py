"""Workers side by side: one scope comes out as with one worker, two scopes do not wait for each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from keepwell.storage.base import Record
from keepwell.storage.facts import FindForming, ReadFormation
from keepwell.storage.postgres import PoolOptions, PostgresStore
from keepwell.testing import ReferenceStore, ScriptedExtractor, ScriptedModel, SlowModel
from keepwell.work import Drained, drain, form_thread

from .workshop import ADA, Talk, tools_of

TOWNS = ("Leeds", "York", "Bath", "Hull", "Ayr")
TURNS = 500


def tell(record: Record, turns: int) -> list[Talk]:
    """Have Ada talk in five threads: of where she lives (which changes), and of many books (which do not)."""
    talks = [Talk(record, thread=f"thread {n}") for n in range(5)]
    for turn in range(turns):
        talk = talks[turn % 5]
        who = f"My friend Anna{turn % 40}"
        talk.say(f"{who} lives in {TOWNS[turn // 40 % 5]}. I like book {turn}.")
    return talks


def work_until_done(record: Record, workers: int, **settings: Any) -> list[Drained]:
    """Have workers drain at the same time until nothing is due."""

    def work() -> Drained:
        tools = tools_of(record, ScriptedExtractor(), **settings)
        done = drain(tools)
        while record.read(FindForming(early=True)):
            time.sleep(0.01)
            done = drain(tools)
        return done

    with ThreadPoolExecutor(workers) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(workers)]]


def test_two_workers_come_to_the_same_facts_as_one(kept: Record, proof: bool) -> None:
    """Of one person's many turns two workers make what one makes: every fact once, the later word counting."""
    turns = TURNS if proof else 120
    alone = ReferenceStore().record("alone")
    tell(alone, turns)
    tell(kept, turns)
    work_until_done(alone, 1, batch=7)
    work_until_done(kept, 2, batch=7)
    facts = Talk(kept).facts()
    assert facts == Talk(alone).facts()
    assert len([fact for fact in facts if "book" in fact]) == turns
    assert len([fact for fact in facts if " lives " in fact]) == 40
    assert kept.read(ReadFormation()).parked == 0


def test_two_workers_on_one_thread_come_to_exactly_the_same(kept: Record, proof: bool) -> None:
    """Of one thread, whose order is one, two workers make fact for fact what one makes."""
    turns = TURNS if proof else 60
    alone = ReferenceStore().record("alone")
    for record in (alone, kept):
        talk = Talk(record)
        for turn in range(turns):
            talk.say(f"My friend Anna{turn % 10} lives in {TOWNS[turn // 10 % 5]}. I like book {turn}.")
    work_until_done(alone, 1, batch=7)
    work_until_done(kept, 2, batch=7)
    assert Talk(kept).facts() == Talk(alone).facts()
    history = [(c.kind, c.after and c.after.text) for c in Talk(kept).history() if c.kind != "NONE"]
    assert history == [(c.kind, c.after and c.after.text) for c in Talk(alone).history() if c.kind != "NONE"]


def test_two_scopes_run_side_by_side(kept: Record) -> None:
    """While one person's model thinks, another person's facts are formed; one person's threads take turns."""
    for user in ("ada", "bob"):
        Talk(kept, ADA._replace(user_id=user)).say("I live in Leeds.")
    Talk(kept, thread="second").say("I drink tea.")
    both = threading.Barrier(2, timeout=20)
    extractor = ScriptedExtractor()

    def meet(messages: Any, schema: Any) -> Any:
        both.wait()
        return extractor.ask(messages, schema).value

    tools = tools_of(kept, ScriptedModel(meet))
    with ThreadPoolExecutor(2) as pool:
        formed = [future.result() for future in [pool.submit(form_thread, tools) for _ in range(2)]]
    assert [one.error for one in formed if one is not None] == [None, None]
    assert len(kept.read(FindForming(early=True))) == 1


def test_a_thread_of_somebody_who_is_being_formed_is_left_alone(kept: Record) -> None:
    """Who holds a person's lease holds all their threads: a second worker finds nothing to do."""
    talk, other = Talk(kept), Talk(kept, thread="second")
    talk.say("I live in Leeds.")
    other.say("I drink tea.")
    seen: list[object] = []
    extractor = ScriptedExtractor()

    def meanwhile(messages: Any, schema: Any) -> Any:
        seen.append(form_thread(tools_of(kept), other.key))
        return extractor.ask(messages, schema).value

    form_thread(tools_of(kept, ScriptedModel(meanwhile)), talk.key)
    assert seen == [None]
    drain(tools_of(kept))
    assert talk.facts() == ["Ada drinks tea", "Ada lives in Leeds"]


@pytest.mark.parametrize("seconds", [0.05])
def test_workers_of_two_stores_share_the_work(dsn: str, tenant: str, seconds: float) -> None:
    """Two processes' worth of pools form many people's threads in less time than one would take."""
    with (
        closing(PostgresStore(dsn, options=PoolOptions(3))) as first,
        closing(PostgresStore(dsn, options=PoolOptions(3))) as second,
    ):
        records = [store.record(tenant) for store in (first, second)]
        for number in range(12):
            Talk(records[0], ADA._replace(user_id=f"user-{number}")).say("I live in Leeds.")
        jobs: list[Callable[[], Drained]] = [
            lambda record=record: drain(tools_of(record, SlowModel(seconds))) for record in records
        ]
        with ThreadPoolExecutor(2) as pool:
            done = [future.result() for future in [pool.submit(job) for job in jobs]]
        assert sum(one.formed for one in done) == 12
        assert all(one.formed > 0 for one in done)
        assert sum(one.added for one in done) == 12
