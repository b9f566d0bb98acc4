"""Races: two stores, many threads of execution, one truth."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ClassVar, TypeVar

import pytest

from keepwell.errors import IdempotencyConflict, KeepwellError, ThreadExists
from keepwell.models import Message, Thread
from keepwell.storage.base import (
    ActiveSpace,
    CloneThread,
    CreateThread,
    DeleteMessages,
    FindCandidates,
    FindDue,
    FindThread,
    Forget,
    LoadScope,
    MoveThread,
    PostTerms,
    ReadStatus,
    Record,
    SwitchSpace,
    UpdateThread,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    EVERYONE,
    Capability,
    StoreConformance,
    append,
    build,
    embed,
    found,
    open_space,
    read,
    say,
    seqs,
    texts,
    threads_of,
)
from keepwell.testing.conformance.mirror import Mirror

R = TypeVar("R")
SENDERS = 4
EACH = 12


def at_once(*jobs: Callable[[], R]) -> list[R | KeepwellError]:
    """Do all jobs at the same time; give what each answered, or the error of ours that it raised."""
    ready = threading.Barrier(len(jobs))

    def run(job: Callable[[], R]) -> R | KeepwellError:
        ready.wait()
        try:
            return job()
        except KeepwellError as error:
            return error

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def by_each(senders: Sequence[Record], job: Callable[[int, Record], R]) -> list[R | KeepwellError]:
    """Let each sender do its job at the same time, by its number."""
    return at_once(*(partial(job, number, sender) for number, sender in enumerate(senders)))


def answers(results: Sequence[R | KeepwellError]) -> list[R]:
    """Give the results, none of which may be an error."""
    good: list[R] = []
    for result in results:
        if isinstance(result, KeepwellError):
            raise result
        good.append(result)
    return good


class RacesConformance(StoreConformance):
    """What a store promises when several write at once."""

    capability: ClassVar[Capability] = "races"

    @pytest.fixture
    def senders(self, record: Record, other: Record) -> list[Record]:
        """Give the record once for each sender, from the two stores in turn."""
        return list(itertools.islice(itertools.cycle((record, other)), SENDERS))

    def test_appends_to_one_thread(self, record: Record, senders: list[Record]) -> None:
        """Messages of several senders get dense numbers, each once, and each sender's are in its order."""

        def send(number: int, sender: Record) -> None:
            for count in range(EACH):
                append(sender, Message.user(f"{number}.{count}"))

        answers(by_each(senders, send))
        got = read(record)
        assert seqs(got) == list(range(1, SENDERS * EACH + 1))
        for number in range(SENDERS):
            mine = [text for text in texts(got) if text.startswith(f"{number}.")]
            assert mine == [f"{number}.{count}" for count in range(EACH)]
        assert (found(record).message_count, found(record).last_seq) == (SENDERS * EACH, SENDERS * EACH)

    def test_batches_stay_together(self, record: Record, senders: list[Record]) -> None:
        """The messages of one append stand next to each other, whoever else appends."""
        batches = [[Message.user(f"{number}") for _ in range(EACH)] for number in range(SENDERS)]
        answers(by_each(senders, lambda number, sender: append(sender, *batches[number])))
        runs = [list(run) for _, run in itertools.groupby(texts(read(record)))]
        assert [len(run) for run in runs] == [EACH] * SENDERS

    def test_one_message_from_all(self, record: Record, senders: list[Record]) -> None:
        """A message that all send at once is kept once, and all are told the same number."""
        message = Message.user("hello", id="m")
        got = answers(by_each(senders, lambda _, sender: append(sender, message)))
        assert {one.messages[0].seq for one in got} == {1}
        assert (texts(read(record)), found(record).last_seq, found(record).message_count) == (["hello"], 1, 1)

    def test_overlapping_batches(self, record: Record, senders: list[Record]) -> None:
        """Batches that share messages leave each message once and no gap."""
        messages = [Message.user(str(number), id=str(number)) for number in range(10)]
        batches = [messages[start : start + 7] for start in range(SENDERS)]
        answers(by_each(senders, lambda number, sender: append(sender, *batches[number])))
        got = read(record)
        assert sorted(texts(got)) == sorted(message.text for message in messages)
        assert seqs(got) == list(range(1, 11))
        assert found(record).message_count == 10

    def test_versions_of_one_message(self, record: Record, senders: list[Record]) -> None:
        """Of several versions that are sent at once one is kept, in the one place."""
        append(record, Message.user("old", id="m"), Message.user("next"))
        versions = [Message.user(f"version {number}", id="m") for number in range(SENDERS)]
        answers(by_each(senders, lambda number, sender: append(sender, versions[number])))
        first, second = read(record)
        assert (first.seq, second.seq, second.text) == (1, 2, "next")
        assert first.text in texts(versions)

    def test_one_key_from_all(self, record: Record, senders: list[Record]) -> None:
        """An append that all send at once under one key is done once and answered alike."""
        got = answers(by_each(senders, lambda _, sender: append(sender, Message.user("hello"), key="k")))
        assert len({(one.thread, one.messages[0].id, one.messages[0].seq) for one in got}) == 1
        assert texts(read(record)) == ["hello"]

    def test_one_key_for_different_things(self, record: Record, senders: list[Record]) -> None:
        """Of different appends under one key, one is done and the others are refused."""
        messages = [Message.user(str(number)) for number in range(SENDERS)]
        got = by_each(senders, lambda number, sender: append(sender, messages[number], key="k"))
        refused = [one for one in got if isinstance(one, IdempotencyConflict)]
        assert (len(refused), len(read(record))) == (SENDERS - 1, 1)

    def test_create(self, record: Record, senders: list[Record]) -> None:
        """Of several who make a thread at once, one does and the others are told that it is there."""
        got = by_each(senders, lambda _, sender: sender.write(CreateThread(ADA, "t")))
        made = [one for one in got if isinstance(one, Thread)]
        assert made == [found(record)]
        assert sum(isinstance(one, ThreadExists) for one in got) == SENDERS - 1

    def test_first_append(self, record: Record, senders: list[Record]) -> None:
        """Several first messages of a thread make one thread."""
        got = answers(by_each(senders, lambda _, sender: append(sender, Message.user("hello"))))
        assert {one.thread for one in got} == {found(record).key}
        assert seqs(read(record)) == [1, 2, 3, 4]

    def test_metadata(self, record: Record, senders: list[Record]) -> None:
        """Updates of different keys at once are all kept."""
        record.write(CreateThread(ADA, "t"))

        def update(number: int, sender: Record) -> None:
            for count in range(EACH):
                sender.write(UpdateThread(ADA, "t", metadata={f"{number}.{count}": count}))

        answers(by_each(senders, update))
        assert found(record).metadata == {f"{n}.{count}": count for n in range(SENDERS) for count in range(EACH)}

    def test_deletes(self, record: Record, senders: list[Record]) -> None:
        """A message that several delete at once is counted by one of them."""
        say(record, "a", "b")
        got = answers(by_each(senders, lambda _, sender: sender.write(DeleteMessages(ADA, "t", ("a",)))))
        assert sorted(got) == [0, 0, 0, 1]
        assert (texts(read(record)), found(record).message_count) == (["b"], 1)

    def test_append_and_move(self, record: Record, other: Record) -> None:
        """A message appended while its thread moves is in one of two threads, whole and once."""
        for round_ in range(EACH):
            id_ = f"t{round_}"
            say(record, "one", thread=id_)
            at_once(
                partial(append, record, Message.user("two"), thread=id_),
                partial(other.write, MoveThread(ADA, id_, BOB)),
            )
            mine, his = texts(read(record, id_)), texts(read(record, id_, BOB))
            assert (mine, his) in ((["two"], ["one"]), ([], ["one", "two"]))
            self.consistent(record)

    def test_append_and_forget(self, record: Record, other: Record) -> None:
        """A message appended while its thread is forgotten is either gone with it or begins it anew."""
        for round_ in range(EACH):
            id_ = f"t{round_}"
            key = say(record, "one", thread=id_).thread
            at_once(
                partial(append, record, Message.user("two"), thread=id_),
                partial(other.write, Forget(ADAS, key)),
            )
            assert [(m.text, m.seq) for m in read(record, id_)] in ([], [("two", 1)])
            self.consistent(record)

    def test_clone_and_append(self, record: Record, other: Record) -> None:
        """A clone made while its source grows is the source as it was at one moment."""
        for round_ in range(EACH):
            id_ = f"t{round_}"
            say(record, "one", thread=id_)
            batch = [Message.user("two"), Message.user("three")]
            at_once(
                partial(append, record, *batch, thread=id_),
                partial(other.write, CloneThread(ADA, id_, ADA, f"copy of {id_}")),
            )
            assert texts(read(record, f"copy of {id_}")) in (["one"], ["one", "two", "three"])
            self.consistent(record)

    def test_moves_to_one_place(self, record: Record, other: Record) -> None:
        """Of two threads of one id that move to one owner, one arrives and the other stays."""
        say(record, "from ada")
        say(record, "from bob", owner=BOB)
        carol = ADA._replace(user_id="carol")
        got = at_once(
            partial(record.write, MoveThread(ADA, "t", carol)), partial(other.write, MoveThread(BOB, "t", carol))
        )
        assert sum(isinstance(one, ThreadExists) for one in got) == 1
        assert len(read(record, owner=carol)) == 1
        assert len(read(record)) + len(read(record, owner=BOB)) == 1

    def test_crossing_moves(self, record: Record, other: Record) -> None:
        """Threads that move to each other's owners at once do not wait for each other for ever."""
        for round_ in range(EACH):
            a, b = f"a{round_}", f"b{round_}"
            say(record, "one", thread=a)
            say(record, "two", thread=b, owner=BOB)
            answers(
                at_once(
                    partial(record.write, MoveThread(ADA, a, BOB)),
                    partial(other.write, MoveThread(BOB, b, ADA)),
                )
            )
            assert (texts(read(record, a, BOB)), texts(read(record, b))) == (["one"], ["two"])

    def test_readers_miss_nothing(self, record: Record, other: Record, senders: list[Record]) -> None:
        """A reader that keeps loading while others write ends up with what is there."""
        mirrors = [Mirror(record, ADAS), Mirror(other, EVERYONE)]
        over = threading.Event()

        def send(number: int, sender: Record) -> None:
            for count in range(EACH):
                thread = f"t{(number + count) % 3}"
                append(sender, Message.user(f"{number} {count}", id=f"{count % 5}"), thread=thread)
                if count % 4 == 3:
                    sender.write(DeleteMessages(ADA, thread, (f"{count % 5}", f"{number}")))

        def keep_loading(mirror: Mirror) -> None:
            while not over.is_set():
                mirror.load()

        readers = [threading.Thread(target=keep_loading, args=(mirror,)) for mirror in mirrors]
        for reader in readers:
            reader.start()
        try:
            answers(by_each(senders, send))
        finally:
            over.set()
            for reader in readers:
                reader.join()
        for mirror in mirrors:
            mirror.check()
        self.consistent(record)

    def test_postings(self, record: Record, other: Record) -> None:
        """Messages that come while postings are written are found by their words, and counted once."""
        append(record, Message.user("nut"))

        def send() -> None:
            for count in range(EACH):
                append(other, Message.user("nut", id=f"{count}"))
                append(other, Message.user("nut nut", id=f"{count // 2}"))

        def post() -> None:
            for _ in range(EACH):
                record.write(PostTerms(limit=10))

        answers(at_once(send, post, post))
        for _ in range(2):
            statistics = record.read(FindCandidates(ADAS, None, None, ("nut",), 5)).statistics
            assert (statistics.messages, dict(statistics.frequencies)) == (EACH + 1, {"nut": EACH + 1})
            record.write(PostTerms(limit=10))

    def test_spaces(self, record: Record, senders: list[Record]) -> None:
        """Several who open a space at once get the same one, which is active."""
        got = answers(by_each(senders, lambda _, sender: open_space(sender)))
        assert len({space.key for space in got}) == 1
        assert record.read(ActiveSpace()) == got[0]

    def test_different_first_spaces(self, record: Record, senders: list[Record]) -> None:
        """Of several different first spaces one becomes the active one."""
        got = answers(by_each(senders, lambda number, sender: open_space(sender, f"model {number}")))
        assert record.read(ActiveSpace()) in got

    def test_vectors_twice(self, record: Record, senders: list[Record]) -> None:
        """Work that several do at once leaves each vector once and nothing due."""
        space = open_space(record)
        say(record, *(f"m{number}" for number in range(EACH)))
        batch = record.read(FindDue(space.key, 100))
        assert all(answers(by_each(senders, lambda _, sender: embed(sender, space, batch))))
        assert record.read(ReadStatus()).vectors == EACH
        assert record.read(FindDue(space.key, 100)).texts == ()

    def test_switch_and_append(self, record: Record, other: Record) -> None:
        """A message appended while spaces are switched is embedded in the new space or due in it."""
        open_space(record)
        say(record, "one")
        new = open_space(record, "new")
        build(record, new)
        at_once(
            lambda: append(other, Message.user("two"), thread="other").written != {},
            lambda: record.write(SwitchSpace(new.key)) is None,
        )
        assert build(record, new) == ["two"]
        record.write(SwitchSpace(new.key))
        assert record.read(ActiveSpace()) == new
        loaded = record.read(LoadScope(ADAS, new.key, None))
        assert set(loaded.vectors.keys.tolist()) == set(loaded.messages.keys.tolist())
        assert loaded.messages.keys.size == 2

    def consistent(self, record: Record) -> None:
        """Check that every thread counts the messages it has, and that its numbers are within its last one."""
        for thread in threads_of(record, EVERYONE):
            messages = read(record, thread.id, thread.owner)
            assert record.read(FindThread(thread.owner, thread.id)) == thread
            assert (thread.message_count, len({message.id for message in messages})) == (len(messages),) * 2
            numbers = [message.seq or 0 for message in messages]
            assert numbers == sorted(set(numbers))
            assert not numbers or numbers[-1] <= thread.last_seq
