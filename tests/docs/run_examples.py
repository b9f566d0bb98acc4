"""Run the examples in the docstrings of one module, each docstring in a tenant of its own.

Started by `test_docstrings.py`, in a process of its own, with a data folder in the environment.
"""

import doctest
import importlib
import sys
from contextlib import ExitStack
from typing import Any

import keepwell

NAMES = ("memory", "ada", "chat")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def main(name: str) -> int:
    """Run them all; the exit code says whether one failed, or none was found."""
    tests = [test for test in doctest.DocTestFinder(recurse=True).find(importlib.import_module(name)) if test.examples]
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for number, test in enumerate(tests):
        with ExitStack() as stack:
            face = {name: getattr(keepwell, name) for name in keepwell.__all__}
            opened = memory_of_its_own(stack, f"example-{number}") if wants_memory(test) else {}
            test.globs = face | test.globs | opened
            runner.run(test)
    return 1 if runner.summarize().failed or not tests else 0


def wants_memory(test: doctest.DocTest) -> bool:
    """Tell whether an example speaks of a memory that it does not open itself."""
    source = "".join(example.source for example in test.examples)
    return any(name in source for name in NAMES) and "Memory.open(" not in source


def memory_of_its_own(stack: ExitStack, tenant: str) -> dict[str, Any]:
    """Open a memory that nobody else writes to, and give the names that examples use."""
    memory = stack.enter_context(keepwell.Memory.open(tenant=tenant))
    ada = memory.scope(user_id="ada")
    return {"memory": memory, "ada": ada, "chat": ada.thread("holiday")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
