"""The second process of ``keepwell demo``: it has never seen the sample, and asks the store about it."""

from __future__ import annotations

import sys

from keepwell import Memory
from keepwell.cli.demo import USER, Answered, Stage, shown
from keepwell.cli.plain import document
from keepwell.samples import DemoQuestion, demo_questions

_LIMIT = 8


def main() -> None:
    """Ask the questions; with ``--json``, as a document."""
    with Memory.open() as memory:
        answers = [_ask(memory, question) for question in demo_questions()]
        embedder = memory.status().embedder
    if "--json" in sys.argv[1:]:
        sys.stdout.write(document([_fields(said) for said in answers]))
        return
    stage = Stage()
    stage.say(f"No language model is asked: this is what recall alone brings, by {embedder or 'no'} vectors and words.")
    for said in answers:
        stage.answered(said)
    stage.score(answers)


def _ask(memory: Memory, asked: DemoQuestion) -> Answered:
    found = memory.scope(user_id=USER).recall(asked.question, limit=_LIMIT, neighbours=0, explain=True)
    return Answered(asked.question, tuple(map(shown, found)), asked.answer, asked.evidence, asked.outdated)


def _fields(said: Answered) -> dict[str, object]:
    recalled = [
        {"message": item.ident, "score": item.score, "when": item.when, "who": item.who, "text": item.text}
        | {"why": item.why}
        for item in said.recalled
    ]
    return {
        "question": said.question,
        "known_answer": said.expected,
        "evidence": list(said.evidence),
        "evidence_recalled": said.remembered,
        "recalled": recalled,
    }


if __name__ == "__main__":
    main()
