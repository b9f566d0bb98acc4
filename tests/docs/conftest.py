"""A reader of the documentation: a process with a data folder of its own and no settings of ours."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

KEYS = ("OPENAI_", "ANTHROPIC_", "KEEPWELL_")


@pytest.fixture
def reader() -> Iterator[dict[str, str]]:
    """Give the environment of someone who has installed keepwell and set nothing but where it keeps its data."""
    # Not pytest's own folder: its path is long for a socket, and closed to the user that a server of root runs as.
    folder = Path(tempfile.mkdtemp(prefix="keepwell-docs-"))
    folder.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(KEYS)}
    yield {**kept, "KEEPWELL_PATH": str(folder / "data")}
    shutil.rmtree(folder, ignore_errors=True)
