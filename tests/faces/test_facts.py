"""The commands about facts: each does what its verb does, in words and as a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from keepwell import Memory, Message
from keepwell.testing import HashEmbedder, ScriptedExtractor

ADA = ("--user", "ada")


@pytest.fixture(autouse=True)
def no_other_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands and fixtures make their vectors with one model: the deterministic one."""
    monkeypatch.setattr("keepwell.memory.front.embedder_for", lambda given: HashEmbedder() if given else None)


def test_a_fact_is_remembered_shown_and_superseded(answer: Callable[..., Any], keepwell: Callable[..., Result]) -> None:
    """``remember`` keeps a statement under a key, ``facts`` lists it, ``history`` tells what it was."""
    first = answer("remember", "Ada drinks tea", *ADA, "--key", "drink", "--about", "Ada", "--valid-from", "2024-05-01")
    second = answer("remember", "Ada drinks coffee", *ADA, "--key", "drink")
    assert (first["id"], first["version"], second["version"]) == (second["id"], 1, 2)
    assert [fact["text"] for fact in answer("facts", *ADA)["facts"]] == ["Ada drinks coffee"]
    assert answer("facts", *ADA, "--as-of", first["recorded_at"][:19])["facts"] == []
    assert [fact["text"] for fact in answer("facts", *ADA, "--key", "other")["facts"]] == []
    kinds = [change["kind"] for change in answer("history", *ADA, first["id"])["changes"]]
    assert kinds == ["UPDATE", "ADD"]
    shown = keepwell("facts", *ADA)
    assert "Ada drinks coffee" in shown.stdout
    assert first["id"] in shown.stdout
    told = keepwell("history", *ADA)
    assert "- Ada drinks tea" in told.stdout
    assert "+ Ada drinks coffee" in told.stdout


def test_what_was_wrong_is_corrected_retracted_and_restored(answer: Callable[..., Any]) -> None:
    """``correct``, ``retract`` and ``restore`` name a fact by its id; reasons are kept."""
    fact = answer("remember", "Ada is five", *ADA)
    assert answer("correct", fact["id"], "Ada is fifty", *ADA, "--why", "typing")["text"] == "Ada is fifty"
    (gone,) = answer("retract", fact["id"], *ADA, "--reject")["changes"]
    assert (gone["kind"], gone["after"]) == ("DELETE", None)
    assert answer("restore", fact["id"], *ADA, "--version", "1")["text"] == "Ada is five"
    reasons = [change["reason"] for change in answer("history", *ADA)["changes"]]
    assert "typing" in reasons


def test_changes_are_compared_and_taken_back(answer: Callable[..., Any], keepwell: Callable[..., Result]) -> None:
    """``diff`` shows what differs since a day, ``revert`` takes back what is named."""
    fact = answer("remember", "Ada drinks tea", *ADA, "--key", "drink")
    answer("remember", "Ada drinks coffee", *ADA, "--key", "drink")
    assert [one["text"] for one in answer("diff", "2020-01-01", *ADA)["added"]] == ["Ada drinks coffee"]
    assert "+ Ada drinks coffee" in keepwell("diff", "2020-01-01", *ADA).stdout
    assert "nothing differs" in keepwell("diff", "2020-01-01", "2020-01-02", *ADA).stdout
    change = answer("history", *ADA)["changes"][0]["id"]
    (done,) = answer("revert", change, *ADA)["changes"]
    assert (done["kind"], done["after"]["text"], done["fact"]) == ("RESTORE", "Ada drinks tea", fact["id"])
    assert "nothing was to be done" in keepwell("revert", change, *ADA).stdout
    answer("revert", *ADA, "--actor", "user")
    assert answer("facts", *ADA)["facts"] == []


def test_what_is_wrong_is_one_line(keepwell: Callable[..., Result]) -> None:
    """Unknown facts, changes and ids end with the code of their kind."""
    nobody = "00000000-0000-0000-0000-000000000000"
    for words, code in (
        (("retract", nobody, *ADA), 3),
        (("retract", "nonsense", *ADA), 2),
        (("revert", nobody, *ADA), 3),
        (("revert", *ADA), 2),
        (("revert", *ADA, "--batch", "x"), 2),
        (("remember", " ", *ADA), 2),
        (("remember", "x"), 2),
        (("facts",), 2),
        (("forget", *ADA, "--fact", nobody, "--yes"), 3),
        (("forget", *ADA, "--everywhere", "--yes"), 2),
        (("forget", *ADA, "--fact", nobody, "--thread", "t", "--yes"), 2),
        (("worker", "--once"), 4),
    ):
        done = keepwell(*words)
        assert (done.exit_code, done.stderr.count("\n"), done.stdout) == (code, 1, ""), words


def test_sources_and_recall_show_facts(
    keepwell: Callable[..., Result], answer: Callable[..., Any], open_memory: Callable[..., Memory]
) -> None:
    """``sources`` shows the words that a fact rests on; ``recall`` shows facts beside messages."""
    ada = open_memory().scope(user_id="ada")
    said = ada.thread("t").append(Message.user("I am allergic to peanuts."))
    fact = ada.remember("Ada is allergic to peanuts", sources=said, subject="Ada")
    assert "I am allergic to peanuts." in keepwell("sources", str(fact.id), *ADA).stdout
    assert answer("sources", str(fact.id), *ADA)["quotes"][0]["thread"] == "t"
    outright = ada.remember("Ada is a pilot")
    assert "rests on nothing else" in keepwell("sources", str(outright.id), *ADA).stdout
    found = answer("recall", "allergic to peanuts", *ADA)["found"]
    assert {one["kind"] for one in found} == {"fact", "message"}
    assert all(one["text"] for one in found)
    assert "Ada is allergic to peanuts" in keepwell("recall", "allergic to peanuts", *ADA).stdout


def test_an_erasure_is_verified_by_its_receipt(
    keepwell: Callable[..., Result], answer: Callable[..., Any], tmp_path: Path
) -> None:
    """What ``forget --json`` wrote proves later that it is gone, and says where something is there again."""
    fact = answer("remember", "Ada is a pilot", *ADA)
    kept = tmp_path / "receipt.json"
    receipt = answer("forget", *ADA, "--fact", fact["id"], "--yes")
    assert receipt["what"] == {"user_id": "ada", "fact": fact["id"]}
    kept.write_text(json.dumps(receipt), encoding="utf-8")
    assert answer("verify-erasure", kept)["gone"] is True
    whole = answer("forget", *ADA, "--yes")
    kept.write_text(json.dumps(whole), encoding="utf-8")
    answer("remember", "Ada is back", *ADA)
    again = keepwell("verify-erasure", kept)
    assert again.exit_code == 1
    assert "are there" in again.stdout
    kept.write_text("{}", encoding="utf-8")
    assert keepwell("verify-erasure", kept).exit_code == 2


def test_everything_goes_out_and_comes_in(
    keepwell: Callable[..., Result], answer: Callable[..., Any], tmp_path: Path
) -> None:
    """``export`` writes one file, which ``import`` knows by itself; stdout works as well."""
    answer("remember", "Ada drinks tea", *ADA, "--key", "drink")
    answer("remember", "Ada drinks coffee", *ADA, "--key", "drink")
    file = tmp_path / "ada.jsonl"
    told = answer("export", file, *ADA)
    assert (told["facts"], told["changes"]) == (1, 2)
    assert keepwell("export", "-", *ADA).stdout.splitlines()[1:-1] == file.read_text("utf-8").splitlines()[1:-1]
    there = ("--tenant", "other")
    assert answer("import", file, *ADA, *there)["facts"] == 1
    assert answer("import", file, *ADA, *there)["facts"] == 0
    assert [fact["text"] for fact in answer("facts", *ADA, *there)["facts"]] == ["Ada drinks coffee"]
    assert keepwell("import", file, "--user", "bob", *there).exit_code == 2


def test_status_tells_of_facts_and_of_what_is_due(
    answer: Callable[..., Any], keepwell: Callable[..., Result], open_memory: Callable[..., Memory]
) -> None:
    """Facts, changes, threads to be formed, parked messages and what the model cost are in the status."""
    open_memory().scope(user_id="ada").thread("t").append(Message.user("hello"))
    answer("remember", "Ada drinks tea", *ADA)
    told = answer("status")["formation"]
    assert (told["facts"], told["changes"], told["due_threads"], told["parked"]) == (1, 1, 1, 0)
    assert "threads to be formed" in keepwell("status").stdout
    assert answer("retry")["retried"] == 0
    assert answer("retry", *ADA)["retried"] == 0


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands have a language model that works by rules, whatever they are told to take."""
    monkeypatch.setattr(
        "keepwell.memory.front.language_model_for", lambda given: ScriptedExtractor() if given else None
    )


def test_a_worker_forms_what_is_due_and_ends(
    command: Callable[..., Result], scripted: None, dsn: str, admin_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``worker --once`` takes part in the fleet's work on a server until nothing is due."""
    monkeypatch.setenv("KEEPWELL_FORM_PAUSE_SECONDS", "0")
    with Memory.open(dsn, embedder=HashEmbedder(), name="by hand") as memory:
        ada = memory.scope(user_id="ada")
        ada.thread("t").append(Message.user("I live in Leeds.", name="Ada"))
        done = command("worker", "--once", "--model", "scripted", "--dsn", dsn, "--admin-dsn", admin_dsn)
        assert (done.exit_code, done.output) == (0, "")
        assert ["Leeds" in fact.text for fact in ada.facts()] == [True]


def test_a_drain_says_what_it_formed(
    answer: Callable[..., Any], open_memory: Callable[..., Memory], scripted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``drain`` forms facts where the settings name a language model."""
    monkeypatch.setenv("KEEPWELL_LANGUAGE_MODEL", "scripted")
    open_memory().scope(user_id="ada").thread("t").append(Message.user("I live in Leeds.", name="Ada"))
    told = answer("drain")
    assert (told["formed"], told["added"]) == (1, 1)
