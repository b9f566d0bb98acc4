"""Answers as tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table
from rich.text import Text

from keepwell import Message, Messages, Receipt, Recollection, Recollections, Thread
from keepwell.cli.plain import moment, one_line, plain, speaker, words

CELL_CHARACTERS = 400
"""How much of a recalled text a table shows; ``keepwell show`` gives all of it."""
_NEIGHBOUR_CHARACTERS = 120


def recollection_table(found: Recollections) -> Table:
    """Give the recollections, each between its neighbours."""
    table = _table("score", "when", "who", "text", "thread", "why")
    for item in found:
        table.add_row(
            f"{item.score:.3f}",
            f"{item.at:%Y-%m-%d}",
            Text(speaker(item.message)),
            _between_neighbours(item),
            Text(plain(item.thread)),
            Text(item.why.replace("), ", ")\n"), style="cyan"),
        )
    return table


def thread_table(threads: Iterable[Thread]) -> Table:
    """Give the threads, one a line."""
    table = _table("thread", "title", "messages", "updated", "of")
    for thread in threads:
        of = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in thread.owner._asdict().items() if value)
        table.add_row(
            Text(plain(thread.id)),
            Text(one_line(thread.title or "", 60)),
            str(thread.message_count),
            moment(thread.updated_at),
            Text(plain(of), style="dim"),
        )
    return table


def transcript(messages: Iterable[Message]) -> Iterator[Text]:
    """Give a conversation, a message a paragraph."""
    for message in messages:
        head = f"{moment(message.created_at)}  {speaker(message)}"
        yield Text.assemble((head, "cyan"), "\n", words(message), "\n")


def receipt_table(receipt: Receipt) -> Table:
    """Give what was removed, and the receipt's hash."""
    table = pairs(receipt.counts)
    table.add_row("when", f"{receipt.at:%Y-%m-%d %H:%M:%S} UTC")
    table.add_row("receipt", receipt.digest)
    for left in receipt.not_covered:
        table.add_row("not covered", Text(plain(left)))
    return table


def pairs(rows: Mapping[str, object]) -> Table:
    """Give words and their values."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(plain(str(value))))
    return table


def _between_neighbours(item: Recollection) -> Text:
    lines = [
        *_neighbours(item.before),
        Text(one_line(words(item.message), CELL_CHARACTERS)),
        *_neighbours(item.after),
    ]
    return Text("\n").join(lines)


def _neighbours(messages: Iterable[Message]) -> list[Text]:
    return [
        Text(f"{speaker(message)}: {one_line(words(message), _NEIGHBOUR_CHARACTERS)}", style="dim")
        for message in Messages(messages)
    ]


def _table(*head: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for name in head:
        # Ids must stay whole, so that they can be copied.
        table.add_column(name, overflow="fold", no_wrap=name in {"score", "when"})
    return table
