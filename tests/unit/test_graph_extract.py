"""The graph's part of an extraction: what of a model's answer is believed, and what makes all of it unusable."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from uuid import UUID

import pytest

from keepwell.errors import AnswerInvalid
from keepwell.formation.extract import Excerpt, excerpt, request
from keepwell.formation.extract_graph import RULES, GraphExtraction, GraphFound, KnownGraph, graph_of
from keepwell.formation.options import FormationSettings
from keepwell.models import Message, Owner
from keepwell.models.graph import Entity, Relation

ADA = Owner("ada", "", "")
DAY = dt.datetime(2024, 5, 7, 10, tzinfo=dt.UTC)
PRIYA, LEEDS = (Entity(UUID(int=n), name, ADA) for n, name in ((1, "Priya"), (2, "Leeds")))
LIVES = Relation(UUID(int=3), 1, PRIYA.id, "lives in", LEEDS.id, ADA, DAY)
KNOWN = KnownGraph((PRIYA, LEEDS), (LIVES,), {PRIYA.id: "Priya", LEEDS.id: "Leeds"}, "ada")


def said(*texts: str, role: str = "user", **settings: Any) -> Excerpt:
    """Give an excerpt of messages."""
    messages = [
        (number, Message(role=role, parts=({"type": "text", "text": text},), created_at=DAY))
        for number, text in enumerate(texts, 11)
    ]
    return excerpt(messages, [], FormationSettings(**{"assistant_facts": role == "assistant", **settings}))


def believed(given: Excerpt, known: KnownGraph = KNOWN, **answer: Any) -> GraphFound:
    """Give what is believed of an answer."""
    return graph_of(GraphExtraction.model_validate({"facts": [], **answer}), given, known)


def relation(**changed: Any) -> dict[str, Any]:
    """Give a relation as a model would."""
    whole = {
        "message": 1,
        "quote": "Tom is Priya's carer",
        "subject": "Tom",
        "predicate": "carer of",
        "object": "Priya",
    }
    return {**whole, **changed}


TOM = "Tom is Priya's carer since May."


def test_a_relation_rests_on_the_words_that_say_so() -> None:
    """Its source is the span of its quote, its dates are those that were said."""
    found = believed(said(TOM), relations=[relation(valid_from="2024-05")])
    (one,) = found.relations
    assert (one.subject, one.predicate, one.object) == (("tom", ""), "carer of", ("priya", ""))
    assert (one.source.message, one.source.start, one.source.end) == (11, 0, 20)
    assert one.valid_from == dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    assert {spoken.label for spoken in found.spoken} == {("tom", ""), ("priya", "")}


@pytest.mark.parametrize(
    "changed",
    [
        {"quote": "Tom is Priya's doctor"},
        {"quote": ""},
        {"predicate": " "},
        {"predicate": "x" * 200},
        {"subject": ""},
        {"object": "Tom"},
        {"subject": "4111 1111 1111 1111"},
    ],
)
def test_a_relation_without_ground_is_left_out(changed: dict[str, Any]) -> None:
    """What no words say, what says nothing, and what is screened is not believed; it is counted."""
    found = believed(said(TOM), relations=[relation(**changed)])
    assert found.relations == ()
    assert sum(found.dropped.values()) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"relations": [relation(message=2)]},
        {"relations": [relation(message=0)]},
        {"entities": [{"message": 9, "name": "Tom"}]},
        {"entities": [{"message": 1, "name": "Tom", "known": 3}]},
        {"ended": [{"message": 1, "quote": "Tom", "relation": 2}]},
        {"ended": [{"message": -1, "quote": "Tom", "relation": 1}]},
    ],
)
def test_numbers_that_there_are_not_make_the_answer_unusable(answer: dict[str, Any]) -> None:
    """A model that makes up a message, an entity or a relation is not believed in anything."""
    with pytest.raises(AnswerInvalid):
        believed(said(TOM), **answer)


def test_entities_are_where_the_message_has_their_names() -> None:
    """Each place of the name is a span; what the message does not have is left out."""
    found = believed(
        said("Tom met Tom."), entities=[{"message": 1, "name": "tom", "type": "Person"}, {"message": 1, "name": "Bob"}]
    )
    (tom,) = found.spoken
    assert [(one.start, one.end, one.surface, one.type) for one in tom.names] == [
        (0, 3, "Tom", "person"),
        (8, 11, "Tom", "person"),
    ]
    assert found.dropped == {"no such name in the message": 1}


def test_a_known_entity_is_named_by_its_number() -> None:
    """So a model can say which of two is meant; who was merged is given as whom it is taken to be."""
    found = believed(said(TOM), entities=[{"message": 1, "name": "Priya", "known": 1}])
    assert found.spoken[0].known == PRIYA.id


def test_two_of_one_name_are_told_apart_by_their_roles() -> None:
    """A name with "(sister)" and one with "(colleague)" are two."""
    entities = [{"message": 1, "name": "Priya (sister)"}, {"message": 2, "name": "Priya (colleague)"}]
    found = believed(said("Priya is my sister", "Priya from work"), entities=entities)
    assert [one.label for one in found.spoken] == [("priya", "sister"), ("priya", "colleague")]


def test_who_speaks_is_known_by_the_owners_name() -> None:
    """What a model calls "The user" is the owner."""
    found = believed(
        said("I live in Leeds."),
        relations=[relation(quote="I live in Leeds", subject="The user", predicate="lives_in", object="Leeds")],
    )
    (one,) = found.relations
    assert (one.subject, one.predicate) == (("ada", ""), "lives in")


def test_what_ended_is_a_known_relation_with_its_words() -> None:
    """It ends when that is said, else when the message was; what never held is retracted."""
    given = said("Priya no longer lives in Leeds.")
    ended = {"message": 1, "quote": "no longer lives in Leeds", "relation": 1}
    assert believed(given, ended=[ended]).over[0].valid_to == DAY
    assert believed(given, ended=[{**ended, "valid_to": "2024-04"}]).over[0].valid_to == dt.datetime(
        2024, 4, 1, tzinfo=dt.UTC
    )
    assert believed(given, ended=[{**ended, "wrong": True}]).over[0].valid_to is None
    assert believed(given, ended=[{**ended, "quote": "Priya moved"}]).over == ()


def test_an_answer_that_ends_too_much_is_not_believed() -> None:
    """The guard of facts holds for relations."""
    many = tuple(Relation(UUID(int=100 + n), 1, PRIYA.id, f"p{n}", LEEDS.id, ADA, DAY) for n in range(8))
    known = KnownGraph((PRIYA, LEEDS), many, {})
    ended = [{"message": 1, "quote": "Tom", "relation": n} for n in range(1, 9)]
    with pytest.raises(AnswerInvalid, match="would end"):
        believed(said(TOM), known, ended=ended)


def test_the_assistants_word_is_no_evidence_for_relations() -> None:
    """Unless the settings take the assistant's facts."""
    messages = [(11, Message(role="assistant", parts=({"type": "text", "text": TOM},), created_at=DAY))]
    given = excerpt(messages, [], FormationSettings(procedures=True))
    assert believed(given, relations=[relation()]).relations == ()
    assert len(believed(said(TOM, role="assistant"), relations=[relation()]).relations) == 1


def test_the_request_shows_what_is_known_under_small_numbers() -> None:
    """Entities and relations are numbered from 1, the owner is the user; no id is shown."""
    me = Entity(UUID(int=9), "ada", ADA)
    known = KnownGraph(
        (PRIYA, me),
        (Relation(UUID(int=4), 1, PRIYA.id, "sister of", me.id, ADA, DAY),),
        {PRIYA.id: "Priya", me.id: "ada"},
        "ada",
    )
    given = said(TOM)
    rules, asked = request(given, {}, (RULES,), known.told(given))
    told = json.loads(asked.text)
    assert told["known entities"] == [
        {"number": 1, "name": "Priya", "type": "thing"}, {"number": 2, "name": "The user", "type": "thing"},
    ]  # fmt: skip
    assert told["known relations"] == [
        {"number": 1, "subject": "Priya", "object": "The user", "predicate": "sister of"}
    ]
    assert "`relations`" in rules.text
    assert str(PRIYA.id) not in asked.text


def test_every_field_is_asked_for() -> None:
    """Servers with strict schemas want all fields required."""
    schema = GraphExtraction.model_json_schema()
    assert set(schema["required"]) == {"facts", "entities", "relations", "ended"}
