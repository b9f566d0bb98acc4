"""What a reader holds in its process follows the record: nothing is missed, and nothing is read twice for nothing."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from keepwell import Memory, Message, Recollections, ScopedThread
from keepwell.errors import Conflict, EmbedderMismatch, NotFound, UsageError
from keepwell.models import Owner, Scope
from keepwell.storage import base
from keepwell.storage.postgres import PoolOptions, PostgresStore, embedded
from keepwell.storage.postgres.record import PostgresRecord
from keepwell.testing import HashEmbedder
from keepwell.testing.conformance.mirror import Mirror

from .embedded.ground import open_ground

ADA, BOT, BOB = Owner("ada", "", ""), Owner("ada", "bot", ""), Owner("bob", "", "")
ADAS = Scope("ada")


def append(record: PostgresRecord, *texts: str, owner: Owner = ADA, thread: str = "t", **options: Any) -> base.Appended:
    """Append a message for each text, whose id and only term it is."""
    messages = tuple(Message.user(text, id=text) for text in texts)
    return record.write(base.AppendMessages(owner, thread, messages, texts), **options)


def put_vector(record: PostgresRecord, space: int, key: int, **options: Any) -> None:
    """Give a message a vector."""
    row = base.VectorRow(key, 0, np.array([1, 0, 0, 0], np.float32))
    record.write(base.PutVectors(space, (row,)), **options)


@pytest.fixture
def reader(record: PostgresRecord) -> Mirror:
    """Give a reader of ada's scope, which has loaded what is there: one message with its vector."""
    space = record.write(base.OpenSpace("model", 4))
    (key,) = append(record, "first").written
    put_vector(record, space.key, key)
    reader = Mirror(record, ADAS, space.key)
    reader.load()
    return reader


def brought(reader: Mirror) -> tuple[list[str], int, int]:
    """Load, check against a reader that knew nothing, and give the new terms and how many vectors and removals."""
    delta = reader.load()
    assert not delta.full
    found = sorted(delta.messages.terms), len(delta.vectors.keys), len(delta.removed)
    reader.check()
    return found


@pytest.mark.parametrize("inside", ["transaction", "savepoint"])
def test_a_lower_transaction_that_commits_later_is_not_missed(
    inside: str, record: PostgresRecord, reader: Mirror, connect: Callable[..., psycopg.Connection]
) -> None:
    """A message of a transaction that began before a load, and ended after it, comes with the next load."""
    early = connect()
    if inside == "savepoint":
        with early.transaction(), early.transaction():
            early.execute("select pg_current_xact_id()")
    append(record, "early", thread="other", connection=early)
    append(record, "late")
    assert brought(reader) == (["late"], 0, 0)
    early.commit()
    assert brought(reader) == (["early"], 0, 0)
    assert brought(reader) == ([], 0, 0)


def test_many_that_end_in_any_order(
    record: PostgresRecord, reader: Mirror, connect: Callable[..., psycopg.Connection]
) -> None:
    """However transactions overlap, each message of one that committed comes exactly once."""
    chance = random.Random(7)
    for _ in range(3):
        open_ones = []
        for number in range(6):
            connection = connect()
            append(record, f"{chance.random()}", thread=f"t{number}", connection=connection)
            open_ones.append(connection)
        chance.shuffle(open_ones)
        for connection in open_ones:
            committed = chance.random() < 0.7
            connection.commit() if committed else connection.rollback()
            terms, _, _ = brought(reader)
            assert len(terms) == committed


def test_a_long_transaction_of_somebody_else_costs_nothing(
    record: PostgresRecord, reader: Mirror, connect: Callable[..., psycopg.Connection]
) -> None:
    """While some transaction of the database stays open, what was read already is not read again."""
    foreign = connect()
    foreign.execute("select pg_current_xact_id()")
    append(record, *(f"m{number}" for number in range(50)))
    assert len(brought(reader)[0]) == 50
    for number in range(3):
        append(record, f"next {number}")
        assert brought(reader) == ([f"next {number}"], 0, 0)
    foreign.commit()
    assert brought(reader) == ([], 0, 0)


def test_what_is_rolled_back_never_comes(
    record: PostgresRecord, reader: Mirror, connect: Callable[..., psycopg.Connection]
) -> None:
    """A transaction that is undone after a load saw it running leaves no trace."""
    undone = connect()
    append(record, "never", connection=undone)
    record.write(base.DeleteMessages(ADA, "t", ("first",)), undone)
    assert brought(reader) == ([], 0, 0)
    undone.rollback()
    assert brought(reader) == ([], 0, 0)
    assert len(reader.messages) == len(reader.vectors) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (base.DeleteMessages(ADA, "t", ("first",)), ([], 0, 1)),
        (base.Forget(ADAS), ([], 0, 1)),
        (base.ReplaceMessage(ADA, "t", Message.user("again", id="first"), "again"), (["again"], 0, 0)),
        (base.MoveThread(ADA, "t", BOB), ([], 0, 1)),
        (base.MoveThread(ADA, "t", BOT), (["first"], 1, 1)),
        (base.CloneThread(ADA, "t", BOT, "copy"), (["first"], 1, 0)),
        (base.CloneThread(ADA, "t", BOB, "copy"), ([], 0, 0)),
    ],
    ids=["delete", "forget", "replace", "move out", "move within", "clone within", "clone out"],
)
def test_changes_that_commit_late(
    change: base.Write[Any],
    expected: tuple[list[str], int, int],
    record: PostgresRecord,
    reader: Mirror,
    connect: Callable[..., psycopg.Connection],
) -> None:
    """Every kind of change is seen when its transaction ends after a load, and not before."""
    late = connect()
    record.write(change, late)
    append(record, "meanwhile", thread="other")
    assert brought(reader) == (["meanwhile"], 0, 0)
    late.commit()
    assert brought(reader) == expected
    assert brought(reader) == ([], 0, 0)


def test_a_move_into_a_scope_is_seen(record: PostgresRecord, reader: Mirror) -> None:
    """A thread that comes from somebody else comes with its messages and vectors, and is gone from there."""
    (key,) = append(record, "guest", owner=BOB, thread="b").written
    assert reader.space is not None
    put_vector(record, reader.space, key)
    other = Mirror(record, Scope("bob"), reader.space)
    other.load()
    record.write(base.MoveThread(BOB, "b", ADA))
    assert brought(reader) == (["guest"], 1, 0)
    assert brought(other) == ([], 0, 1)


def test_vectors_that_come_later(
    record: PostgresRecord, reader: Mirror, connect: Callable[..., psycopg.Connection]
) -> None:
    """A vector written long after its message comes alone, and so does one that takes another's place."""
    (key,) = append(record, "second").written
    assert brought(reader) == (["second"], 0, 0)
    assert reader.space is not None
    late = connect()
    put_vector(record, reader.space, key, connection=late)
    assert brought(reader) == ([], 0, 0)
    late.commit()
    assert brought(reader) == ([], 1, 0)
    put_vector(record, reader.space, key)
    assert brought(reader) == ([], 1, 0)


def test_a_reader_in_the_middle_of_a_switch(record: PostgresRecord, reader: Mirror) -> None:
    """A reader of the old space keeps its messages, and one of the new space has all vectors, after a switch."""
    new = record.write(base.OpenSpace("new", 4))
    for key in reader.messages:
        put_vector(record, new.key, key)
    record.write(base.SwitchSpace(new.key))
    assert reader.load().messages.terms == ()
    whole = Mirror(record, ADAS, new.key)
    whole.load()
    assert {key for key, _ in whole.vectors} == set(whole.messages) == set(reader.messages)


# --- the same through the face


def told(found: Recollections) -> dict[tuple[Owner, str, str, str], float]:
    """Give what was recalled, with its score; where two score alike their order is open."""
    return {(item.owner, item.thread, item.message.id, item.text): item.score for item in found}


def same(left: Recollections, right: Recollections) -> None:
    """Check that two recalls found the same with the same scores."""
    assert told(left) == pytest.approx(told(right), abs=2e-4)
    assert [item.score for item in left] == pytest.approx([item.score for item in right], abs=2e-4)


WORDS = ("nut", "pear", "plum", "fig", "nut pear", "plum fig nut", "pear pear", "")
_threads = st.sampled_from(["one", "two"])
_owners = st.sampled_from([ADA, ADA, BOT, BOB])
_which = st.integers(0, 1)


class Writers(RuleBasedStateMachine):
    """Two memories that write at random, one of them also in a transaction; both have recalled from the start."""

    dsn: str

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.tenant = f"writers-{uuid.uuid4().hex}"  # not of `random`, which begins alike in each example
        self.memories = [self.open(pool_size=2), self.open(pool_size=3)]
        self.open_one: psycopg.Connection[Any] | None = None
        self.deleted = False  # in the open transaction, which then holds its owner against what else removes
        self.joined = psycopg.connect(self.dsn)
        self.count = 0

    def open(self, pool_size: int, budget: int = 2**28) -> Memory:
        memory = self.stack.enter_context(
            Memory.open(
                self.dsn, tenant=self.tenant, embedder=HashEmbedder(8), pool_size=pool_size, name=f"{pool_size}"
            )
        )
        memory._engine.cache.budget = budget
        return memory

    def thread(self, which: int, owner: Owner, name: str) -> ScopedThread:
        return self.memories[which].scope(*(value or None for value in owner)).thread(name)

    def messages(self, words: list[str], ids: int) -> list[Message]:
        self.count += 1
        return [Message.user(f"{word} w{self.count}", id=f"{n % ids}") for n, word in enumerate(words)]

    @rule(which=_which, owner=_owners, thread=_threads, words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def append(self, which: int, owner: Owner, thread: str, words: list[str]) -> None:
        new = [message.model_copy(update={"id": f"{self.count}-{message.id}"}) for message in self.messages(words, 9)]
        self.thread(which, owner, thread).append(*new)

    @precondition(lambda self: not self.deleted)
    @rule(which=_which, owner=_owners, thread=_threads, words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def append_known_ids(self, which: int, owner: Owner, thread: str, words: list[str]) -> None:
        self.thread(which, owner, thread).append(*self.messages(words, 2))

    @precondition(lambda self: not self.deleted)
    @rule(which=_which, owner=_owners, thread=_threads, count=st.integers(1, 3))
    def delete(self, which: int, owner: Owner, thread: str, count: int) -> None:
        chat = self.thread(which, owner, thread)
        if known := chat.messages():
            chat.delete(*known[:: max(1, len(known) // count)])

    @precondition(lambda self: not self.deleted)
    @rule(which=_which, owner=_owners, to=_owners, thread=_threads)
    def move(self, which: int, owner: Owner, to: Owner, thread: str) -> None:
        try:
            self.thread(which, owner, thread).move(self.thread(which, to, thread).scope)
        except (NotFound, Conflict):
            return

    @rule(which=_which, owner=_owners, to=_owners, thread=_threads, new=_threads)
    def clone(self, which: int, owner: Owner, to: Owner, thread: str, new: str) -> None:
        try:
            self.thread(which, owner, thread).clone(new, to=self.thread(which, to, new).scope)
        except (NotFound, Conflict):
            return

    @precondition(lambda self: not self.deleted)
    @rule(which=_which, owner=_owners, thread=_threads)
    def forget(self, which: int, owner: Owner, thread: str) -> None:
        chat = self.thread(which, owner, thread)
        try:
            chat.scope.forget(chat)
        except (NotFound, UsageError):
            return

    @precondition(lambda self: self.open_one is None)
    @rule(which=_which)
    def drain(self, which: int) -> None:
        self.memories[which].drain()

    @rule(owner=_owners, words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3), delete=st.booleans())
    def join(self, owner: Owner, words: list[str], delete: bool) -> None:
        self.open_one = self.joined
        chat = self.thread(0, owner, "joined")
        chat.append(*self.messages(words, 3), connection=self.joined)
        if delete:
            chat.delete("0", connection=self.joined)
            self.deleted = True

    @precondition(lambda self: self.open_one is not None)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        self.joined.commit() if commit else self.joined.rollback()
        self.open_one, self.deleted = None, False

    @rule(which=_which, user=st.sampled_from(["ada", "bob"]), agent=st.sampled_from([None, "bot"]))
    def recall(self, which: int, user: str, agent: str | None) -> None:
        with self.fresh() as fresh:
            for query in ("nut and pear", "w3 fig"):
                held = self.memories[which].scope(user, agent).recall(query, limit=1000)
                same(held, fresh.scope(user, agent).recall(query, limit=1000))

    @contextmanager
    def fresh(self) -> Iterator[Memory]:
        with Memory.open(self.dsn, tenant=self.tenant, embedder=HashEmbedder(8), pool_size=2, name="fresh") as memory:
            yield memory

    def teardown(self) -> None:
        with self.stack, closing(self.joined):
            self.joined.rollback()
            for which in (0, 1):
                for user, agent in (("ada", None), ("ada", "bot"), ("bob", None)):
                    self.recall(which, user, agent)
            self.memories[0].scope(across_users=True).forget()


def test_a_long_lived_memory_recalls_as_a_fresh_one(proof: bool, dsn: str) -> None:
    """Whatever two memories and a long transaction write in turn, each recalls what one opened just now recalls."""

    class OnThisServer(Writers):
        pass

    OnThisServer.dsn = dsn
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        OnThisServer,
        settings=settings(
            max_examples=200 if proof else 10,
            stateful_step_count=50 if proof else 25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


SENTENCES = [f"{word} {other} {n}" for n, word in enumerate(WORDS[:6]) for other in ("in spring", "at home", "fig")]


@pytest.mark.parametrize("posted", ["posted", "unposted", "mixed"])
@pytest.mark.parametrize("embedder", [None, HashEmbedder(16)], ids=["keywords", "vectors"])
def test_candidates_agree_with_the_snapshot(
    posted: str, embedder: HashEmbedder | None, dsn: str, tenant: str, open_memory: Callable[..., Memory]
) -> None:
    """In a scope where each message is a candidate, both ways of loading give the same, posted or not."""
    whole = open_memory(tenant=tenant, embedder=embedder)
    chat, other = whole.scope("ada").thread("t"), whole.scope("ada", "bot").thread("t")
    chat.append(*map(Message.user, SENTENCES[:10]))
    if posted != "unposted":
        whole.drain()
    other.append(*map(Message.user, SENTENCES[10:]))
    chat.replace(Message.user("a pear at last", id=chat.messages()[0].id))
    chat.delete(chat.messages()[4])
    if posted == "posted":
        whole.drain()
    whole.scope("bob").thread("t").append(Message.user("nut nut nut"))
    with Memory.over(PostgresStore(dsn), tenant=tenant, embedder=embedder, snapshot_bytes=0) as narrow:
        views = whole.scope("ada"), narrow.scope("ada")
        for query in ("nut in spring", "figs at home", "pear", "something else"):
            for limit, thread in ((100, None), (100, "t"), (3, None)):
                left, right = (
                    view.recall(query, limit=limit, thread=None if thread is None else view.thread(thread))
                    for view in views
                )
                assert (left.loaded, right.loaded) == ("snapshot", "candidates")
                same(left, right)
        assert len(narrow.scope("ada").recall("nut", limit=100)) > 3


def test_keywords_are_found_alike_in_a_scope_of_some_size(
    dsn: str, tenant: str, open_memory: Callable[..., Memory]
) -> None:
    """Of 600 messages in three threads, part of them posted, both ways find the same words with the same scores."""
    whole = open_memory(tenant=tenant, embedder=None)
    chance = random.Random(3)
    vocabulary = [f"word{n}" for n in range(300)]
    for number in range(6):
        texts = [" ".join(chance.choices(vocabulary, k=8)) for _ in range(100)]
        whole.scope("ada").thread(f"t{number % 3}").append(*map(Message.user, texts))
        if number == 2:
            whole.drain()
    with Memory.over(PostgresStore(dsn), tenant=tenant, snapshot_bytes=0) as narrow:
        for query in ("word1 word2", "word77", "word5 word6 word7 word8"):
            left = whole.scope("ada").recall(query, limit=1000)
            same(left, narrow.scope("ada").recall(query, limit=1000))
            assert len(left) > 10


def test_a_memory_beside_one_that_makes_all_vectors_anew(memories: tuple[Memory, Memory]) -> None:
    """After another memory switched to a new model, one opened with the old model still finds words, old and new.

    Opened anew with the old model, the store says what to do.
    """
    old, new = memories
    ada = old.scope("ada")
    ada.thread("t").append(Message.user("a walnut"), Message.user("a plum"))
    assert len(ada.recall("walnut")) > 0
    new.reembed(HashEmbedder(32))
    new.scope("ada").thread("t").append(Message.user("a walnut again"))
    for memory in memories:
        found = memory.scope("ada").recall("walnut", limit=2)
        assert {item.text for item in found} == {"a walnut", "a walnut again"}
    with pytest.raises(EmbedderMismatch, match="keepwell reembed"):
        Memory.open(old._opened.store._dsn, tenant=old.tenant, embedder=HashEmbedder())  # type: ignore[attr-defined]


def test_a_restart_of_the_server() -> None:
    """After the server was away, calls work again without another open, and a scope in the process is loaded anew."""
    with open_ground() as ground:
        server = embedded.start(ground / "store")
        with closing(
            PostgresStore(server.dsn, admin_dsn=server.admin_dsn, options=PoolOptions(4, timeout=20))
        ) as store:
            memory = Memory.over(store, embedder=HashEmbedder())
            chat = memory.scope("ada").thread("t")
            chat.append(Message.user("before the restart"))
            assert len(memory.scope("ada").recall("restart")) == 1
            mark = store.record("default").read(base.LoadScope(ADAS, None, None)).mark
            embedded.stop(ground / "store")
            again = embedded.start(ground / "store")
            chat.append(Message.user("after the restart"))
            assert [item.text for item in memory.scope("ada").recall("after restart")][0] == "after the restart"
            assert len(memory.scope("ada").recall("restart")) == 2
            assert store.record("default").read(base.LoadScope(ADAS, None, mark)).full
            memory.close()
            again.release()
        server.release()


def test_another_server_for_loading(dsn: str, tenant: str, caplog: pytest.LogCaptureFixture) -> None:
    """A recall is loaded over the read-only address, and where nobody answers there, from the primary."""
    away = "host=127.0.0.1 port=1 dbname=nowhere connect_timeout=1"
    for read_dsn in (dsn, away):
        store = PostgresStore(dsn, read_dsn=read_dsn, options=PoolOptions(2, timeout=0.5 if read_dsn == away else 5))
        with Memory.over(store, tenant=tenant, embedder=HashEmbedder()) as memory:
            memory.scope("ada").thread("t").append(Message.user("walnut", id="m"))
            assert [item.text for item in memory.scope("ada").recall("walnut")] == ["walnut"]
