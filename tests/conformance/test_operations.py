"""Both stores can do everything that the seam names, and every suite is run on both."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import get_args

import pytest
from tests.conformance import test_postgres, test_reference

from keepwell.storage import base, embeddings, facts, graph, items
from keepwell.storage.plain.reads import READS
from keepwell.storage.plain.writes import WRITES
from keepwell.storage.postgres import record as postgres_record
from keepwell.testing import conformance
from keepwell.testing.conformance import Capability, StoreConformance

OPERATIONS = [
    one
    for module in (base, embeddings, facts, graph, items)
    for _, one in inspect.getmembers(module, inspect.isclass)
    if one.__module__ == module.__name__
    and issubclass(one, base.Write | base.Read)
    and one not in (base.Write, base.Read)
]
SUITES = [one for _, one in inspect.getmembers(conformance, inspect.isclass) if issubclass(one, StoreConformance)]


def test_operations_are_found() -> None:
    """The operations of the seam are those that are meant here."""
    assert {base.AppendMessages, base.LoadScope, facts.ApplyEdits, facts.ReadFormation} <= set(OPERATIONS)
    assert len(OPERATIONS) > 50


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.__name__)
def test_known(operation: type) -> None:
    """Both stores have something to do for every operation."""
    at_its_own = {base.Prune, base.LoadScope, facts.ReadSecret}  # the reference store does these by itself
    assert operation in {*postgres_record._WRITES, *postgres_record._READS}
    assert operation in {*WRITES, *READS, *at_its_own}


@pytest.mark.parametrize("module", [test_postgres, test_reference], ids=["postgres", "reference"])
def test_every_suite_is_run(module: ModuleType) -> None:
    """There is one test class for each suite, and nothing is left out by naming it as missing."""
    classes = [one for name, one in inspect.getmembers(module, inspect.isclass) if name.startswith("Test")]
    for suite in SUITES:
        if suite is not StoreConformance:
            assert sum(issubclass(one, suite) for one in classes) == 1, suite
    assert not any(one.missing for one in classes if issubclass(one, StoreConformance))


def test_every_capability_has_a_suite() -> None:
    """What a store may claim to do is proved by a suite of its own."""
    claimed = {suite.capability for suite in SUITES if suite is not StoreConformance}
    assert claimed | {"async_transactions"} == set(get_args(Capability))
    assert set(conformance.__all__) == {suite.__name__ for suite in SUITES} | {"Capability"}
