"""A scope as a ``PGVectorStore`` of langchain-postgres: read only, and behind our walls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.embeddings import Embeddings

from keepwell import Memory, errors

try:
    # It caps pgvector below 0.4, so it is not among what the workspace installs.
    from langchain_postgres import PGEngine, PGVectorStore  # type: ignore[import-not-found,unused-ignore]
    from sqlalchemy import event
except ImportError as error:
    raise errors.UsageError(
        "this needs langchain-postgres; install it with: pip install 'langchain-keepwell[pgvectorstore]'"
    ) from error

if TYPE_CHECKING:
    from keepwell import ScopedMemory

COLUMNS = ("kind", "source_id", "thread", "at", "user_id", "agent_id", "run_id")
"""What documents have as metadata, and filters can name: ``kind`` is ``message`` or ``fact``."""


class QuestionEmbeddings(Embeddings):
    """Vectors of questions by a memory's own embedder, which made those in the store."""

    def __init__(self, memory: Memory) -> None:
        """Bind a memory."""
        self._memory = memory

    def embed_query(self, text: str) -> list[float]:
        """Give the vector of a question."""
        return self._memory.question_vector(text)

    async def aembed_query(self, text: str) -> list[float]:
        """Do what ``embed_query`` does, without holding up the loop."""
        return await self._memory.run(self._memory.question_vector, text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Refuse: what is kept in a memory is written through it, where it is remembered and can be forgotten."""
        raise errors.UsageError(f"this vector store is read only ({len(texts)} texts); write with memory.scope(...)")


def as_pgvectorstore(
    memory: Memory,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    run_id: str | None = None,
    pool_size: int = 4,
    **options: Any,  # noqa: ANN401 - PGVectorStore's own
) -> PGVectorStore:
    """Give a scope's messages and facts as a vector store that code for ``PGVectorStore`` works with.

    It reads the view ``document`` in transactions that see the scope alone and can change nothing. Long messages are
    there once for each of their chunks. Recall is the better way in: it knows words and times as well as vectors.

    Args:
        memory: the store, on PostgreSQL 15 or newer, with an embedder.
        user_id: whose; at least one of the three ids is needed.
        agent_id: which agent's.
        run_id: of which run.
        pool_size: how many connections of its own it may hold; ``engine.close()`` lets go of them.
        options: passed on to ``PGVectorStore`` (``k``, ``fetch_k``, ``distance_strategy`` and the like).

    Raises:
        InvalidScope: the ids name nobody.
        UsageError: the server has no ``security_invoker`` views, or the store is not PostgreSQL.
    """
    view = memory.scope(user_id=user_id, agent_id=agent_id, run_id=run_id)
    engine = _engine(memory, view, pool_size)
    return PGVectorStore.create_sync(
        engine,
        QuestionEmbeddings(memory),
        "document",
        schema_name=memory.window(view).schema,
        metadata_columns=list(COLUMNS),
        **options,
    )


def _engine(memory: Memory, view: ScopedMemory, pool_size: int) -> PGEngine:
    window = memory.window(view)
    engine = PGEngine.from_connection_string(
        "postgresql+psycopg://", async_creator=window.connect, pool_size=pool_size, max_overflow=0, pool_pre_ping=True
    )
    # Said in each transaction, so that no session has to keep it and a pooler in between does no harm.
    event.listen(
        engine._pool.sync_engine,  # noqa: SLF001 - it has no other way to the engine that it made
        "begin",
        lambda connection: connection.exec_driver_sql(window.begin, window.parameters),
    )
    return engine
