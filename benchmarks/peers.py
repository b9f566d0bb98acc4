"""Other memories through their own public interface, with the same vectors; each only where it is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import uuid4

from benchmarks.conversations import Cached, Conversation

Rankings: TypeAlias = dict[str, list[str]]
Peer: TypeAlias = Callable[[str, Sequence[Conversation], Cached | None], Rankings | None]
_DEPTH = 50


def _missing(name: str, error: ImportError) -> None:
    print(f"{name} is left out: {error}")


def langgraph_store(dsn: str, conversations: Sequence[Conversation], embedder: Cached | None) -> Rankings | None:
    """Give the rankings of LangGraph's PostgresStore with an index of vectors."""
    try:
        from langgraph.store.postgres import PostgresStore  # noqa: PLC0415 - where it is installed
    except ImportError as error:
        _missing("LangGraph's store", error)
        return None
    if embedder is None:
        return None
    rankings: Rankings = {}
    index: Any = {"dims": embedder.dimension, "embed": _lists(embedder), "fields": ["text"]}
    with PostgresStore.from_conn_string(dsn, index=index) as store:
        store.setup()
        for one in conversations:
            for turn in one.turns:
                store.put((one.ident,), turn.ident, {"text": turn.said})
            for question in one.questions:
                found = store.search((one.ident,), query=question.text, limit=_DEPTH)
                rankings[question.ident] = [item.key for item in found]
    return rankings


def pgvector_store(dsn: str, conversations: Sequence[Conversation], embedder: Cached | None) -> Rankings | None:
    """Give the rankings of langchain-postgres' PGVectorStore, filtered by conversation."""
    try:
        from langchain_postgres import PGEngine, PGVectorStore  # type: ignore[import-not-found]  # noqa: PLC0415 - where it is installed
    except ImportError as error:
        _missing("PGVectorStore", error)
        return None
    if embedder is None:
        return None
    engine = PGEngine.from_connection_string(url=_url(dsn))
    table = f"peer_{uuid4().hex[:8]}"
    engine.init_vectorstore_table(table_name=table, vector_size=embedder.dimension)
    store = PGVectorStore.create_sync(engine=engine, table_name=table, embedding_service=_embeddings(embedder))
    rankings: Rankings = {}
    for one in conversations:
        meta = [{"conv": one.ident, "turn": turn.ident} for turn in one.turns]
        store.add_texts([turn.said for turn in one.turns], metadatas=meta)
    for one in conversations:
        for question in one.questions:
            found = store.similarity_search(question.text, k=_DEPTH, filter={"conv": one.ident})
            rankings[question.ident] = [document.metadata["turn"] for document in found]
    return rankings


def _url(dsn: str) -> Any:  # noqa: ANN401 - as below
    """Give a connection string as SQLAlchemy's URL: libpq's own form names a socket in a way that it cannot read."""
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - as above
    from sqlalchemy.engine import URL  # type: ignore[import-not-found]  # noqa: PLC0415 - as above

    parts = conninfo_to_dict(dsn)
    query = {name: str(parts[name]) for name in ("host", "port") if name in parts}
    return URL.create(
        "postgresql+psycopg", parts.get("user"), parts.get("password"), database=parts.get("dbname"), query=query
    )


def mem0(dsn: str, conversations: Sequence[Conversation], embedder: Cached | None) -> Rankings | None:
    """Give the rankings of mem0 on pgvector, each turn stored as it is (``infer=False``)."""
    os.environ["MEM0_TELEMETRY"] = "False"  # read at its import; it would report to its makers otherwise
    try:
        from langchain_core.language_models.fake_chat_models import FakeListChatModel  # noqa: PLC0415 - as below
        from mem0 import Memory  # type: ignore[import-not-found]  # noqa: PLC0415 - where it is installed
    except ImportError as error:
        _missing("mem0", error)
        return None
    if embedder is None:
        return None
    store = {"connection_string": dsn, "collection_name": "peer_mem0", "embedding_model_dims": embedder.dimension}
    memory = Memory.from_config(
        {
            "vector_store": {"provider": "pgvector", "config": store},
            "embedder": {"provider": "langchain", "config": {"model": _embeddings(embedder)}},
            # It cannot be made without a language model, though it is not asked for anything here.
            "llm": {"provider": "langchain", "config": {"model": FakeListChatModel(responses=[""])}},
            "history_db_path": ":memory:",
        }
    )
    rankings: Rankings = {}
    for one in conversations:
        for turn in one.turns:
            said = [{"role": "user", "content": turn.said}]
            memory.add(said, user_id=one.ident, metadata={"turn": turn.ident}, infer=False)
        for question in one.questions:
            found = memory.search(question.text, filters={"user_id": one.ident}, top_k=_DEPTH)["results"]
            rankings[question.ident] = [item["metadata"]["turn"] for item in found]
    return rankings


def vector_block(dsn: str, conversations: Sequence[Conversation], embedder: Cached | None) -> Rankings | None:  # noqa: ARG001 - it keeps its vectors in memory here
    """Give the rankings of the index that LlamaIndex's VectorMemoryBlock asks, one node a turn."""
    try:
        from llama_index.core import VectorStoreIndex  # noqa: PLC0415 - where it is installed
        from llama_index.core.schema import TextNode  # noqa: PLC0415 - as above
    except ImportError as error:
        _missing("LlamaIndex's block", error)
        return None
    if embedder is None:
        return None
    rankings: Rankings = {}
    for one in conversations:
        vectors = embedder.embed([turn.said for turn in one.turns])
        pairs = zip(one.turns, vectors.tolist(), strict=True)
        nodes = [TextNode(id_=turn.ident, text=turn.said, embedding=vector) for turn, vector in pairs]
        index = VectorStoreIndex(nodes, embed_model=_llama(embedder))
        retriever = index.as_retriever(similarity_top_k=_DEPTH)
        for question in one.questions:
            rankings[question.ident] = [found.node.node_id for found in retriever.retrieve(question.text)]
    return rankings


def _lists(embedder: Cached) -> Callable[[list[str]], list[list[float]]]:
    return lambda texts: [[float(number) for number in row] for row in embedder.embed(texts)]


def _embeddings(embedder: Cached) -> Any:  # noqa: ANN401 - an object of an optional library
    from langchain_core.embeddings import Embeddings  # noqa: PLC0415 - where a peer needs it

    class Given(Embeddings):
        """The cached vectors as LangChain's embeddings."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return _lists(embedder)(texts)

        def embed_query(self, text: str) -> list[float]:
            return _lists(embedder)([text])[0]

    return Given()


def _llama(embedder: Cached) -> Any:  # noqa: ANN401 - as above
    from llama_index.core.base.embeddings.base import BaseEmbedding  # noqa: PLC0415 - where a peer needs it

    class Given(BaseEmbedding):
        """The cached vectors as LlamaIndex's embeddings."""

        def _get_query_embedding(self, query: str) -> list[float]:
            return _lists(embedder)([query])[0]

        def _get_text_embedding(self, text: str) -> list[float]:
            return _lists(embedder)([text])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    return Given()


PEERS: Mapping[str, Peer] = {
    "mem0": mem0,
    "langgraph": langgraph_store,
    "pgvectorstore": pgvector_store,
    "llamaindex": vector_block,
}
