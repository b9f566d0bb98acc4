"""Scopes: nobody sees what is not theirs, by whatever way they look."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import pytest

from keepwell.errors import KeepwellError, NotFound
from keepwell.models import Message, Owner, Scope
from keepwell.storage.base import (
    ActiveSpace,
    CreateThread,
    DeleteMessages,
    FindCandidates,
    FindDue,
    FindMissing,
    FindThread,
    FindThreadByKey,
    Forget,
    LoadScope,
    MatchMetadata,
    ReadStatus,
    Record,
    ReplaceMessage,
    SwitchSpace,
    Weigh,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    EVERYONE,
    Capability,
    StoreConformance,
    append,
    around,
    fetch,
    found,
    open_space,
    put,
    read,
    say,
    texts,
    threads_of,
    unit,
)

OWNERS: Final = (
    Owner("ada", "", ""),
    Owner("ada", "cook", ""),
    Owner("ada", "cook", "r1"),
    Owner("ada", "", "r1"),
    Owner("bob", "", ""),
    Owner("bob", "cook", "r1"),
    Owner("", "cook", ""),
    Owner("", "cook", "r1"),
    Owner("", "", "r1"),
    Owner("ada%", "", ""),
    Owner("Ada", "", ""),
    Owner("ad", "acook", ""),
)
SCOPES: Final = (
    Scope("ada"),
    Scope("ada", "cook"),
    Scope("ada", "cook", "r1"),
    Scope("ada", run_id="r1"),
    Scope("bob"),
    Scope(agent_id="cook"),
    Scope(agent_id="cook", run_id="r1"),
    Scope(run_id="r1"),
    Scope("ada%"),
    Scope("ad_"),
    Scope("*"),
    Scope("ADA"),
    Scope("nobody"),
    Scope(across_users=True),
    Scope(agent_id="cook", across_users=True),
    Scope(run_id="r1", across_users=True),
)
Seen = set[Owner]
Look = Callable[[Record, Scope, Mapping[int, Owner]], Seen]


def fill(record: Record) -> dict[int, Owner]:
    """Let every owner say one thing in a thread of the same name; give the owner of each key."""
    keys: dict[int, Owner] = {}
    for owner in OWNERS:
        message = Message.user("peanuts", id="m", metadata={"topic": "food"})
        keys |= dict.fromkeys(append(record, message, owner=owner).written, owner)
    return keys


def _listed(record: Record, scope: Scope, _: Mapping[int, Owner]) -> Seen:
    return {thread.owner for thread in threads_of(record, scope)}


def _by_key(record: Record, scope: Scope, _: Mapping[int, Owner]) -> Seen:
    everything = threads_of(record, EVERYONE)
    seen = (record.read(FindThreadByKey(scope, thread.key)) for thread in everything)
    return {thread.owner for thread in seen if thread is not None}


def _loaded(record: Record, scope: Scope, keys: Mapping[int, Owner]) -> Seen:
    return {keys[key] for key in record.read(LoadScope(scope, None, None)).messages.keys.tolist()}


def _candidates(record: Record, scope: Scope, keys: Mapping[int, Owner]) -> Seen:
    found = record.read(FindCandidates(scope, None, None, ("peanuts",), 100))
    assert found.statistics.messages == found.statistics.frequencies.get("peanuts", 0) == found.messages.keys.size
    return {keys[key] for key in found.messages.keys.tolist()}


def _nearest(record: Record, scope: Scope, keys: Mapping[int, Owner]) -> Seen:
    space = open_space(record)
    put(record, space, dict.fromkeys(keys, unit(1)))
    found = record.read(FindCandidates(scope, space.key, unit(1), (), 100))
    assert set(found.vectors.keys.tolist()) == set(found.messages.keys.tolist())
    return {keys[key] for key in found.vectors.keys.tolist()}


def _matched(record: Record, scope: Scope, keys: Mapping[int, Owner]) -> Seen:
    return {keys[key] for key in record.read(MatchMetadata(scope, {"topic": "food"})).tolist()}


def _fetched(record: Record, scope: Scope, keys: Mapping[int, Owner]) -> Seen:
    found = fetch(record, scope, *keys)
    assert {key: one.owner for key, one in found.items()} == {key: keys[key] for key in found}
    return {one.owner for one in found.values()}


def _forgotten(record: Record, scope: Scope, _: Mapping[int, Owner]) -> Seen:
    record.write(Forget(scope))
    left = {thread.owner for thread in threads_of(record, EVERYONE)}
    return set(OWNERS) - left


LOOKS: Final[Mapping[str, Look]] = {
    "list": _listed,
    "by key": _by_key,
    "load": _loaded,
    "candidates": _candidates,
    "nearest": _nearest,
    "metadata": _matched,
    "fetch": _fetched,
}


class ScopesConformance(StoreConformance):
    """What a store promises about walls."""

    capability: ClassVar[Capability] = "scopes"

    @pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
    def test_scopes(self, record: Record, look: Look) -> None:
        """A scope sees exactly the owners that agree with its ids, by every way of looking."""
        keys = fill(record)
        for scope in SCOPES:
            assert look(record, scope, keys) == {owner for owner in OWNERS if scope.covers(owner)}, scope

    def test_what_changed(self, record: Record) -> None:
        """A scope is told what changed for the owners that it sees, and for no other."""
        keys = fill(record)
        marks = {scope: record.read(LoadScope(scope, None, None)).mark for scope in SCOPES}
        for owner in OWNERS:
            append(record, Message.user("walnuts", id="m"), owner=owner)
        for scope, mark in marks.items():
            changed = record.read(LoadScope(scope, None, mark)).messages
            assert {keys[key] for key in changed.keys.tolist()} == {owner for owner in OWNERS if scope.covers(owner)}

    @pytest.mark.parametrize("scope", SCOPES, ids=repr)
    def test_forget_is_bounded(self, record: Record, scope: Scope) -> None:
        """Forgetting a scope removes exactly what that scope sees."""
        keys = fill(record)
        assert _forgotten(record, scope, keys) == {owner for owner in OWNERS if scope.covers(owner)}

    @pytest.mark.parametrize("scope", SCOPES, ids=repr)
    def test_weight(self, record: Record, scope: Scope) -> None:
        """A scope weighs what it sees, and nothing else."""
        for owner in OWNERS:
            append(record, Message.user("three little words"), owner=owner)
        expected = sum(scope.covers(owner) for owner in OWNERS)
        weight = record.read(Weigh(scope))
        assert (weight.messages, weight.length) == (expected, 3 * expected)

    def test_reading_is_the_exact_owners(self, record: Record) -> None:
        """Threads and messages are read, changed and deleted as the exact owner, not as a scope."""
        for owner in OWNERS:
            append(record, Message.user(repr(owner), id="m"), owner=owner)
        for owner in OWNERS:
            assert texts(read(record, owner=owner)) == [repr(owner)]
            assert texts(around(record, "m", before=1, after=1, owner=owner)) == [repr(owner)]
            assert found(record, owner=owner).owner == owner
        record.write(DeleteMessages(OWNERS[0], "t", ("m",)))
        record.write(ReplaceMessage(OWNERS[1], "t", Message.user("changed", id="m"), "changed"))
        assert [texts(read(record, owner=owner)) for owner in OWNERS[:3]] == [[], ["changed"], [repr(OWNERS[2])]]

    def test_an_owner_without_threads(self, record: Record) -> None:
        """An owner whose user has threads elsewhere has none of them."""
        say(record, "hello", owner=Owner("ada", "cook", ""))
        assert record.read(FindThread(ADA, "t")) is None
        assert read(record) == []

    def test_metadata_widens_nothing(self, record: Record) -> None:
        """Metadata and filters that speak of owners or tenants are only metadata."""
        labels = {"user_id": "ada", "tenant": "default", "$or": [{}]}
        record.write(CreateThread(BOB, "his", metadata=labels))
        append(record, Message.user("his", metadata=labels), owner=BOB, thread="his")
        filters: tuple[Mapping[str, Any], ...] = ({}, labels, {"user_id": "bob"}, {"$or": [{}]})
        for where in filters:
            assert threads_of(record, ADAS, where) == ()
            assert record.read(MatchMetadata(ADAS, where)).size == 0

    def test_neighbours_stay_inside(self, record: Record) -> None:
        """The neighbours of a fetched message are of its thread, also where another owner's has the same id."""
        answer = say(record, "mine")
        say(record, "his", "also his", owner=BOB)
        (one,) = fetch(record, ADAS, *answer.written, neighbours=5).values()
        assert (one.before, one.after) == ((), ())

    def test_forget_of_anothers_thread(self, record: Record) -> None:
        """A thread's key does not let another scope forget it or one of its messages."""
        say(record, "his", owner=BOB)
        key = found(record, owner=BOB).key
        for change in (Forget(ADAS, key), Forget(ADAS, key, "his")):
            with contextlib.suppress(NotFound):
                record.write(change)
        assert texts(read(record, owner=BOB)) == ["his"]

    def test_tenants_see_nothing_of_each_other(self, record: Record, stranger: Record) -> None:
        """A tenant finds nothing of another one's, by any way of looking, with any id or key."""
        keys = fill(record)
        thread = found(record)
        assert stranger.read(FindThread(ADA, "t")) is None
        assert stranger.read(FindThreadByKey(EVERYONE, thread.key)) is None
        assert threads_of(stranger, EVERYONE) == ()
        assert read(stranger) == []
        assert around(stranger, "m", before=1, after=1) == []
        assert stranger.read(LoadScope(EVERYONE, None, None)).messages.keys.size == 0
        assert stranger.read(FindCandidates(EVERYONE, None, None, ("peanuts",), 10)).messages.keys.size == 0
        assert stranger.read(MatchMetadata(EVERYONE, {})).size == 0
        assert fetch(stranger, EVERYONE, *keys) == {}
        assert stranger.read(Weigh(EVERYONE)).messages == 0
        assert stranger.read(ReadStatus()).messages == 0

    def test_tenants_change_nothing_of_each_other(self, record: Record, stranger: Record) -> None:
        """A tenant can neither delete, replace nor forget what is another one's."""
        say(record, "mine")
        key = found(record).key
        for change in (Forget(EVERYONE), Forget(EVERYONE, key), Forget(EVERYONE, key, "mine")):
            with contextlib.suppress(NotFound):
                stranger.write(change)
        with pytest.raises(NotFound):
            stranger.write(DeleteMessages(ADA, "t", ("mine",)))
        with pytest.raises(NotFound):
            stranger.write(ReplaceMessage(ADA, "t", Message.user("stolen", id="mine"), "stolen"))
        say(stranger, "theirs")
        assert (texts(read(record)), texts(read(stranger))) == (["mine"], ["theirs"])

    def test_spaces_are_the_tenants(self, record: Record, stranger: Record) -> None:
        """A tenant can neither fill nor switch to another one's space, nor see what is due in it."""
        (key,) = say(record, "mine").written
        mine = open_space(record)
        theirs = open_space(stranger)
        assert mine.key != theirs.key
        assert not put(stranger, mine, {key: unit(1)})
        put(stranger, theirs, {key: unit(1)})
        assert stranger.read(FindDue(theirs.key, 10)).texts == ()
        assert stranger.read(FindDue(mine.key, 10)).texts == ()
        assert stranger.read(FindMissing(mine.key, 0, 10)) == ()
        with pytest.raises(KeepwellError):
            stranger.write(SwitchSpace(mine.key))
        assert stranger.read(ActiveSpace()) == theirs
        assert record.read(LoadScope(EVERYONE, mine.key, None)).vectors.keys.size == 0
        assert [due.text for due in record.read(FindDue(mine.key, 10)).texts] == ["mine"]

    def test_a_mark_carries_no_rights(self, record: Record, stranger: Record) -> None:
        """The mark that one tenant or scope was given shows nothing to another that uses it."""
        mark = record.read(LoadScope(ADAS, None, None)).mark
        say(record, "mine")
        assert stranger.read(LoadScope(EVERYONE, None, mark)).messages.keys.size == 0
        assert record.read(LoadScope(Scope("bob"), None, mark)).messages.keys.size == 0
