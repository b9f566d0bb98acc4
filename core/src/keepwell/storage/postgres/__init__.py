"""The record in PostgreSQL with pgvector."""

from keepwell.storage.postgres.store import PoolOptions, PostgresStore

__all__ = ["PoolOptions", "PostgresStore"]
