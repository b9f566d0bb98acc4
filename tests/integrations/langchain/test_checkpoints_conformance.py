"""LangGraph's own suite for checkpointers, counted test by test: a suite that runs nothing is not passed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.report import ProgressCallbacks

from keepwell import Memory
from langchain_keepwell.checkpoints import keepwell_checkpointer

BASE = {"put": 17, "put_writes": 10, "get_tuple": 10, "list": 16, "delete_thread": 5}
MORE = {"copy_thread": 8, "delete_for_runs": 7, "prune": 8}


async def test_langgraphs_suite_is_passed_whole(memory: Memory) -> None:
    """All 58 tests of what every checkpointer must do pass, and all 23 of what one may do."""
    passed: Counter[str] = Counter()
    failed: list[str] = []

    def note(capability: str, name: str, well: bool, trace: str | None) -> None:
        passed[capability] += well
        if not well:
            failed.append(f"{capability} {name}\n{trace}")

    @checkpointer_test(name="keepwell")
    async def savers() -> AsyncGenerator[BaseCheckpointSaver]:
        yield keepwell_checkpointer(memory, user_id="ada")

    report = await validate(savers, progress=ProgressCallbacks(on_test_result=note))
    assert failed == []
    assert passed == {**BASE, **MORE}
    assert sum(passed[name] for name in BASE) == 58
    assert report.passed_all_base()


@pytest.mark.parametrize("autocommit", [True, False])
async def test_the_base_of_the_suite_on_a_pool_that_was_given(autocommit: bool, dsn: str) -> None:
    """It is passed on a caller's pool too, of autocommit connections or others, whatever rows they make."""
    from psycopg.rows import scalar_row
    from psycopg_pool import ConnectionPool

    options = {"autocommit": autocommit, "prepare_threshold": None, "row_factory": scalar_row}
    with (
        ConnectionPool(dsn, min_size=1, max_size=3, kwargs=options, open=True) as pool,
        Memory.open(pool=pool, embedder=None, name="given") as memory,
    ):

        @checkpointer_test(name="keepwell on a given pool")
        async def savers() -> AsyncGenerator[BaseCheckpointSaver]:
            yield keepwell_checkpointer(memory, user_id="ada")

        report = await validate(savers)
        assert {name: report.results[name].tests_passed for name in BASE} == BASE
