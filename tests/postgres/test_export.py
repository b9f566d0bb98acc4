"""All that is kept about a person goes out as one file, and into any store again."""

from __future__ import annotations

import datetime as dt
import io
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keepwell import MediaPart, Memory, Message, Native, ScopedMemory, ToolCall, Transfer
from keepwell.errors import ImportFormatError


def furnish(memory: Memory) -> ScopedMemory:
    """Write down one of everything about Ada, by two agents, and something of Bob's."""
    ada, cook = memory.scope(user_id="ada"), memory.scope(user_id="ada", agent_id="cook", run_id="r")
    chat = ada.thread("holiday")
    chat.create("Lisbon", {"topic": "travel", "n": 1e22})
    said = chat.append(
        Message.user("I live in Lisbon.\x00\ud800", name="Ada", created_at=dt.datetime(2024, 5, 1, tzinfo=dt.UTC)),
        Message.assistant((), tool_calls=(ToolCall(id="c", name="find", args={"x": [1, 2.5, None]}),)),
        Message.tool("found", tool_call_id="c", metadata={"bytes": b"\x01", "when": dt.date(2024, 1, 2)}),
        Message.user((MediaPart(type="image", data=b"\x00\xff", mime_type="image/png"),)),
        Message.user("Native.", native=Native(kind="other", version="1", data={"deep": [1e22, -0.0]})),
    )
    cook.thread("dinner").append(*(Message.user(f"Dish {number}") for number in range(3)))
    home = ada.remember("Ada lives in Rome", key="home", metadata={"odd": "\x00"}, kind="attribute")
    home = ada.remember("Ada lives in Lisbon", key="home", sources=said[0])
    cook.remember("Ada eats no nuts", subject="Ada", valid_from=dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    ada.remember("Ada lives by the sea", sources=[home])
    ada.correct(ada.remember("Ada is five"), "Ada is fifty")
    ada.retract(ada.remember("Ada smokes"), why="she stopped", reject=True)
    ada.configure(never="health", retention=100_000)
    memory.scope(user_id="bob").thread("t").append(Message.user("I am Bob."))
    memory.scope(user_id="bob").remember("Bob is Bob")
    return ada


def everything(view: ScopedMemory) -> dict[str, Any]:
    """Give all that a view sees, as far as it can be the same in two stores."""
    threads = sorted(view.threads(limit=1000), key=lambda thread: (thread.owner, thread.id))
    facts = sorted(view.facts(limit=1000), key=lambda fact: fact.text)
    sources = [view.sources(fact) for fact in facts]
    return {
        "threads": [(thread.owner, thread.id, thread.title, dict(thread.metadata)) for thread in threads],
        "messages": [list(found.messages()) for thread in threads if (found := view.find(thread.key))],
        "facts": facts,
        # The numbers of messages in a store are its own.
        "history": [(len(one.sources), replace(one, sources=())) for one in view.history(limit=1000)],
        "sources": [([(q.thread, q.text, q.start, q.end) for q in s.quotes], s.facts) for s in sources],
        "policy": dict(view.configure()),
    }


@pytest.fixture
def other(open_memory: Callable[..., Memory], tenant: str) -> Memory:
    """Give another store: a tenant that has nothing."""
    return open_memory(tenant=f"{tenant}-other")


def exported(view: ScopedMemory) -> str:
    """Give the export as text."""
    file = io.StringIO()
    view.export(file)
    return file.getvalue()


def test_an_export_makes_the_same_memory_elsewhere(memory: Memory, other: Memory) -> None:
    """Threads, messages, facts with their ids, versions, sources and history are the same in the other store."""
    ada = furnish(memory)
    file = io.StringIO()
    told = ada.export(file)
    assert told == Transfer(threads=2, messages=8, facts=5, changes=8)
    file.seek(0)
    there = other.scope(user_id="ada")
    assert there.import_(file) == told
    assert everything(there) == everything(ada)
    then = ada.history(limit=1000)[-1].at
    assert there.facts(as_of=then) == ada.facts(as_of=then)


def test_an_import_again_changes_nothing(memory: Memory, other: Memory) -> None:
    """What is there already stays: a second import, or one into the store it came from, takes in nothing."""
    text = exported(furnish(memory))
    there = other.scope(user_id="ada")
    there.import_(io.StringIO(text))
    before = everything(there)
    assert there.import_(io.StringIO(text)) == Transfer()
    assert everything(there) == before
    here = memory.scope(user_id="ada")
    before = everything(here)
    assert here.import_(io.StringIO(text)).rejected <= 2
    assert everything(here) == before


def test_what_was_said_since_stays(memory: Memory, other: Memory) -> None:
    """An import does not take back what the other store knows by now."""
    text = exported(furnish(memory))
    there = other.scope(user_id="ada")
    there.import_(io.StringIO(text))
    there.remember("Ada lives in Oslo", key="home")
    there.configure(never="work")
    there.import_(io.StringIO(text))
    assert [fact.text for fact in there.facts(key="home")] == ["Ada lives in Oslo"]
    assert there.configure()["never"] == "work"


def test_an_export_holds_nothing_of_others_and_no_rejected_words(memory: Memory) -> None:
    """It is about one person; what was forgotten is not in it, and a rejection tells only that there is one."""
    ada = furnish(memory)
    ada.forget(ada.remember("Ada's number is quinquagintillion"))
    text = exported(ada)
    assert "Bob" not in text
    assert "quinquagintillion" not in text
    rejections = [line for line in map(json.loads, text.splitlines()) if line["is"] == "rejection"]
    assert len(rejections) == len(ada.rejections())


def test_what_was_rejected_here_is_not_taken_in(memory: Memory, other: Memory) -> None:
    """A rejection in the receiving store binds what is imported."""
    text = exported(furnish(memory))
    there = other.scope(user_id="ada")
    there.retract(there.remember("Ada lives by the sea"), reject=True)
    done = there.import_(io.StringIO(text))
    assert done.rejected == 1
    assert "Ada lives by the sea" not in [fact.text for fact in there.facts()]


def test_imported_messages_are_not_formed_twice(memory: Memory, other: Memory) -> None:
    """Facts came along, so the messages count as formed, unless they are asked to be formed anew."""
    text = exported(furnish(memory))
    other.scope(user_id="ada").import_(io.StringIO(text))
    assert other.status().formation.due_threads == 0
    other.scope(user_id="ada").forget()
    other.scope(user_id="ada").import_(io.StringIO(text), form=True)
    assert other.status().formation.due_threads == 2


def test_what_was_imported_is_recalled(memory: Memory, other: Memory) -> None:
    """Messages and facts are found at once by their words, and facts by meaning after a drain."""
    there = other.scope(user_id="ada")
    there.import_(io.StringIO(exported(furnish(memory))))
    assert {found.kind for found in there.recall("Ada lives in Lisbon by the sea")} == {"fact", "message"}
    assert other.drain().embedded == len(there.facts())
    assert "Ada lives in Lisbon" in [one.text for one in there.recall("Ada lives in Lisbon", kinds=("fact",))]


def test_a_file_is_whole_and_private(memory: Memory, other: Memory, tmp_path: Path) -> None:
    """A path is written at once, for its owner alone; nothing is left where it fails."""
    place = tmp_path / "ada.jsonl"
    told = furnish(memory).export(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert other.scope(user_id="ada").import_(place) == told
    assert [file.name for file in tmp_path.iterdir()] == ["ada.jsonl"]
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system calls it
        memory.scope(user_id="ada").export(tmp_path / "nowhere" / "x")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda text: "", "not what keepwell's export writes"),
        (lambda text: '{"text": "hello"}', "not what keepwell's export writes"),
        (lambda text: text.rsplit("\n", 2)[0], "ends before its end"),
        (lambda text: text.replace('"version":1', '"version":99', 1), "version 99"),
        (lambda text: text.replace('{"is":"message"', '{"is":"message', 1), "line 3"),
        (lambda text: text.replace('"is":"thread"', '"is":"later"', 1), "before the first thread"),
        (lambda text: text.replace('"role":"user"', '"role":""', 1), "line 3"),
        (lambda text: text.replace('"kind":"ADD"', '"kind":"SWAP"', 1), "kind is 'SWAP'"),
        (lambda text: text.replace('["ada","",""]', '["bob","",""]', 1), "'bob'"),
        (lambda text: text.replace('["ada","",""]', '["ada"]', 1), "line 2"),
    ],
)
def test_what_is_no_export_is_refused(memory: Memory, other: Memory, spoil: Callable[[str], str], why: str) -> None:
    """A file that is something else, damaged, cut off, newer, or somebody else's gets one clear error."""
    text = exported(furnish(memory))
    spoilt = spoil(text)
    assert spoilt != text
    with pytest.raises(ImportFormatError, match=why):
        other.scope(user_id="ada").import_(io.StringIO(spoilt))
    assert len(other.scope(user_id="bob").threads()) == 0


async def test_the_twins_do_the_same(memory: Memory, other: Memory) -> None:
    """Export and import, awaited."""
    ada = furnish(memory)
    file = io.StringIO()
    told = await ada.aexport(file)
    file.seek(0)
    assert await other.scope(user_id="ada").aimport_(file) == told
