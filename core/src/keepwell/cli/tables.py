"""Answers as tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table
from rich.text import Text

from keepwell import Message, Receipt, Recollection, Recollections, Thread
from keepwell.cli.plain import moment, one_line, plain, speaker, words

CELL_CHARACTERS = 400
"""How much of a recalled text a table shows; ``keepwell show`` gives all of it."""
_NEIGHBOUR_CHARACTERS = 120


def recollection_table(found: Recollections) -> Table:
    """Give the recollections, each between its neighbours, with where it is from and why it came."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 1, 0))
    for name in ("score", "when", "who", "text, where, why"):
        table.add_column(name, overflow="fold", no_wrap=name in {"score", "when"})
    for item in found:
        who = Text(one_line(speaker(item.message), 20))
        table.add_row(f"{item.score:.3f}", f"{item.at:%Y-%m-%d}", who, _between_neighbours(item))
    return table


def thread_table(threads: Iterable[Thread]) -> Table:
    """Give the threads, one a line; ids are whole, so that they can be copied."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("thread", "messages", "updated", "title"):
        table.add_column(name, overflow="fold")
    for thread in threads:
        ids = {"agent": thread.owner.agent_id, "run": thread.owner.run_id}
        of = ", ".join(f"{name} {value}" for name, value in ids.items() if value)
        title = Text.assemble(one_line(thread.title or "", 60), (f"  {plain(of)}" if of else "", "dim"))
        table.add_row(Text(plain(thread.id)), str(thread.message_count), moment(thread.updated_at), title)
    return table


def transcript(messages: Iterable[Message]) -> Iterator[Text]:
    """Give a conversation, a message a paragraph."""
    for message in messages:
        head = f"{moment(message.created_at)}  {speaker(message)}"
        yield Text.assemble((head, "cyan"), "\n", words(message), "\n")


def receipt_lines(receipt: Receipt) -> Text:
    """Give what was removed, and the receipt's hash."""
    rows: dict[str, object] = {**receipt.counts, "when": f"{receipt.at:%Y-%m-%d %H:%M:%S} UTC"}
    rows["receipt"] = receipt.digest
    if receipt.not_covered:
        rows["not covered"] = "; ".join(receipt.not_covered)
    return pairs(rows)


def pairs(rows: Mapping[str, object]) -> Text:
    """Give words and their values, a pair a line."""
    width = max(map(len, rows))
    lines = [Text.assemble((f"{name:<{width}}", "cyan"), f"  {plain(str(value))}") for name, value in rows.items()]
    return Text("\n").join(lines)


def _between_neighbours(item: Recollection) -> Text:
    lines = [
        *_neighbours(item.before),
        Text(one_line(words(item.message), CELL_CHARACTERS)),
        *_neighbours(item.after),
        Text.assemble((plain(item.thread), "cyan"), (f"  {item.why}", "cyan")),
    ]
    return Text("\n").join(lines)


def _neighbours(messages: Iterable[Message]) -> list[Text]:
    return [
        Text(f"{speaker(message)}: {one_line(words(message), _NEIGHBOUR_CHARACTERS)}", style="dim")
        for message in messages
    ]
