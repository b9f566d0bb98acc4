"""The projection as langchain-neo4j's graph."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from keepwell import Memory, Message, errors

from .agents import following

langchain_neo4j = pytest.importorskip("langchain_neo4j", reason="not available here: langchain-neo4j")

from langchain_core.messages import AIMessage  # noqa: E402 - after the one that may be missing

from langchain_keepwell.neo4jgraph import as_neo4j_graph  # noqa: E402 - as above


@pytest.fixture
def tenant() -> str:
    """Give a name that no other test has."""
    return f"t-{uuid.uuid4().hex}"


@pytest.fixture
def projected(dsn: str, tenant: str, neo4j_uri: str) -> Iterator[Memory]:
    """Give a memory whose graph is projected, with one relation and one mention."""
    with Memory.open(dsn, tenant=tenant, embedder=None, graph=neo4j_uri) as memory:
        ada = memory.scope(user_id="ada")
        ada.graph.link("Priya", "sister of", "Ada")
        ada.thread("t").append(Message.user("Yesterday Priya sang."))
        memory.drain()
        yield memory
        memory.graph.remove()


def test_a_chain_answers_from_the_projection(projected: Memory, tenant: str) -> None:
    """GraphCypherQAChain is shown our schema, asks in Cypher, and answers from what it finds, without APOC."""
    cypher = (
        f"MATCH (p:Entity {{tenant: '{tenant}'}})-[:RELATED {{predicate: 'sister of'}}]->(:Entity {{name: 'Ada'}})"
        " RETURN p.name AS name"
    )
    model = following(AIMessage(cypher), AIMessage("Priya is."))
    chain = langchain_neo4j.GraphCypherQAChain.from_llm(
        model,
        graph=as_neo4j_graph(projected, across_scopes=True),
        allow_dangerous_requests=True,
        return_intermediate_steps=True,
    )
    answer = chain.invoke({"query": "Who is Ada's sister?"})
    assert answer["result"] == "Priya is."
    assert answer["intermediate_steps"][1] == {"context": [{"name": "Priya"}]}
    shown = str(model.asked[0][-1].text)
    assert "(:Entity)-[:RELATED]->(:Entity)" in shown
    assert "predicate: STRING" in shown


def test_nothing_can_be_written_through_it(projected: Memory) -> None:
    """A query that writes is refused by the server, and so is adding documents."""
    graph = as_neo4j_graph(projected, across_scopes=True)
    with pytest.raises(errors.StoreFailed):
        graph.query("CREATE (n:Entity {name: 'Eve'}) RETURN n")
    with pytest.raises(errors.UsageError, match="read only"):
        graph.add_graph_documents([])


def test_it_must_be_said_that_it_reads_everybodys(projected: Memory, open_memory: object) -> None:
    """Without across_scopes there is no graph; without a projection there is none either."""
    with pytest.raises(errors.UsageError, match="across_scopes=True"):
        as_neo4j_graph(projected)
    with pytest.raises(errors.UsageError, match="no projection"):
        as_neo4j_graph(open_memory(), across_scopes=True)  # type: ignore[operator]  # the fixture's function
