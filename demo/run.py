"""Watch an agent remember: three processes, two frameworks, one store, which is removed at the end.

The first imports the correspondence of two friends, the second asks LangChain about it, the third goes on with that
conversation in LlamaIndex. Nothing passes between them but the store.
"""

from __future__ import annotations

import sys
from pathlib import Path

from keepwell.cli.demo import USER, Act, Stage, perform
from keepwell.errors import KeepwellError
from keepwell.samples import sample

HERE = Path(__file__).parent


def main() -> None:
    """Play the three acts."""
    with sample() as file:
        acts = (
            Act("import the letters of two friends", ("-m", "keepwell", "import", str(file), "--user", USER)),
            Act("a LangChain chain answers by what it recalls", (str(HERE / "ask_langchain.py"),)),
            Act("a LlamaIndex agent goes on with the same thread", (str(HERE / "continue_llamaindex.py"),)),
        )
        try:
            perform(acts, Stage())
        except KeepwellError as error:
            sys.exit(f"demo: {error}")
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
