"""What a recall loads: a scope whole, and then what changed in it, with nothing missed."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from keepwell.models import Message, Owner, Scope
from keepwell.recall.arrays import Mark, halves
from keepwell.storage.base import (
    CloneThread,
    DeleteMessages,
    Forget,
    LoadScope,
    MatchMetadata,
    MoveThread,
    Prune,
    PutVectors,
    Record,
    ReplaceMessage,
    UpdateThread,
    VectorRow,
    Weigh,
    Weight,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    EVERYONE,
    Capability,
    StoreConformance,
    append,
    at,
    drain,
    fetch,
    found,
    keys_by_text,
    open_space,
    put,
    read,
    say,
    texts,
    threads_of,
    unit,
)
from keepwell.testing.conformance.mirror import Mirror, known_messages

COOK = Owner("ada", "cook", "")


def _append(record: Record) -> None:
    append(record, Message.user("new", id="new"))


def _replace(record: Record) -> None:
    record.write(ReplaceMessage(ADA, "t", Message.user("ONE", id="one", created_at=at(7)), "ONE"))


def _delete(record: Record) -> None:
    record.write(DeleteMessages(ADA, "t", ("one",)))


def _delete_and_say_again(record: Record) -> None:
    _delete(record)
    append(record, Message.user("one", id="one"))


def _move_away(record: Record) -> None:
    record.write(MoveThread(ADA, "t", Owner("carol", "", "")))


def _move_in(record: Record) -> None:
    record.write(MoveThread(BOB, "his", ADA))


def _move_within(record: Record) -> None:
    record.write(MoveThread(ADA, "t", COOK))


def _move_out_and_back(record: Record) -> None:
    record.write(MoveThread(ADA, "t", BOB))
    record.write(MoveThread(BOB, "t", ADA))


def _clone(record: Record) -> None:
    record.write(CloneThread(ADA, "t", ADA, "copy", until=1))


def _forget_thread(record: Record) -> None:
    record.write(Forget(ADAS, found(record).key))


def _forget_message(record: Record) -> None:
    record.write(Forget(ADAS, found(record).key, "two"))


def _forget_scope(record: Record) -> None:
    record.write(Forget(ADAS))


def _forget_and_begin_again(record: Record) -> None:
    record.write(Forget(ADAS))
    append(record, Message.user("anew"))


CHANGES: dict[str, Callable[[Record], None]] = {
    "append": _append,
    "replace": _replace,
    "delete": _delete,
    "delete and say again": _delete_and_say_again,
    "move away": _move_away,
    "move in": _move_in,
    "move within": _move_within,
    "move out and back": _move_out_and_back,
    "clone": _clone,
    "forget thread": _forget_thread,
    "forget message": _forget_message,
    "forget scope": _forget_scope,
    "forget and begin again": _forget_and_begin_again,
}


class RecallLoadingConformance(StoreConformance):
    """What a store promises to a reader that keeps a scope in its memory."""

    capability: ClassVar[Capability] = "recall_loading"

    def test_whole(self, record: Record) -> None:
        """Loading without a mark gives each message with its thread, number, times and terms."""
        before = dt.datetime.now(dt.UTC).timestamp()
        answer = say(record, "one peanut", "two")
        delta = record.read(LoadScope(ADAS, None, None))
        keys, ((high, low),) = keys_by_text(answer), halves(answer.thread).tolist()
        thread = (high, low)
        assert delta.full
        assert known_messages(delta) == {
            keys["one peanut"]: (thread, 1, at(0).timestamp(), "one peanut", math.inf, "user", ""),
            keys["two"]: (thread, 2, at(1).timestamp(), "two", math.inf, "user", ""),
        }
        assert (delta.messages.recorded > before - 60).all()
        assert (delta.messages.recorded < before + 60).all()

    def test_types(self, record: Record) -> None:
        """Columns are arrays of the kinds that a ranking needs, also where a scope is empty."""
        for _ in range(2):
            delta = record.read(LoadScope(ADAS, None, None))
            rows, vectors = delta.messages, delta.vectors
            columns = (rows.keys, rows.threads, rows.seqs, rows.created, rows.recorded, delta.removed)
            assert [str(column.dtype) for column in columns] == [
                "int64",
                "uint64",
                "int64",
                "float64",
                "float64",
                "int64",
            ]
            assert [str(column.dtype) for column in (vectors.keys, vectors.matrix)] == ["int64", "float32"]
            assert rows.threads.shape == (len(rows.keys), 2)
            say(record, "one")

    def test_terms_keep_repeats(self, record: Record) -> None:
        """Terms come in their order, with repeats, and a message without terms comes as well."""
        append(record, Message.user("b a b"), Message.user(""))
        assert sorted(record.read(LoadScope(ADAS, None, None)).messages.terms) == ["", "b a b"]

    def test_nothing(self, record: Record) -> None:
        """A scope without messages loads as empty, with a mark that serves."""
        mirror = Mirror(record, ADAS)
        assert mirror.load().messages.keys.size == 0
        say(record, "one")
        mirror.load()
        assert len(mirror.messages) == 1

    def test_no_change(self, record: Record) -> None:
        """Where nothing happened, a load since the mark brings nothing."""
        say(record, "one", "two")
        mirror = Mirror(record, ADAS)
        mirror.load()
        for _ in range(3):
            delta = mirror.load()
            assert not delta.full
            assert (delta.messages.keys.size, delta.vectors.keys.size, delta.removed.size) == (0, 0, 0)

    def test_only_what_changed(self, record: Record) -> None:
        """A load since the mark brings the new message and not the old ones."""
        say(record, *(f"m{number}" for number in range(50)))
        mirror = Mirror(record, ADAS)
        mirror.load()
        say(record, "new")
        delta = mirror.load()
        assert not delta.full
        assert delta.messages.terms == ("new",)

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    @pytest.mark.parametrize("scope", [ADAS, Scope("ada", "cook"), BOBS, EVERYONE], ids=repr)
    def test_every_change_arrives(
        self, record: Record, other: Record, scope: Scope, change: Callable[[Record], None]
    ) -> None:
        """Who holds a scope and loads what changed knows the same as who loads it anew, after any change."""
        space = open_space(record)
        say(record, "one", "two", "three")
        say(record, "cook", owner=COOK, thread="kitchen")
        say(record, "his", owner=BOB, thread="his")
        drain(record, space)
        mirror = Mirror(record, scope, space.key)
        mirror.load()
        change(other)
        mirror.check()

    def test_vectors_arrive(self, record: Record) -> None:
        """Vectors that are made after their messages were loaded come with the next load."""
        space = open_space(record)
        keys = keys_by_text(say(record, "one", "two"))
        mirror = Mirror(record, ADAS, space.key)
        mirror.load()
        put(record, space, {keys["one"]: unit(1), keys["two"]: unit(0, 1)})
        delta = mirror.load()
        assert delta.messages.keys.size == 0
        assert mirror.vectors == {(keys["one"], unit(1).tobytes()), (keys["two"], unit(0, 1).tobytes())}
        mirror.check()

    def test_chunks(self, record: Record) -> None:
        """A long message has several vectors, and all of them are loaded."""
        space = open_space(record)
        (key,) = say(record, "long").written
        rows = tuple(VectorRow(key, chunk, unit(1, chunk)) for chunk in range(3))
        record.write(PutVectors(space.key, rows))
        delta = record.read(LoadScope(ADAS, space.key, None))
        assert delta.vectors.keys.tolist() == [key] * 3
        assert delta.vectors.matrix.shape == (3, space.dimension)

    def test_old_vectors_go(self, record: Record) -> None:
        """The vectors of an old version are gone with it."""
        space = open_space(record)
        (key,) = say(record, "one").written
        put(record, space, {key: unit(1)})
        mirror = Mirror(record, ADAS, space.key)
        mirror.load()
        append(record, Message.user("ONE", id="one"))
        mirror.check()
        assert mirror.vectors == set()

    def test_without_a_space(self, record: Record) -> None:
        """Who asks for no space gets messages and no vectors."""
        space = open_space(record)
        put(record, space, dict.fromkeys(say(record, "one").written, unit(1)))
        delta = record.read(LoadScope(ADAS, None, None))
        assert (delta.messages.keys.size, delta.vectors.keys.size) == (1, 0)

    def test_mark_of_another_server(self, record: Record) -> None:
        """A mark that was taken elsewhere is of no use: the whole comes again."""
        say(record, "one")
        mark = record.read(LoadScope(ADAS, None, None)).mark
        say(record, "two")
        delta = record.read(LoadScope(ADAS, None, Mark(mark.snapshot, "another server", mark.taken)))
        assert delta.full
        assert set(delta.messages.terms) == {"one", "two"}

    def test_mark_from_the_other_store(self, record: Record, other: Record) -> None:
        """A mark that one store gave serves with another store on the same data."""
        say(record, "one")
        mark = record.read(LoadScope(ADAS, None, None)).mark
        say(record, "two")
        delta = other.read(LoadScope(ADAS, None, mark))
        assert not delta.full
        assert delta.messages.terms == ("two",)

    def test_young_removals_are_kept(self, record: Record) -> None:
        """Upkeep keeps what readers of the last hours need to know of removals."""
        say(record, "one", "two")
        mirror = Mirror(record, ADAS)
        mirror.load()
        record.write(DeleteMessages(ADA, "t", ("one",)))
        assert record.write(Prune(dt.timedelta(days=1))) == 0
        mirror.check()

    def test_upkeep_of_other_things(self, record: Record) -> None:
        """Changes that no recall needs, such as a title, change nothing that is loaded."""
        say(record, "one")
        mirror = Mirror(record, ADAS)
        mirror.load()
        record.write(UpdateThread(ADA, "t", title="new"))
        mirror.check()

    def test_any_sequence_of_changes(self, record: Record, other: Record) -> None:
        """After a hundred random changes, readers that loaded at random times know what is there."""
        choose = random.Random(11)  # noqa: S311 - seeded, and guards nothing
        space = open_space(record)
        mirrors = [Mirror(record, scope, space.key) for scope in (ADAS, BOBS, EVERYONE, Scope("ada", "cook"))]
        for step in range(100):
            _random_change(choose, choose.choice((record, other)), step)
            if choose.random() < 0.2:
                drain(record, space, limit=5)
            for mirror in mirrors:
                if choose.random() < 0.3:
                    mirror.load()
        for mirror in mirrors:
            mirror.check()

    def test_weigh_counts(self, record: Record) -> None:
        """A scope weighs its messages and their terms, and follows what is replaced, deleted and moved."""
        say(record, "a", "b c", "d e f")
        append(record, Message.user(""))
        say(record, "his", owner=BOB)
        assert record.read(Weigh(ADAS)) == Weight(4, 6)
        append(record, Message.user("b", id="b c"))
        record.write(DeleteMessages(ADA, "t", ("d e f",)))
        assert record.read(Weigh(ADAS)) == Weight(3, 2)
        record.write(MoveThread(ADA, "t", Owner("bob", "cook", "")))
        assert record.read(Weigh(ADAS)) == Weight(0, 0)
        assert record.read(Weigh(BOBS)) == Weight(4, 3)
        assert record.read(Weigh(Scope("nobody"))) == Weight(0, 0)

    def test_match_metadata(self, record: Record) -> None:
        """A filter on messages finds those whose metadata contains it."""
        labels = [{"a": 1, "b": "x"}, {"a": 1}, {"a": "1"}, {"n": {"deep": [1, 2]}}, {}]
        answer = append(record, *(Message.user(str(place), metadata=given) for place, given in enumerate(labels)))
        by_key = {key: message.text for key, message in answer.written.items()}
        for where, expected in (
            ({"a": 1}, "01"),
            ({"a": 1, "b": "x"}, "0"),
            ({"n": {"deep": [2]}}, "3"),
            ({"z": 0}, ""),
        ):
            keys = record.read(MatchMetadata(ADAS, where))
            assert keys.dtype == np.int64
            assert sorted(by_key[key] for key in keys.tolist()) == list(expected)

    def test_fetch(self, record: Record) -> None:
        """Recalled messages are read whole, with thread, owner and neighbours, as the record has them now."""
        keys = keys_by_text(say(record, *"abcde"))
        append(record, Message.user("C", id="c"))
        one = fetch(record, ADAS, keys["c"])[keys["c"]]
        assert one.message == read(record)[2]
        assert (one.thread, one.owner) == ("t", ADA)
        assert (texts(one.before), one.message.text, texts(one.after)) == (["b"], "C", ["d"])

    @pytest.mark.parametrize(("neighbours", "expected"), [(0, ""), (1, "bd"), (2, "abde"), (9, "abde")])
    def test_fetch_neighbours(self, record: Record, neighbours: int, expected: str) -> None:
        """A fetched message has so many neighbours on either side as there are, over gaps, oldest first."""
        keys = keys_by_text(say(record, *"axbcyde"))
        record.write(DeleteMessages(ADA, "t", ("x", "y")))
        one = fetch(record, ADAS, keys["c"], neighbours=neighbours)[keys["c"]]
        assert texts((*one.before, *one.after)) == list(expected)

    def test_fetch_what_is_gone(self, record: Record, other: Record) -> None:
        """What was deleted a moment ago by another is not fetched any more."""
        keys = keys_by_text(say(record, "a", "b"))
        other.write(DeleteMessages(ADA, "t", ("a",)))
        assert list(fetch(record, ADAS, *keys.values(), 10**15)) == [keys["b"]]
        assert fetch(record, ADAS) == {}


def _random_change(choose: random.Random, record: Record, step: int) -> None:
    owner, to = choose.choice((ADA, COOK, BOB)), choose.choice((ADA, COOK, BOB))
    there = [thread for thread in threads_of(record, EVERYONE) if thread.owner == owner]
    if not there or choose.random() < 0.5:
        id_ = f"m{choose.randrange(12)}"
        append(record, Message.user(f"said {step}", id=id_), owner=owner, thread=f"t{choose.randrange(3)}")
        return
    thread = choose.choice(there)
    kind = choose.choice(("delete", "move", "clone", "forget thread", "forget message"))
    if kind == "delete":
        record.write(DeleteMessages(owner, thread.id, (f"m{choose.randrange(12)}", f"m{choose.randrange(12)}")))
    elif kind == "move":
        _move_where_free(record, owner, thread.id, to)
    elif kind == "clone":
        record.write(CloneThread(owner, thread.id, to, f"copy {step}"))
    elif kind == "forget thread":
        record.write(Forget(EVERYONE, thread.key))
    elif said := read(record, thread.id, owner=owner):
        record.write(Forget(EVERYONE, thread.key, choose.choice(said).id))


def _move_where_free(record: Record, owner: Owner, thread: str, to: Owner) -> None:
    taken = {(one.owner, one.id) for one in threads_of(record, EVERYONE)}
    if (to, thread) not in taken:
        record.write(MoveThread(owner, thread, to))
