"""A place for each test of the embedded server, and running servers for those that only look."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keepwell.storage.postgres import embedded

from .ground import open_ground


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder of this test's own."""
    with open_ground() as base:
        yield base


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.EmbeddedServer]:
    """A running server for the tests that only look at it."""
    with open_ground() as base:
        running = embedded.start(base / "store")
        yield running
        running.release()


@pytest.fixture(scope="session")
def shared() -> Iterator[Path]:
    """A data folder for `made`."""
    with open_ground() as base:
        embedded.start(base / "store").release()
        yield base / "store"


@pytest.fixture
def made(shared: Path) -> Iterator[Path]:
    """A data folder with data, whose server does not run; tests give it back as they found it."""
    assert embedded.status(shared).processes == ()
    assert not embedded.status(shared).running
    yield shared
    embedded.stop(shared)
