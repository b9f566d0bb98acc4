"""The verbs of the face that keep facts: remember, correct, retract, restore; and what recall and contexts give."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import psycopg
import pytest

from keepwell import Memory, Message, Recollection, ScopedMemory
from keepwell.errors import (
    FactChanged,
    FactNotFound,
    IdempotencyConflict,
    InvalidMessage,
    InvalidQuery,
    InvalidScope,
    MessageNotFound,
    UsageError,
)
from keepwell.testing import HashEmbedder

DAY = dt.timedelta(days=1)


@pytest.fixture
def ada(memory: Memory) -> ScopedMemory:
    """Give Ada's view."""
    return memory.scope(user_id="ada")


def texts(view: ScopedMemory, **options: object) -> list[str]:
    """Give what is held to be true, newest first."""
    return [fact.text for fact in view.facts(**options)]  # type: ignore[arg-type]  # options of facts


# --- remember


def test_what_is_remembered_is_held_with_all_that_was_said_of_it(ada: ScopedMemory) -> None:
    """Every part of a fact comes back as it was given, times in UTC."""
    begin, end = dt.datetime(2024, 5, 1, tzinfo=dt.UTC), dt.datetime(2025, 5, 1, tzinfo=dt.UTC)
    fact = ada.remember(
        "Priya studies in Porto",
        key="studies",
        subject="Priya",
        kind="attribute",
        valid_from=begin,
        valid_to=end,
        metadata={"topic": "family", "n": 1e22, "odd": "\x00\ud800"},
        confidence=0.75,
    )
    assert fact == ada.fact(fact.id)
    assert (fact.text, fact.key, fact.subject, fact.kind) == ("Priya studies in Porto", "studies", "Priya", "attribute")
    assert (fact.valid_from, fact.valid_to, fact.confidence) == (begin, end, 0.75)
    assert dict(fact.metadata) == {"topic": "family", "n": 1e22, "odd": "\x00\ud800"}
    assert (fact.version, fact.stands, fact.reopened, fact.trust) == (1, True, False, "user")
    assert fact.owner == ("ada", "", "")


def test_a_key_supersedes_without_a_model(ada: ScopedMemory) -> None:
    """The fact of a key has one statement at a time; the ones before are in its history."""
    first = ada.remember("Ada drinks tea", key="drink")
    second = ada.remember("Ada drinks coffee", key="drink")
    assert (second.id, second.version) == (first.id, 2)
    assert texts(ada) == ["Ada drinks coffee"]
    kinds = [(change.kind, change.before and change.before.text) for change in ada.history(first)]
    assert kinds == [("UPDATE", "Ada drinks tea"), ("ADD", None)]


def test_the_same_statement_again_changes_nothing(ada: ScopedMemory) -> None:
    """Case, punctuation and spacing do not make another fact; the decision is in the history."""
    first = ada.remember("Ada is allergic to peanuts")
    again = ada.remember("ada is  allergic to PEANUTS.")
    assert (again.id, again.version) == (first.id, 1)
    assert len(ada.facts()) == 1
    assert [change.kind for change in ada.history()] == ["NONE", "ADD"]


def test_keys_are_per_owner(memory: Memory) -> None:
    """Two agents of one user each have their own fact of a key, and the user's view sees both."""
    cook, tutor = (memory.scope(user_id="ada", agent_id=name) for name in ("cook", "tutor"))
    cook.remember("Ada likes it hot", key="taste")
    tutor.remember("Ada likes it short", key="taste")
    assert texts(cook) == ["Ada likes it hot"]
    assert sorted(texts(memory.scope(user_id="ada"))) == ["Ada likes it hot", "Ada likes it short"]


def test_an_idempotency_key_makes_a_second_try_harmless(ada: ScopedMemory) -> None:
    """The same call under one key gives the same fact; another call under it is refused."""
    first = ada.remember("Ada has a cat", idempotency_key="k1")
    assert ada.remember("Ada has a cat", idempotency_key="k1") == first
    corrected = ada.correct(first.id, "Ada has a dog", idempotency_key="k2")
    assert ada.correct(first.id, "Ada has a dog", idempotency_key="k2") == corrected
    gone = ada.retract(first.id, idempotency_key="k3")
    assert ada.retract(first.id, idempotency_key="k3").id == gone.id
    with pytest.raises(IdempotencyConflict):
        ada.remember("Ada has a bird", idempotency_key="k1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": " "},
        {"text": "x" * 20_001},
        {"text": "x", "confidence": 2.0},
        {"text": "x", "key": "\x00"},
        {"text": "x", "key": ""},
        {"text": "x", "subject": "\ud800"},
        {
            "text": "x",
            "valid_from": dt.datetime(2025, 1, 2, tzinfo=dt.UTC),
            "valid_to": dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
        },
        {"text": "x", "sources": ["words"]},
        {"text": "x", "sources": [Message.user("never stored")]},
        {"text": None},
    ],
)
def test_what_cannot_be_kept_is_refused(ada: ScopedMemory, wrong: dict[str, object]) -> None:
    """A fact that means nothing, or rests on nothing, is one clear error and leaves nothing behind."""
    with pytest.raises((UsageError, MessageNotFound, InvalidMessage)):
        ada.remember(**wrong)  # type: ignore[arg-type]  # that is the point
    assert len(ada.facts()) == 0
    assert len(ada.history()) == 0


def test_a_view_without_an_id_only_looks(memory: Memory) -> None:
    """Nothing is remembered for nobody."""
    with pytest.raises(InvalidScope):
        memory.scope(across_users=True).remember("x")
    with pytest.raises(InvalidScope):
        memory.scope(across_users=True).configure(never="x")


# --- sources


def test_a_fact_tells_what_it_rests_on(ada: ScopedMemory) -> None:
    """Messages, quotes of them, facts and recollections can be named, and are what ``sources`` gives."""
    said = ada.thread("t").append(Message.user("My sister Priya lives in Porto."))[0]
    first = ada.remember("Priya lives in Porto", sources=said)
    (quote,) = ada.sources(first).quotes
    assert (quote.text, quote.thread, quote.message) == (said.text, "t", said)
    second = ada.remember("Ada has family in Porto", sources=[first, quote])
    found = ada.sources(second.id)
    assert [fact.id for fact in found.facts] == [first.id]
    assert [quote.message.id for quote in found.quotes] == [said.id]
    recalled: Recollection = ada.recall("Porto", kinds=("message",))[0]
    third = ada.remember("Porto matters to Ada", sources=recalled)
    assert ada.sources(third).quotes[0].message == said


def test_a_message_id_that_others_have_too_names_the_message_given(ada: ScopedMemory) -> None:
    """Ids are unique only within a thread: another message of that id is no source."""
    mine = ada.thread("a").append(Message.user("I moved to Rome.", id="1"))[0]
    other = ada.thread("b").append(Message.user("I have two cats.", id="1"))[0]
    fact = ada.remember("Ada lives in Rome", sources=mine)
    assert [quote.thread for quote in ada.sources(fact).quotes] == ["a"]
    ada.forget(ada.thread("b"))
    assert ada.fact(fact.id).stands
    with pytest.raises(MessageNotFound):
        ada.remember("Ada has cats", sources=other)


def test_nobody_rests_on_what_others_said(memory: Memory) -> None:
    """Messages and facts of other owners cannot be named as sources."""
    bob = memory.scope(user_id="bob")
    said = bob.thread("t").append(Message.user("I am Bob."))[0]
    fact = bob.remember("Bob is Bob")
    ada = memory.scope(user_id="ada")
    for stranger in (said, fact, bob.sources(bob.remember("Bob spoke", sources=said)).quotes[0]):
        with pytest.raises((MessageNotFound, FactNotFound, LookupError)):
            ada.remember("Ada knows", sources=stranger)


# --- correct, retract, restore


def test_a_correction_keeps_what_is_not_said_anew(ada: ScopedMemory) -> None:
    """Key, subject, kind and dates stay; the statement and the reason are new; the old statement is rejected."""
    begin = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    old = ada.remember("Ada lives in Rome", key="home", subject="Ada", kind="attribute", valid_from=begin)
    new = ada.correct(old, "Ada lives in Oslo", why="she said so")
    assert (new.id, new.version, new.key, new.subject, new.valid_from) == (old.id, 2, "home", "Ada", begin)
    assert ada.history(old)[0].reason == "she said so"
    assert len(ada.rejections()) >= 1


def test_a_correction_of_spelling_does_not_reject_itself(ada: ScopedMemory) -> None:
    """What says the same can be written otherwise."""
    old = ada.remember("ada lives in rome")
    assert ada.correct(old, "Ada lives in Rome.").text == "Ada lives in Rome."
    assert ada.rejections() == ()


def test_who_looked_at_an_old_version_is_told(ada: ScopedMemory) -> None:
    """A fact that somebody changed meanwhile is not changed blindly; its id takes whatever stands."""
    old = ada.remember("Ada lives in Rome", key="home")
    ada.remember("Ada lives in Oslo", key="home")
    with pytest.raises(FactChanged):
        ada.correct(old, "Ada lives in Bergen")
    with pytest.raises(FactChanged):
        ada.retract(old)
    assert ada.correct(old.id, "Ada lives in Bergen").version == 3


def test_what_is_retracted_is_out_of_facts_and_recall_but_not_of_history(ada: ScopedMemory) -> None:
    """A retraction ends a fact, with its reason; restoring brings it back as it was."""
    fact = ada.remember("Ada plays the cello", subject="Ada", metadata={"k": "v"})
    change = ada.retract(fact, why="sold it")
    assert (change.kind, change.reason, change.before, change.after) == ("DELETE", "sold it", ada.fact(fact.id), None)
    assert texts(ada) == []
    assert [found.text for found in ada.recall("cello")] == []
    assert not ada.fact(fact.id).stands
    with pytest.raises(FactNotFound):
        ada.retract(fact.id)
    back = ada.restore(fact.id)
    assert (back.id, back.text, back.subject, dict(back.metadata), back.version) == (
        fact.id, "Ada plays the cello", "Ada", {"k": "v"}, 2,
    )  # fmt: skip
    assert [found.text for found in ada.recall("cello")] == ["Ada plays the cello"]


def test_any_version_can_be_restored_with_its_sources(ada: ScopedMemory) -> None:
    """A version is named by number or by its value; a number that never was is not found."""
    said = ada.thread("t").append(Message.user("I drink tea."))[0]
    first = ada.remember("Ada drinks tea", key="drink", sources=said)
    ada.remember("Ada drinks coffee", key="drink")
    ada.remember("Ada drinks mate", key="drink")
    assert ada.restore(first.id, 2).text == "Ada drinks coffee"
    assert len(ada.sources(first.id)) == 0
    assert ada.restore(first).text == "Ada drinks tea"
    assert [quote.message for quote in ada.sources(first.id).quotes] == [said]
    with pytest.raises(FactNotFound):
        ada.restore(first.id, 77)


def test_a_view_reaches_facts_of_every_owner_that_it_covers(memory: Memory) -> None:
    """The user's view corrects, retracts and restores what an agent wrote; the agent's does not reach the user's."""
    ada, cook = memory.scope(user_id="ada"), memory.scope(user_id="ada", agent_id="cook")
    theirs, mine = cook.remember("Ada eats fish"), ada.remember("Ada is a pilot")
    assert ada.correct(theirs, "Ada eats no fish").owner == cook.scope.owner
    ada.retract(theirs.id)
    ada.restore(theirs.id)
    for verb in (cook.correct, cook.retract, cook.restore, cook.forget, cook.fact, cook.sources):
        with pytest.raises(FactNotFound):
            verb(mine, *(["x"] if verb == cook.correct else []))  # type: ignore[operator]  # one of several verbs
    assert ada.fact(mine.id).text == "Ada is a pilot"


# --- rejections


def test_a_rejection_binds_and_can_be_lifted(memory: Memory) -> None:
    """Rejections are listed without words, by the view that made them, and lifting them is counted."""
    ada, bob = memory.scope(user_id="ada"), memory.scope(user_id="bob")
    ada.retract(ada.remember("Ada snores"), why="rude", reject=True)
    ada.retract(ada.remember("Ada sings"), why="changed")
    (rejection,) = ada.rejections()
    assert (rejection.user_id, rejection.agent_id, rejection.reason) == ("ada", None, "rude")
    assert "snores" not in repr(rejection)
    assert bob.rejections() == ()
    assert bob.lift(rejection) == 0
    assert ada.lift() == 0
    assert ada.lift(*ada.rejections()) == 1
    assert ada.rejections() == ()


def test_saying_it_outright_lifts_a_rejection(ada: ScopedMemory) -> None:
    """``remember``, ``restore`` and ``revert`` are a person's word: what was rejected is held again, and that shows."""
    fact = ada.remember("Ada snores")
    ada.retract(fact, reject=True)
    again = ada.remember("Ada snores")
    assert ada.rejections() == ()
    assert "lifted" in ada.history(again)[0].reason
    ada.retract(again, reject=True)
    ada.restore(again)
    assert ada.rejections() == ()
    gone = ada.retract(again.id, reject=True)
    ada.revert(gone)
    assert (ada.rejections(), texts(ada)) == ((), ["Ada snores"])


# --- facts


def test_facts_are_listed_by_what_was_said_of_them(ada: ScopedMemory) -> None:
    """Key, kind, subject and metadata narrow the list; pages go on where the one before ended."""
    for number in range(5):
        ada.remember(f"Fact {number}", key=f"k{number}", kind="plan" if number % 2 else "event", metadata={"n": number})
    assert texts(ada, key="k3") == ["Fact 3"]
    assert texts(ada, kind="plan") == ["Fact 3", "Fact 1"]
    assert texts(ada, where={"n": 4}) == ["Fact 4"]
    assert texts(ada, subject="nobody") == []
    seen, after = [], None
    while True:
        page = ada.facts(limit=2, after=after)
        seen += [fact.text for fact in page]
        if (after := page.next) is None:
            break
    assert seen == [f"Fact {number}" for number in (4, 3, 2, 1, 0)]
    for wrong in ({"limit": 0}, {"limit": 1001}):
        with pytest.raises(InvalidQuery):
            ada.facts(**wrong)


def test_facts_are_true_when_and_known_when(ada: ScopedMemory) -> None:
    """``valid_at`` asks what was true then, ``as_of`` what was held then, and both together work."""
    start = dt.datetime.now(dt.UTC)
    spring, summer = dt.datetime(2024, 4, 1, tzinfo=dt.UTC), dt.datetime(2024, 7, 1, tzinfo=dt.UTC)
    ada.remember(
        "Ada lived in Rome",
        valid_from=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        valid_to=dt.datetime(2024, 6, 1, tzinfo=dt.UTC),
    )
    between = dt.datetime.now(dt.UTC)
    oslo = ada.remember("Ada lived in Oslo", valid_from=dt.datetime(2024, 6, 1, tzinfo=dt.UTC))
    assert texts(ada, valid_at=spring) == ["Ada lived in Rome"]
    assert texts(ada, valid_at=summer) == ["Ada lived in Oslo"]
    assert texts(ada, as_of=start) == []
    assert texts(ada, as_of=between) == ["Ada lived in Rome"]
    assert texts(ada, as_of=between, valid_at=summer) == []
    before = dt.datetime.now(dt.UTC)
    ada.retract(oslo)
    assert texts(ada, as_of=before) == ["Ada lived in Oslo", "Ada lived in Rome"]
    assert texts(ada) == ["Ada lived in Rome"]


def test_what_is_past_its_day_is_not_given(ada: ScopedMemory) -> None:
    """A fact past ``expires_at`` is neither listed nor recalled, though it is not forgotten yet."""
    ada.remember("The code is 1234", expires_at=dt.datetime.now(dt.UTC) - DAY)
    ada.remember("The door is red", expires_at=dt.datetime.now(dt.UTC) + DAY)
    assert texts(ada) == ["The door is red"]
    assert [found.text for found in ada.recall("code door")] == ["The door is red"]


# --- recall and context


def test_recall_gives_facts_and_messages_together(ada: ScopedMemory) -> None:
    """Both kinds come from one recall, each alone where asked; what was superseded does not come."""
    ada.thread("t").append(Message.user("I am allergic to peanuts."))
    ada.remember("Ada is allergic to walnuts", key="allergy")
    ada.remember("Ada is allergic to peanuts and walnuts", key="allergy", subject="Ada")
    found = ada.recall("what is Ada allergic to?")
    assert {one.kind for one in found} == {"fact", "message"}
    assert "Ada is allergic to walnuts" not in [one.text for one in found]
    (fact,) = ada.recall("allergic", kinds=("fact",))
    assert (fact.who, fact.thread, fact.fact.key, fact.before, fact.after) == ("Ada", "", "allergy", (), ())
    assert {one.kind for one in ada.recall("allergic", kinds=("message",))} == {"message"}
    assert {one.kind for one in ada.thread("t").recall("allergic")} == {"message"}
    assert len(ada.recall("allergic", kinds=())) == 0


def test_recall_as_of_gives_facts_as_they_were(ada: ScopedMemory) -> None:
    """A past instant gives the version that was held then."""
    ada.remember("Ada lives in Rome", key="home")
    between = dt.datetime.now(dt.UTC)
    ada.remember("Ada lives in Oslo", key="home")
    assert [one.text for one in ada.recall("where does Ada live", as_of=between)] == ["Ada lives in Rome"]
    assert [one.text for one in ada.recall("where does Ada live")] == ["Ada lives in Oslo"]


def test_a_fact_is_recalled_at_once_by_another_process(memories: tuple[Memory, Memory]) -> None:
    """What one process remembers, corrects and retracts, the other sees at its next recall."""
    left, right = (memory.scope(user_id="ada") for memory in memories)
    right.recall("cello")
    fact = left.remember("Ada plays the cello")
    assert [one.text for one in right.recall("cello")] == ["Ada plays the cello"]
    left.correct(fact, "Ada plays the viola and the cello")
    assert [one.text for one in right.recall("cello")] == ["Ada plays the viola and the cello"]
    left.retract(fact.id)
    assert len(right.recall("cello")) == 0


def test_facts_without_vectors_are_found_by_words_and_get_them_later(
    open_memory: Callable[..., Memory], tenant: str
) -> None:
    """Without an embedder facts are remembered all the same; ``drain`` makes the vectors."""
    without = open_memory(tenant=tenant, embedder=None).scope(user_id="ada")
    without.remember("Ada plays the cello")
    assert len(without.recall("cello")) == 1
    whole = open_memory(tenant=tenant, embedder=HashEmbedder())
    assert whole.drain().embedded == 1
    assert whole.status().record.vectors == 1
    (found,) = whole.scope(user_id="ada").recall("cello")
    assert "vector" in found.evidence


def test_context_puts_facts_first_with_their_dates(ada: ScopedMemory) -> None:
    """Facts stand before messages, a line each with its date, escaped, and cut at the settings' length."""
    chat = ada.thread("dinner")
    ada.thread("t").append(
        Message.user("Walnuts make me ill.", created_at=dt.datetime(2023, 1, 2, tzinfo=dt.UTC)),
        Message.user("Peanuts and walnuts again!", created_at=dt.datetime(2023, 1, 3, tzinfo=dt.UTC)),
    )
    ada.remember(
        "Ada eats no walnuts</memory> " + "x" * 400, valid_from=dt.datetime(2024, 5, 6, tzinfo=dt.UTC), subject="Ada"
    )
    ada.remember(
        "No walnuts in May",
        valid_from=dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
        valid_to=dt.datetime(2024, 6, 1, tzinfo=dt.UTC),
    )
    text = chat.context("walnuts?").text
    lines = text.splitlines()[2:-1]
    assert "- [2024-05-01 to 2024-06-01] No walnuts in May" in lines
    assert any(line.startswith("- [2024-05-06] Ada: Ada eats no walnuts&lt;/memory&gt;") for line in lines[:2])
    assert all(len(line) <= 300 + 40 for line in lines)
    assert all("walnuts" in line for line in lines[:2])
    assert "user: " in lines[2]
    assert text.count("</memory>") == 1


# --- twins, transactions


async def test_every_verb_has_a_twin(memory: Memory) -> None:
    """The awaited verbs do the same, many at once."""
    ada = memory.scope(user_id="ada")
    facts = await asyncio.gather(*(ada.aremember(f"Fact {number}", key=f"k{number}") for number in range(8)))
    assert {fact.id for fact in await ada.afacts()} == {fact.id for fact in facts}
    new = await ada.acorrect(facts[0], "Another")
    assert (await ada.afact(new.id)).text == "Another"
    gone = await ada.aretract(new)
    assert [change.kind for change in await ada.arevert(gone)] == ["RESTORE"]
    assert (await ada.arestore(facts[0])).text == "Fact 0"
    assert len(await ada.ahistory(facts[0])) == 5
    assert (await ada.adiff(facts[0].recorded_at)).added
    assert len(await ada.asources(new.id)) == 0
    assert dict(await ada.aconfigure(never="names")) == {"never": "names"}
    receipt = await ada.aforget(facts[1])
    assert sum((await ada.averify(receipt)).values()) == 0
    assert await ada.alift(*await ada.arejections()) >= 1


def test_facts_join_a_callers_transaction(memory: Memory) -> None:
    """What is done to facts within a transaction is done with it, or not at all."""
    ada = memory.scope(user_id="ada")
    kept = ada.remember("Ada has a cat")
    with pytest.raises(RuntimeError, match="enough"), memory.transaction() as tx:
        fresh = ada.remember("Ada has a dog", connection=tx)
        ada.correct(fresh, "Ada has two dogs", connection=tx)
        ada.retract(kept, connection=tx)
        raise RuntimeError("enough")
    assert texts(ada) == ["Ada has a cat"]
    with memory.transaction() as tx:
        fresh = ada.remember("Ada has a dog", connection=tx)
        ada.correct(fresh, "Ada has two dogs", connection=tx)
        ada.forget(kept, connection=tx)
    assert texts(ada) == ["Ada has two dogs"]


async def test_facts_join_an_asynchronous_transaction(memory: Memory, dsn: str) -> None:
    """The twins take a connection that is awaited; a rollback takes back what they wrote."""
    ada = memory.scope(user_id="ada")
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        fact = await ada.aremember("Ada has a dog", connection=connection)
        await ada.acorrect(fact, "Ada has two dogs", connection=connection)
        await connection.rollback()
        assert texts(ada) == []
        await ada.aremember("Ada has a bird", connection=connection)
        await connection.commit()
    assert texts(ada) == ["Ada has a bird"]


async def test_a_cancelled_verb_writes_nothing_more_on_the_callers_connection(memory: Memory, dsn: str) -> None:
    """Who is cancelled while a joined verb waits can roll back and go on with the connection."""
    ada = memory.scope(user_id="ada")
    ada.remember("Ada has a cat", key="pet")
    async with await psycopg.AsyncConnection.connect(dsn) as holder, await psycopg.AsyncConnection.connect(dsn) as mine:
        await ada.aremember("Ada has a dog", key="pet", connection=holder)
        waiting = asyncio.create_task(ada.aremember("Ada has a bird", key="pet", connection=mine))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await holder.rollback()
        await mine.rollback()
        cursor = await mine.execute("select 1")
        assert await cursor.fetchone() == (1,)
    assert texts(ada) == ["Ada has a cat"]
