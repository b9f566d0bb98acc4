"""Distillation and retention are due work like any other."""

from __future__ import annotations

import datetime as dt
from uuid import uuid4

from keepwell.formation.options import DISTIL_AGENT
from keepwell.formation.settle import Draft, Edit
from keepwell.models import Owner, Scope
from keepwell.storage.base import Record
from keepwell.storage.facts import ApplyEdits, DueItem, PutDue, ReadFormation, ReadSources, SetPolicy
from keepwell.testing import FailingModel, GarbageModel, ScriptedExtractor
from keepwell.work import drain, filled, scope_of
from keepwell.work.due import next_night, plan_distillation

from .workshop import ADA, Talk, everything, tools_of

PATTERNS = Owner("ada", DISTIL_AGENT, "")
TONIGHT = DueItem("distil", PATTERNS)


def talks(record: Record) -> None:
    """Have Ada speak of running on many days, in many conversations."""
    for number in range(4):
        talk = Talk(record, thread=f"morning {number}", at=dt.datetime(2024, 5, 7 + number, tzinfo=dt.UTC))
        talk.say(f"I went running before breakfast, round {number}.")
    drain(tools_of(record))


def test_patterns_are_facts_of_their_own_agent_with_sources(kept: Record) -> None:
    """What comes back over many conversations becomes a fact that names the messages it rests on."""
    talks(kept)
    kept.write(PutDue((TONIGHT,)))
    assert drain(tools_of(kept)).distilled > 0
    patterns = Talk(kept, PATTERNS).whole()
    running = next(fact for fact in patterns if "running" in fact.text)
    assert (running.kind, running.trust, running.owner) == ("pattern", "assistant", PATTERNS)
    assert len(kept.read(ReadSources(Scope("ada"), running.id)).quotes) == 4
    assert len([fact for fact in Talk(kept).whole() if fact.owner == ADA]) == 4


def test_nobody_is_asked_again_before_something_new_was_said(kept: Record) -> None:
    """A night after which nothing was said costs no call; new words are looked over again."""
    talks(kept)
    model = ScriptedExtractor()
    for calls in (1, 1, 2):
        if calls == 2:
            Talk(kept, thread="more").say("Thanks.")
        kept.write(PutDue((TONIGHT,)))
        drain(tools_of(kept, model))
        distilled = [asked for asked in model.asked if '"task": "distil"' in asked[-1].text]
        assert len(distilled) == calls


def test_a_failing_or_wild_model_changes_no_pattern(kept: Record) -> None:
    """An outage or an answer that cannot be used leaves patterns as they are, and the work due."""
    talks(kept)
    kept.write(PutDue((TONIGHT,)))
    for model in (FailingModel(), GarbageModel("invented ids"), GarbageModel("wrong schema")):
        assert drain(tools_of(kept, model)).distilled == 0
        assert Talk(kept, PATTERNS).facts() == []
        assert kept.read(ReadFormation()).due_items["distil"] == 1
    assert drain(tools_of(kept)).distilled > 0


def test_distillation_is_due_once_a_night_for_each_person(kept: Record) -> None:
    """It is planned for the coming night, once for a person however many agents they talk to, and not done before."""
    talks(kept)
    Talk(kept, Owner("ada", "helper", "")).say("I like plums.")
    Talk(kept, Owner("", "nobody", "")).say("I like pears.")
    tools = tools_of(kept, distil_hour=3)
    plan_distillation(tools)
    assert drain(tools).distilled == 0
    assert kept.read(ReadFormation()).due_items["distil"] == 1
    noon = dt.datetime(2024, 5, 7, 12, tzinfo=dt.UTC)
    assert next_night(3, noon) == dt.datetime(2024, 5, 8, 3, tzinfo=dt.UTC)
    assert next_night(13, noon) == dt.datetime(2024, 5, 7, 13, tzinfo=dt.UTC)


def test_what_is_past_its_time_is_forgotten(kept: Record) -> None:
    """Facts past ``expires_at`` and messages past their retention are removed by a drain."""
    tools = tools_of(kept)
    past = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    edits = (Edit("ADD", draft=Draft("Ada is in Rome", expires_at=past)), Edit("ADD", draft=Draft("Ada likes tea")))
    kept.write(ApplyEdits(ADA, filled(tools, edits), "ada", uuid4(), scope_of(ADA)))
    assert drain(tools).expired == 1
    assert everything(kept) == ["Ada likes tea"]


def test_retention_of_an_owner_reaches_what_was_formed(kept: Record) -> None:
    """Messages older than an owner's retention go with the facts that rest on them."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    drain(tools_of(kept))
    kept.write(SetPolicy(ADA, {"retention": 1e-9}))
    assert drain(tools_of(kept)).expired >= 1
    assert talk.facts() == []
