"""Work that is not of a thread, what models cost, what is past its time, and what status says of it."""

from __future__ import annotations

import datetime as dt
import threading
from uuid import uuid4

import psycopg

from keepwell import Memory, Message
from keepwell.formation.settle import Draft, Edit
from keepwell.models import Owner, Scope
from keepwell.storage.base import (
    AppendMessages,
    CloneThread,
    DeleteMessages,
    MoveThread,
    Prune,
    ReadMessages,
    ReplaceMessage,
)
from keepwell.storage.facts import (
    ApplyEdits,
    DueItem,
    Expire,
    FailForming,
    FindOwners,
    FinishDue,
    ListFacts,
    ModelCall,
    PutDue,
    ReadFormation,
    ReadSecret,
    ReadSpent,
    RetryParked,
    SetPolicy,
    TakeDue,
)
from keepwell.storage.postgres import PostgresStore
from keepwell.storage.postgres.record import PostgresRecord

from .forming_work import ADA, BOB, MINUTE, NO_TIME, append, change, claim, form

DISTIL, RETAIN = DueItem("distil", ADA), DueItem("retain", ADA)
NOW = dt.datetime.now(dt.UTC)


def take(record: PostgresRecord, lease: dt.timedelta = MINUTE, limit: int = 20) -> tuple[DueItem, ...]:
    """Take what is due of two kinds."""
    return record.write(TakeDue(("distil", "retain"), lease, limit))


def test_due_work_is_taken_once(record: PostgresRecord) -> None:
    """What is taken is hidden for a time, then seen again with one attempt more, until it is finished."""
    record.write(PutDue((DISTIL, DueItem("embed", ADA, "fact"))))
    record.write(PutDue((RETAIN,), dt.datetime.now(dt.UTC) + MINUTE))
    (item,) = take(record, NO_TIME)
    assert item == DueItem("distil", ADA, attempts=1)
    (item,) = take(record)
    assert item.attempts == 2
    assert take(record) == ()
    record.write(FinishDue((item,)))
    assert record.read(ReadFormation()).due_items == {"embed": 1, "retain": 1}


def test_the_longest_waiting_work_comes_first(record: PostgresRecord) -> None:
    """Items come in the order of their times; noting one again does not put it off."""
    items = [DueItem("distil", Owner(f"u{number}", "", "")) for number in range(4)]
    for number in (2, 0, 3, 1):
        record.write(PutDue((items[number],), NOW - dt.timedelta(seconds=10 - number)))
    record.write(PutDue((items[0],)))
    assert [item.owner for item in take(record, limit=3)] == [item.owner for item in items[:3]]
    assert [item.owner for item in take(record)] == [items[3].owner]


def test_many_take_different_work(record: PostgresRecord) -> None:
    """Of many who take at once no two get the same item, and nobody waits for a transaction that took some."""
    record.write(PutDue(tuple(DueItem("distil", Owner(f"u{number}", "", "")) for number in range(40))))
    taken: list[DueItem] = []

    def work() -> None:
        while found := take(record, limit=3):
            taken.extend(found)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({item.owner for item in taken}) == len(taken) == 40


def test_work_that_is_noted_while_it_is_done_stays(record: PostgresRecord) -> None:
    """Who finishes what was noted again meanwhile does not take the new note away."""
    record.write(PutDue((DISTIL,)))
    taken = take(record)
    record.write(PutDue((DISTIL,)))
    record.write(FinishDue(taken))
    assert len(take(record)) == 1


def test_work_that_fails_comes_again(record: PostgresRecord) -> None:
    """A failure is kept with its attempts and shown; a retry makes it due; what went well comes round with none."""
    record.write(PutDue((DISTIL,)))
    record.write(FinishDue(take(record), "no\x00 answer", MINUTE, (ModelCall("m", "distil", 1, 2, 0.1),)))
    assert take(record) == ()
    assert record.read(ReadFormation()).failing == 1
    record.write(RetryParked(Scope("bob")))
    assert take(record) == ()
    record.write(RetryParked(Scope("ada")))
    (item,) = take(record)
    assert item.attempts == 2
    record.write(FinishDue((item,), again=NO_TIME))
    (item,) = take(record)
    assert item.attempts == 1
    assert record.read(ReadFormation()).failing == 0
    (spent,) = record.read(ReadSpent(NOW, ADA))
    assert (spent.calls, spent.input_tokens, spent.output_tokens) == (1, 1, 2)


def test_what_models_cost(record: PostgresRecord, admin_dsn: str) -> None:
    """Calls add up by owner, the dearest first, from an instant on; what is ninety days old is dropped."""
    for owner, tokens in ((ADA, 10), (BOB, 30), (ADA, 5)):
        append(record, "a", owner=owner, thread=f"t{tokens}")
        claimed = claim(record)
        calls = (ModelCall("m", "extract", tokens, 1, 0.5), ModelCall("m", "reconcile", 1, 1, 0.5, ok=False))
        record.write(FailForming(claimed, "why", MINUTE, calls=calls))
    spent = record.read(ReadSpent(NOW))
    assert [(one.owner, one.calls, one.input_tokens, one.output_tokens, one.seconds) for one in spent] == [
        (BOB, 2, 31, 2, 1.0),
        (ADA, 4, 17, 4, 2.0),
    ]
    assert record.read(ReadSpent(NOW, limit=1)) == spent[:1]
    assert record.read(ReadSpent(NOW, ADA)) == spent[1:]
    assert record.read(ReadSpent(NOW, Owner("cleo", "", ""))) == ()
    change(
        admin_dsn,
        "update keepwell.model_call set at = now() - interval '91 days' where tenant = %s and user_id = 'bob'",
        record._walls.tenant,
    )
    record.write(Prune(MINUTE))
    long_ago = NOW - dt.timedelta(days=1000)
    assert [one.owner for one in record.read(ReadSpent(long_ago))] == [ADA]


def test_a_tenant_has_one_secret(store: PostgresStore, tenant: str) -> None:
    """All who ask at once for a tenant's secret get the same 32 bytes, and another tenant has others."""
    found: set[bytes] = set()
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        found.add(store.record(tenant).read(ReadSecret()))

    workers = [threading.Thread(target=ask) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (secret,) = found
    assert len(secret) == 32
    assert store.record(f"{tenant}-other").read(ReadSecret()) != secret


def test_owners_in_order(record: PostgresRecord) -> None:
    """Owners with threads come page by page, each once."""
    owners = sorted(Owner(user, agent, "") for user in ("a", "b", "c") for agent in ("", "x"))
    for owner in owners:
        append(record, "m", owner=owner, thread="one")
        append(record, "m", owner=owner, thread="two")
    assert record.read(FindOwners()) == tuple(owners)
    assert record.read(FindOwners(limit=2)) == tuple(owners[:2])
    assert record.read(FindOwners(owners[1], limit=10)) == tuple(owners[2:])


def test_lags(memory: Memory, admin_dsn: str) -> None:
    """Status tells how long messages waited for their vectors and for their formation, by median and 95th percentile."""
    record = memory._engine.record
    assert isinstance(record, PostgresRecord)
    before = record.read(ReadFormation())
    assert (before.recall_lag, before.formed_lag) == (None, None)
    append(record, "long ago", thread="old")
    change(
        admin_dsn,
        "update keepwell.message set recorded_at = now() - interval '1 hour' where tenant = %s",
        memory.tenant,
    )
    append(record, "three nuts", "four nuts")
    change(
        admin_dsn,
        "update keepwell.message set recorded_at = recorded_at - interval '10 s' where tenant = %s and id = 'three nuts'",
        memory.tenant,
    )
    change(
        admin_dsn,
        "update keepwell.thread set due_at = null, due_from = null where tenant = %s and id = 'old'",
        memory.tenant,
    )
    form(record)
    memory.drain()
    after = record.read(ReadFormation())
    for lag in (after.recall_lag, after.formed_lag):
        assert lag is not None
        median, most = lag
        assert 5 <= median < 8
        assert 9.5 <= most < 12


def test_what_waits_is_counted(record: PostgresRecord) -> None:
    """Status counts threads with something to form, facts, changes and due work, and knows the oldest."""
    append(record, "a")
    append(record, "b", thread="other")
    form(record)
    edits = (Edit("ADD", draft=Draft("Ada likes tea.", terms="ada like tea")), Edit("NONE", reason="nothing new"))
    record.write(ApplyEdits(ADA, edits, "test", uuid4(), Scope("ada")))
    found = record.read(ReadFormation())
    assert (found.facts, found.changes, found.due_threads, found.due_items) == (1, 2, 1, {"embed": 1})
    assert found.oldest_due is not None
    assert (found.failing, found.parked, found.rejections) == (0, 0, 0)


def said(record: PostgresRecord, owner: Owner = ADA, thread: str = "t") -> list[str]:
    """Give the texts of a thread."""
    return [message.text for message in record.read(ReadMessages(owner, thread))]


def say(record: PostgresRecord, *days: float, owner: Owner = ADA, thread: str = "t") -> None:
    """Append messages that are so many days old."""
    messages = tuple(
        Message.user(f"day {day}", id=f"{day}").model_copy(update={"created_at": NOW - dt.timedelta(days=day)})
        for day in days
    )
    record.write(AppendMessages(owner, thread, messages, tuple("day" for _ in days)))


def test_messages_past_their_retention_are_forgotten(record: PostgresRecord) -> None:
    """The thread's days go before the owner's, the owner's before the store's; what is younger stays."""
    for owner, thread in ((ADA, "t"), (ADA, "own"), (BOB, "t")):
        say(record, 50, 5, 20, 1, owner=owner, thread=thread)
    assert not record.write(Expire()).counts["messages"]
    record.write(SetPolicy(ADA, {"retention": 10}))
    record.write(SetPolicy(ADA, {"retention": 2.5}, "own"))
    receipt = record.write(Expire(days=30))
    assert receipt.counts["messages"] == 2 + 3 + 1
    assert said(record) == ["day 5", "day 1"]
    assert said(record, thread="own") == ["day 1"]
    assert said(record, BOB) == ["day 5", "day 20", "day 1"]
    record.write(SetPolicy(ADA, {"retention": None}, "own"))
    assert not record.write(Expire(days=1e12)).counts["messages"]


def test_a_retention_that_makes_no_sense_removes_nothing(record: PostgresRecord) -> None:
    """A number of days that is negative, no number, or no number at all is as if it were not set."""
    say(record, 50)
    for nonsense in (-1, float("nan"), "soon", True):
        record.write(SetPolicy(ADA, {"retention": nonsense}))
        assert not record.write(Expire()).counts["messages"]
    assert not record.write(Expire(days=-5)).counts["messages"]


def test_what_a_thread_holds_is_known_by_its_oldest_message(record: PostgresRecord, admin_dsn: str) -> None:
    """Replaced, copied and moved messages go by when they were said, and a thread with none left is not looked at."""
    say(record, 1)
    older = Message.user("day 40", id="1").model_copy(update={"created_at": NOW - dt.timedelta(days=40)})
    record.write(CloneThread(ADA, "t", BOB, "young"))
    record.write(ReplaceMessage(ADA, "t", older, "day"))
    record.write(CloneThread(ADA, "t", ADA, "copy"))
    record.write(MoveThread(ADA, "copy", BOB))
    assert record.write(Expire(days=30)).counts["messages"] == 2
    assert (said(record), said(record, BOB, "copy"), said(record, BOB, "young")) == ([], [], ["day 1"])
    with psycopg.connect(admin_dsn) as admin:
        found = admin.execute(
            "select id, oldest::text from keepwell.thread where tenant = %s and oldest in ('infinity', '-infinity')"
            " order by 1", [record._walls.tenant],
        ).fetchall()  # fmt: skip
    assert found == [("copy", "infinity"), ("t", "infinity")]
    say(record, 35)
    assert record.write(Expire(days=30)).counts["messages"] == 1


def test_threads_that_only_seem_old_are_passed(record: PostgresRecord) -> None:
    """Where the oldest messages of hundreds of threads are gone already, one that is over is found behind them."""
    for number in range(210):
        say(record, 90, 1, thread=f"t{number}")
        record.write(DeleteMessages(ADA, f"t{number}", ("90",)))
    say(record, 50, thread="last")
    assert record.write(Expire(days=30)).counts["messages"] == 1
    assert said(record, thread="last") == []
    assert said(record, thread="t0") == ["day 1"]


def test_expiry_goes_step_by_step(record: PostgresRecord) -> None:
    """No more than the limit goes at once, the oldest first."""
    say(record, *range(10, 0, -1))
    assert record.write(Expire(days=2.5, limit=5)).counts["messages"] == 5
    assert said(record)[0] == "day 5"
    assert record.write(Expire(days=2.5, limit=5)).counts["messages"] == 3


def test_facts_past_their_time_are_forgotten(record: PostgresRecord, admin_dsn: str) -> None:
    """A fact goes with its versions and history when its newest version is past its time, and not before."""
    past, future = NOW - MINUTE, NOW + dt.timedelta(days=1)

    def fact(text: str, key: str, at: dt.datetime | None) -> None:
        edit = Edit("ADD", draft=Draft(text, key=key, expires_at=at, terms=text))
        record.write(ApplyEdits(ADA, (edit,), "test", uuid4(), Scope("ada"), explicit=True))

    fact("tea", "drink", past)
    fact("bread", "food", past)
    fact("soup", "food", future)
    fact("blue", "colour", None)
    receipt = record.write(Expire())
    assert (receipt.counts["facts"], receipt.counts["fact_versions"]) == (1, 1)
    assert {found.text for found in record.read(ListFacts(Scope("ada")))} == {"soup", "blue"}
    with psycopg.connect(admin_dsn) as admin:
        (left,) = admin.execute(
            "select count(*) from keepwell.change where tenant = %s", [record._walls.tenant]
        ).fetchone() or (None,)
    assert left == 3
