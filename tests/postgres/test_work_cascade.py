"""What was formed from a fact follows it; and memory does what MEME asks of it.

MEME (arXiv 2605.12477) asks six things of a memory: exact recall, aggregation, tracking, deletion, cascade, absence.
The definitions are its authors'; the people and their words here are ours.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest

from keepwell.formation.settle import Draft, Edit
from keepwell.models import Fact, Owner, Source
from keepwell.storage.base import Forget, Record
from keepwell.storage.facts import ApplyEdits, RawSources, ReadFormation, ReadSpent
from keepwell.testing import FailingModel, GarbageModel, ScriptedExtractor
from keepwell.work import Tools, drain, filled, scope_of

from .workshop import ADA, Talk, everything, tools_of

PLANS = Owner("ada", "planner", "")


def derive(tools: Tools, text: str, *rests_on: Fact, owner: Owner = PLANS, key: str | None = None) -> UUID:
    """Write a fact that rests on others, as an agent would."""
    draft = Draft(
        text, "Ada", key=key, trust="assistant", sources=tuple(Source(fact=f.id, version=f.version) for f in rests_on)
    )
    edits = filled(tools, (Edit("ADD", draft=draft),))
    (change,) = tools.record.write(ApplyEdits(owner, edits, "planner", uuid4(), scope_of(owner)))
    assert change.after is not None
    return change.after.id


def the(talk: Talk, words: str) -> Fact:
    """Give the standing fact that has these words."""
    (found,) = [fact for fact in talk.whole() if words in fact.text]
    return found


@pytest.fixture
def talk(kept: Record) -> Talk:
    """Give Ada's talk, in which she told of herself."""
    talk = Talk(kept)
    talk.say("I live in Leeds. I have two cats.", "My sister Priya lives in York.")
    drain(tools_of(kept))
    return talk


def test_what_rests_on_a_changed_fact_is_formed_anew(kept: Record, talk: Talk) -> None:
    """A fact of another agent follows the fact it was formed from, through two steps, and rests on what stands now."""
    tools = tools_of(kept)
    home = the(talk, "Leeds")
    derive(tools, "Ada takes the train from Leeds", home)
    train = the(Talk(kept, PLANS), "train")
    derive(tools, "Ada needs a railcard for trains from Leeds", train)
    talk.say("I live in Bath.")
    done = drain(tools)
    assert (done.updated, done.reformed) == (1, 2)
    assert everything(kept) == [
        "Ada has two cats", "Ada lives in Bath", "Ada needs a railcard for trains from Bath",
        "Ada takes the train from Bath", "Priya, Ada's sister, lives in York",
    ]  # fmt: skip
    train = the(Talk(kept, PLANS), "takes")
    raw = kept.read(RawSources(scope_of(PLANS), (train.id,)))[train.id, train.version]
    assert raw == (Source(fact=home.id, version=2),)
    assert not train.reopened


def test_what_rests_on_nothing_any_more_goes(kept: Record, talk: Talk) -> None:
    """Where the only ground is retracted so is what stood on it, without asking a model; what has another stays."""
    tools = tools_of(kept)
    home, cats = the(talk, "Leeds"), the(talk, "cats")
    derive(tools, "Ada buys cat food", cats)
    derive(tools, "Ada's cats live in Leeds", home, cats)
    talk.say("Forget that I have two cats.")
    model = ScriptedExtractor()
    drain(tools_of(kept, model))
    assert everything(kept) == ["Ada lives in Leeds", "Priya, Ada's sister, lives in York"]
    cascade = Talk(kept, PLANS).history(actor="cascade")
    assert [(change.kind, change.before and change.before.text) for change in cascade] == [
        ("DELETE", "Ada buys cat food")
    ]
    assert cascade[0].cause is not None


def test_a_reopened_fact_waits_for_a_model_that_answers(kept: Record, talk: Talk) -> None:
    """While the model fails or talks nonsense the fact stays re-opened, nothing is lost, and it is settled later."""
    tools = tools_of(kept)
    derive(tools, "Ada takes the train from Leeds", the(talk, "Leeds"))
    talk.say("I live in Bath.")
    home = kept.read(ReadFormation())
    assert home.due_items.get("reform", 0) == 0
    broken = _failing_at("reform", FailingModel())
    done = drain(tools_of(kept, broken))
    assert (done.updated, done.reformed) == (1, 0)
    assert kept.read(ReadFormation()).due_items["reform"] == 1
    drain(tools_of(kept, _failing_at("reform", GarbageModel("wrong schema"))))
    assert the(Talk(kept, PLANS), "train").reopened
    assert drain(tools).reformed == 1
    assert the(Talk(kept, PLANS), "train").text == "Ada takes the train from Bath"
    assert sum(spent.calls for spent in kept.read(ReadSpent(dt.datetime(2000, 1, 1, tzinfo=dt.UTC), PLANS))) == 3


def _failing_at(task: str, broken: Any) -> Any:
    """Give a model of rules that is broken where it is asked for one thing."""
    from keepwell.testing import ScriptedModel

    well = ScriptedExtractor()

    def answer(messages: Any, schema: Any) -> Any:
        chosen = broken if f'"task": "{task}"' in messages[-1].text else well
        return chosen.ask(messages, schema).value

    return ScriptedModel(answer)


# --- MEME


def test_exact_recall(kept: Record, talk: Talk) -> None:
    """What was said is there to the letter: its numbers, names and times."""
    talk.say("I have a locker with number 8812. My birthday is 4 March 1986.")
    drain(tools_of(kept))
    assert {"Ada has a locker with number 8812", "Ada's birthday is 4 March 1986"} <= set(talk.facts())


def test_aggregation(kept: Record, talk: Talk) -> None:
    """What was said in many places, in many conversations, stands side by side, each thing once."""
    for number, city in enumerate(("Rome", "Oslo", "Lima", "Rome")):
        Talk(kept, thread=f"trip {number}", at=talk.at).say(f"I visited {city}.")
        drain(tools_of(kept))
    assert [fact for fact in talk.facts() if "visited" in fact] == [
        "Ada visited Lima",
        "Ada visited Oslo",
        "Ada visited Rome",
    ]


def test_tracking(kept: Record, talk: Talk) -> None:
    """Of something that changes often the present state stands alone, and every former one can be asked for."""
    moments = []
    for town in ("Bath", "Hull", "Ayr", "Bath"):
        talk.say(f"I live in {town}.")
        drain(tools_of(kept))
        moments.append((town, talk.history()[-1].at))
    assert the(talk, "Ada lives").text == "Ada lives in Bath"
    assert the(talk, "Ada lives").version == 5
    for town, at in moments:
        assert f"Ada lives in {town}" in talk.facts(as_of=at)


def test_deletion(kept: Record, talk: Talk) -> None:
    """What is to be forgotten is gone from what is held true; forgotten for real, it is gone from history as well."""
    talk.say("Please forget about my sister Priya.")
    drain(tools_of(kept))
    assert not [fact for fact in talk.facts() if "Priya" in fact]
    gone = talk.history()[-1].fact
    kept.write(Forget(scope_of(ADA), fact=gone, everywhere=True))
    drain(tools_of(kept))
    assert not [c for c in talk.history() for fact in (c.before, c.after) if fact is not None and "Priya" in fact.text]
    assert talk.facts() == ["Ada has two cats", "Ada lives in Leeds"]


def test_cascade(kept: Record, talk: Talk) -> None:
    """A change reaches everything that was concluded from it, however many steps away, and nothing else."""
    tools = tools_of(kept)
    last = the(talk, "Leeds")
    for step in ("has a garden in Leeds", "grows plums in Leeds", "sells jam in Leeds", "pays tax in Leeds"):
        derive(tools, f"Ada {step}", last)
        last = the(Talk(kept, PLANS), step)
    derive(tools, "Ada needs two cat baskets", the(talk, "cats"))
    talk.say("I live in Bath.")
    drain(tools)
    planned = Talk(kept, PLANS).facts()
    assert planned == [
        "Ada grows plums in Bath", "Ada has a garden in Bath", "Ada needs two cat baskets", "Ada pays tax in Bath",
        "Ada sells jam in Bath",
    ]  # fmt: skip


def test_absence(kept: Record, talk: Talk) -> None:
    """What nobody said is not there: questions, the assistant's guesses, and what was taken back make no fact."""
    talk.say("Do I have a boat?", "I wonder whether I own a boat.")
    talk.say("You have a boat, and your brother is called Tom.", role="assistant")
    drain(tools_of(kept))
    assert not [fact for fact in everything(kept) if "boat" in fact or "Tom" in fact]
