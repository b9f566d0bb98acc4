"""Recall in other languages, and from one language to another."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psycopg
import pytest

from keepwell import Memory, Message
from keepwell.errors import LanguageMismatch, UsageError
from keepwell.storage.languages import FindOldTerms, NewTerms, PutTerms
from keepwell.storage.postgres import PostgresStore
from keepwell.testing.reference import ReferenceStore

SAID = {
    "german": ["Die Kinder spielten gestern im Garten.", "Meine Schwester mag Äpfel.", "Der Zug fährt um neun."],
    "french": ["Les enfants jouaient à l'école.", "Ma sœur a acheté deux chevaux.", "Le train part à neuf heures."],
    "russian": ["Дети играли в саду.", "Моя сестра любит кошку.", "Поезд уходит в девять."],
    "simple": ["昨日は東京タワーに行きました。", "妹はりんごが好きです。", "電車は九時に出ます。"],
    "arabic": ["لعب الأطفال في الحديقة", "زرت المكتبات أمس", "يغادر القطار في التاسعة"],
}
ASKED = {
    "german": ("Wer spielt in Gärten?", "Apfel"),
    "french": ("Qui joue aux écoles ?", "un cheval"),
    "russian": ("Кто играет в садах?", "кошки"),
    "simple": ("東京タワー", "りんごが"),
    "arabic": ("أين لعب الأطفال؟", "المكتبة"),
}


@pytest.mark.parametrize("snapshot_bytes", [2**24, 0], ids=["snapshot", "candidates"])
@pytest.mark.parametrize("language", list(SAID))
def test_other_forms_are_found(dsn: str, language: str, snapshot_bytes: int) -> None:
    """A question finds what was said in other forms of its words, whichever way the scope is loaded."""
    store = PostgresStore(dsn)
    tenant = f"t{uuid.uuid4().hex}"
    with Memory.over(store, tenant=tenant, language=language, snapshot_bytes=snapshot_bytes) as memory:
        ada = memory.scope("ada")
        ada.thread("t").append(*map(Message.user, SAID[language]))
        for place, question in enumerate(ASKED[language]):
            assert ada.recall(question, limit=1)[0].text == SAID[language][place], question


@pytest.fixture(params=["postgres", "reference"])
def opened(request: pytest.FixtureRequest, dsn: str) -> Callable[[str | None], Memory]:
    """Give a function that opens the same new tenant again and again."""
    store = PostgresStore(dsn) if request.param == "postgres" else ReferenceStore()
    tenant = f"t{uuid.uuid4().hex}"
    return lambda language: Memory.over(store, tenant=tenant, language=language)


def test_another_language_is_refused(opened: Callable[[str | None], Memory]) -> None:
    """A tenant is opened by the rules that it is kept by; others are refused and the way out is named."""
    opened("german").scope("ada").thread("t").append(Message.user("Gärten"))
    assert opened(None).scope("ada").recall("der Garten")[0].text == "Gärten"
    with pytest.raises(LanguageMismatch, match="'german', not of 'french'.*keepwell reanalyse french"):
        opened("french")
    with pytest.raises(UsageError, match="klingon"):
        opened("klingon")


def test_reanalyse(opened: Callable[[str | None], Memory]) -> None:
    """Everything, facts included, is found by the new rules afterwards, by those who held it before as well."""
    memory, other = opened(None), opened(None)
    ada = memory.scope("ada")
    ada.thread("t").append(*map(Message.user, SAID["german"]))
    fact = ada.remember("Ada wohnt in schönen Häusern")
    ada.correct(fact, "Ada wohnt in alten Häusern")
    memory.drain()
    assert not ada.recall("Welches Haus?", kinds=("fact",))
    other.scope("ada").recall("Kind")
    assert memory.reanalyse("german") == 5
    assert memory.reanalyse("german") == 0
    assert ada.recall("Welches Haus?")[0].text == "Ada wohnt in alten Häusern"
    assert opened(None).scope("ada").recall("ein Kind")[0].text == SAID["german"][0]
    other._engine._language_read = float("-inf")  # as if a minute had passed
    assert other.scope("ada").recall("ein Kind")[0].text == SAID["german"][0]
    other.scope("ada").thread("t").append(Message.user("Alte Bücher"))
    assert memory.scope("ada").recall("ein Buch")[0].text == "Alte Bücher"
    with pytest.raises(LanguageMismatch):
        opened("english")


def test_reanalyse_goes_on_where_it_was(opened: Callable[[str | None], Memory]) -> None:
    """What was broken off is taken up again: only what is still of the old rules is made anew."""
    memory = opened(None)
    memory.scope("ada").thread("t").append(*(Message.user(f"Haus {number}") for number in range(1200)))

    class Stopped(Exception):
        pass

    def stop(done: int) -> None:
        if done >= 500:
            raise Stopped

    with pytest.raises(Stopped):
        memory.reanalyse("german", progress=stop)
    assert memory.reanalyse("german") == 700
    assert memory._engine.record.read(FindOldTerms("german", 0, 10)) == ()


def test_a_message_that_was_replaced_meanwhile_is_left(opened: Callable[[str | None], Memory]) -> None:
    """Terms that were made from words that are not there any more are not kept, and the message stays to be done."""
    memory = opened(None)
    chat = memory.scope("ada").thread("t")
    chat.append(Message.user("Häuser", id="m"))
    record = memory._engine.record
    (old,) = record.read(FindOldTerms("german", 0, 10))
    chat.replace(Message.user("Gärten", id="m"))
    assert record.write(PutTerms((NewTerms(old.key, old.version, "haus", "1 @german"),))) == 0
    assert memory.reanalyse("german") == 1
    assert memory.scope("ada").recall("Garten")[0].text == "Gärten"


def test_postings_and_counts_stay_true(dsn: str, admin_dsn: str) -> None:
    """After a change of rules postings, lengths and vectors are those of a tenant that was written by them."""
    store = PostgresStore(dsn)
    counts = []
    for first, second in (("english", "german"), ("german", "german")):
        tenant = f"t{uuid.uuid4().hex}"
        memory = Memory.over(store, tenant=tenant, language=first)
        ada = memory.scope("ada")
        ada.thread("t").append(*map(Message.user, SAID["german"]))
        ada.remember("Ada wohnt in Häusern")
        memory.drain()
        memory.reanalyse(second)
        ada.thread("t").append(Message.user("Noch mehr Äpfel"))
        with psycopg.connect(admin_dsn) as admin:
            counts.append(
                [
                    admin.execute(statement, [tenant]).fetchall()
                    for statement in (
                        "select term, count(*) from keepwell.posting where tenant = %s group by term order by term",
                        "select length, posted_to from keepwell.thread where tenant = %s",
                        "select length, facts from keepwell.owner where tenant = %s",
                        "select terms, signals from keepwell.message where tenant = %s order by seq",
                    )
                ]
            )
    assert counts[0] == counts[1]
