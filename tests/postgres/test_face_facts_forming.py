"""Facts formed from messages, as the face gives them: by a drain, in the background, by one call; retention; status."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from keepwell import Memory, Message
from keepwell.errors import NoLanguageModel, ThreadNotFound, UsageError
from keepwell.testing import HashEmbedder, ScriptedExtractor


@pytest.fixture
def forming(open_memory: Callable[..., Memory], tenant: str) -> Memory:
    """Give a memory with a language model that works by rules."""
    return open_memory(tenant=tenant, language_model=ScriptedExtractor())


def test_a_drain_forms_what_was_said(forming: Memory) -> None:
    """Facts come with their words, are recalled, and are formed once."""
    ada = forming.scope(user_id="ada")
    ada.thread("t").append(Message.user("I live in Leeds.", name="Ada"))
    done = forming.drain()
    assert (done.formed, done.added) == (1, 1)
    (fact,) = ada.facts()
    assert "Leeds" in fact.text
    (quote,) = ada.sources(fact).quotes
    assert quote.text in "I live in Leeds."
    assert fact.text in [found.text for found in ada.recall("Leeds", kinds=("fact",))]
    assert forming.drain().formed == 0
    assert ada.history(fact)[0].actor == "formation"


def test_a_whole_formation_is_taken_back_at_once(forming: Memory) -> None:
    """The changes of one formation share their batch."""
    ada = forming.scope(user_id="ada")
    ada.thread("t").append(Message.user("I live in Leeds. I drink tea.", name="Ada"))
    forming.drain()
    assert len(ada.facts()) == 2
    ada.revert(batch=ada.history()[0].batch)
    assert len(ada.facts()) == 0


def test_one_thread_is_formed_by_its_value_or_key(forming: Memory) -> None:
    """``form`` is all that another engine has to call; what is not due gives None."""
    ada = forming.scope(user_id="ada")
    chat, other = ada.thread("a"), ada.thread("b")
    chat.append(Message.user("I live in Leeds.", name="Ada"))
    other.append(Message.user("I drink tea.", name="Ada"))
    formed = forming.form(chat)
    assert formed is not None
    assert (formed.messages, formed.error) == (1, None)
    assert forming.form(chat) is None
    assert other.key is not None
    assert forming.form(other.key) is not None
    assert forming.form(uuid4()) is None
    with pytest.raises(ThreadNotFound):
        forming.form(ada.thread("never"))


def test_without_a_model_nothing_is_formed_and_nothing_lost(memory: Memory, forming: Memory) -> None:
    """A process without a model leaves messages due for one that has it."""
    memory.scope(user_id="ada").thread("t").append(Message.user("I live in Leeds.", name="Ada"))
    assert memory.drain().formed == 0
    assert memory.status().formation.due_threads == 1
    with pytest.raises(NoLanguageModel):
        memory.form(memory.scope(user_id="ada").thread("t"))
    assert forming.drain().formed == 1
    assert memory.status().formation.due_threads == 0


def test_a_worker_in_the_background_forms_by_itself(
    open_memory: Callable[..., Memory], tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``worker="thread"`` facts come without anybody asking; closing ends the worker."""
    monkeypatch.setenv("KEEPWELL_FORM_PAUSE_SECONDS", "0")
    working = open_memory(tenant=tenant, language_model=ScriptedExtractor(), worker="thread")
    assert working.status().working
    ada = working.scope(user_id="ada")
    ada.thread("t").append(Message.user("I live in Leeds.", name="Ada"))
    until = time.monotonic() + 30
    while not len(ada.facts()) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(ada.facts()) == 1
    worker = working._worker
    working.close()
    assert worker is not None
    assert not worker.running


def test_settings_say_when_and_whether_messages_are_formed(
    open_memory: Callable[..., Memory], tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is due before the pause is over, unless enough wait; ``KEEPWELL_FORM=false`` never makes it due."""
    monkeypatch.setenv("KEEPWELL_FORM_EVERY", "3")
    patient = open_memory(tenant=tenant, language_model=ScriptedExtractor())
    chat = patient.scope(user_id="ada").thread("t")
    chat.append(Message.user("I live in Leeds.", name="Ada"))
    assert patient.drain(early=False).formed == 0
    chat.append(Message.user("I drink tea.", name="Ada"), Message.user("I like jazz.", name="Ada"))
    assert patient.drain(early=False).formed == 3
    monkeypatch.setenv("KEEPWELL_FORM", "false")
    never = open_memory(tenant=tenant, language_model=ScriptedExtractor())
    never.scope(user_id="bob").thread("t").append(Message.user("I live in York.", name="Bob"))
    assert never.drain().formed == 0


def test_what_is_said_incognito_is_never_formed(forming: Memory) -> None:
    """An incognito thread or append leaves nothing to form from."""
    ada = forming.scope(user_id="ada")
    ada.thread("t", incognito=True).append(Message.user("I live in Leeds.", name="Ada"))
    ada.thread("u").append(Message.user("I drink tea.", name="Ada"), incognito=True)
    assert forming.drain().formed == 0
    assert len(ada.facts()) == 0


def test_what_a_person_rejected_is_not_formed_again(forming: Memory) -> None:
    """A rejection holds against the same words in another conversation, until a person says it outright."""
    ada = forming.scope(user_id="ada")
    ada.thread("a").append(Message.user("I live in Leeds.", name="Ada"))
    forming.drain()
    statement = ada.facts()[0].text
    ada.forget(ada.facts()[0])
    ada.thread("b").append(Message.user("I live in Leeds.", name="Ada"))
    forming.drain()
    assert len(ada.facts()) == 0
    ada.remember(statement)
    assert [fact.text for fact in ada.facts()] == [statement]


def test_a_secret_of_the_settings_takes_the_place_of_the_stored_one(
    open_memory: Callable[..., Memory], tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejections are hashed under it, so they bind only who has it; a short one is refused."""
    monkeypatch.setenv("KEEPWELL_SECRET", "a secret outside the database")
    outside = open_memory(tenant=tenant, language_model=ScriptedExtractor())
    ada = outside.scope(user_id="ada")
    ada.retract(ada.remember("Ada lives in Leeds"), reject=True)
    assert outside._engine.secret() == b"a secret outside the database"
    monkeypatch.setenv("KEEPWELL_SECRET", "short")
    with pytest.raises(UsageError, match="KEEPWELL_SECRET"):
        open_memory(tenant=tenant)


# --- retention


def test_messages_past_their_time_are_forgotten_with_their_facts(forming: Memory) -> None:
    """A thread's retention wins over its owner's; what goes takes the facts that rest on it along."""
    ada = forming.scope(user_id="ada")
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=10)
    for name in ("short", "long"):
        said = ada.thread(name).append(Message.user(f"Something {name}.", created_at=old))
        ada.remember(f"Ada said something {name}", sources=said)
    ada.configure(retention=dt.timedelta(days=30))
    ada.thread("short").configure(retention=7)
    forming.drain()
    assert [len(ada.thread(name).messages()) for name in ("short", "long")] == [0, 1]
    assert [fact.text for fact in ada.facts()] == ["Ada said something long"]
    ada.configure(retention=None)
    assert "retention" not in ada.configure()
    for wrong in (0, -1, float("nan"), True, "7"):
        with pytest.raises(UsageError):
            ada.configure(retention=wrong)  # type: ignore[arg-type]  # that is the point


def test_facts_past_their_day_are_forgotten_without_a_rejection(forming: Memory) -> None:
    """A drain removes them, with their history; they may be learned again."""
    ada = forming.scope(user_id="ada")
    fact = ada.remember("The code is 1234", expires_at=dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
    assert forming.drain().expired >= 1
    assert len(ada.history(fact)) == 0
    assert ada.rejections() == ()


# --- status


def test_status_tells_what_formation_costs_and_how_long_it_takes(forming: Memory) -> None:
    """Facts, changes, lags, calls and tokens are in the status, and in its rows and table."""
    ada = forming.scope(user_id="ada")
    ada.thread("t").append(Message.user("I live in Leeds.", name="Ada"))
    forming.drain()
    status = forming.status()
    assert (status.formation.facts, status.formation.changes, status.formation.due_threads) == (1, 1, 0)
    assert status.language_model == ScriptedExtractor().model
    (spent,) = status.spent
    assert (spent.owner, spent.calls >= 1, spent.input_tokens > 0) == (ada.scope.owner, True, True)
    assert status.formation.formed_lag is not None
    rows = dict(status.rows())
    assert rows["facts"] == 1
    assert "calls" in str(rows["model today for ada"])
    assert "language model" in status._repr_html_()


def test_parked_messages_are_shown_and_tried_again(open_memory: Callable[..., Memory], tenant: str) -> None:
    """A message that no answer can be used for is shown with its error, and ``retry`` has it formed after all."""
    nonsense = open_memory(tenant=tenant, language_model=lambda messages, schema: "no JSON at all")
    ada = nonsense.scope(user_id="ada")
    ada.thread("t").append(Message.user("I live in Leeds.", name="Ada", id="m1"))
    for _ in range(8):
        nonsense.retry()
        nonsense.drain()
        if nonsense.status().parked:
            break
    (parked,) = nonsense.status().parked
    assert (parked.message, parked.thread_id, bool(parked.error)) == ("m1", "t", True)
    assert len(ada.facts()) == 0
    assert nonsense.retry(nonsense.scope(user_id="bob")) == 0
    assert nonsense.retry(ada) == 1
    better = open_memory(tenant=tenant, language_model=ScriptedExtractor())
    assert better.drain().added == 1
    assert better.status().parked == ()


def test_facts_of_a_remote_embedder_get_their_vectors_by_a_drain(
    open_memory: Callable[..., Memory], tenant: str
) -> None:
    """An embedder that is not in this process is not waited for: the fact is kept, and its vector is due work."""
    embedder = HashEmbedder()
    embedder.local = False
    remote = open_memory(tenant=tenant, embedder=embedder)
    ada = remote.scope(user_id="ada")
    ada.remember("Ada plays the cello")
    assert remote.status().formation.due_items.get("embed", 0) == 1
    assert remote.drain().embedded == 1
    assert "vector" in ada.recall("cello")[0].evidence
