"""The fenced block of a context, taken apart into its items, a line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keepwell import Context, Recollection

ITEM: Final = "- "
"""What each item's line begins with; no item has a second line, and no other line begins so."""


@dataclass(frozen=True, slots=True)
class Item:
    """One recalled item: the line that a model is shown, and what it stands for."""

    line: str
    found: Recollection


@dataclass(frozen=True, slots=True)
class Fence:
    """What stands before the items, the items, and what stands behind them."""

    before: tuple[str, ...]
    items: tuple[Item, ...]
    behind: tuple[str, ...]

    @classmethod
    def of(cls, context: Context) -> Fence:
        """Take a context's block apart: facts come first in it, then messages, each in the order recalled."""
        lines = context.text.split("\n")
        places = [place for place, line in enumerate(lines) if line.startswith(ITEM)]
        if not places:
            return cls((), (), ())
        order = sorted(context.recollections, key=lambda one: one.kind != "fact")
        items = [Item(lines[place], found) for place, found in zip(places, order, strict=False)]
        return cls(tuple(lines[: places[0]]), tuple(items), tuple(lines[places[-1] + 1 :]))

    def text(self, items: tuple[Item, ...]) -> str:
        """Give the block with some of its items; the empty text where there are none."""
        return "\n".join([*self.before, *(item.line for item in items), *self.behind]) if items else ""
