"""What an export or an import carried."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Transfer:
    """How much an export wrote, or how much an import took in that was not there; ``rejected`` was not taken in.

    ``relations`` counts versions; ``graph_changes`` are the graph's history, ``changes`` that of facts.
    """

    threads: int = 0
    messages: int = 0
    facts: int = 0
    changes: int = 0
    rejected: int = 0
    entities: int = 0
    relations: int = 0
    mentions: int = 0
    graph_changes: int = 0

    def __add__(self, other: Transfer) -> Transfer:
        """Give both together."""
        return Transfer(*(getattr(self, name) + getattr(other, name) for name in asdict(self)))
