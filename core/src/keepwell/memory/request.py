"""What is asked of a recall, checked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from keepwell.errors import InvalidQuery
from keepwell.models import Kind

MAX_LIMIT = 1000
_KINDS: tuple[Kind, ...] = ("fact", "message")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a recall; times without a zone are UTC."""

    query: str
    limit: int = 10
    kinds: tuple[Kind, ...] = _KINDS
    thread: UUID | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    as_of: dt.datetime | None = None
    neighbours: int = 1
    min_score: float | None = None
    max_tokens: int | None = None
    explain: bool = False
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what means nothing.

        Raises:
            InvalidQuery: the query is blank, or a limit is out of range.
        """
        if _is_blank(self.query):
            raise InvalidQuery("the query is blank; ask with some words")
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InvalidQuery(f"limit is {self.limit}; give 1 to {MAX_LIMIT}")
        if self.neighbours < 0:
            raise InvalidQuery(f"neighbours is {self.neighbours}; give 0 or more")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidQuery(f"max_tokens is {self.max_tokens}; give 1 or more")
        if unknown := set(self.kinds) - set(_KINDS):
            raise InvalidQuery(f"kinds has {sorted(unknown)}; known are {list(_KINDS)}")

    @property
    def readable(self) -> str:
        """The query as a model can read it: lone surrogates, which no encoder takes, are replaced."""
        return self.query.encode("utf-8", "replace").decode()


def _is_blank(query: object) -> bool:
    """Tell whether there is nothing to ask; what is no text asks nothing."""
    return not isinstance(query, str) or not query.strip()
