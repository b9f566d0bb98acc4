"""What a loading brings: columns of messages and vectors, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Times = NDArray[np.float64]
Flags = NDArray[np.bool_]
Halves = NDArray[np.uint64]


def halves(*threads: UUID) -> Halves:
    """Give thread keys as rows of two numbers (n, 2), which arrays can compare."""
    raw = b"".join(thread.bytes for thread in threads)
    return np.frombuffer(raw, ">u8").reshape(-1, 2).astype(np.uint64)


@dataclass(frozen=True, slots=True)
class MessageColumns:
    """Messages and versions of facts, a row each: ``keys`` (n,), ``seqs`` (n,), times (n,) in seconds since 1970 UTC.

    A key above 0 is a message's, one below 0 is that of a fact's version. ``threads`` (n, 2) holds each thread's
    key as two halves, see :func:`halves`; a fact has its id there and 0 as ``seq``, so it has no neighbours.
    ``retired`` is when a fact's version ended, infinite while it stands and for messages. ``terms`` holds each
    row's analysed terms, separated by spaces, in order and with repeats; ``actors`` who speaks (name or role) or,
    of a fact, whom it is about; ``signals`` what :mod:`keepwell.recall.signals` found in the text.
    """

    keys: Ints
    threads: Halves
    seqs: Ints
    created: Times
    recorded: Times
    retired: Times
    terms: tuple[str, ...]
    actors: tuple[str, ...]
    signals: tuple[str, ...]

    @classmethod
    def empty(cls) -> MessageColumns:
        """Give columns without a row."""
        none, never = np.empty(0, np.int64), np.empty(0, np.float64)
        return cls(none, np.empty((0, 2), np.uint64), none, never, never, never, (), (), ())


@dataclass(frozen=True, slots=True)
class VectorColumns:
    """Unit vectors, a row each: ``keys`` (m,) names the message, ``matrix`` (m, dimension)."""

    keys: Ints
    matrix: Floats

    @classmethod
    def empty(cls, dimension: int = 0) -> VectorColumns:
        """Give columns without a row."""
        return cls(np.empty(0, np.int64), np.empty((0, dimension), np.float32))


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has read: the reader's transaction snapshot, and the server that it is good for."""

    snapshot: str
    server: str
    taken: float


@dataclass(frozen=True, slots=True)
class Delta:
    """What a scope holds (``full``), or what changed in it since the mark that was given.

    To be applied in this order: ``removed`` keys go, ``messages`` come or take the place of an older version
    (whose vectors go), then ``vectors`` come. ``active`` is the space in use at that moment, None where there is
    none (or where the store does not say).
    """

    full: bool
    mark: Mark
    messages: MessageColumns = field(default_factory=MessageColumns.empty)
    vectors: VectorColumns = field(default_factory=VectorColumns.empty)
    removed: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    active: int | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the ranking needs of a whole scope: messages, terms in all, in how many messages each term is.

    ``centre`` is the mean of its vectors and how many there are; None where that is to be had from the vectors given.
    """

    messages: int
    length: int
    frequencies: Mapping[str, int]
    centre: tuple[Floats, int] | None = None


@dataclass(frozen=True, slots=True)
class CandidateColumns:
    """Some messages of a scope that is too large to hold, with the statistics of the whole.

    ``centre`` is the mean of the scope's vectors (dimension,) and how many there are; None where there are none. A long
    text has several, so these are not the messages.
    """

    messages: MessageColumns
    vectors: VectorColumns
    statistics: Statistics
    centre: tuple[Floats, int] | None = None
