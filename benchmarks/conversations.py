"""Labelled conversations from a file: one JSON object a line, with turns and questions; and a cache of their vectors.

A line is ``{"conv", "turns": [turn, ...], "qs": [question, ...]}``, a turn ``{"id", "sess", "speaker", "text",
"caption", "ts"}``, a question ``{"qid", "q", "cat", "ev"}``; ``ev`` names the turns that answer it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.minilm import MiniLM
from keepwell import Message
from keepwell.providers.bundled import BundledEmbedder
from keepwell.recall.actors import ROLES

Vectors: TypeAlias = NDArray[np.float32]
EmbedderName: TypeAlias = Literal["minilm", "bundled", "none"]
UNANSWERABLE = "adversarial"
"""The category that is left out of the headline."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that was said."""

    ident: str
    session: str
    speaker: str
    text: str
    at: dt.datetime | None

    @property
    def said(self) -> str:
        """The text with its speaker in front, for what has no field for the speaker."""
        return f"{self.speaker}: {self.text}"

    def message(self) -> Message:
        """Give it as a message: a role speaks as that role, a person as a user with a name."""
        fields: dict[str, Any] = {"id": self.ident} | ({} if self.at is None else {"created_at": self.at})
        if self.speaker in ROLES:
            return Message(role=self.speaker, parts=Message.user(self.text).parts, **fields)
        return Message.user(self.text, name=self.speaker, **fields)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and the turns that answer it."""

    ident: str
    text: str
    category: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, its turns in order."""

    ident: str
    turns: tuple[Turn, ...]
    questions: tuple[Asked, ...]


def read(path: Path) -> list[Conversation]:
    """Give the conversations of a file."""
    return [_conversation(json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def _conversation(given: Mapping[str, Any]) -> Conversation:
    return Conversation(
        given["conv"],
        tuple(map(_turn, given["turns"])),
        tuple(Asked(one["qid"], one["q"], one["cat"], tuple(one["ev"])) for one in given["qs"]),
    )


def _turn(given: Mapping[str, Any]) -> Turn:
    text = given["text"] + (f" [shares image: {given['caption']}]" if given.get("caption") else "")
    at = dt.datetime.fromisoformat(given["ts"]).replace(tzinfo=dt.UTC) if given.get("ts") else None
    return Turn(given["id"], str(given["sess"]), given["speaker"], text, at)


class Cached:
    """An embedder that asks another one only once for each text, and keeps the vectors in a file."""

    local = True

    def __init__(self, embedder: MiniLM | BundledEmbedder, path: Path | None) -> None:
        """Read the file where it is there."""
        self._embedder, self._path = embedder, path
        self.model, self.dimension = embedder.model, embedder.dimension
        self._known: dict[str, Vectors] = {}
        self._new = False
        if path is not None and path.exists():
            with np.load(path, allow_pickle=False) as kept:
                self._known = dict(zip(kept["texts"].tolist(), kept["vectors"], strict=True))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Give the vectors of texts (n, dimension)."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known.update(zip(new, self._embedder.embed(new), strict=True))
            self._new = True
        return np.stack([self._known[text] for text in texts]) if texts else np.empty((0, self.dimension), np.float32)

    def embed_query(self, text: str) -> Vectors:
        """Give the vector of a question (dimension,)."""
        vector: Vectors = self.embed([text])[0]
        return vector

    async def aembed_query(self, text: str) -> Vectors:
        """Give the vector of a question."""
        return self.embed_query(text)

    def save(self) -> None:
        """Write the file, where something is new."""
        if self._path is not None and self._new:
            np.savez(self._path, texts=np.array(list(self._known)), vectors=np.array(list(self._known.values())))
            self._new = False


def embedder_named(name: EmbedderName, path: Path | None) -> Cached | None:
    """Give the embedder of that name with its cache; None for ``none``."""
    makers: dict[str, Callable[[], MiniLM | BundledEmbedder]] = {"minilm": MiniLM, "bundled": BundledEmbedder}
    return Cached(makers[name](), path) if name in makers else None
