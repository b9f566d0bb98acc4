"""The vectors of a snapshot's rows: how alike each is to a question, and what all have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.arrays import Flags, Floats, Ints

_GROWTH = 1.5


class RowVectors:
    """Unit vectors and the row that each belongs to; a row may have several, those of removed rows stay unused."""

    def __init__(self) -> None:
        """Begin without a vector."""
        self._matrix: Floats = np.empty((0, 0), np.float32)
        self._place: Ints = np.empty(0, np.int64)
        self._count = 0
        self._chunked = False
        self._aligned = False
        self._sum: NDArray[np.float64] | None = None
        self._summed = self._living = 0

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return self._matrix.nbytes

    def serves(self, query: Floats | None) -> bool:
        """Tell whether there are vectors of a question's dimension."""
        return query is not None and self._count > 0 and self._matrix.shape[1] == len(query)

    def compares(self, query: Floats | None) -> bool:
        """Tell whether a row that is there has a vector that a question's can be compared with."""
        return self.serves(query) and bool((self._places >= 0).any())

    def similarities(self, query: Floats, size: int) -> NDArray[np.float32]:
        """Give each row's best cosine with the query (size,); 0 where it has no vector."""
        if not self.serves(query):
            return np.zeros(size, np.float32)
        found = self._matrix[: self._count] @ query
        if self._aligned and self._count == size:
            return found
        best = np.zeros(size, np.float32)
        place = self._places
        known = place >= 0
        if not known.all():
            place, found = place[known], found[known]
        if self._chunked:
            best[place] = -np.inf  # a query from which a mean was taken is longer than 1
            np.maximum.at(best, place, found)
        else:
            best[place] = found
        return best

    def centre(self, among: Flags | None = None) -> tuple[Floats, int]:
        """Give the mean of the vectors (dimension,) and how many there are: of all rows, or of some."""
        place = self._places
        if among is not None:
            kept = place >= 0
            kept[kept] = among[place[kept]]
            count = int(kept.sum())
            total = self._matrix[: self._count][kept].sum(axis=0, dtype=np.float64)
            return (total / max(1, count)).astype(np.float32), count
        if self._sum is None:
            self._sum, self._summed, self._living = np.zeros(self._matrix.shape[1]), 0, 0
        if self._summed < self._count:
            new = slice(self._summed, self._count)
            kept = place[new] >= 0
            self._sum = self._sum + kept.astype(np.float32) @ self._matrix[new]
            self._summed, self._living = self._count, self._living + int(kept.sum())
        return (self._sum / max(1, self._living)).astype(np.float32), self._living

    def bury(self, row: int) -> None:
        """Use the vectors of a row no more."""
        places = self._places
        places[places == row] = -1
        self._aligned, self._sum = False, None

    def add(self, matrix: Floats, places: Ints) -> None:
        """Take in vectors with the row of each, -1 where it is not there; they replace those that rows had."""
        count = len(places)
        if self._matrix.shape[1] != matrix.shape[1]:
            self._matrix, self._place, self._count = np.empty((0, matrix.shape[1]), np.float32), places[:0], 0
            self._sum = None
        start, stop = self._count, self._count + count
        aligned = bool((places == np.arange(start, stop)).all())
        fresh = places if aligned else np.unique(places[places >= 0])
        self._chunked = self._chunked or len(fresh) < int((places >= 0).sum())
        if start and (again := np.isin(self._places, fresh)).any():
            self._places[again] = -1
            self._sum = None
        if start == 0:
            self._matrix, self._place = matrix, places
        else:
            self._make_room(stop)
            self._matrix[start:stop], self._place[start:stop] = matrix, places
        self._count = stop
        self._aligned = (self._aligned or start == 0) and aligned

    def living(self) -> tuple[Floats, Ints]:
        """Give the vectors in use and the row of each."""
        kept = self._places >= 0
        return self._matrix[: self._count][kept], self._places[kept]

    @property
    def _places(self) -> Ints:
        return self._place[: self._count]

    def _make_room(self, size: int) -> None:
        if size <= len(self._matrix):
            return
        room = int(size * _GROWTH) + 16
        matrix = np.empty((room, self._matrix.shape[1]), np.float32)
        matrix[: self._count] = self._matrix[: self._count]
        place = np.full(room, -1, np.int64)
        place[: self._count] = self._places
        self._matrix, self._place = matrix, place
