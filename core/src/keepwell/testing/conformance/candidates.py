"""Candidates: the way into a scope that is too large to be held."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import pytest

from keepwell.models import Message, Owner
from keepwell.recall.arrays import CandidateColumns, halves
from keepwell.storage.base import (
    DeleteMessages,
    FindCandidates,
    LoadScope,
    MoveThread,
    PostTerms,
    PutVectors,
    Record,
    ReplaceMessage,
    Space,
    VectorRow,
)
from keepwell.testing.conformance.base import (
    ADA,
    ADAS,
    BOB,
    BOBS,
    Capability,
    StoreConformance,
    append,
    at,
    found,
    keys_by_text,
    open_space,
    put,
    say,
    unit,
)

COUNT = 150
NEWEST = f"m{COUNT - 1} common"


def candidates(record: Record, *terms: str, limit: int = 2, **asked: Any) -> CandidateColumns:  # noqa: ANN401 - fields of FindCandidates
    """Find candidates in Ada's scope."""
    plain = FindCandidates(scope=ADAS, space=None, vector=None, terms=terms, limit=limit)
    return record.read(replace(plain, **asked))


class CandidatesConformance(StoreConformance):
    """What a store promises about candidates."""

    capability: ClassVar[Capability] = "candidates"

    @pytest.fixture
    def keys(self, record: Record) -> Mapping[str, int]:
        """Let Ada say many things, a minute apart; give the key of each."""
        return keys_by_text(say(record, *(f"m{number} common" for number in range(COUNT))))

    @pytest.fixture
    def space(self, record: Record, keys: Mapping[str, int]) -> Space:
        """Give a space in which each message points a little further away from the first."""
        space = open_space(record)
        put(record, space, {key: unit(1, number / 10) for number, key in enumerate(keys.values())})
        return space

    def test_keyword(self, record: Record, keys: Mapping[str, int]) -> None:
        """The message that holds a rare word is among the candidates, with its terms."""
        rows = candidates(record, "m7").messages
        assert keys["m7 common"] in rows.keys
        assert rows.terms[rows.keys.tolist().index(keys["m7 common"])] == "m7 common"

    def test_rare_words_come_first(self, record: Record, keys: Mapping[str, int]) -> None:
        """A word that all messages hold does not push out the message with the rare one."""
        assert keys["m7 common"] in candidates(record, "common", "m7", limit=1).messages.keys

    def test_vector(self, record: Record, keys: Mapping[str, int], space: Space) -> None:
        """The nearest messages are among the candidates, with their vectors."""
        near = candidates(record, space=space.key, vector=unit(1, 2.01))
        assert keys["m20 common"] in near.messages.keys
        place = near.vectors.keys.tolist().index(keys["m20 common"])
        assert near.vectors.matrix[place].tolist() == unit(1, 2.0).tolist()

    def test_vectors_of_candidates(self, record: Record, keys: Mapping[str, int], space: Space) -> None:
        """Every candidate that has a vector comes with it, also one that was found by keyword."""
        several = (VectorRow(keys["m7 common"], 1, unit(0, 1)),)
        record.write(PutVectors(space.key, several))
        found = candidates(record, "m7", space=space.key, vector=unit(1, 2))
        assert set(found.vectors.keys.tolist()) == set(found.messages.keys.tolist())
        assert found.vectors.keys.tolist().count(keys["m7 common"]) == 2

    def test_not_embedded_yet(self, record: Record, keys: Mapping[str, int], space: Space) -> None:
        """A message without a vector is found by its words."""
        new = keys_by_text(append(record, Message.user("walnut", created_at=at(-1)), thread="other"))["walnut"]
        found = candidates(record, "walnut", space=space.key, vector=unit(1))
        assert new in found.messages.keys
        assert new not in found.vectors.keys
        assert keys["m0 common"] in found.messages.keys

    def test_newest(self, record: Record, keys: Mapping[str, int]) -> None:
        """The newest messages are among the candidates, whatever was asked."""
        rows = candidates(record, "m7").messages
        assert {keys[NEWEST], keys[f"m{COUNT - 2} common"]} <= set(rows.keys.tolist())

    def test_neighbours(self, record: Record, keys: Mapping[str, int]) -> None:
        """The messages next to a candidate come with it."""
        rows = candidates(record, "m7").messages
        assert {keys["m6 common"], keys["m8 common"]} <= set(rows.keys.tolist())

    @pytest.mark.usefixtures("keys")
    def test_bounded(self, record: Record, space: Space) -> None:
        """Candidates are few, and each comes once, however many messages match."""
        found = candidates(record, "common", "m7", space=space.key, vector=unit(1))
        got = found.messages.keys.tolist()
        assert len(got) == len(set(got))
        assert 6 <= len(got) < COUNT / 2

    def test_thread(self, record: Record, keys: Mapping[str, int], space: Space) -> None:
        """Within a thread only its messages are candidates, and the best of them are found."""
        other = keys_by_text(say(record, "m7 here", "more", thread="other"))
        thread = found(record, "other").key
        got = candidates(record, "m7", thread=thread, space=space.key, vector=unit(1)).messages
        assert set(got.keys.tolist()) == set(other.values())
        assert (got.threads == halves(thread)).all()
        assert not set(keys.values()) & set(got.keys.tolist())

    def test_span_of_time(self, record: Record, keys: Mapping[str, int], space: Space) -> None:
        """Within a span of time the best of the span are found; only their neighbours may lie outside."""
        numbers = {key: int(text.split()[0][1:]) for text, key in keys.items()}
        asked: dict[str, Any] = {"since": at(19.5), "until": at(29.5), "space": space.key, "vector": unit(1)}
        got = {numbers[key] for key in candidates(record, "m7", "m25", **asked).messages.keys.tolist()}
        assert {20, 25, 29} <= got
        assert got <= set(range(17, 33))

    @pytest.mark.usefixtures("keys")
    def test_metadata(self, record: Record) -> None:
        """With a filter on metadata the best of what it leaves over are found."""
        new = [Message.user("m7", metadata={"kind": kind}, created_at=at(-1)) for kind in ("a", "b")]
        first, second = (append(record, one, thread=one.id).written for one in new)
        got = set(candidates(record, "m7", where={"kind": "a"}).messages.keys.tolist())
        assert got == set(first)
        assert not got & set(second)

    def test_as_of(self, record: Record) -> None:
        """As of an instant, what was recorded later is no candidate, whenever it was said."""
        first = append(record, Message.user("nut", created_at=at(5)), thread="a").written
        (recorded,) = record.read(LoadScope(ADAS, None, None)).messages.recorded.tolist()
        time.sleep(0.01)
        append(record, Message.user("nut", created_at=at(1)), thread="b")
        instant = dt.datetime.fromtimestamp(recorded + 0.003, dt.UTC)
        assert candidates(record, "nut", as_of=instant).messages.keys.tolist() == list(first)
        assert candidates(record, "nut").messages.keys.size == 2

    @pytest.mark.parametrize("how", ["none", "one thread", "all"])
    def test_postings_are_not_seen(self, record: Record, how: str) -> None:
        """Keywords and statistics are the same before postings are written, after, and after a change."""
        answer = say(record, "nut pie nut", "pie", *(f"m{number}" for number in range(COUNT)))
        say(record, "pie", thread="other", owner=Owner("ada", "cook", ""))
        self.post(record, how, answer.thread)
        append(record, Message.user("late nut", created_at=at(-1)))
        append(record, Message.user("tea", id="pie", created_at=at(-1)))
        for _ in range(2):
            got = candidates(record, "nut", "pie", "tea", limit=9)
            assert {"nut pie nut", "late nut", "tea", "pie"} <= set(got.messages.terms)
            assert dict(got.statistics.frequencies) == {"nut": 2, "pie": 2, "tea": 1}
            self.post(record, how, answer.thread)

    def post(self, record: Record, how: str, thread: UUID) -> None:
        """Bring postings up to date: of nothing, one thread, or all."""
        if how == "one thread":
            record.write(PostTerms(thread))
        elif how == "all":
            record.write(PostTerms(limit=100))

    def test_post_counts(self, record: Record) -> None:
        """Upkeep of postings counts the threads it brought up to date, some at a time, until none waits."""
        for thread in ("a", "b", "c"):
            say(record, "one", thread=thread)
        assert [record.write(PostTerms(limit=2)) for _ in range(3)] == [2, 1, 0]
        say(record, "two", thread="b")
        assert record.write(PostTerms(limit=2)) == 1

    def test_statistics(self, record: Record) -> None:
        """The statistics are those of the whole scope, whatever part of it was asked for."""
        say(record, "nut nut", "nut pie", "pie", thread="a")
        say(record, "nut", owner=BOB)
        say(record, "tea", thread="b")
        thread = found(record, "b").key
        whole = candidates(record, "nut", "pie", "never").statistics
        part = candidates(record, "nut", "pie", "never", thread=thread, since=at(100), limit=1).statistics
        for statistics in (whole, part):
            assert (statistics.messages, statistics.length) == (4, 6)
            assert {term: statistics.frequencies.get(term, 0) for term in ("nut", "pie", "never")} == {
                "nut": 2,
                "pie": 2,
                "never": 0,
            }

    def test_statistics_follow(self, record: Record) -> None:
        """The statistics follow what is replaced, deleted and moved."""
        say(record, "nut pie", "nut", "tea")
        record.write(ReplaceMessage(ADA, "t", Message.user("tea", id="nut pie"), "tea"))
        record.write(DeleteMessages(ADA, "t", ("tea",)))
        mine = candidates(record, "nut", "tea").statistics
        assert (mine.messages, mine.length, dict(mine.frequencies)) == (2, 2, {"nut": 1, "tea": 1})
        record.write(MoveThread(ADA, "t", BOB))
        assert candidates(record, "nut").statistics.messages == 0
        his = candidates(record, "nut", "tea", scope=BOBS).statistics
        assert (his.messages, his.length, dict(his.frequencies)) == (2, 2, {"nut": 1, "tea": 1})

    def test_old_words_are_forgotten(self, record: Record) -> None:
        """A message is not found by the words of its old version."""
        say(record, "nut")
        say(record, *(f"m{number}" for number in range(COUNT)))
        key = keys_by_text(append(record, Message.user("tea", id="nut", created_at=at(-1))))["tea"]
        got = candidates(record, "nut", limit=1)
        assert (got.statistics.frequencies.get("nut", 0), key in got.messages.keys) == (0, False)
        assert key in candidates(record, "tea", limit=1).messages.keys

    def test_words_are_exact(self, record: Record) -> None:
        """A term is matched as it is, not as a pattern or a part of another."""
        say(record, "nuts", "nu%", "n_t", "*")
        assert dict(candidates(record, "nut", "n%", "nut'", "").statistics.frequencies) == {}

    def test_nothing(self, record: Record) -> None:
        """A scope without messages has no candidates and empty statistics."""
        empty = candidates(record, "nut")
        assert empty.messages.keys.size == empty.vectors.keys.size == 0
        assert (empty.statistics.messages, empty.statistics.length) == (0, 0)

    def test_no_question(self, record: Record, keys: Mapping[str, int]) -> None:
        """Without words and without a vector the newest still come."""
        assert keys[NEWEST] in candidates(record).messages.keys
