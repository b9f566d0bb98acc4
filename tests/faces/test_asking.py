"""``keepwell recall``, ``threads``, ``show`` and ``forget``."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

SOUP = "What is the recipe for the lentil soup?"


def test_recall_shows_what_when_who_and_why(filled: Callable[..., Result]) -> None:
    """The table has the text, its date, who said it, its thread, and each source's share with its rank."""
    done = filled("recall", SOUP, "--user", "mara", "--limit", "3", "--explain")
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    for part in ("2025-04-22", "Mara", "red lentils", "vector", "keyword", "(#1)"):
        assert part in words
    assert "3 found in" in done.stderr


def test_recall_as_a_document(filled: Callable[..., Result], answer: Callable[..., Any]) -> None:
    """A script gets each recollection with its message, score, sources and neighbours, best first."""
    told = answer("recall", SOUP, "--user", "mara", "--limit", "3", "--neighbours", "2")
    scores = [item["score"] for item in told["found"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert "lentils" in told["found"][0]["message"]["text"]
    assert {"vector", "keyword"} <= told["found"][0]["sources"].keys()
    assert any(item["before"] for item in told["found"])


def test_recall_keeps_to_thread_and_time(filled: Callable[..., Result], answer: Callable[..., Any]) -> None:
    """What is asked of one thread, or of some days, is answered from there alone."""
    within = answer("recall", "marathon", "--user", "mara", "--thread", "2025-03-02-evening")["found"]
    assert {item["thread"] for item in within} == {"2025-03-02-evening"}
    days = answer("recall", "marathon", "--user", "mara", "--since", "2025-09-01", "--until", "2025-09-30")["found"]
    assert {item["message"]["created_at"][:7] for item in days} == {"2025-09"}


def test_nobody_sees_anothers(filled: Callable[..., Result]) -> None:
    """Another user finds nothing of Mara's, and is told so without an error."""
    done = filled("recall", SOUP, "--user", "somebody-else")
    assert (done.exit_code, done.stdout.strip()) == (0, "nothing was found")
    assert filled("show", "2025-03-02-evening", "--user", "somebody-else").exit_code == 3


def test_threads_come_in_pages(filled: Callable[..., Result], answer: Callable[..., Any]) -> None:
    """Pages follow each other without a gap or a repeat."""
    first = answer("threads", "--user", "mara", "--limit", "10")
    rest = answer("threads", "--user", "mara", "--limit", "10", "--after", first["next"])
    assert rest["next"] is None
    assert len({thread["id"] for thread in first["threads"] + rest["threads"]}) == 16
    assert first["next"] in filled("threads", "--user", "mara", "--limit", "10").stderr


def test_show_gives_the_newest_or_all(filled: Callable[..., Result], answer: Callable[..., Any]) -> None:
    """A conversation is shown from its beginning, or its last messages only."""
    whole = answer("show", "2025-03-02-evening", "--user", "mara")
    last = answer("show", "2025-03-02-evening", "--user", "mara", "--last", "3")
    assert whole["thread"]["messages"] == len(whole["messages"]) == 28
    assert last["messages"] == whole["messages"][-3:]
    shown = filled("show", "2025-03-02-evening", "--user", "mara", "--last", "1").stdout
    assert whole["messages"][-1]["text"] in shown
    assert whole["messages"][0]["text"] not in shown


def test_a_thread_of_an_agent_is_found_by_the_user(
    keepwell: Callable[..., Result], answer: Callable[..., Any], lines: Callable[..., Path]
) -> None:
    """A thread id that only one of a user's agents has is enough; where two have it, the agent must be named."""
    file = lines({"text": "Hello", "thread": "t"})
    answer("import", file, "--user", "ada", "--agent", "one")
    assert answer("show", "t", "--user", "ada")["thread"]["agent_id"] == "one"
    answer("import", file, "--user", "ada", "--agent", "two")
    done = keepwell("show", "t", "--user", "ada")
    assert done.exit_code == 2
    assert "give --agent" in done.stderr
    assert answer("show", "t", "--user", "ada", "--agent", "two")["thread"]["agent_id"] == "two"


def test_what_was_said_cannot_steer_the_terminal(
    keepwell: Callable[..., Result], answer: Callable[..., Any], lines: Callable[..., Path]
) -> None:
    """Escape sequences, markup and marks of direction in messages, names and ids are shown as harmless text."""
    evil = "\x1b]0;owned\x07\x1b[31m[bold red]hazelnut[/bold red]\r\u202etxet [/nothing]"
    answer("import", lines({"text": evil, "name": "\x1b[2J", "thread": "[link]\u202e"}), "--user", "ada")
    for words in (("recall", "hazelnut"), ("threads",), ("show", "[link]\u202e")):
        shown = keepwell(*words, "--user", "ada").output
        assert not set(shown) & set("\x1b\x07\r\u202e")
        assert "[bold red]hazelnut[/bold red]" in shown or words[0] == "threads"
    assert answer("show", "[link]\u202e", "--user", "ada")["messages"][0]["text"] == evil


def test_half_a_character_is_kept_and_shown(answer: Callable[..., Any], lines: Callable[..., Path]) -> None:
    """A lone surrogate, which exports have where a title was cut, goes in, is found, and comes out as it was."""
    said = "A cut emoji \ud83d and hazelnuts."
    told = answer("import", lines({"text": said}), "--user", "ada")
    assert (told["messages"], told["new"]) == (1, 1)
    assert answer("recall", "hazelnuts", "--user", "ada")["found"][0]["message"]["text"] == said
    assert answer("status")["record"]["due"] == 0


def test_forget_removes_what_was_named(filled: Callable[..., Result], answer: Callable[..., Any]) -> None:
    """A message, a thread and a whole user go one after the other, each with its receipt; others stay."""
    place = ("--user", "mara", "--thread", "2025-03-02-evening")
    assert answer("forget", *place, "--message", "s01-001", "--yes")["counts"]["messages"] == 1
    assert answer("forget", "--user", "mara", "--message", "s02-001", "--yes")["counts"]["messages"] == 1
    thread = answer("forget", *place, "--yes")
    assert (thread["counts"]["threads"], thread["counts"]["messages"]) == (1, 27)
    assert len(thread["digest"]) == 64
    everything = answer("forget", "--user", "mara", "--yes")
    assert (everything["counts"]["threads"], everything["counts"]["messages"]) == (15, 398)
    assert answer("status")["record"]["messages"] == 0


def test_forgetting_a_message_of_a_thread_leaves_its_namesakes(
    answer: Callable[..., Any], lines: Callable[..., Path]
) -> None:
    """A message id that another thread has, too, goes only from the thread that was named."""
    said = [{"thread": thread, "id": "1", "text": f"in {thread}"} for thread in ("a", "b")]
    answer("import", lines(*said), "--user", "ada")
    answer("forget", "--user", "ada", "--thread", "a", "--message", "1", "--yes")
    assert answer("show", "a", "--user", "ada")["messages"] == []
    assert len(answer("show", "b", "--user", "ada")["messages"]) == 1


@pytest.mark.parametrize(
    "what", [("--message", "nix"), ("--thread", "nix"), ("--thread", "2025-03-02-evening", "--message", "nix")]
)
def test_forgetting_what_is_not_there_says_so(filled: Callable[..., Result], what: tuple[str, ...]) -> None:
    """An id that is not there is an error of code 3, and nothing goes."""
    done = filled("forget", "--user", "mara", *what, "--yes")
    assert done.exit_code == 3
    assert len(json.loads(filled("threads", "--user", "mara", "--json").stdout)["threads"]) == 16


def test_without_a_person_forget_wants_a_yes(filled: Callable[..., Result]) -> None:
    """Where nobody can be asked, nothing is forgotten without ``--yes``, and what would have gone is told."""
    done = filled("forget", "--user", "mara")
    assert done.exit_code == 2
    assert "16 threads with 427 messages" in done.stderr
    assert "Nothing was forgotten" in done.stderr
    assert json.loads(filled("status", "--json").stdout)["record"]["messages"] == 427


@pytest.mark.parametrize(("said", "code", "left"), [("n", 1, 427), ("y", 0, 0)])
def test_on_a_terminal_forget_asks(
    said: str, code: int, left: int, filled: Callable[..., Result], outside: dict[str, Any]
) -> None:
    """A person is asked before anything goes; only a yes removes it."""
    ours, theirs = pty.openpty()
    outside["args"] += ["forget", "--user", "mara"]
    os.write(ours, f"{said}\n".encode())
    with contextlib.closing(os.fdopen(ours, "rb", 0)):
        done = subprocess.run(**outside, stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
        os.close(theirs)
    assert done.returncode == code
    assert "Forget everything of user 'mara': 16 threads with 427 messages, for good?" in done.stderr
    assert json.loads(filled("status", "--json").stdout)["record"]["messages"] == left
