"""Relations that a model gives: written with the facts of the same batch, ended when they are, and kept in history."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from keepwell.models.graph import Relation
from keepwell.providers.language import LanguageModel
from keepwell.storage.base import FindThread, Forget, Record
from keepwell.storage.facts import ListParked
from keepwell.storage.graph import GraphHistory, ListEntities, ListRelations, ReadEntities, ReadMentions
from keepwell.testing import FailingModel, GarbageModel, ScriptedExtractor, ScriptedModel
from keepwell.work import drain, form_thread, scope_of

from .workshop import ADA, Talk, tools_of

VIEW = scope_of(ADA)


def told(record: Record, **asked: Any) -> set[tuple[str, str, str]]:
    """Give the relations that stand and have not ended, in words."""
    found = [one for one in record.read(ListRelations(VIEW, limit=1000, **asked)) if one.valid_to is None]
    return {words(record, one) for one in found}


def words(record: Record, one: Relation) -> tuple[str, str, str]:
    """Give a relation in words."""
    names = record.read(ReadEntities(VIEW, (one.subject, one.object), resolve=True))
    return names[one.subject].name, one.predicate, names[one.object].name


def form(record: Record, talk: Talk, model: LanguageModel | None = None, **settings: Any) -> Any:
    """Form a conversation."""
    return form_thread(tools_of(record, model, graph=True, **settings), talk.key)


def test_a_batch_writes_facts_and_relations_together(kept: Record) -> None:
    """One call gives both; a relation rests on the words and on the fact of the same words."""
    talk = Talk(kept)
    talk.say("My sister Priya lives in Leeds. Tom is Priya's carer.")
    formed = form(kept, talk)
    assert formed.error is None
    assert formed.calls == 1
    assert told(kept) == {("Priya", "sister of", "Ada"), ("Priya", "lives in", "Leeds"), ("Tom", "carer of", "Priya")}
    (sister,) = (one for one in kept.read(ListRelations(VIEW)) if one.predicate == "sister of")
    (fact,) = (one for one in talk.whole() if "Leeds" in one.text)
    assert [(source.fact, source.version) for source in sister.sources if source.fact] == [(fact.id, 1)]
    assert [(source.start, source.end) for source in sister.sources if source.message] == [(0, 31)]


def test_at_most_two_calls_a_batch(kept: Record) -> None:
    """Extraction with the graph, and reconciliation; no third."""
    talk = Talk(kept)
    talk.say("I live in Leeds. My sister Priya knows Tom.")
    assert form(kept, talk).calls == 1
    talk.say("I live in York. My sister Priya knows Zoe.")
    assert form(kept, talk).calls == 2


def test_what_holds_no_longer_ends_and_stays_in_the_history(kept: Record) -> None:
    """Saying "no longer" gives the relation an end; asked as of then, or for a time before, it holds."""
    talk = Talk(kept)
    talk.say("Priya works at Acme Corp and I know it. My sister Priya lives in Leeds.")
    form(kept, talk)
    before = dt.datetime.now(dt.UTC)
    said = talk.at
    talk.say("Priya no longer lives in Leeds.")
    form(kept, talk)
    assert ("Priya", "lives in", "Leeds") not in told(kept)
    assert ("Priya", "lives in", "Leeds") in told(kept, as_of=before)
    (ended,) = (one for one in kept.read(ListRelations(VIEW)) if one.predicate == "lives in")
    assert (ended.valid_to, ended.version) == (said, 2)
    assert ended in kept.read(ListRelations(VIEW, valid_at=said - dt.timedelta(hours=1)))
    kinds = [one.kind for one in kept.read(GraphHistory(VIEW, relation=ended.id))]
    assert kinds == ["UPDATE", "ADD"]


def test_a_new_home_ends_the_old_one(kept: Record) -> None:
    """What is so of one place at a time is ended by the next one."""
    talk = Talk(kept)
    talk.say("My sister Priya moved to Leeds.")
    form(kept, talk)
    talk.say("Now Priya moved to York.")
    form(kept, talk)
    assert {one for one in told(kept) if one[1] == "lives in"} == {("Priya", "lives in", "York")}


def test_known_entities_are_named_again_not_made_again(kept: Record) -> None:
    """A second batch about the same people adds relations to the same entities."""
    talk = Talk(kept)
    talk.say("My sister Priya lives in Leeds.")
    form(kept, talk)
    talk.say("I met Tom and he is nice. Tom is Priya's carer.")
    form(kept, talk)
    names = [one.name for one in kept.read(ListEntities(VIEW, limit=100))]
    assert sorted(names) == ["Ada", "Leeds", "Priya", "Tom"]


def test_the_detector_goes_on_where_a_model_was(kept: Record) -> None:
    """What a model named keeps its mention; the detector adds the rest, once."""
    talk = Talk(kept)
    talk.say('My sister Priya lives in Leeds and reads "Dune".')
    tools = tools_of(kept, graph=True)
    drain(tools)
    drain(tools)
    found = {one.name: one for one in kept.read(ListEntities(VIEW, limit=100))}
    assert sorted(found) == ["Ada", "Dune", "Leeds", "Priya"]
    spans = [(one.start, one.end) for one in kept.read(ReadMentions(VIEW, found["Priya"].id)) if one.message]
    assert spans == [(10, 15)]


@pytest.mark.parametrize("spoilt", ["empty", "cut off", "wrong schema", "invented ids", "too long"])
def test_garbage_changes_nothing(kept: Record, spoilt: Any) -> None:
    """An answer that cannot be used leaves the graph as it was, and parks the message."""
    talk = Talk(kept)
    talk.say("My sister Priya lives in Leeds.")
    form(kept, talk)
    before = kept.read(GraphHistory(VIEW, limit=1000)), told(kept)
    talk.say("Tom is Priya's carer.")
    form(kept, talk, GarbageModel(spoilt))
    assert (kept.read(GraphHistory(VIEW, limit=1000)), told(kept)) == before
    assert len(kept.read(ListParked())) == 1


def test_a_model_that_is_away_leaves_the_graph_due(kept: Record) -> None:
    """After an outage the same batch gives the same graph, once."""
    talk = Talk(kept)
    talk.say("My sister Priya lives in Leeds.")
    model = FailingModel()
    assert form(kept, talk, model).error is not None
    assert told(kept) == set()
    model.failing = False
    assert form(kept, talk, model).error is None
    assert told(kept) == {("Priya", "sister of", "Ada"), ("Priya", "lives in", "Leeds")}


def test_an_answer_without_the_graphs_part_is_an_answer(kept: Record) -> None:
    """A model that leaves the lists out gives facts all the same."""
    talk = Talk(kept)
    talk.say("I like tea.")
    fact = {"message": 1, "quote": "I like tea.", "statement": "Ada likes tea", "subject": "Ada"}
    assert form(kept, talk, ScriptedModel([{"facts": [fact]}])).added == 1
    assert told(kept) == set()


def test_two_of_one_name_are_two_for_a_model(kept: Record) -> None:
    """The sister and the colleague stay two, with relations of their own."""
    talk = Talk(kept)
    talk.say("Priya is my sister. Priya works at Acme Corp.", "I like tea.")

    def script(messages: Any, schema: Any) -> Any:
        if "conversation" not in messages[-1].text:
            return {"decisions": []}
        quotes = ("Priya is my sister", "Priya works at Acme Corp")
        return {
            "facts": [],
            "entities": [
                {"message": 1, "name": "Priya (sister)", "type": "person"},
                {"message": 1, "name": "Priya (colleague)", "type": "person"},
                {"message": 1, "name": "Acme Corp", "type": "organisation"},
            ],
            "relations": [
                {"message": 1, "quote": quotes[0], "subject": "Priya (sister)", "predicate": "sister of", "object": "Ada"},
                {"message": 1, "quote": quotes[1], "subject": "Priya (colleague)", "predicate": "works at", "object": "Acme Corp"},
            ],
        }  # fmt: skip

    form(kept, talk, ScriptedModel(script))
    priyas = [one for one in kept.read(ListEntities(VIEW, limit=100)) if one.name == "Priya"]
    assert len(priyas) == 2
    of = [{one.predicate for one in kept.read(ListRelations(VIEW, entity=priya.id))} for priya in priyas]
    assert sorted(map(sorted, of)) == [["sister of"], ["works at"]]


def test_what_a_forgotten_message_said_is_gone(kept: Record) -> None:
    """With the message go the relations, names and history that rest on it alone."""
    talk = Talk(kept)
    talk.say("My sister Priya lives in Leeds.")
    talk.say("I met Tom.")
    tools = tools_of(kept, graph=True)
    drain(tools)
    thread = kept.read(FindThread(ADA, "chat"))
    assert thread is not None
    kept.write(Forget(VIEW, thread.key, message=talk.ids[0]))
    drain(tools)
    assert told(kept) == set()
    assert sorted(one.name for one in kept.read(ListEntities(VIEW, limit=100))) == ["Ada", "Tom"]
    assert "Priya" not in str(kept.read(GraphHistory(VIEW, limit=1000)))


def test_without_the_graph_the_model_is_not_asked_for_it(kept: Record) -> None:
    """Switched off, the request has no word of entities, and nothing is written."""
    talk = Talk(kept)
    talk.say("My sister Priya lives in Leeds.")
    model = ScriptedExtractor()
    tools = replace(tools_of(kept, model, graph=False))
    drain(tools)
    assert "known entities" not in model.asked[0][-1].text
    assert "`relations`" not in model.asked[0][0].text
    assert len(kept.read(ListEntities(VIEW, limit=100))) == 0
