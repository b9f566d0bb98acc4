"""What is forgotten through the face is gone from every table, and a receipt proves it later."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from keepwell import Fact, Memory, Message, Receipt, ScopedMemory
from keepwell.errors import FactNotFound, MessageNotFound, UsageError
from keepwell.formation.settle import Draft, Edit, hashes
from keepwell.storage.facts import ApplyEdits


@pytest.fixture
def word() -> str:
    """Give a word that nobody else ever wrote."""
    return f"xylo{uuid.uuid4().hex}"


@pytest.fixture
def dump(admin_dsn: str) -> Iterator[Callable[[], str]]:
    """Give a function that gives every row of every table of ours as text, as an administrator sees them."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:

        def everything() -> str:
            tables = admin.execute("select tablename from pg_tables where schemaname = 'keepwell'").fetchall()
            rows: list[str] = []
            for (table,) in tables:
                query = sql.SQL("select t::text from keepwell.{} t").format(sql.Identifier(table))
                rows += [row for (row,) in admin.execute(query).fetchall()]
            return "\n".join(rows)

        yield everything


def told(view: ScopedMemory, word: str) -> tuple[Message, Message, Fact, Fact]:
    """Say a word in a message, replace it, hold it as a fact in several versions, and form a fact from that."""
    chat = view.thread("t")
    said, other = chat.append(Message.user(f"My word is {word}."), Message.user("The weather is fine."))
    chat.replace(Message.user(f"My only word is {word}!", id=said.id))
    said = chat.messages()[0]
    fact = view.remember(f"Ada's word is {word}", key=f"key-{word}", subject=f"s-{word}", sources=[said])
    fact = view.correct(fact, f"Ada's only word is {word}", metadata={word: word}, why="she said so")
    fact = view.remember(f"Ada says {word}", key=f"key-{word}", sources=[said, other])
    formed = view.remember(f"Ada has one word, {word}", sources=[fact])
    view.revert(view.history(formed)[0])
    view.restore(formed)
    return said, other, view.fact(fact.id), view.fact(formed.id)


def gone(view: ScopedMemory, receipt: Receipt) -> bool:
    """Tell whether nothing is left of what a receipt is about."""
    return not any(view.verify(receipt).values())


def learn(view: ScopedMemory, text: str, key: str | None = None) -> list[str]:
    """Try to learn a statement as a formation does, and give what became of it."""
    engine = view._engine
    draft = Draft(text, key=key, hashes=hashes(engine.secret(), text, key), terms="x", trust="assistant")
    edits = (Edit("ADD", draft=draft, trust="assistant"),)
    made = engine.record.write(ApplyEdits(view.scope.owner, edits, "formation", uuid.uuid4(), view.scope))
    return [change.kind for change in made]


@pytest.fixture
def ada(memory: Memory) -> ScopedMemory:
    """Give Ada's view."""
    return memory.scope(user_id="ada")


def test_words_are_there_before(ada: ScopedMemory, word: str, dump: Callable[[], str]) -> None:
    """The dump that the other tests look through does show what is kept."""
    told(ada, word)
    assert dump().count(word) > 5


@pytest.mark.parametrize("way", ["scope", "thread", "message", "everywhere", "both facts"])
def test_no_word_is_left_in_any_table(ada: ScopedMemory, word: str, dump: Callable[[], str], way: str) -> None:
    """Versions, history, keys, subjects, metadata, postings and what was formed from it: no table has the word."""
    said, other, fact, formed = told(ada, word)
    match way:
        case "scope":
            receipt = ada.forget()
        case "thread":
            receipt = ada.forget(ada.thread("t"))
        case "message":
            receipt = ada.forget(said)
        case "everywhere":
            receipt = ada.forget(fact, everywhere=True)
        case _:
            receipt = ada.forget(fact)
            ada.forget(said)
    assert word not in dump()
    assert gone(ada, receipt)
    assert receipt.counts["facts"] == 2
    with pytest.raises(FactNotFound):
        ada.fact(formed.id)
    assert [message.id for message in ada.thread("t").messages()] == (
        [other.id] if way in {"message", "both facts"} else []
    )


def test_a_fact_goes_and_its_messages_stay(ada: ScopedMemory, word: str, dump: Callable[[], str]) -> None:
    """Without ``everywhere`` only the fact goes, with its history and what was formed from it; it is not learned again."""
    said, _, fact, formed = told(ada, word)
    receipt = ada.forget(fact)
    assert (receipt.counts["facts"], receipt.counts.get("messages", 0)) == (2, 0)
    assert receipt.what.fact == fact.id
    assert len(ada.history(fact)) == len(ada.history(formed)) == 0
    assert ada.thread("t").messages()[0] == said
    for statement in (f"Ada's word is {word}", f"ada says {word}!"):
        assert learn(ada, statement) == ["NONE"]
    assert ada.remember(f"Ada says {word}").stands


def test_a_rejected_statement_is_not_learned_again(memory: Memory) -> None:
    """What a person rejected binds every owner that the view covers, with and without its key, until it is lifted."""
    ada, cook = memory.scope(user_id="ada"), memory.scope(user_id="ada", agent_id="cook")
    bob = memory.scope(user_id="bob")
    ada.retract(ada.remember("Ada snores", key="nights"), reject=True)
    assert learn(ada, "Ada snores", "nights") == learn(ada, "ada SNORES") == learn(cook, "Ada snores.") == ["NONE"]
    assert learn(bob, "Ada snores") == ["ADD"]
    ada.correct(ada.remember("Ada is five"), "Ada is fifty")
    assert learn(cook, "Ada is five") == ["NONE"]
    cook.retract(cook.remember("Ada sings"), reject=True)
    assert learn(ada, "Ada sings") == ["ADD"]
    ada.lift(*ada.rejections())
    assert learn(ada, "Ada snores") == ["ADD"]


def test_what_was_only_retracted_may_be_learned_again(ada: ScopedMemory) -> None:
    """People do take up tea again."""
    ada.retract(ada.remember("Ada drinks tea"))
    assert learn(ada, "Ada drinks tea") == ["ADD"]


@pytest.mark.parametrize("way", ["scope", "thread", "message"])
def test_never_again_rejects_all_that_goes(ada: ScopedMemory, word: str, dump: Callable[[], str], way: str) -> None:
    """Whatever rested on what is forgotten, directly or not, in any version, cannot be learned again."""
    said, _, _, _ = told(ada, word)
    one: list[Any] = {"scope": [], "thread": [ada.thread("t")], "message": [said]}[way]
    apart = ada.remember("Ada is a pilot")
    ada.forget(*one, never_again=True)
    assert word not in dump()
    for statement in (f"Ada's word is {word}", f"Ada says {word}", f"Ada has one word, {word}"):
        assert learn(ada, statement) == ["NONE"]
    if way == "scope":
        assert learn(ada, apart.text) == ["NONE"]
    else:
        assert ada.fact(apart.id).stands


def test_a_scopes_rejections_go_with_it(ada: ScopedMemory) -> None:
    """Forgetting somebody leaves not even what they rejected, unless it is asked to."""
    ada.retract(ada.remember("Ada snores"), reject=True)
    ada.forget()
    assert ada.rejections() == ()


def test_other_owners_facts_fall_with_what_they_rest_on(memory: Memory, word: str, dump: Callable[[], str]) -> None:
    """What an agent made of a forgotten message goes as well, though it has another owner."""
    ada, cook = memory.scope(user_id="ada"), memory.scope(user_id="ada", agent_id="cook")
    said = cook.thread("t").append(Message.user(f"My word is {word}."))[0]
    ada.remember(f"Ada's word is {word}", sources=said)
    cook.forget(cook.thread("t"))
    assert len(ada.facts()) == 0
    assert word not in dump()


def test_delete_is_as_thorough_as_forget(ada: ScopedMemory, word: str, dump: Callable[[], str]) -> None:
    """Deleting a message of a thread takes the facts that rest on it along."""
    said, *_ = told(ada, word)
    ada.thread("t").delete(said)
    assert word not in dump()
    assert len(ada.facts()) == 0


def test_a_receipt_is_verified_through_its_own_view(memory: Memory, ada: ScopedMemory, word: str) -> None:
    """It names what is gone, never a word of it; another view's receipt is refused; what is written anew shows."""
    told(ada, word)
    receipt = ada.forget()
    assert word not in repr(receipt)
    assert gone(ada, receipt)
    with pytest.raises(UsageError, match="another view"):
        memory.scope(user_id="bob").verify(receipt)
    ada.remember("Ada is back")
    assert ada.verify(receipt)["facts"] == 1


def test_forget_takes_one_thing_and_says_so(memory: Memory, ada: ScopedMemory) -> None:
    """Wrong calls forget nothing: two values, an id, ``everywhere`` without a fact, somebody else's fact."""
    fact = ada.remember("Ada is a pilot")
    bobs = memory.scope(user_id="bob").remember("Bob is Bob")
    wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((fact, fact), {}),
        ((fact.id,), {}),
        ((None,), {}),
        ((), {"everywhere": True}),
        ((ada.thread("t"),), {"everywhere": True}),
    ]
    for args, options in wrong:
        with pytest.raises(UsageError):
            ada.forget(*args, **options)
    with pytest.raises(FactNotFound):
        ada.forget(bobs)
    with pytest.raises(MessageNotFound):
        ada.forget(Message.user("x", id="never"))
    with pytest.raises(FactNotFound):
        ada.forget(ada.forget(fact) and fact)
    assert memory.scope(user_id="bob").fact(bobs.id).stands
