"""Small scopes in the process, without a store."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from keepwell.recall.analysis import analyse
from keepwell.recall.arrays import Delta, Floats, Mark, MessageColumns, VectorColumns, halves
from keepwell.recall.signals import signals

Said = tuple[str, str, str]
"""Thread, actor and text."""
DAY = 86_400.0


def columns(said: Sequence[Said], first_key: int = 1, start: float = 0.0) -> MessageColumns:
    """Give messages as columns, a day apart."""
    places: dict[str, int] = {}
    seqs = []
    for thread, _, _ in said:
        places[thread] = places.get(thread, 0) + 1
        seqs.append(places[thread])
    created = np.array([start + DAY * day for day in range(len(said))], np.float64)
    return MessageColumns(
        np.arange(first_key, first_key + len(said)),
        halves(*(uuid5(NAMESPACE_OID, thread) for thread, _, _ in said)),
        np.array(seqs, np.int64),
        created,
        created,
        np.full(len(said), np.inf),
        tuple(analyse(text) for _, _, text in said),
        tuple(actor for _, actor, _ in said),
        tuple(signals(text) for _, _, text in said),
    )


def whole(messages: MessageColumns, matrix: Floats | None = None) -> Delta:
    """Give a full delta of messages, with a vector each where a matrix is given."""
    vectors = VectorColumns.empty() if matrix is None else VectorColumns(messages.keys, matrix)
    return Delta(full=True, mark=Mark("", "", 0), messages=messages, vectors=vectors)
