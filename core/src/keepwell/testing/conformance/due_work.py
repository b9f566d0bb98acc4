"""Work that is not of a thread, what model calls cost, policies, secrets and the status of it all."""

from __future__ import annotations

import datetime as dt
import time
from typing import ClassVar

import pytest

from keepwell.errors import ThreadNotFound
from keepwell.models import Owner
from keepwell.storage.base import FindDue, MoveThread, Record, Store
from keepwell.storage.facts import (
    ClaimThread,
    DueItem,
    FailForming,
    FindOwners,
    FinishDue,
    Formed,
    ModelCall,
    PutDue,
    ReadFormation,
    ReadSecret,
    ReadSpent,
    RetryParked,
    SetPolicy,
    TakeDue,
)
from keepwell.testing.conformance.base import (
    ADA,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    at,
    embed,
    open_space,
    say,
)
from keepwell.testing.conformance.facts_base import COOK, LEASE, add, apply, claim, remember, retract, tell

NOW = dt.timedelta(0)
HOUR = dt.timedelta(hours=1)
DISTIL = DueItem("distil", ADA)
RETAIN = DueItem("retain", ADA)


class Interrupted(Exception):
    """What a caller's block ends with."""


def taken(record: Record, *kinds: str, lease: dt.timedelta = NOW, limit: int = 20) -> list[tuple[str, Owner, str]]:
    """Take items that are due; give what names them."""
    asked = kinds or ("embed", "reform", "distil", "retain")
    items = record.write(TakeDue(asked, lease, limit))  # type: ignore[arg-type]
    return [(item.kind, item.owner, item.item) for item in items]


class DueWorkConformance(StoreConformance):
    """What a store promises about work that is not of a thread."""

    capability: ClassVar[Capability] = "due_work"

    def test_noted(self, record: Record, other: Record) -> None:
        """What was noted is given to who asks for its kind, with how often it was taken."""
        record.write(PutDue((DISTIL, DueItem("reform", BOB, "x"))))
        assert other.write(TakeDue(("distil",), NOW)) == (DueItem("distil", ADA, attempts=1),)
        assert other.write(TakeDue(("reform",), NOW)) == (DueItem("reform", BOB, "x", attempts=1),)
        assert other.write(TakeDue(("distil",), NOW)) == (DueItem("distil", ADA, attempts=2),)

    def test_later(self, record: Record) -> None:
        """What is due at an instant is not given before it."""
        record.write(PutDue((DISTIL,), dt.datetime.now(dt.UTC) + HOUR))
        record.write(PutDue((RETAIN,), at(0)))
        assert taken(record) == [("retain", ADA, "")]

    def test_noted_twice(self, record: Record) -> None:
        """What is noted already is not noted twice, and keeps the earlier time."""
        later = dt.datetime.now(dt.UTC) + HOUR
        record.write(PutDue((DISTIL, RETAIN), later))
        record.write(PutDue((DISTIL,)))
        record.write(PutDue((DISTIL,), later))
        assert taken(record) == [("distil", ADA, "")]

    def test_longest_waiting_first(self, record: Record) -> None:
        """What has waited longest comes first, and no more than asked for."""
        record.write(PutDue((DueItem("reform", ADA, "second"),), at(2)))
        record.write(PutDue((DueItem("reform", ADA, "third"),), at(3)))
        record.write(PutDue((DueItem("reform", ADA, "first"),), at(1)))
        assert [item for _, _, item in taken(record, lease=HOUR, limit=2)] == ["first", "second"]
        assert [item for _, _, item in taken(record)] == ["third"]

    def test_hidden(self, record: Record, other: Record) -> None:
        """What was taken is hidden for a time; who does not finish it sees it again."""
        record.write(PutDue((DISTIL, RETAIN)))
        assert taken(record, "distil", lease=HOUR) == [("distil", ADA, "")]
        assert taken(other, "distil") == []
        assert taken(record, "retain", lease=dt.timedelta(milliseconds=60)) == [("retain", ADA, "")]
        time.sleep(0.1)
        assert other.write(TakeDue(("retain",), NOW)) == (DueItem("retain", ADA, attempts=2),)

    def test_finished(self, record: Record) -> None:
        """What is finished is gone, whatever its attempts; what is not there does no harm."""
        record.write(PutDue((DISTIL, RETAIN)))
        record.write(TakeDue(("distil",), NOW))
        record.write(FinishDue((DueItem("distil", ADA, attempts=7), DueItem("reform", ADA, "nowhere"))))
        assert taken(record) == [("retain", ADA, "")]

    def test_round_again(self, record: Record) -> None:
        """What went well may come round again in a time, as if it was new."""
        record.write(PutDue((DISTIL, RETAIN)))
        items = record.write(TakeDue(("distil", "retain"), HOUR))
        record.write(FinishDue(items[:1], again=NOW))
        record.write(FinishDue(items[1:], again=HOUR))
        (again,) = record.write(TakeDue(("distil", "retain"), NOW))
        assert (again.kind, again.attempts) == (items[0].kind, 1)
        assert record.read(ReadFormation()).failing == 0

    def test_failed(self, record: Record) -> None:
        """What failed is tried again in a time, keeps count, and shows among what fails."""
        record.write(PutDue((DISTIL, RETAIN)))
        items = record.write(TakeDue(("distil", "retain"), HOUR))
        record.write(FinishDue(items[:1], "no answer", NOW))
        record.write(FinishDue(items[1:], "no answer", HOUR))
        (again,) = record.write(TakeDue(("distil", "retain"), NOW))
        assert (again.kind, again.attempts) == (items[0].kind, 2)
        assert record.read(ReadFormation()).failing == 2

    def test_retry(self, record: Record) -> None:
        """What waits after a failure is due at once when somebody asks for it."""
        record.write(PutDue((DISTIL, DueItem("distil", BOB))))
        record.write(FinishDue(record.write(TakeDue(("distil",), HOUR)), "no answer", HOUR))
        record.write(RetryParked(BOBS))
        assert taken(record, lease=HOUR) == [("distil", BOB, "")]
        record.write(RetryParked())
        assert ("distil", ADA, "") in taken(record)

    def test_finished_with_edits(self, record: Record) -> None:
        """Work is taken off with the edits that do it, or stays where they fail."""
        fact = remember(record, "tea")
        record.write(PutDue((DISTIL, RETAIN)))
        with pytest.raises(LookupError):
            apply(record, retract(fact), retract(fact), done=(DISTIL,))
        apply(record, add("new"), done=(DueItem("distil", ADA, attempts=3),))
        assert taken(record, "distil", "retain") == [("retain", ADA, "")]

    def test_a_transaction_that_fails(self, stores: tuple[Store, Store], record: Record) -> None:
        """Notes of work that joined a transaction are undone with it."""
        record.write(PutDue((RETAIN,)))
        with pytest.raises(Interrupted), stores[0].transaction() as connection:
            record.write(PutDue((DISTIL,)), connection)
            record.write(FinishDue((RETAIN,)), connection)
            raise Interrupted
        assert taken(record) == [("retain", ADA, "")]

    def test_odd_items(self, record: Record) -> None:
        """Items are told apart by kind, owner and name."""
        items = (DISTIL, RETAIN, DueItem("distil", COOK), DueItem("reform", ADA, "a"), DueItem("reform", ADA, "b"))
        record.write(PutDue(items))
        assert sorted(taken(record)) == sorted((item.kind, item.owner, item.item) for item in items)

    # --- cost

    def test_spent(self, record: Record) -> None:
        """Model calls are added up by owner, the dearest first, and bounded in number."""
        cheap, dear = ModelCall("m", "extract", 10, 5, 0.5), ModelCall("m", "reconcile", 1000, 50, 1.5, ok=False)
        apply(record, add("one"), calls=(cheap, cheap))
        apply(record, owner=BOB, calls=(dear,))
        tell(record, "one")
        record.write(FailForming(claim(record), "no", NOW, calls=(cheap,)))
        record.write(FinishDue((DISTIL,), calls=(cheap,)))
        bobs, adas = record.read(ReadSpent(at(0)))
        assert (bobs.owner, bobs.calls, bobs.input_tokens, bobs.output_tokens, bobs.seconds) == (BOB, 1, 1000, 50, 1.5)
        assert (adas.owner, adas.calls, adas.input_tokens, adas.output_tokens, adas.seconds) == (ADA, 4, 40, 20, 2.0)
        assert record.read(ReadSpent(at(0), ADA)) == (adas,)
        assert record.read(ReadSpent(at(0), limit=1)) == (bobs,)
        assert record.read(ReadSpent(at(0), COOK)) == ()

    def test_spent_since(self, record: Record) -> None:
        """Only calls since an instant count."""
        apply(record, calls=(ModelCall("m", "extract", 10, 5, 0.5),))
        now = dt.datetime.now(dt.UTC)
        assert len(record.read(ReadSpent(now - HOUR))) == 1
        assert record.read(ReadSpent(now + HOUR)) == ()

    # --- policies, owners, secrets

    def test_policy(self, record: Record, other: Record) -> None:
        """A policy is merged key by key; None takes a key away; the whole is given."""
        assert record.write(SetPolicy(ADA, {})) == {}
        assert record.write(SetPolicy(ADA, {"never": "numbers", "retention": 30})) == {
            "never": "numbers",
            "retention": 30,
        }
        assert other.write(SetPolicy(ADA, {"retention": None, "tokens_per_day": 5})) == {
            "never": "numbers",
            "tokens_per_day": 5,
        }
        assert record.write(SetPolicy(ADA, {})) == {"never": "numbers", "tokens_per_day": 5}
        assert record.write(SetPolicy(BOB, {})) == {}

    def test_policy_of_a_thread(self, record: Record) -> None:
        """A thread has a policy of its own, which goes with it; one that is not there has none."""
        say(record, "one")
        record.write(SetPolicy(ADA, {"retention": 30}))
        assert record.write(SetPolicy(ADA, {"retention": 5}, "t")) == {"retention": 5}
        record.write(MoveThread(ADA, "t", BOB))
        assert record.write(SetPolicy(BOB, {}, "t")) == {"retention": 5}
        with pytest.raises(ThreadNotFound):
            record.write(SetPolicy(ADA, {"retention": 5}, "t"))

    def test_owners(self, record: Record, stranger: Record) -> None:
        """Owners with threads come in order, page by page."""
        owners = [ADA, COOK, Owner("ada", "cook", "r"), BOB]
        for owner in reversed(owners):
            say(record, "one", owner=owner)
            say(record, "two", thread="other", owner=owner)
        say(stranger, "one", owner=Owner("aaron", "", ""))
        remember(record, "only facts", owner=Owner("aa", "", ""))
        assert record.read(FindOwners()) == tuple(owners)
        assert record.read(FindOwners(limit=2)) == tuple(owners[:2])
        assert record.read(FindOwners(after=owners[1])) == tuple(owners[2:])
        assert record.read(FindOwners(after=owners[3])) == ()

    def test_secret(self, record: Record, other: Record, stranger: Record) -> None:
        """A tenant has one secret, the same for all who ask, and not another tenant's."""
        secret = record.read(ReadSecret())
        assert len(secret) >= 16
        assert record.read(ReadSecret()) == other.read(ReadSecret()) == secret
        assert stranger.read(ReadSecret()) != secret

    # --- status

    def test_empty_status(self, record: Record) -> None:
        """Where nothing was done, the status counts nothing."""
        status = record.read(ReadFormation())
        assert (status.facts, status.changes, status.due_threads, status.oldest_due) == (0, 0, 0, None)
        assert (status.failing, status.parked, status.rejections) == (0, 0, 0)
        assert (not any(status.due_items.values()), status.recall_lag, status.formed_lag) == (True, None, None)

    def test_status(self, record: Record) -> None:
        """The status counts facts that stand, changes, and what is due, with how long it has waited."""
        fact = remember(record, "tea")
        remember(record, "coffee")
        apply(record, retract(fact))
        tell(record, "one")
        tell(record, "one", owner=BOB)
        record.write(PutDue((DISTIL, RETAIN, DueItem("distil", BOB)), at(0)))
        status = record.read(ReadFormation())
        assert (status.facts, status.changes, status.due_threads) == (1, 3, 2)
        assert (status.due_items["distil"], status.due_items["retain"]) == (2, 1)
        assert status.oldest_due == at(0)

    def test_formed_lag(self, record: Record) -> None:
        """The status tells how long messages waited to be formed, in seconds."""
        tell(record, "one", "two")
        time.sleep(0.05)
        apply(record, formed=Formed(claim(record), 2))
        lag = record.read(ReadFormation()).formed_lag
        assert lag is not None
        assert 0.03 < lag[0] <= lag[1] < 60

    def test_recall_lag(self, record: Record) -> None:
        """The status tells how long messages waited for their vectors, in seconds."""
        space = open_space(record)
        say(record, "one", "two")
        time.sleep(0.05)
        embed(record, space, record.read(FindDue(space.key, 10)))
        lag = record.read(ReadFormation()).recall_lag
        assert lag is not None
        assert 0.03 < lag[0] <= lag[1] < 60

    def test_tenants(self, record: Record, stranger: Record) -> None:
        """Work, costs, policies, owners and status are the tenant's."""
        remember(record, "tea")
        apply(record, calls=(ModelCall("m", "extract", 1, 1, 0.1),))
        record.write(PutDue((DISTIL,)))
        record.write(SetPolicy(ADA, {"retention": 1}))
        tell(record, "one")
        assert taken(stranger) == []
        stranger.write(FinishDue((DISTIL,)))
        assert stranger.read(ReadSpent(at(0))) == ()
        assert stranger.write(SetPolicy(ADA, {})) == {}
        assert stranger.read(FindOwners()) == ()
        assert stranger.read(ReadFormation()).facts == stranger.read(ReadFormation()).due_threads == 0
        assert ("distil", ADA, "") in taken(record)
        assert record.write(ClaimThread(LEASE, early=True)) is not None
