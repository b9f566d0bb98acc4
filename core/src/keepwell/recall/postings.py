"""Terms by message and messages by term: what BM25, coverage and the soft word match read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Ints

Counts = NDArray[np.float32]


class Postings:
    """In which rows each term is, and which terms each row has.

    Rows by term are one sorted block from the first load, and short lists of what came later. Terms by row are two
    arrays with room to grow: ``bounds`` says where a row's distinct terms are in ``ids``.
    """

    def __init__(self) -> None:
        """Begin without a term."""
        self.numbers: defaultdict[str, int] = defaultdict()
        self.numbers.default_factory = self.numbers.__len__
        self.ids: NDArray[np.int32] = np.empty(0, np.int32)
        self.bounds: Ints = np.zeros(1, np.int64)
        self.frequencies: NDArray[np.int32] = np.zeros(0, np.int32)
        self._rows = 0
        self._starts: Ints = np.zeros(1, np.int64)
        self._places: Ints = np.empty(0, np.int64)
        self._counts: Counts = np.empty(0, np.float32)
        self._later: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, terms: Sequence[str]) -> Ints:
        """Take in the rows that follow, and give how many terms each has."""
        if self._rows == 0:
            return self._sort(terms)
        return np.fromiter((self._add_one(words.split()) for words in terms), np.int64, len(terms))

    def drop(self, row: int) -> None:
        """Count a row's terms no more; the row itself stays in the lists of its terms."""
        self.frequencies[self.of(row)] -= 1

    def of(self, row: int) -> NDArray[np.int32]:
        """Give the numbers of a row's distinct terms."""
        return self.ids[self.bounds[row] : self.bounds[row + 1]]

    def of_rows(self, rows: Ints) -> tuple[NDArray[np.int32], Ints]:
        """Give the numbers of the rows' distinct terms, one row after the other, and where each row's begin."""
        starts = self.bounds[rows]
        lengths = self.bounds[rows + 1] - starts
        heads = np.cumsum(lengths) - lengths
        places = np.arange(int(lengths.sum())) + np.repeat(starts - heads, lengths)
        return self.ids[places], heads

    def find(self, term: str) -> tuple[Ints, Counts]:
        """Give the rows that have a term, in order, and how often."""
        number = self.numbers.get(term)
        if number is None or number + 1 >= len(self._starts):
            rows, counts = self._places[:0], self._counts[:0]
        else:
            block = slice(self._starts[number], self._starts[number + 1])
            rows, counts = self._places[block], self._counts[block]
        if later := self._later.get(term):
            more = np.array(later, np.int64)
            rows = np.concatenate([rows, more[:, 0]])
            counts = np.concatenate([counts, more[:, 1].astype(np.float32)])
        return rows, counts

    def _add_one(self, words: list[str]) -> int:
        often: dict[str, int] = {}
        for word in words:
            often[word] = often.get(word, 0) + 1
        for word, count in often.items():
            self._later[word].append((self._rows, count))
        new = np.fromiter((self.numbers[word] for word in often), np.int32, len(often))
        end = int(self.bounds[self._rows]) + len(new)
        if end > len(self.ids):
            self.ids = _longer(self.ids, end)
        self.ids[end - len(new) : end] = new
        if self._rows + 2 > len(self.bounds):
            self.bounds = np.resize(self.bounds, _room(len(self.bounds), self._rows + 2))
        self.bounds[self._rows + 1] = end
        self.frequencies = _longer(self.frequencies, len(self.numbers))
        self.frequencies[new] += 1
        self._rows += 1
        return len(words)

    def _sort(self, terms: Sequence[str]) -> Ints:
        """Number the terms, and sort their places both ways, once and for all."""
        words = " ".join(terms).split()
        lengths = np.fromiter((row.count(" ") + 1 if row else 0 for row in terms), np.int64, len(terms))
        numbers = np.fromiter(map(self.numbers.__getitem__, words), np.int64, len(words))
        rows = np.repeat(np.arange(len(terms)), lengths)
        _, ids, of_row, _ = _counted(rows, numbers, len(terms), len(self.numbers))
        self.ids = ids.astype(np.int32)
        self.bounds = np.concatenate([[0], np.cumsum(of_row)])
        _, self._places, frequencies, self._counts = _counted(numbers, rows, len(self.numbers), len(terms))
        self.frequencies = frequencies.astype(np.int32)
        self._starts = np.concatenate([[0], np.cumsum(self.frequencies, dtype=np.int64)])
        self._rows = len(terms)
        return lengths


def _counted(first: Ints, second: Ints, firsts: int, seconds: int) -> tuple[Ints, Ints, Ints, Counts]:
    """Give each pair once, in order, as two columns; how many pairs each of the first has; how often each pair came.

    A sort of plain numbers is several times quicker than one that gives places.
    """
    cells = first * max(1, seconds) + second
    cells.sort()
    heads = np.flatnonzero(np.append(True, cells[1:] != cells[:-1])) if len(cells) else cells
    one, other = np.divmod(cells[heads], max(1, seconds))
    often = np.diff(heads, append=len(cells)).astype(np.float32)
    return one, other, np.bincount(one, minlength=firsts), often


def _room(now: int, size: int) -> int:
    """Give a length for an array that is to have at least so many cells."""
    return now if size <= now else int(size * 1.5) + 16


def _longer(array: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Give the array with at least so many cells, the new ones zero."""
    room = _room(len(array), size)
    return array if room == len(array) else np.concatenate([array, np.zeros(room - len(array), np.int32)])
