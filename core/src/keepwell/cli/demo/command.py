"""The command ``demo``: import in one process, recall in another."""

from __future__ import annotations

import json
import time

from keepwell.cli.demo import USER, Act, Stage, perform
from keepwell.cli.desk import Desk, at_desk
from keepwell.samples import sample


@at_desk
def demo(desk: Desk) -> None:
    """Watch it remember: import a sample in one process, and ask another about it.

    It uses a folder and a server of its own, and leaves nothing behind.
    """
    begun = time.perf_counter()
    flags = ("--json",) if desk.as_json else ()
    with sample() as file:
        acts = (
            Act(
                "import the letters of two friends",
                ("-m", "keepwell", "import", str(file), "--user", USER, *flags),
            ),
            Act("ask about them", ("-m", "keepwell.cli.demo", *flags)),
        )
        told = perform(acts, None if desk.as_json else Stage())
    if desk.as_json:
        imported, questions = map(json.loads, told)
        seconds = time.perf_counter() - begun
        desk.tell({"imported": imported, "questions": questions, "seconds": seconds})
    else:
        desk.say("\nWith your own: keepwell import conversations.json --user you; keepwell recall '...' --user you")
