"""A store that fails on demand."""

from __future__ import annotations

from typing import Any

import pytest

from keepwell import Memory, errors


def pytest_configure(config: pytest.Config) -> None:
    """Let LangChain's suites be imported: other tests in them carry marks of plugins that are not loaded here."""
    for mark in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{mark}: on tests of LangChain's that are not run here")


class Outage:
    """The record of a memory, which answers, but not between ``begin`` and ``end``."""

    def __init__(self, memory: Memory) -> None:
        self._record = memory._engine.record
        self._failure: Exception | None = None
        memory._engine.record = self

    def begin(self, error: Exception | None = None) -> None:
        """Let every read and write raise, as if no server answered."""
        self._failure = error or errors.StoreUnavailable("no server answers")

    def end(self) -> None:
        """Let the record answer again."""
        self._failure = None

    def write(self, change: Any, connection: Any = None) -> Any:
        """Write, or fail."""
        return self._working().write(change, connection)

    async def awrite(self, change: Any, connection: Any) -> Any:
        """Write, or fail."""
        return await self._working().awrite(change, connection)

    def read(self, query: Any) -> Any:
        """Read, or fail."""
        return self._working().read(query)

    def _working(self) -> Any:
        if self._failure is not None:
            raise self._failure
        return self._record


@pytest.fixture
def outage(memory: Memory) -> Outage:
    """Give the switch of the memory's record, which answers until it is thrown."""
    return Outage(memory)
