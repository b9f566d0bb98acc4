"""How a demonstration shows itself: the question, what was recalled and why, and the answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keepwell import Recollection
from keepwell.cli.plain import one_line, plain

_CHARACTERS = 150


@dataclass(frozen=True, slots=True)
class Shown:
    """One recalled item as it is shown; ``ident`` is its message's id."""

    ident: str
    score: float
    when: str
    who: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with what was recalled for it, and what is known to answer it.

    ``answer`` is what the model said, None where none was asked. ``evidence`` and ``outdated`` are ids of messages.
    """

    question: str
    recalled: tuple[Shown, ...]
    expected: str
    evidence: Collection[str]
    outdated: Collection[str] = ()
    answer: str | None = None

    @property
    def remembered(self) -> bool:
        """Whether all that answers it was recalled."""
        return set(self.evidence) <= {item.ident for item in self.recalled}


def shown(item: Recollection) -> Shown:
    """Give a recollection as it is shown."""
    return Shown(item.id, item.score, f"{item.at:%Y-%m-%d}", item.who, item.text, item.why)


class Stage:
    """Where a demonstration is shown: stdout, in colour on a terminal."""

    def __init__(self) -> None:
        """Look at what stdout is."""
        self._console = Console(highlight=False, emoji=False)

    def say(self, words: str, style: str = "") -> None:
        """Show a line."""
        self._console.print(Text(plain(words), style=style))

    def act(self, number: int, title: str) -> None:
        """Announce an act."""
        self._console.print()
        self._console.rule(Text(f"process {number}: {plain(title)}", style="bold"), align="left")

    def act_ended(self, seconds: float) -> None:
        """Say how long it took."""
        self.say(f"(this process took {seconds:.1f} s)", "dim")

    def ended(self, acts: int, seconds: float) -> None:
        """Say how long everything took."""
        self.say(f"\n{acts} processes, one memory: {seconds:.1f} s in all.", "bold")

    def answered(self, said: Answered, most: int = 3) -> None:
        """Show a question, the best that was recalled for it with why, and the answer."""
        self._console.print()
        self._labelled("Q", said.question, "bold")
        self._console.print(self._recalled(said, most))
        if said.answer is not None:
            self._labelled("A", one_line(said.answer, 2 * _CHARACTERS), "green")
        self._labelled("", f"known answer: {said.expected}", "dim")
        self._verdict(said)

    def score(self, answers: Sequence[Answered]) -> None:
        """Show for how many questions the evidence was recalled."""
        right = sum(said.remembered for said in answers)
        self.say(f"\nEvidence recalled for {right} of {len(answers)} questions.", "bold")

    def _verdict(self, said: Answered) -> None:
        places = {item.ident: place for place, item in enumerate(said.recalled, 1)}
        found = [f"#{places[ident]}" for ident in said.evidence if ident in places]
        if said.remembered:
            self._labelled("", f"evidence recalled: yes, {' and '.join(found)} of {len(said.recalled)}", "green")
        else:
            self._labelled("", f"evidence recalled: no (not among the best {len(said.recalled)})", "red")

    def _labelled(self, label: str, words: str, style: str) -> None:
        """Show a line whose continuation stands under its beginning."""
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=2)
        grid.add_column(overflow="fold")
        grid.add_row(Text(label, style=style), Text(plain(words), style=style))
        self._console.print(grid)

    def _recalled(self, said: Answered, most: int) -> Table:
        """Give the best few, and the evidence wherever it stands."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        for fold in (False, False, False, True):
            table.add_column(no_wrap=not fold, overflow="fold")
        for place, item in enumerate(said.recalled, 1):
            if place > most and item.ident not in said.evidence:
                continue
            text = Text.assemble(
                f"{plain(item.who)}: {one_line(item.text, _CHARACTERS)}",
                ("  [evidence]" if item.ident in said.evidence else "", "green"),
                ("  [outdated]" if item.ident in said.outdated else "", "yellow"),
                (f"\n{plain(item.why)}", "cyan"),
            )
            table.add_row(f"  #{place}", f"{item.score:.2f}", item.when, text)
        return table
