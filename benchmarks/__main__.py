"""Run the measurements: all of them, or those named on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import (
    formation,
    graph,
    history,
    llamaindex,
    reading,
    relations,
    speed,
    speed_ranking,
    store,
    waiting,
    weight,
    writing,
)
from benchmarks.ground import Ground, ground

ALL: dict[str, Callable[[Ground], None]] = {
    "append-one": writing.one_message,
    "append-many": writing.many_messages,
    "read": reading.last_twenty,
    "recall": reading.recalls,
    "large-scope": speed.large_scope,
    "ranking": speed_ranking.ranking,
    "relations": relations.relations,
    "async": waiting.asynchronous,
    "formation": formation.formation,
    "graph": graph.graph,
    "chat-history": history.chat_history,
    "llamaindex": llamaindex.tool_turn,
    "store": store.langgraph_store,
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
