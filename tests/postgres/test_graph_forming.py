"""Names that are found without a model: who is meant, what is written, and that it is done once."""

from __future__ import annotations

import datetime as dt
from uuid import uuid4

import pytest

from keepwell.formation.settle import Draft, Edit
from keepwell.models import Message, Owner
from keepwell.models.graph import Entity
from keepwell.storage.base import AppendMessages, Record, ReplaceMessage
from keepwell.storage.facts import ApplyEdits
from keepwell.storage.graph import GraphHistory, ListEntities, ReadMentions
from keepwell.testing import HashEmbedder
from keepwell.work import scope_of
from keepwell.work.graph import mention_due

from .workshop import ADA, Talk, tools_of


def entities(record: Record, owner: Owner = ADA) -> dict[str, Entity]:
    """Give an owner's entities by name."""
    found = record.read(ListEntities(scope_of(owner), limit=1000))
    return {one.name: one for one in found}


def surfaces(record: Record, entity: Entity) -> list[str]:
    """Give how an entity was named, newest first."""
    return [one.surface for one in record.read(ReadMentions(scope_of(entity.owner), entity.id, limit=1000))]


def look(record: Record, **settings: object) -> int:
    """Look through what nobody has looked through."""
    return mention_due(tools_of(record, **{"graph": True, **settings}))


def test_names_in_messages_become_entities_with_their_mentions(kept: Record) -> None:
    """Speakers, people, places, titles and handles are entities; each mention has its span."""
    talk = Talk(kept)
    talk.say('Yesterday my sister Priya read "Dune" in Leeds.', "Priya's address is priya@example.org.")
    assert look(kept) == 2
    found = entities(kept)
    assert {name: one.type for name, one in found.items()} == {
        "Ada": "person", "Priya": "person", "Dune": "work", "Leeds": "place", "priya@example.org": "handle",
    }  # fmt: skip
    mentions = kept.read(ReadMentions(scope_of(ADA), found["Priya"].id))
    assert sorted((one.surface, one.end - one.start) for one in mentions) == [("Priya", 5), ("Priya", 5)]


def test_what_was_looked_through_is_not_looked_through_again(kept: Record) -> None:
    """A second look finds nothing to do, and writes nothing."""
    talk = Talk(kept)
    talk.say("I met Tom in Leeds.")
    assert look(kept) == 1
    before = kept.read(GraphHistory(scope_of(ADA), limit=1000))
    assert look(kept) == 0
    assert kept.read(GraphHistory(scope_of(ADA), limit=1000)) == before


def test_names_join_those_that_are_known(kept: Record) -> None:
    """A name that is said again is the same entity, and one that only begins a sentence counts where it is known."""
    talk = Talk(kept)
    talk.say("I met Tom in Leeds.")
    look(kept)
    talk.say("Tom was there again. Rice was there too.")
    look(kept)
    assert sorted(entities(kept)) == ["Ada", "Leeds", "Tom"]
    assert len(surfaces(kept, entities(kept)["Tom"])) == 2


def test_two_of_one_name_stay_two(kept: Record) -> None:
    """The sister and the colleague are two, whatever their names are; a bare name is that of its conversation."""
    home, work = Talk(kept, thread="home"), Talk(kept, thread="work")
    home.say("My sister Priya has two cats.")
    look(kept)
    work.say("Priya from work gave me the report.")
    look(kept)
    priyas = [one for one in kept.read(ListEntities(scope_of(ADA), limit=100)) if one.name == "Priya"]
    assert len(priyas) == 2
    home.say("I told Priya about it.")
    look(kept)
    counts = sorted(len(surfaces(kept, one)) for one in priyas)
    assert counts == [1, 2]


def test_a_short_name_is_the_full_ones_where_only_one_has_it(kept: Record) -> None:
    """A "Priya" is Priya Shah; where there is a Priya Patel as well nothing tells which."""
    talk = Talk(kept)
    talk.say("I had lunch with Priya Shah and Tom Baker.")
    look(kept)
    talk.say("I had tea with Priya.")
    look(kept)
    assert sorted(entities(kept)) == ["Ada", "Priya Shah", "Tom Baker"]
    assert sorted(surfaces(kept, entities(kept)["Priya Shah"])) == ["Priya", "Priya Shah"]
    other = Talk(kept, thread="other")
    other.say("I had dinner with Priya Patel.", "I ran into Priya.")
    look(kept)
    assert len(surfaces(kept, entities(kept)["Priya Shah"])) == 2


def test_a_full_name_is_learned(kept: Record) -> None:
    """Who was known by a first name is called by the full one once it is said."""
    talk = Talk(kept)
    talk.say("My sister Priya is here.")
    look(kept)
    talk.say("I went to see Dune with Priya Shah.")
    look(kept)
    assert "Priya Shah" in entities(kept)
    assert "Priya" not in entities(kept)
    assert "Priya" in entities(kept)["Priya Shah"].aliases


def test_user_given_links_count(kept: Record) -> None:
    """Names in double brackets and in the metadata are entities whatever they look like."""
    message = Message(
        role="user",
        parts=({"type": "text", "text": "see [[project kite]] with 田中"},),
        metadata={"entities": ["田中", {"name": "Kite Ltd", "type": "organisation"}]},
    )
    kept.write(AppendMessages(ADA, "chat", (message,), ("",), signals=("",)))
    look(kept)
    found = entities(kept)
    assert {name: one.type for name, one in found.items()} == {
        "project kite": "thing", "田中": "thing", "Kite Ltd": "organisation",
    }  # fmt: skip


def test_a_replaced_message_is_looked_through_anew(kept: Record) -> None:
    """What a message named before it was replaced is not a mention any more."""
    talk = Talk(kept)
    talk.say("I met Tom in Leeds.")
    look(kept)
    message = Message(
        role="user", id=talk.ids[0], parts=({"type": "text", "text": "I met Zoë in Leeds."},), created_at=talk.at
    )
    kept.write(ReplaceMessage(ADA, "chat", message, ""))
    assert look(kept) == 1
    found = entities(kept)
    assert "Zoë" in found
    assert "Tom" not in found or surfaces(kept, found["Tom"]) == []


def test_two_workers_make_one_entity(kept: Record) -> None:
    """Who looks through the same texts at the same time makes the same entities."""
    talk = Talk(kept)
    talk.say("I met Tom in Leeds.")
    tools = tools_of(kept, graph=True)

    class Late:
        """A record on which somebody else is done first."""

        def __init__(self) -> None:
            self.waited = False

        def read(self, query: object) -> object:
            return kept.read(query)  # type: ignore[arg-type]

        def write(self, change: object, connection: object = None) -> object:
            if not self.waited:
                self.waited = True
                mention_due(tools)
            return kept.write(change, connection)  # type: ignore[arg-type]

    from dataclasses import replace

    mention_due(replace(tools, record=Late()))  # type: ignore[arg-type]
    assert sorted(entities(kept)) == ["Ada", "Leeds", "Tom"]
    assert surfaces(kept, entities(kept)["Tom"]) == ["Tom"]


def test_switched_off_nothing_is_written(kept: Record) -> None:
    """Without the graph no text is looked through."""
    Talk(kept).say("I met Tom in Leeds.")
    assert look(kept, graph=False) == 0
    assert entities(kept) == {}


@pytest.mark.parametrize("embedder", [None, HashEmbedder()])
def test_company_tells_whose_a_bare_name_is(kept: Record, embedder: HashEmbedder | None) -> None:
    """In a new conversation a bare name goes to the one in whose company it stands."""
    from dataclasses import replace

    tools = replace(tools_of(kept, graph=True), embedder=embedder)
    home, work = Talk(kept, thread="home"), Talk(kept, thread="work")
    home.say("My sister Priya has two cats and a garden with roses.")
    work.say("Priya from work wrote the budget report for the auditors.")
    mention_due(tools)
    later = Talk(kept, thread="later", at=dt.datetime(2024, 6, 1, tzinfo=dt.UTC))
    later.say("I asked Priya for the budget report, and the auditors liked the report.")
    mention_due(tools)
    priyas = [one for one in kept.read(ListEntities(scope_of(ADA), limit=100)) if one.name == "Priya"]
    counts = {len(surfaces(kept, one)): one for one in priyas}
    assert sorted(counts) == [1, 2]
    assert any("work" in said for said in _texts(kept, counts[2]))


def _texts(record: Record, entity: Entity) -> list[str]:
    from keepwell.storage.base import FetchMessages

    keys = [one.message for one in record.read(ReadMentions(scope_of(ADA), entity.id)) if one.message]
    return [found.message.text for found in record.read(FetchMessages(scope_of(ADA), tuple(keys), 0)).values()]


def test_facts_name_entities_too(kept: Record) -> None:
    """A fact's subject and the names in its statement are mentions, the role of the subject telling which is meant."""
    home, work = Talk(kept, thread="home"), Talk(kept, thread="work")
    home.say("My sister Priya is here.")
    work.say("Priya from work is here.")
    look(kept)
    draft = Draft("Priya, the sister of Ada, lives in Leeds", subject="Priya (sister)")
    kept.write(ApplyEdits(ADA, (Edit("ADD", draft=draft),), "user", uuid4(), scope_of(ADA), explicit=True))
    assert look(kept) == 1
    priyas = [one for one in kept.read(ListEntities(scope_of(ADA), limit=100)) if one.name == "Priya"]
    counts = {
        sum(one.fact is not None for one in kept.read(ReadMentions(scope_of(ADA), priya.id))): priya for priya in priyas
    }
    assert sorted(counts) == [0, 1]
    assert any("sister" in said for said in _texts(kept, counts[1]))


def test_what_cannot_be_stored_holds_nothing_up(kept: Record) -> None:
    """A text with characters that no database takes is looked through like any other."""
    odd = 'I read "The \x00 Odd" with [[a\ud800b]] and \x00Tom\ud800 in Leeds; 《 》 is blank.'
    kept.write(
        AppendMessages(
            ADA, "chat", (Message(role="user", parts=({"type": "text", "text": odd},), name="A\x00da"),), ("",), signals=("",)
        )
    )  # fmt: skip
    assert look(kept) == 1
    assert {"Tom", "Leeds"} <= set(entities(kept))
    assert look(kept) == 0
