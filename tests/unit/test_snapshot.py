"""A scope in the process: what is a neighbour of what, and how alike a question is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.scopes import columns, whole

from keepwell.recall.arrays import Delta, Mark, MessageColumns, VectorColumns
from keepwell.recall.snapshot import Snapshot


def versions() -> MessageColumns:
    """Give two versions of one fact."""
    one = columns([("fact", "", "tea"), ("fact", "", "coffee")])
    return replace(one, keys=np.array([-1, -2]), seqs=np.zeros(2, np.int64))


@pytest.mark.parametrize("at_once", [True, False])
def test_versions_of_a_fact_are_no_neighbours(at_once: bool) -> None:
    """Only messages have neighbours, whether they were loaded with the facts or before them."""
    talk = columns([("t", "Ann", "nut"), ("t", "Bob", "pear")])
    snapshot = Snapshot(whole(versions() if at_once else talk))
    snapshot.update(Delta(full=False, mark=Mark("", "", 0), messages=talk if at_once else versions()))
    links = {key: (int(b), int(a)) for key, b, a in zip(snapshot.keys.tolist(), *snapshot.links(), strict=False)}
    ann, bob = (int(snapshot.rows([key])[0]) for key in (1, 2))
    assert links == {1: (-1, bob), 2: (ann, -1), -1: (-1, -1), -2: (-1, -1)}


def test_a_cosine_may_be_below_minus_one() -> None:
    """A question less what all have in common is longer than one; several vectors of a message cut nothing off."""
    talk = columns([("t", "Ann", "nut"), ("t", "Bob", "pear")])
    vectors = np.array([[-1, 0], [0, 1], [0.6, 0.8]], np.float32)
    chunked = Snapshot(replace(whole(talk), vectors=VectorColumns(np.array([1, 2, 2]), vectors)))
    assert chunked.similarities(np.array([1.5, 0], np.float32)).tolist() == pytest.approx([-1.5, 0.9])
