"""Signals of many texts as columns of numbers, see :mod:`keepwell.recall.signals`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.signals import VERSION, WIDTH


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of many texts: their numbers (n, ``WIDTH``), and what they say as columns (n,)."""

    cells: NDArray[np.uint8]

    @property
    def asking(self) -> NDArray[np.float32]:
        """The share of the text that is a question."""
        return self.cells[:, 1].astype(np.float32) / np.float32(40)

    @property
    def ends_asking(self) -> NDArray[np.bool_]:
        """Whether it ends in a question."""
        return self.cells[:, 2] > 0

    @property
    def times(self) -> NDArray[np.uint8]:
        """How many words tell a time."""
        return self.cells[:, 3]

    @property
    def names(self) -> NDArray[np.uint8]:
        """How many names and titles are in it."""
        return self.cells[:, 4]

    @property
    def first_person(self) -> NDArray[np.uint8]:
        """How often it says I, my, me, we, our."""
        return self.cells[:, 5]

    @property
    def second_person(self) -> NDArray[np.uint8]:
        """How often it says you, your."""
        return self.cells[:, 6]

    @property
    def numbers(self) -> NDArray[np.uint8]:
        """How many numbers are in it."""
        return self.cells[:, 7]

    @property
    def length(self) -> NDArray[np.float32]:
        """About how many characters it has."""
        length: NDArray[np.float32] = np.exp2(self.cells[:, 8].astype(np.float32) / np.float32(3)) - np.float32(1)
        return length

    @property
    def wishes(self) -> NDArray[np.uint8]:
        """How many words of wish and rule are in it."""
        return self.cells[:, 9]

    @property
    def markup(self) -> NDArray[np.bool_]:
        """Whether it has code, a list or a heading."""
        return self.cells[:, 10] > 0


def cells_of(rows: Sequence[str]) -> NDArray[np.uint8]:
    """Give the numbers of signals (n, ``WIDTH``), to be kept; zeros for none, and for a version not known here."""
    known = [row[:WIDTH] if row[:1] == VERSION else "" for row in rows]
    packed = np.array(known, f"S{WIDTH}") if known else np.empty(0, f"S{WIDTH}")
    cells = packed.view(np.uint8).reshape(len(known), WIDTH)
    return np.where(cells > ord("0"), cells, ord("0")) - np.uint8(ord("0"))


def read_signals(cells: NDArray[np.uint8]) -> Signals:
    """Give what the numbers of some texts (n, ``WIDTH``) say."""
    return Signals(cells)
