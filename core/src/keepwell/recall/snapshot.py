"""A scope in the process: arrays of its messages, kept current by deltas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

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

BYTES_PER_MESSAGE = 320
"""About what a message costs here beside its vector and its terms: fixed columns, its index entry, its postings."""
BYTES_PER_TERM = 24
_GROWTH = 1.5


class Snapshot:
    """The messages of a scope as columns with room to grow; rows of removed messages stay, marked as dead.

    Not safe for two threads at once: its owner holds a lock.
    """

    def __init__(self, delta: Delta) -> None:
        """Fill it from a full delta."""
        self.mark: Mark = delta.mark
        self.active = delta.active
        self.size = 0
        self._allocate(len(delta.messages.keys))
        self._index: dict[int, int] = {}
        self._terms: list[str] = []
        self.actors: list[str] = []
        self.signals: list[str] = []
        self._postings = Postings()
        self.matrix: Floats = np.empty((0, 0), np.float32)
        self.vectors = 0
        self._place: Ints = np.empty(0, np.int64)
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

    def similarities(self, query: Floats) -> NDArray[np.float32]:
        """Give each message's best cosine with the query (size,); 0 where it has no vector."""
        best = np.zeros(self.size, np.float32)
        if not self.vectors or self.matrix.shape[1] != len(query):
            return best
        found = self.matrix[: self.vectors] @ query
        place = self._place[: self.vectors]
        known = place >= 0
        if not known.all():
            place, found = place[known], found[known]
        best[place] = found
        if self._chunked:
            np.maximum.at(best, place, found)
        return best

    def postings(self, term: str) -> tuple[Ints, NDArray[np.float32]]:
        """Give the rows of living messages that have a term, and how often each has it."""
        rows, counts = self._postings.find(term)
        if not self.dead:
            return rows, counts
        living = self.alive[rows]
        return rows[living], counts[living]

    def statistics(self, terms: Iterable[str]) -> Statistics:
        """Give what BM25 needs of the scope."""
        frequencies = {term: len(self.postings(term)[0]) for term in terms}
        return Statistics(self.size - self.dead, self._length, frequencies)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.matrix.nbytes + self.size * BYTES_PER_MESSAGE + self._length * BYTES_PER_TERM

    def links(self) -> tuple[Ints, Ints]:
        """Give each row's neighbours in its thread (size,), before and after; -1 where there is none."""
        if self._dirty:
            self._link_all()
        return self._before[: self.size], self._after[: self.size]

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
        self._before: Ints = np.full(room, -1, np.int64)
        self._after: Ints = np.full(room, -1, np.int64)
        self._ends: dict[tuple[int, int], int] = {}
        self._dirty = False
        self._chunked = False

    def _apply(self, delta: Delta) -> None:
        for key in delta.removed.tolist():
            self._bury(key)
        self._add_messages(delta.messages)
        self._add_vectors(delta.vectors)

    def _bury(self, key: int) -> None:
        row = self._index.pop(key, None)
        if row is not None:
            self.alive[row] = False
            self._length -= int(self.lengths[row])
            self._place[: self.vectors][self._place[: self.vectors] == row] = -1
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
        self.actors.extend(new.actors)
        self.signals.extend(new.signals)
        self.lengths[rows] = self._postings.add(new.terms, start)
        self._length += int(self.lengths[rows].sum())
        self._link_new(start, stop)

    def _make_room(self, size: int) -> None:
        if size <= len(self.keys):
            return
        room = int(size * _GROWTH) + 16
        for name in ("keys", "threads", "seqs", "created", "recorded", "retired", "lengths", "alive", "_before", "_after"):
            old = getattr(self, name)
            fresh = np.zeros((room, *old.shape[1:]), old.dtype)
            fresh[: self.size] = old[: self.size]
            setattr(self, name, fresh)
        self._before[self.size :] = -1
        self._after[self.size :] = -1

    def _add_vectors(self, new: VectorColumns) -> None:
        count = len(new.keys)
        if not count:
            return
        if self.matrix.shape[1] != new.matrix.shape[1]:
            self.matrix, self._place, self.vectors = np.empty((0, new.matrix.shape[1]), np.float32), new.keys[:0], 0
        start, stop = self.vectors, self.vectors + count
        places = np.fromiter((self._index.get(key, -1) for key in new.keys.tolist()), np.int64, count)
        fresh = set(places.tolist())
        self._chunked = self._chunked or len(fresh) < count
        if start and (again := np.isin(self._place[:start], list(fresh - {-1}))).any():
            self._place[:start][again] = -1
        if start == 0:
            self.matrix, self._place = new.matrix, places
        else:
            self._grow_vectors(stop)
            self.matrix[start:stop], self._place[start:stop] = new.matrix, places
        self.vectors = stop

    def _grow_vectors(self, size: int) -> None:
        if size <= len(self.matrix):
            return
        room = int(size * _GROWTH) + 16
        matrix = np.empty((room, self.matrix.shape[1]), np.float32)
        matrix[: self.vectors] = self.matrix[: self.vectors]
        place = np.full(room, -1, np.int64)
        place[: self.vectors] = self._place[: self.vectors]
        self.matrix, self._place = matrix, place

    def _link_new(self, start: int, stop: int) -> None:
        if start == 0 or stop - start > 200:  # noqa: PLR2004 - from about here one sort is quicker
            self._dirty = True
        if self._dirty:
            return
        for row in range(start, stop):
            thread = (int(self.threads[row, 0]), int(self.threads[row, 1]))
            end = self._ends.get(thread, -1)
            if end >= 0 and self.seqs[end] > self.seqs[row]:
                self._dirty = True
                return
            self._before[row], self._after[row] = end, -1
            if end >= 0:
                self._after[end] = row
            self._ends[thread] = row

    def _link_all(self) -> None:
        rows = np.flatnonzero(self.alive[: self.size])
        threads = self.threads[rows]
        order = rows[np.lexsort((self.seqs[rows], threads[:, 1], threads[:, 0]))]
        same = (self.threads[order[1:]] == self.threads[order[:-1]]).all(axis=1)
        self._before[:], self._after[:] = -1, -1
        self._before[order[1:][same]] = order[:-1][same]
        self._after[order[:-1][same]] = order[1:][same]
        last = order[np.append(~same, True)] if len(order) else order
        self._ends = {(int(a), int(b)): int(row) for (a, b), row in zip(self.threads[last], last, strict=True)}
        self._dirty = False

    def _compact(self) -> Delta:
        """Give what lives as a full delta."""
        rows = np.flatnonzero(self.alive[: self.size])
        place = self._place[: self.vectors]
        kept = place >= 0
        messages = MessageColumns(
            self.keys[rows],
            self.threads[rows],
            self.seqs[rows],
            self.created[rows],
            self.recorded[rows],
            self.retired[rows],
            tuple(self._terms[row] for row in rows.tolist()),
            tuple(self.actors[row] for row in rows.tolist()),
            tuple(self.signals[row] for row in rows.tolist()),
        )
        vectors = VectorColumns(self.keys[place[kept]], self.matrix[: self.vectors][kept])
        return Delta(full=True, mark=self.mark, messages=messages, vectors=vectors, active=self.active)


class Postings:
    """In which rows each term is: one sorted block from the first load, and short lists of what came later."""

    def __init__(self) -> None:
        """Begin without a term."""
        self._ids: defaultdict[str, int] = defaultdict()
        self._ids.default_factory = self._ids.__len__
        self._starts: Ints = np.zeros(1, np.int64)
        self._rows: Ints = np.empty(0, np.int64)
        self._counts: NDArray[np.float32] = np.empty(0, np.float32)
        self._later: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, terms: tuple[str, ...], start: int) -> Ints:
        """Take in messages from row ``start`` on, and give how many terms each has."""
        if start == 0:
            return self._sort(terms)
        split = [words.split() for words in terms]
        for row, words in enumerate(split, start=start):
            for word in words:
                self._later[word].append(row)
        return np.fromiter(map(len, split), np.int64, len(split))

    def find(self, term: str) -> tuple[Ints, NDArray[np.float32]]:
        """Give the rows that have a term, in order, and how often."""
        number = self._ids.get(term)
        block = slice(0, 0) if number is None else slice(self._starts[number], self._starts[number + 1])
        rows, counts = self._rows[block], self._counts[block]
        if later := self._later.get(term):
            more, often = np.unique(later, return_counts=True)
            rows = np.concatenate([rows, more])
            counts = np.concatenate([counts, often.astype(np.float32)])
        return rows, counts

    def _sort(self, terms: tuple[str, ...]) -> Ints:
        """Number the terms, sort their places, and count repeats once and for all."""
        words = " ".join(terms).split()
        lengths = np.fromiter((words.count(" ") + 1 if words else 0 for words in terms), np.int64, len(terms))
        ids = np.fromiter(map(self._ids.__getitem__, words), np.int64, len(words))
        places = ids * len(terms) + np.repeat(np.arange(len(terms)), lengths)
        places.sort()
        first = np.ones(len(places), np.bool_)
        first[1:] = places[1:] != places[:-1]
        heads = np.flatnonzero(first)
        numbers, self._rows = np.divmod(places[heads], max(1, len(terms)))
        self._counts = np.diff(np.append(heads, len(places))).astype(np.float32)
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(self._ids)))])
        return lengths
