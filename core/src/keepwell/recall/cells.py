"""Signals of many texts as columns of numbers, see :mod:`keepwell.recall.signals`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keepwell.recall.signals import VERSION, WIDTH


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of many texts as columns (n,)."""

    asking: NDArray[np.float32]
    ends_asking: NDArray[np.bool_]
    times: NDArray[np.uint8]
    names: NDArray[np.uint8]
    first_person: NDArray[np.uint8]
    second_person: NDArray[np.uint8]
    numbers: NDArray[np.uint8]
    length: NDArray[np.float32]
    wishes: NDArray[np.uint8]
    markup: NDArray[np.bool_]


def cells_of(rows: Sequence[str]) -> NDArray[np.uint8]:
    """Give the numbers of signals (n, ``WIDTH``), to be kept; zeros for none, and for a version not known here."""
    known = [row[:WIDTH] if row[:1] == VERSION else "" for row in rows]
    packed = np.array(known, f"S{WIDTH}") if known else np.empty(0, f"S{WIDTH}")
    cells = packed.view(np.uint8).reshape(len(known), WIDTH)
    return np.where(cells > ord("0"), cells, ord("0")) - np.uint8(ord("0"))


def read_signals(cells: NDArray[np.uint8]) -> Signals:
    """Give what the numbers of some texts (n, ``WIDTH``) say."""
    return Signals(
        cells[:, 1].astype(np.float32) / np.float32(40),
        cells[:, 2] > 0,
        cells[:, 3],
        cells[:, 4],
        cells[:, 5],
        cells[:, 6],
        cells[:, 7],
        np.exp2(cells[:, 8].astype(np.float32) / np.float32(3)) - np.float32(1),
        cells[:, 9],
        cells[:, 10] > 0,
    )
