"""The command ``keepwell``: import, ask, look, forget, and look after a store."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command of this process's arguments, and end with its exit code."""
    if missing := [name for name in ("typer", "rich") if find_spec(name) is None]:
        needed = " and ".join(missing)
        sys.exit(f"keepwell: the command line needs {needed}; install it with: pip install 'keepwell[cli]'")
    from keepwell.cli.program import run  # noqa: PLC0415 - of the extra `cli`

    run()
