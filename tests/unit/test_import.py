"""What an import of keepwell costs."""

import subprocess
import sys

import pytest

HEAVY = ["numpy", "psycopg", "snowballstemmer", "pydantic_settings", "wordllama", "typer", "langchain_core"]


@pytest.mark.parametrize("package", HEAVY)
def test_an_import_brings_nothing_heavy(package: str) -> None:
    """What is only needed with an open store is not imported before."""
    code = f"import sys, keepwell; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
