"""What a person sees when something goes wrong: one line, and an exit code that a script can tell apart."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from keepwell.cli.plain import plain
from keepwell.errors import (
    Conflict,
    EmbeddingError,
    KeepwellError,
    LanguageModelError,
    NotFound,
    StoreError,
    UsageError,
)

INTERRUPTED = 130
"""What a shell gives for a program that was ended by Ctrl-C."""


@contextmanager
def on_one_line(*, as_json: bool) -> Iterator[None]:
    """End the process with one line on stderr, and a code, where something is wrong that we know of."""
    try:
        yield
    except KeepwellError as error:
        _end(type(error).__name__, str(error), exit_code(error), as_json=as_json)
    except typer.Abort:
        _end("Stopped", "stopped; nothing more was done", 1, as_json=as_json)
    except Exception as error:
        # Wrong arguments. The class has no public name: typer takes it from click, or brings its own copy.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        _end("UsageError", f"{str(said()).rstrip('.')}{_advice(error)}", 2, as_json=as_json)


def exit_code(error: KeepwellError) -> int:
    """Give 2 for a wrong call, 3 for what is not there, 4 for the store or a model, 1 for anything else."""
    match error:
        case UsageError():
            return 2
        case NotFound():
            return 3
        case StoreError() | EmbeddingError() | LanguageModelError() | Conflict():
            return 4
        case _:
            return 1


def log_on_one_line() -> None:
    """Let warnings of the library come as one line each, without the traces that are for developers."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    logging.getLogger().addHandler(handler)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"keepwell: {_flat(record.getMessage())}"


def _end(kind: str, words: str, code: int, *, as_json: bool) -> NoReturn:
    line = _flat(words)
    told = json.dumps({"error": {"type": kind, "message": line, "code": code}}) if as_json else f"keepwell: {line}"
    sys.stderr.write(f"{told}\n")
    sys.exit(code)


def _flat(words: str) -> str:
    return plain(" ".join(words.split()))


def _advice(error: Exception) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", None)
    return f"; see: {path} --help" if path else ""
