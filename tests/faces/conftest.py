"""The command line as a person or a script has it, on a database of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from keepwell.cli.program import program
from keepwell.samples import sample


@pytest.fixture
def command() -> Callable[..., Result]:
    """Give a function that runs a command in this process."""
    app = program()
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def keepwell(command: Callable[..., Result], dsn: str) -> Callable[..., Result]:
    """Give a function that runs a command on the fresh database."""
    return lambda *words: command(*words, "--dsn", dsn)


@pytest.fixture
def answer(keepwell: Callable[..., Result]) -> Callable[..., Any]:
    """Give a function that runs a command with ``--json`` and gives its document, the only thing it may write."""

    def run(*words: object) -> Any:
        done = keepwell(*words, "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run


@pytest.fixture
def outside(dsn: str) -> dict[str, Any]:
    """Give what another process is started with, to work on the same database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEEPWELL_", "OPENAI_", "ANTHR"))}
    return {"args": [sys.executable, "-m", "keepwell"], "env": {**kept, "KEEPWELL_DSN": dsn}}


@pytest.fixture
def filled(keepwell: Callable[..., Result]) -> Callable[..., Result]:
    """Give the same as ``keepwell``, with the sample imported for Mara."""
    with sample() as file:
        assert keepwell("import", file, "--user", "mara").exit_code == 0
    return keepwell


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes messages as JSON lines."""

    def write(*messages: dict[str, object] | str) -> Path:
        file = tmp_path / "said.jsonl"
        rows = [message if isinstance(message, str) else json.dumps(message) for message in messages]
        file.write_text("\n".join(rows), encoding="utf-8")
        return file

    return write
