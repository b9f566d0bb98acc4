"""Whatever a model answers, or fails to answer, nothing is lost, nothing is doubled, and what cannot be formed says why."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from keepwell.errors import KeepwellError, NoLanguageModel
from keepwell.models import Message
from keepwell.storage.base import DeleteMessages, Record, ReplaceMessage
from keepwell.storage.facts import (
    ClaimThread,
    FindForming,
    ListParked,
    ReadFormation,
    ReadSpent,
    ReadUnformed,
    RetryParked,
    SetPolicy,
)
from keepwell.testing import FailingModel, GarbageModel, ScriptedExtractor, ScriptedModel
from keepwell.testing.language import Spoilt
from keepwell.work import FormedThread, drain, form_thread
from keepwell.work.asking import midnight
from keepwell.work.forming import backoff

from .workshop import ADA, Talk, tools_of

LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
GARBAGE: tuple[Spoilt, ...] = ("empty", "cut off", "wrong schema", "invented ids", "too long", "retract everything")
REASONS = {
    "empty": "empty",
    "cut off": "cut off",
    "wrong schema": "not of the schema",
    "invented ids": "999",
    "too long": "10,000,0",
    "retract everything": "retract",
}


@pytest.mark.parametrize("spoilt", GARBAGE)
def test_garbage_changes_nothing_and_parks_the_message(kept: Record, spoilt: Spoilt) -> None:
    """An answer that cannot be used leaves every fact as it is; the message is parked, and the reason shows."""
    talk = Talk(kept)
    known = ["I live in Leeds.", "I like tea.", "I have a dog.", "I play chess.", "I work at Acme."]
    talk.say(*known)
    drain(tools_of(kept))
    before, history = talk.whole(), talk.history()
    talk.say("I live in York, and I like peanuts and tea, have a dog, play chess and work at Acme.")
    model = GarbageModel(spoilt)
    done = drain(tools_of(kept, model))
    assert (done.parked, done.failed, done.formed) == (1, 0, 0)
    assert (talk.whole(), talk.history()) == (before, history)
    (parked,) = kept.read(ListParked())
    assert (parked.message, parked.thread_id, parked.owner) == (talk.ids[-1], "chat", ADA)
    assert REASONS[spoilt] in parked.error
    assert "peanuts" not in parked.error
    assert model.calls <= 4  # twice with what stands ahead of it, and twice without
    assert drain(tools_of(kept, model)).parked == 0  # it is not tried again by itself


@pytest.mark.parametrize("spoilt", GARBAGE[:5])
def test_one_bad_message_is_found_among_many_and_the_rest_goes_on(kept: Record, spoilt: Spoilt) -> None:
    """A batch that fails is narrowed to the message at fault; all others are formed, before it and after it."""
    talk = Talk(kept)
    towns = [f"My sister Anna{n} lives in Town{n}." for n in range(12)]
    talk.say(*towns[:7], "I live in Leeds, which is POISON for the model.", *towns[7:])
    model = GarbageModel(spoilt, only="POISON")
    done = drain(tools_of(kept, model))
    assert (done.parked, done.formed) == (1, 12)
    assert len(talk.facts()) == 12
    assert [parked.message for parked in kept.read(ListParked())] == [talk.ids[7]]
    assert model.calls < 40


def test_what_is_parked_can_be_tried_again(kept: Record) -> None:
    """After a retry with a model that can, the parked message is formed like any other."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    drain(tools_of(kept, GarbageModel("empty")))
    assert talk.facts() == []
    assert kept.write(RetryParked()) == 1
    assert drain(tools_of(kept)).formed == 1
    assert talk.facts() == ["Ada lives in Leeds"]
    assert kept.read(ListParked()) == ()


def test_a_model_that_only_talks_nonsense_does_not_park_everything(kept: Record) -> None:
    """When message after message has no usable answer it is the model, and the rest waits for a better one."""
    talk = Talk(kept)
    for number in range(10):
        talk.say(f"I like book {number}.")
        talk.say("Noted.", role="assistant")
    done = drain(tools_of(kept, GarbageModel("empty"), park_limit=2, retry_seconds=100.0))
    assert (done.parked, done.failed) == (2, 1)
    formation = kept.read(ReadFormation())
    assert (formation.parked, formation.failing) == (2, 1)
    kept.write(RetryParked())
    drain(tools_of(kept))
    assert len(talk.facts()) == 10


def test_an_outage_loses_nothing(kept: Record) -> None:
    """While the model does not answer all stays due, with the error and a growing pause; then all of it is formed."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", "I drink tea.")
    model = FailingModel()
    for attempts in range(3):
        formed = form_thread(tools_of(kept, model), talk.key)
        assert formed is not None
        assert formed.error is not None
        assert "ConnectionError" in formed.error
        assert kept.read(ReadFormation()).failing == 1
        claim = kept.write(ClaimThread(dt.timedelta(0), talk.key, early=True))
        assert claim is not None
        assert claim.attempts == attempts + 1
    assert (talk.facts(), talk.history().changes) == ([], ())
    model.failing = False
    assert drain(tools_of(kept, model)).formed == 2
    assert talk.facts() == ["Ada drinks tea", "Ada lives in Leeds"]
    assert kept.read(ReadFormation()).failing == 0


def test_a_failure_waits_before_it_is_tried_again(kept: Record) -> None:
    """A drain right after an outage does not ask the model again, early or not."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    model = FailingModel()
    tools = tools_of(kept, model, retry_seconds=60.0)
    drain(tools)
    drain(tools)
    assert model.calls == 1
    assert kept.read(FindForming(early=True)) == ()


def test_a_failure_between_two_batches_keeps_the_first(kept: Record) -> None:
    """What was applied stays applied: the next attempt begins after it."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", "I drink tea.")
    extractor = ScriptedExtractor()
    asked = 0

    def once(messages: Any, schema: Any) -> Any:
        nonlocal asked
        asked += 1
        return ConnectionError() if asked == 2 else extractor.ask(messages, schema).value

    tools = tools_of(kept, ScriptedModel(once), batch=1)
    assert drain(tools).formed == 1
    assert talk.facts() == ["Ada lives in Leeds"]
    assert drain(tools).formed == 1
    assert talk.facts() == ["Ada drinks tea", "Ada lives in Leeds"]
    assert asked == 4  # the first, the failing, and two for the second


def test_an_error_of_the_program_gives_the_thread_back(kept: Record) -> None:
    """An error that nobody foresaw is raised, and the thread is due again without waiting for the lease's end."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")

    def broken(owner: Any, statements: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        form_thread(replace(tools_of(kept), remembered=broken), talk.key)
    assert drain(tools_of(kept)).formed == 1


def test_the_same_batch_delivered_three_times_gives_one_set_of_facts(kept: Record) -> None:
    """Engines deliver more than once: whoever comes second finds nothing to do, and changes nothing."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", "I drink tea.", "My sister Priya lives in York.")
    for _ in range(3):
        form_thread(tools_of(kept), talk.key)
    assert len(talk.facts()) == 3
    assert [change.kind for change in talk.history()] == ["ADD"] * 3


def test_the_same_batch_formed_three_times_at_once_gives_one_set_of_facts(kept: Record) -> None:
    """Three workers that all read the same batch: one applies it, the others find that they came too late."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", "I drink tea.")
    extractor = ScriptedExtractor()
    results: list[FormedThread | None] = []
    thinking = 0

    def slow(messages: Any, schema: Any) -> Any:
        nonlocal thinking
        thinking += 1
        if thinking < 3:
            # While the model thinks, the lease ends, and another worker takes the thread over.
            results.append(form_thread(tools_of(kept, ScriptedModel(slow), lease=dt.timedelta(0)), talk.key))
        return extractor.ask(messages, schema).value

    results.append(form_thread(tools_of(kept, ScriptedModel(slow), lease=dt.timedelta(0)), talk.key))
    assert [result.error is None for result in results if result] == [True, False, False]
    assert talk.facts() == ["Ada drinks tea", "Ada lives in Leeds"]
    assert [change.kind for change in talk.history()] == ["ADD"] * 2


def test_a_late_word_keeps_the_thread_due(kept: Record) -> None:
    """A message that comes while the model thinks is formed next, not lost."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    extractor = ScriptedExtractor()
    came = False

    def meanwhile(messages: Any, schema: Any) -> Any:
        nonlocal came
        if not came:
            came = True
            talk.say("I drink tea.")
        return extractor.ask(messages, schema).value

    tools = tools_of(kept, ScriptedModel(meanwhile))
    assert form_thread(tools, talk.key) is not None
    drain(tools)
    assert talk.facts() == ["Ada drinks tea", "Ada lives in Leeds"]


def test_a_replaced_message_is_formed_anew(kept: Record) -> None:
    """New words in an old message's place are read like new messages."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", "I drink tea.")
    drain(tools_of(kept))
    anew = Message.user("I live in York.", id=talk.ids[0], name="Ada", created_at=talk.at)
    kept.write(ReplaceMessage(ADA, "chat", anew, ""))
    drain(tools_of(kept))
    assert talk.facts() == ["Ada drinks tea", "Ada lives in York"]


def test_a_message_deleted_while_the_model_thinks_leaves_no_fact(kept: Record) -> None:
    """What rests on words that are gone is not written; what else was said is formed all the same."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", "I drink tea.")
    extractor = ScriptedExtractor()

    def meanwhile(messages: Any, schema: Any) -> Any:
        kept.write(DeleteMessages(ADA, "chat", (talk.ids[0],)))
        return extractor.ask(messages, schema).value

    formed = form_thread(tools_of(kept, ScriptedModel(meanwhile)), talk.key)
    assert formed is not None
    assert formed.error is not None
    assert drain(tools_of(kept)).formed == 1
    assert talk.facts() == ["Ada drinks tea"]


def test_a_budget_that_is_spent_leaves_the_work_due(kept: Record) -> None:
    """Beyond the day's calls or tokens nothing is asked; what remains is due after midnight; all is counted."""
    for limit in ({"calls_per_day": 1}, {"tokens_per_day": 1}):
        owner = ADA._replace(user_id=next(iter(limit)))
        talk = Talk(kept, owner)
        kept.write(SetPolicy(owner, limit))
        talk.say("I live in Leeds.", "I drink tea.")
        model = ScriptedExtractor()
        done = drain(tools_of(kept, model, batch=1))
        assert (model.calls, done.formed, done.failed) == (1, 1, 1)
        (spent,) = kept.read(ReadSpent(midnight(), owner))
        assert (spent.calls, spent.input_tokens) == (1, model.input_tokens)
        kept.write(SetPolicy(owner, dict.fromkeys(limit)))
        kept.write(RetryParked())
        assert drain(tools_of(kept, batch=1)).formed == 1


def test_the_stores_budget_counts_where_an_owner_has_none(kept: Record) -> None:
    """A default for everybody stops each owner by itself."""
    for user in ("ada", "bob"):
        Talk(kept, ADA._replace(user_id=user)).say("I live in Leeds.", "I drink tea.")
    model = ScriptedExtractor()
    assert drain(tools_of(kept, model, batch=1, calls_per_day=1)).formed == 2
    assert model.calls == 2


def test_failed_calls_are_counted_too(kept: Record) -> None:
    """Calls that came to nothing are in the record, as failed."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    form_thread(tools_of(kept, FailingModel()), talk.key)
    form_thread(tools_of(kept, GarbageModel("empty")), talk.key)
    (spent,) = kept.read(ReadSpent(LONG_AGO))
    assert spent.calls == 2
    assert spent.input_tokens > 0


def test_at_most_two_calls_a_batch(kept: Record) -> None:
    """One call reads, one reconciles; where nothing is known, or nothing new was said, the second is saved."""
    talk = Talk(kept)
    model = ScriptedExtractor()
    for said, calls in (("I live in Leeds.", 1), ("I live in Leeds.", 1), ("I live in York.", 2), ("Thanks!", 1)):
        talk.say(said)
        before = model.calls
        drain(tools_of(kept, model))
        assert model.calls - before == calls, said


def test_what_nobody_said_costs_nothing(kept: Record) -> None:
    """The assistant's words, instructions and empty messages pass the watermark without a call."""
    talk = Talk(kept)
    talk.say("You are a pirate.", role="system")
    talk.say("Ahoy! You live in Leeds.", role="assistant")
    model = ScriptedExtractor()
    assert drain(tools_of(kept, model)).formed == 2
    assert model.calls == 0
    assert kept.read(FindForming(early=True)) == ()


def test_without_a_model_the_work_stays_due(kept: Record) -> None:
    """A drain without a language model does the rest, and leaves threads for one that has it."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    bare = replace(tools_of(kept), language_model=None)
    assert drain(bare).formed == 0
    with pytest.raises(NoLanguageModel):
        form_thread(bare, talk.key)
    assert drain(tools_of(kept)).formed == 1


def test_a_pause_that_is_not_over_is_waited_for_unless_told_otherwise(kept: Record) -> None:
    """A turn is formed when its pause is over; who drains may say early."""
    talk = Talk(kept)
    talk.say("I live in Leeds.", pause=600.0)
    assert drain(tools_of(kept), early=False).formed == 0
    assert form_thread(tools_of(kept), early=False) is None
    assert drain(tools_of(kept)).formed == 1


def test_a_store_that_fails_while_applying_leaves_all_as_it_was(kept: Record) -> None:
    """Where the write fails nothing of it is there, and the batch is formed later."""

    class Flaky:
        def __init__(self) -> None:
            self.failing = True

        def write(self, change: Any, connection: Any = None) -> Any:
            if self.failing and type(change).__name__ == "ApplyEdits":
                self.failing = False
                raise KeepwellError("the disk is full")
            return kept.write(change, connection)

        def read(self, query: Any) -> Any:
            return kept.read(query)

    talk = Talk(kept)
    talk.say("I live in Leeds.")
    tools = replace(tools_of(kept), record=Flaky())  # type: ignore[arg-type]  # as much of a record as is needed
    formed = form_thread(tools, talk.key)
    assert formed is not None
    assert formed.error == "KeepwellError: the disk is full"
    assert talk.facts() == []
    assert drain(tools).formed == 1
    assert talk.facts() == ["Ada lives in Leeds"]
    (spent,) = kept.read(ReadSpent(LONG_AGO))
    assert spent.calls == 2


def test_an_owners_policy_reaches_the_model(kept: Record) -> None:
    """What to store and what never to store is said to the model for this owner, after what the store says."""
    kept.write(SetPolicy(ADA, {"instructions": "allergies", "never": "politics"}))
    Talk(kept).say("I live in Leeds.")
    Talk(kept, ADA._replace(user_id="bob")).say("I live in York.")
    model = ScriptedExtractor()
    drain(tools_of(kept, model, instructions="pets"))
    rules = {"Leeds" in asked[1].text: asked[0].text for asked in model.asked}
    assert "pets; allergies" in rules[True]
    assert "politics" in rules[True]
    assert "pets" in rules[False]
    assert "politics" not in rules[False]


def test_pauses_grow_up_to_a_bound(kept: Record) -> None:
    """Each failure doubles the pause, chance takes off up to half of it, and an hour is the longest."""
    tools = tools_of(kept, retry_seconds=30.0)
    for attempts, longest in ((0, 30), (1, 60), (3, 240), (20, 3600), (10_000, 3600)):
        pauses = {backoff(attempts, tools).total_seconds() for _ in range(20)}
        assert len(pauses) > 1
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest


def test_logs_hold_no_words(kept: Record, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what was said nor what was answered is in any log line, however talkative."""
    caplog.set_level("DEBUG")
    talk = Talk(kept)
    talk.say("I live in Leeds.", "POISON: I drink tea.")
    drain(tools_of(kept, GarbageModel("cut off", only="POISON")))
    drain(tools_of(kept, FailingModel(ValueError("Leeds"))))
    assert "keepwell.work" in {record.name for record in caplog.records}
    assert "Leeds" not in caplog.text
    assert "tea" not in caplog.text


def test_a_lost_lease_is_an_answer_not_an_error(kept: Record) -> None:
    """Who comes too late writes nothing, leaves the other's lease alone, and says so."""
    talk = Talk(kept)
    talk.say("I live in Leeds.")
    extractor = ScriptedExtractor()
    others: list[Any] = []

    def meanwhile(messages: Any, schema: Any) -> Any:
        others.append(kept.write(ClaimThread(dt.timedelta(minutes=5), talk.key, early=True)))
        return extractor.ask(messages, schema).value

    formed = form_thread(tools_of(kept, ScriptedModel(meanwhile), lease=dt.timedelta(0)), talk.key)
    assert formed is not None
    assert formed.error is not None
    assert formed.error.startswith("LeaseLost")
    assert talk.facts() == []
    assert len(kept.read(ReadUnformed(others[0], 10)).messages) == 1
    assert form_thread(tools_of(kept), talk.key) is None  # the other still holds it
