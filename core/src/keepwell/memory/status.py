"""How a memory is, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from keepwell.models import Owner
from keepwell.models.html import table
from keepwell.storage.base import TenantStatus
from keepwell.storage.facts import FormationStatus, Parked, Spent
from keepwell.storage.graph import GraphCounts

_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Status:
    """How a memory is: what it holds, what is due, and what cannot be done just now."""

    name: str
    tenant: str
    place: str
    embedder: str | None
    held: int
    lost: int
    snapshots: int
    snapshot_bytes: int
    record: TenantStatus
    language_model: str | None
    working: bool
    formation: FormationStatus
    parked: tuple[Parked, ...]
    spent: tuple[Spent, ...]
    graph: GraphCounts | None = None

    def rows(self) -> list[tuple[str, object]]:
        """Give all of it as pairs of a word and a value."""
        record, formation = self.record, self.formation
        space = record.space
        return [
            ("store", f"{self.name} ({self.place})"),
            ("tenant", self.tenant),
            ("server", record.server),
            ("role", record.role),
            ("row-level security", record.row_security),
            ("schema version", record.schema_version),
            ("embedder", self.embedder or "none"),
            ("vectors of", f"{space.model} ({space.dimension})" if space else "none"),
            ("owners", record.owners),
            ("threads", record.threads),
            ("messages", record.messages),
            ("vectors", record.vectors),
            ("waiting for vectors", record.due),
            ("waiting since", record.oldest_due or "-"),
            ("language model", self.language_model or "none"),
            ("worker in this process", "yes" if self.working else "no"),
            ("facts", formation.facts),
            ("changes of facts", formation.changes),
            ("rejections", formation.rejections),
            *_graph(self.graph),
            ("threads to be formed", formation.due_threads),
            ("oldest of them due", formation.oldest_due or "-"),
            ("other work due", ", ".join(f"{n} {kind}" for kind, n in formation.due_items.items() if n) or "-"),
            ("tried again after a failure", formation.failing),
            ("written to found by meaning", _lag(formation.recall_lag)),
            ("written to formed", _lag(formation.formed_lag)),
            ("messages that cannot be formed", formation.parked),
            *((f"  {_owner(one.owner)}: {one.thread_id} {one.message}", one.error) for one in self.parked),
            *((f"model today for {_owner(one.owner)}", _spent(one)) for one in self.spent),
            ("held in this process", self.held),
            ("given up in this process", self.lost),
            ("scopes in this process", f"{self.snapshots} ({self.snapshot_bytes / _MEGABYTE:.1f} MB)"),
        ]

    def _repr_html_(self) -> str:
        return table(("what", "value"), self.rows())


def _graph(graph: GraphCounts | None) -> list[tuple[str, object]]:
    if graph is None:
        return [("graph", "none")]
    return [
        ("entities", graph.entities),
        ("relations", graph.relations),
        ("mentions", graph.mentions),
        ("waiting to be looked through for names", graph.waiting),
    ]


def _lag(lag: tuple[float, float] | None) -> str:
    return "-" if lag is None else f"{lag[0]:.1f} s (median), {lag[1]:.1f} s (95 of 100)"


def _owner(owner: Owner) -> str:
    return " ".join(value for value in owner if value)


def _spent(one: Spent) -> str:
    return f"{one.calls} calls, {one.input_tokens:,} tokens in, {one.output_tokens:,} out"
