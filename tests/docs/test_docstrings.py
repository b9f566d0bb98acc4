"""The examples in docstrings run, each in a memory of its own.

An example may use the names of its module and of the face, `memory` (an open store), `ada` (a scope) and `chat` (a
thread); one that opens a store itself finds an empty one.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("core/src", "integrations/langchain/src", "integrations/llama-index/src")


def module_name(path: Path, source: Path) -> str:
    """Give the name that a file is imported by."""
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = sorted(
    module_name(path, ROOT / source)
    for source in SOURCES
    for path in (ROOT / source).rglob("*.py")
    if "    >>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_module(module: str, reader: dict[str, str], tmp_path: Path) -> None:
    """What a docstring shows is what the call gives."""
    program = Path(__file__).with_name("run_examples.py")
    command = [sys.executable, str(program), module]
    done = subprocess.run(command, cwd=tmp_path, env=reader, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{module}\n{done.stdout}\n{done.stderr}"
