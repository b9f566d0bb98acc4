"""A scope in the process: arrays of what it holds, kept current by deltas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.actors import is_assistant, is_human, is_person
from keepwell.recall.arrays import (
    Delta,
    Flags,
    Floats,
    Halves,
    Ints,
    Mark,
    MessageColumns,
    Statistics,
    Times,
    VectorColumns,
)
from keepwell.recall.cells import Signals, cells_of, read_signals
from keepwell.recall.postings import Postings
from keepwell.recall.signals import WIDTH, named_times
from keepwell.recall.vectors import RowVectors
from keepwell.recall.words import Vocabulary

BYTES_PER_MESSAGE = 400
"""About what a message costs here beside its vector and its terms: fixed columns, its index entry, its postings."""
BYTES_PER_TERM = 28
MAX_GAP = 4
"""Messages are neighbours although some between them are gone, or were not loaded, if not more than this."""
LOWEST = np.float32(-9)
"""Lower than any cheap score."""
_GROWTH = 1.5
_COLUMNS = (
    *("keys", "threads", "seqs", "created", "recorded", "retired", "lengths", "alive"),
    *("sessions", "actors", "cells", "_before", "_after"),
)


class Said(NamedTuple):
    """How many messages there are, how many of them people with names have said, and how many such people there are."""

    messages: int
    by_people: int
    people: int


class Snapshot:
    """What a scope holds, as columns with room to grow; rows of removed messages stay, marked as dead.

    Not safe for two threads at once: its owner holds a lock.
    """

    _spoken: Ints | None
    _order: Ints | None
    _spoken_of: tuple[int, int]
    _said: Said
    _humans: NDArray[np.float32]

    def __init__(self, delta: Delta) -> None:
        """Fill it from a full delta."""
        self.mark: Mark = delta.mark
        self.active = delta.active
        self.size = 0
        self._allocate(len(delta.messages.keys))
        self._index: dict[int, int] = {}
        self._terms: list[str] = []
        self._signals: list[str] = []
        self.actor_codes: dict[str, int] = {}
        self.named: dict[int, list[str]] = {}
        self.words = Postings()
        self.vocabulary = Vocabulary(self.words.numbers)
        self.vectors = RowVectors()
        self.dead = 0
        self._length = 0
        self._apply(delta)

    def update(self, delta: Delta) -> None:
        """Bring it up to date; a full delta fills it anew."""
        if delta.full or self.dead > max(1000, self.size // 2):
            if not delta.full:
                self._change(delta)
                delta = self._compact()
            self.__init__(delta)  # type: ignore[misc]  # filled anew in place, so that its owner's lock stays
            return
        self._change(delta)

    def _change(self, delta: Delta) -> None:
        self.mark, self.active = delta.mark, delta.active
        self._apply(delta)

    def rows(self, keys: Iterable[int]) -> Ints:
        """Give the rows of these keys; unknown keys are left out."""
        return np.fromiter((self._index[key] for key in keys if key in self._index), np.int64)

    def compares(self, query: Floats | None) -> bool:
        """Tell whether any living message has a vector that a question's can be compared with."""
        return self.vectors.compares(query)

    def similarities(self, query: Floats) -> NDArray[np.float32]:
        """Give each row's best cosine with the query (size,); 0 where it has no vector."""
        return self.vectors.similarities(query, self.size)

    def postings(self, term: str) -> tuple[Ints, NDArray[np.float32]]:
        """Give the rows of the living that have a term, and how often each has it."""
        rows, counts = self.words.find(term)
        if not self.dead:
            return rows, counts
        living = self.alive[rows]
        return rows[living], counts[living]

    def having(self, terms: Sequence[str]) -> Ints:
        """Give the rows of the living that have all of these terms, in order."""
        found = [self.postings(term)[0] for term in terms]
        return reduce(np.intersect1d, found) if found else np.empty(0, np.int64)

    def statistics(self, terms: Iterable[str]) -> Statistics:
        """Give what BM25 needs of the scope."""
        frequencies = {term: len(self.postings(term)[0]) for term in terms}
        return Statistics(self.size - self.dead, self._length, frequencies)

    @property
    def length(self) -> int:
        """How many terms there are in all."""
        return self._length

    def signals(self, rows: Ints) -> Signals:
        """Give what the texts of these rows say of themselves."""
        return read_signals(self.cells.take(rows, axis=0))

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.vectors.nbytes + self.size * BYTES_PER_MESSAGE + self._length * BYTES_PER_TERM

    def links(self) -> tuple[Ints, Ints]:
        """Give each message's neighbours in its thread (size,), before and after; -1 where there is none."""
        if self._dirty:
            self._link_all()
        return self._before[: self.size], self._after[: self.size]

    def speaking(self) -> Ints:
        """Give how many living messages each actor has said, by its code."""
        if self._spoken is None or self._spoken_of != (self.size, self.dead):
            said = self.alive[: self.size] & (self.keys[: self.size] > 0)
            self._spoken = np.bincount(self.actors[: self.size][said], minlength=len(self.actor_codes))
            self._spoken_of = (self.size, self.dead)
            people = np.array([is_person(actor) and not is_assistant(actor) for actor in self.actor_codes], np.bool_)
            by_people = self._spoken[people]
            self._said = Said(int(self._spoken.sum()), int(by_people.sum()), int((by_people > 0).sum()))
            self._humans = np.array([is_human(actor) for actor in self.actor_codes], np.float32)
        return self._spoken

    def said(self) -> Said:
        """Give how many living messages there are, and how many of them people with names have said."""
        self.speaking()
        return self._said

    def opens(self, rows: Ints) -> NDArray[np.float32]:
        """Give 1 where a row is the first of its thread."""
        before, _ = self.links()
        first = (before[rows] < 0) & (self.keys[rows] > 0) & (self.seqs[rows] <= MAX_GAP)
        return first.astype(np.float32)

    def speakers(self) -> tuple[str, ...]:
        """Give who speaks here."""
        said = self.speaking()
        return tuple(actor for actor, code in self.actor_codes.items() if code < len(said) and said[code])

    def speakers_by_thread(self) -> Ints:
        """Give how many speak in each thread (threads,)."""
        shape = len(self._session_of), len(self.actor_codes)
        said = self.alive[: self.size] & (self.keys[: self.size] > 0)
        speaks: Flags = np.zeros(shape, np.bool_)
        speaks[self.sessions[: self.size][said], self.actors[: self.size][said]] = True
        count: Ints = speaks.sum(axis=1)
        return count

    def by_humans(self, rows: Ints) -> NDArray[np.float32]:
        """Give 1 where a row is said by a human being."""
        self.speaking()
        return self._humans[self.actors[rows]]

    def asks(self, rows: Ints) -> Flags:
        """Tell which rows end in a question."""
        flags: Flags = self.cells[rows, 2] > 0
        return flags

    def best_of_sessions(self, values: NDArray[np.float32], among: Flags | None = None) -> NDArray[np.float32]:
        """Give each thread's highest value (threads,), of the living or of some; ``LOWEST`` where there is none."""
        if self.dead or among is not None:
            values = np.where(self.alive[: self.size] if among is None else among, values, LOWEST)
        best = np.full(len(self._session_of), LOWEST)
        if not self.size:
            return best
        ordered = values[: self._sorted] if self._order is None else values[self._order]
        best[self._heads_of] = np.maximum.reduceat(ordered, self._heads)
        if self._sorted < self.size:
            np.maximum.at(best, self.sessions[self._sorted : self.size], values[self._sorted :])
        return best

    def _allocate(self, room: int) -> None:
        room = max(16, int(room * 1.1))
        self.keys: Ints = np.zeros(room, np.int64)
        self.threads: Halves = np.zeros((room, 2), np.uint64)
        self.seqs: Ints = np.zeros(room, np.int64)
        self.created: Times = np.zeros(room)
        self.recorded: Times = np.zeros(room)
        self.retired: Times = np.zeros(room)
        self.lengths: Ints = np.zeros(room, np.int64)
        self.alive: Flags = np.zeros(room, np.bool_)
        self.sessions: NDArray[np.int32] = np.zeros(room, np.int32)
        self.actors: NDArray[np.int32] = np.zeros(room, np.int32)
        self.cells: NDArray[np.uint8] = np.zeros((room, WIDTH), np.uint8)
        self._before: Ints = np.full(room, -1, np.int64)
        self._after: Ints = np.full(room, -1, np.int64)
        self._ends: dict[tuple[int, int], int] = {}
        self._session_of: dict[tuple[int, int], int] = {}
        self._order = None
        self._heads: Ints = np.empty(0, np.int64)
        self._heads_of: Ints = np.empty(0, np.int64)
        self._sorted = 0
        self._spoken = None
        self._spoken_of = (0, 0)
        self._dirty = False

    def _apply(self, delta: Delta) -> None:
        for key in delta.removed.tolist():
            self._bury(key)
        self._add_messages(delta.messages)
        if len(delta.vectors.keys):
            self.vectors.add(delta.vectors.matrix, self._rows_of(delta.vectors.keys))

    def _bury(self, key: int) -> None:
        row = self._index.pop(key, None)
        if row is not None:
            self.alive[row] = False
            self._length -= int(self.lengths[row])
            self.vectors.bury(row)
            self.words.drop(row)
            self.named.pop(row, None)
            self.dead += 1
            self._dirty = True

    def _add_messages(self, new: MessageColumns) -> None:
        count = len(new.keys)
        if not count:
            return
        for key in new.keys.tolist():
            if key in self._index:
                self._bury(key)
        start, stop = self.size, self.size + count
        self._make_room(stop)
        rows = slice(start, stop)
        self.keys[rows], self.threads[rows], self.seqs[rows] = new.keys, new.threads, new.seqs
        self.created[rows], self.recorded[rows], self.retired[rows] = new.created, new.recorded, new.retired
        self.alive[rows] = True
        self.size = stop
        self._index.update(zip(new.keys.tolist(), range(start, stop), strict=True))
        self._terms.extend(new.terms)
        self._add_words(new, start, stop)
        self.lengths[rows] = self.words.add(new.terms)
        self._length += int(self.lengths[rows].sum())
        self._add_sessions(start, stop)
        self._link_new(start, stop)

    def _add_words(self, new: MessageColumns, start: int, stop: int) -> None:
        """Take in who speaks, and what each text says of itself."""
        codes = self.actor_codes
        for actor in dict.fromkeys(new.actors):
            codes.setdefault(actor, len(codes))
        self.actors[start:stop] = np.fromiter(map(codes.__getitem__, new.actors), np.int32, stop - start)
        self._signals.extend(new.signals)
        self.cells[start:stop] = cells_of(new.signals)
        for row, signal in enumerate(new.signals, start=start):
            if len(signal) > WIDTH:
                self.named[row] = named_times(signal)

    def _add_sessions(self, start: int, stop: int) -> None:
        """Number the threads; those of the first load are sorted, so that the best of each is found quickly."""
        known = self._session_of
        threads = self.threads[start:stop]
        heads = np.flatnonzero(np.append(True, (threads[1:] != threads[:-1]).any(axis=1)))
        numbers = [known.setdefault((one, other), len(known)) for one, other in threads[heads].tolist()]
        self.sessions[start:stop] = np.repeat(numbers, np.diff(heads, append=stop - start))
        if start == 0 or stop - self._sorted > max(1000, self._sorted // 4):
            codes = self.sessions[:stop]
            self._order = None if (codes[1:] >= codes[:-1]).all() else np.argsort(codes, kind="stable")
            ordered = codes if self._order is None else codes[self._order]
            self._heads = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
            self._heads_of = ordered[self._heads].astype(np.int64)
            self._sorted = stop

    def _make_room(self, size: int) -> None:
        if size <= len(self.keys):
            return
        room = int(size * _GROWTH) + 16
        for name in _COLUMNS:
            old = getattr(self, name)
            fresh = np.zeros((room, *old.shape[1:]), old.dtype)
            fresh[: self.size] = old[: self.size]
            setattr(self, name, fresh)
        self._before[self.size :] = -1
        self._after[self.size :] = -1

    def _rows_of(self, keys: Ints) -> Ints:
        """Give the rows of these keys, -1 for unknown ones."""
        if len(keys) == self.size and not self.dead and (keys == self.keys[: self.size]).all():
            return np.arange(self.size)
        return np.fromiter((self._index.get(key, -1) for key in keys.tolist()), np.int64, len(keys))

    def _link_new(self, start: int, stop: int) -> None:
        if start == 0 or stop - start > 200:  # noqa: PLR2004 - from about here one sort is quicker
            self._dirty = True
        if self._dirty:
            return
        for row in (start + np.flatnonzero(self.keys[start:stop] > 0)).tolist():
            thread = (int(self.threads[row, 0]), int(self.threads[row, 1]))
            end = self._ends.get(thread, -1)
            if end >= 0 and self.seqs[end] > self.seqs[row]:
                self._dirty = True
                return
            near = end if end >= 0 and self.seqs[row] - self.seqs[end] <= MAX_GAP else -1
            self._before[row], self._after[row] = near, -1
            if near >= 0:
                self._after[near] = row
            self._ends[thread] = row

    def _link_all(self) -> None:
        rows = np.flatnonzero(self.alive[: self.size] & (self.keys[: self.size] > 0))
        threads = self.threads[rows]
        order = rows[np.lexsort((self.seqs[rows], threads[:, 1], threads[:, 0]))]
        same = (self.threads[order[1:]] == self.threads[order[:-1]]).all(axis=1)
        near = same & (self.seqs[order[1:]] - self.seqs[order[:-1]] <= MAX_GAP)
        self._before[:], self._after[:] = -1, -1
        self._before[order[1:][near]] = order[:-1][near]
        self._after[order[:-1][near]] = order[1:][near]
        last = order[np.append(~same, True)] if len(order) else order
        self._ends = {(int(a), int(b)): int(row) for (a, b), row in zip(self.threads[last], last, strict=True)}
        self._dirty = False

    def _compact(self) -> Delta:
        """Give what lives as a full delta."""
        rows = np.flatnonzero(self.alive[: self.size])
        matrix, places = self.vectors.living()
        names = list(self.actor_codes)
        messages = MessageColumns(
            self.keys[rows],
            self.threads[rows],
            self.seqs[rows],
            self.created[rows],
            self.recorded[rows],
            self.retired[rows],
            tuple(self._terms[row] for row in rows.tolist()),
            tuple(names[code] for code in self.actors[rows].tolist()),
            tuple(self._signals[row] for row in rows.tolist()),
        )
        vectors = VectorColumns(self.keys[places], matrix)
        return Delta(full=True, mark=self.mark, messages=messages, vectors=vectors, active=self.active)
