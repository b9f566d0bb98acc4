"""``keepwell import``: complete, once, and again after any end."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from keepwell import Memory
from keepwell.samples import sample

MANY = 6000


def test_the_sample_comes_in_whole(answer: Callable[..., Any], open_memory: Callable[..., Memory]) -> None:
    """Every message of a file is there afterwards, with its thread, its speaker and the time that it was said."""
    with sample() as file:
        told = answer("import", file, "--user", "mara")
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert (told["format"], told["finished"], told["messages"], told["new"]) == ("jsonl", True, len(rows), len(rows))
    first = open_memory(embedder=None).scope(user_id="mara").thread(rows[0]["thread"]).messages(limit=1)[0]
    assert (first.id, first.text, first.name) == (rows[0]["id"], rows[0]["text"], rows[0]["name"])
    assert first.created_at == dt.datetime.fromisoformat(rows[0]["created_at"])


def test_importing_twice_adds_nothing(answer: Callable[..., Any]) -> None:
    """The same file again changes no count, and says that all of it was there."""
    with sample() as file:
        first = answer("import", file, "--user", "mara")
        before = answer("status")["record"]
        again = answer("import", file, "--user", "mara")
    assert (first["new"], again["new"], again["messages"]) == (427, 0, 427)
    assert answer("status")["record"] == before


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_import_that_was_stopped_goes_on(
    end: signal.Signals,
    outside: dict[str, Any],
    answer: Callable[..., Any],
    open_memory: Callable[..., Memory],
    lines: Callable[..., Path],
) -> None:
    """Killed or stopped on the way, an import that is run again ends with each message once, in order, with vectors."""
    file = lines(*({"id": f"m{number}", "text": f"Stone {number} of the wall."} for number in range(MANY)))
    chat = open_memory(embedder=None).scope(user_id="ada").thread("said")
    outside["args"] += ["import", str(file), "--user", "ada", "--json"]
    with subprocess.Popen(**outside, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while (info := chat.info()) is None or not info.message_count:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(end)
        told = process.communicate(timeout=60)[0]
    stopped = chat.info()
    assert stopped is not None
    assert 0 < stopped.message_count < MANY
    if end is signal.SIGINT:
        assert process.returncode == 130
        assert json.loads(told)["finished"] is False
    finished = answer("import", file, "--user", "ada")
    assert (finished["messages"], finished["new"]) == (MANY, MANY - stopped.message_count)
    assert [message.id for message in chat.iterate()] == [f"m{number}" for number in range(MANY)]
    record = answer("status")["record"]
    assert (record["messages"], record["vectors"], record["due"]) == (MANY, MANY, 0)


def test_a_wrong_line_is_named(keepwell: Callable[..., Result], lines: Callable[..., Path]) -> None:
    """A line that is no message ends the import with its number and code 2."""
    file = lines({"text": "one"}, {"txt": "two"}, {"text": "three"})
    done = keepwell("import", file, "--user", "ada")
    assert done.exit_code == 2
    assert "said.jsonl, line 2: it has no `text`" in done.stderr


def test_wrong_lines_can_be_left_out(answer: Callable[..., Any], lines: Callable[..., Path]) -> None:
    """With ``--skip-broken`` the rest comes in, and what was left out is told."""
    file = lines({"text": "one"}, "{", {"text": "three"})
    told = answer("import", file, "--user", "ada", "--skip-broken")
    assert told["messages"] == 2
    assert [broken.partition(":")[0] for broken in told["broken"]] == ["said.jsonl, line 2"]


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "not json at all"])
def test_a_file_that_is_no_export_is_refused(
    keepwell: Callable[..., Result], tmp_path: Path, content: str | None
) -> None:
    """A file that is missing, empty or something else is one line and code 2, and nothing is written."""
    file = tmp_path / "export.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = keepwell("import", file, "--user", "ada")
    assert done.exit_code == 2
    assert done.stderr.startswith("keepwell: ")
    assert done.stderr.count("\n") == 1
    assert "there are no threads" in keepwell("threads", "--user", "ada").stdout


def test_titles_metadata_and_prefix_are_kept(answer: Callable[..., Any], tmp_path: Path) -> None:
    """A conversation of an export keeps its title and where it came from, under the prefix that was asked for."""
    export = tmp_path / "conversations.json"
    message = {"uuid": "m1", "sender": "human", "text": "Hello", "created_at": "2025-05-01T10:00:00Z"}
    talk = {"uuid": "c1", "name": "A walk", "created_at": "2025-05-01T10:00:00Z", "chat_messages": [message]}
    export.write_text(json.dumps([talk, {**talk, "uuid": "c2", "chat_messages": []}]), encoding="utf-8")
    told = answer("import", export, "--user", "ada", "--agent", "helper", "--thread-prefix", "claude-")
    assert (told["format"], told["threads"]) == ("claude", 1)
    (thread,) = answer("threads", "--user", "ada")["threads"]
    assert (thread["id"], thread["title"], thread["agent_id"]) == ("claude-c1", "A walk", "helper")
    assert thread["metadata"]["source"] == "claude"


def test_a_title_of_ones_own_is_kept(
    answer: Callable[..., Any], open_memory: Callable[..., Memory], tmp_path: Path
) -> None:
    """Importing again does not undo the name that a thread was given since."""
    export = tmp_path / "conversations.json"
    message = {"uuid": "m1", "sender": "human", "text": "Hello", "created_at": "2025-05-01T10:00:00Z"}
    export.write_text(json.dumps([{"uuid": "c1", "name": "A walk", "chat_messages": [message]}]), encoding="utf-8")
    answer("import", export, "--user", "ada")
    open_memory(embedder=None).scope(user_id="ada").thread("c1").update(title="By the river")
    answer("import", export, "--user", "ada")
    assert answer("threads", "--user", "ada")["threads"][0]["title"] == "By the river"
