"""Weights of the ranking: data in ``weights.json``, learned by ``benchmarks/learn.py`` or set by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ranking: TypeAlias = Literal["learned", "hand"]
Chat: TypeAlias = Literal["people", "assistant"]
Space: TypeAlias = Literal["vectors", "static", "none"]
"""Whether texts have vectors: of a model that reads sentences, of static word vectors, or none."""
Column = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """A score of features ``x``: ``linear · x + outer · tanh(inner x + bias)``, and how odds follow from it.

    ``names`` says which features, in order. ``steepness`` and ``offset`` turn the sum into a share of one: how
    likely it is that a message with this sum bears on the question.
    """

    names: tuple[str, ...]
    linear: Column
    inner: NDArray[np.float32]
    bias: Column
    outer: Column
    steepness: float
    offset: float

    def sum(self, table: NDArray[np.float32]) -> Column:
        """Give each row's sum, of features (names, rows)."""
        total: Column = self.linear @ table
        if len(self.bias):
            hidden = self.inner @ table
            hidden += self.bias[:, None]
            total = total + self.outer @ np.tanh(hidden, out=hidden)
        return total

    def odds(self, sums: Column) -> Column:
        """Give the log of the odds that belong to sums."""
        return np.float32(self.steepness) * sums + np.float32(self.offset)


def weights(ranking: Ranking, chat: Chat, space: Space) -> Weights:
    """Give the weights for a kind of chat and of vectors."""
    return _read()[ranking, chat, space]


@cache
def _read() -> Mapping[tuple[str, str, str], Weights]:
    data: dict[str, Any] = json.loads(files("keepwell.recall").joinpath("weights.json").read_text("utf-8"))
    return {
        (ranking, chat, space): _weights(given)
        for ranking in ("learned", "hand")
        for chat, spaces in data[ranking].items()
        for space, given in spaces.items()
    }


def _weights(given: Mapping[str, Any]) -> Weights:
    names = tuple(given["linear"])
    units = given.get("units", [])
    inner = np.array([[unit["in"].get(name, 0.0) for name in names] for unit in units], np.float32)
    return Weights(
        names,
        np.array(list(given["linear"].values()), np.float32),
        inner.reshape(len(units), len(names)),
        np.array([unit["bias"] for unit in units], np.float32),
        np.array([unit["out"] for unit in units], np.float32),
        float(given["steepness"]),
        float(given["offset"]),
    )
