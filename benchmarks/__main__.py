"""Run the measurements: all of them, or those named on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import formation, history, llamaindex, reading, speed, waiting, weight, writing
from benchmarks.ground import Ground, ground

ALL: dict[str, Callable[[Ground], None]] = {
    "append-one": writing.one_message,
    "append-many": writing.many_messages,
    "read": reading.last_twenty,
    "recall": reading.recalls,
    "large-scope": speed.large_scope,
    "async": waiting.asynchronous,
    "formation": formation.formation,
    "chat-history": history.chat_history,
    "llamaindex": llamaindex.tool_turn,
    "weight": weight.weigh,
}


def main() -> None:
    """Run what was asked for."""
    wanted = sys.argv[1:] or list(ALL)
    if unknown := set(wanted) - set(ALL):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    with ground() as place:
        place.role("synchronous_commit = off")
        for name in wanted:
            ALL[name](place)


main()
