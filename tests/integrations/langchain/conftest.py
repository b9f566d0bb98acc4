"""A store that fails on demand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from keepwell import ScopedMemory, ScopedThread, errors


def pytest_configure(config: pytest.Config) -> None:
    """Let LangChain's suites be imported: other tests in them carry marks of plugins that are not loaded here."""
    for mark in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{mark}: on tests of LangChain's that are not run here")


class Outage:
    """Whether the store answers: between ``begin`` and ``end`` every verb that needs it raises."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def begin(self, error: Exception | None = None) -> None:
        """Let every verb raise, as if no server answered."""
        failure = error or errors.StoreUnavailable("no server answers")

        def fail(*_: Any, **__: Any) -> Any:
            raise failure

        async def afail(*_: Any, **__: Any) -> Any:
            raise failure

        for kind, verbs in ((ScopedThread, ("append", "messages")), (ScopedMemory, ("recall", "forget"))):
            for verb in verbs:
                self._patch.setattr(kind, verb, fail)
                self._patch.setattr(kind, f"a{verb}", afail)

    def end(self) -> None:
        """Let the store answer again."""
        self._patch.undo()


@pytest.fixture
def outage() -> Iterator[Outage]:
    """Give the switch; the store answers until it is thrown, and again after the test."""
    switch = Outage()
    yield switch
    switch.end()
