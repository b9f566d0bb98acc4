"""The graph's projection as a ``Neo4jGraph`` of langchain-neo4j: read only, and a tool of operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keepwell import Memory, errors

try:
    from langchain_neo4j import Neo4jGraph
    from neo4j_graphrag.schema import format_schema
except ImportError as error:
    raise errors.UsageError(
        "this needs langchain-neo4j; install it with: pip install 'langchain-keepwell[neo4j]'"
    ) from error

NODES = (
    "call db.schema.nodeTypeProperties() yield nodeLabels, propertyName, propertyTypes"
    " unwind nodeLabels as label with label, propertyName, propertyTypes where label in $labels"
    " return label, propertyName as property, propertyTypes[0] as type order by label, property"
)
RELATIONS = (
    "call db.schema.relTypeProperties() yield relType, propertyName, propertyTypes"
    " with replace(replace(relType, ':', ''), '`', '') as label, propertyName, propertyTypes where label in $types"
    " return label, propertyName as property, propertyTypes[0] as type order by label, property"
)
LABELS = ("Entity", "Fact", "Message", "Thread")
PATTERNS = (
    ("Entity", "RELATED", "Entity"),
    ("Message", "MENTIONS", "Entity"),
    ("Fact", "MENTIONS", "Entity"),
    ("Fact", "RESTS_ON", "Message"),
    ("Fact", "RESTS_ON", "Fact"),
    ("Message", "IN", "Thread"),
)
"""How the projection is drawn: what lies at the ends of each kind of relationship."""


class ProjectionGraph(Neo4jGraph):
    """A ``Neo4jGraph`` whose queries go through the memory: in transactions that cannot write, and bounded in time."""

    def __init__(self, memory: Memory, seconds: float = 30.0) -> None:
        """Bind a memory and read the schema; langchain-neo4j's own way needs APOC, and a connection of its own."""
        self._memory, self._seconds = memory, seconds
        self._enhanced_schema, self.sanitize = False, True
        self.refresh_schema()

    def query(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        session_params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Give the rows of a Cypher query, which cannot write.

        Raises:
            StoreFailed: Neo4j refused the query.
            StoreUnavailable: Neo4j does not answer, or not in time.
        """
        del session_params  # the session is the memory's
        return self._memory.graph.cypher(query, params, across_scopes=True, seconds=self._seconds)

    def refresh_schema(self) -> None:
        """Read what kinds of nodes and relationships there are, and their properties."""
        self.structured_schema = {
            "node_props": _by_label(self.query(NODES, {"labels": list(LABELS)})),
            "rel_props": _by_label(self.query(RELATIONS, {"types": sorted({kind for _, kind, _ in PATTERNS})})),
            "relationships": [{"start": start, "type": kind, "end": end} for start, kind, end in PATTERNS],
            "metadata": {"constraint": [], "index": []},
        }
        self.schema = format_schema(self.structured_schema, is_enhanced=False)

    def add_graph_documents(
        self,
        graph_documents: Sequence[Any],
        include_source: bool = False,
        baseEntityLabel: bool = False,  # noqa: N803 - as above
    ) -> None:
        """Refuse: the projection follows the record, and would lose what is written beside it."""
        del graph_documents, include_source, baseEntityLabel
        raise errors.UsageError("the projection is read only; write with memory.scope(...).graph")

    def close(self) -> None:
        """Do nothing: the connections are the memory's."""


def as_neo4j_graph(memory: Memory, *, across_scopes: bool = False, seconds: float = 30.0) -> ProjectionGraph:
    """Give the projection of a memory's graph as a ``Neo4jGraph``, such as ``GraphCypherQAChain`` works with.

    A tool of operators: a model writes that Cypher, and Cypher cannot be held to a scope. It reads what belongs to
    everybody, of every tenant, and ``LOAD CSV`` reads files of the server. It needs no APOC.

    Args:
        memory: one that was opened with ``graph="neo4j://..."``.
        across_scopes: must be True, so that it was said.
        seconds: how long a query may take.

    Raises:
        UsageError: ``across_scopes`` is not set, or the memory has no projection.
        StoreUnavailable: Neo4j does not answer.
    """
    if across_scopes is not True:
        raise errors.UsageError(
            "Cypher cannot be held to a scope, so whoever asks through this graph reads what belongs to everybody; "
            "say as_neo4j_graph(memory, across_scopes=True) if that is what you want"
        )
    return ProjectionGraph(memory, seconds)


def _by_label(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["property"] is not None:
            found.setdefault(row["label"], []).append({"property": row["property"], "type": str(row["type"]).upper()})
    return found
