"""Answers as tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table
from rich.text import Text

from keepwell import (
    Change,
    Diff,
    Fact,
    Message,
    Quote,
    Receipt,
    Recollection,
    Recollections,
    Sources,
    Thread,
)
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
        who = Text(one_line(item.who, 20))
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


def fact_table(facts: Iterable[Fact]) -> Table:
    """Give the facts, one a line; ids are whole, so that they can be copied."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("since", "fact", "key", "id"):
        table.add_column(name, overflow="fold", no_wrap=name == "since")
    for fact in facts:
        until = "" if fact.valid_to is None else f" to {fact.valid_to:%Y-%m-%d}"
        of = ", ".join(value for value in (fact.subject, fact.kind, fact.owner.agent_id, fact.owner.run_id) if value)
        notes = [of, "looked at again soon" if fact.reopened else "", "" if fact.stands else "not held any more"]
        said = "; ".join(plain(note) for note in notes if note)
        text = Text.assemble(one_line(fact.text, CELL_CHARACTERS), (f"\n{said}" if said else "", "dim"))
        table.add_row(f"{fact.at:%Y-%m-%d}{until}", text, Text(plain(fact.key or "")), Text(str(fact.id), style="cyan"))
    return table


def change_table(changes: Iterable[Change]) -> Table:
    """Give the changes, each with what was before and is after, why, by whom, and its id."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 1, 0))
    for name in ("when", "what", "before, after, why, id"):
        table.add_column(name, overflow="fold", no_wrap=name != "before, after, why, id")
    for change in changes:
        lines = [
            *([] if change.before is None else [Text(f"- {_said(change.before)}", style="red")]),
            *([] if change.after is None else [Text(f"+ {_said(change.after)}", style="green")]),
            Text.assemble((plain(f"{change.actor}: {change.reason}" if change.reason else change.actor), "dim")),
            Text(str(change.id), style="cyan"),
        ]
        table.add_row(moment(change.at), change.kind, Text("\n").join(lines))
    return table


def diff_lines(diff: Diff) -> Text:
    """Give what came, what went and what says something else now, a line each."""
    came = [Text(f"+ {_said(fact)}", style="green") for fact in diff.added]
    went = [Text(f"- {_said(fact)}", style="red") for fact in diff.removed]
    other = [Text(f"~ {_said(old)}\n  {_said(new)}", style="yellow") for old, new in diff.changed]
    return Text("\n").join([*came, *went, *other])


def source_lines(sources: Sources) -> Text:
    """Give what a fact rests on, a line each."""
    quotes = [
        Text.assemble(
            (f"{moment(q.message.created_at)}  {plain(q.thread)}  ", "cyan"), f"{speaker(q.message)}: {_cut(q)}"
        )
        for q in sources.quotes
    ]
    facts = [Text.assemble((f"{moment(fact.at)}  fact  ", "cyan"), _said(fact)) for fact in sources.facts]
    return Text("\n").join([*quotes, *facts])


def _cut(quote: Quote) -> str:
    return one_line(quote.text, CELL_CHARACTERS)


def _said(fact: Fact) -> str:
    return one_line(fact.text, CELL_CHARACTERS)


def _between_neighbours(item: Recollection) -> Text:
    said = words(item.item) if isinstance(item.item, Message) else item.text
    lines = [
        *_neighbours(item.before),
        Text(one_line(said, CELL_CHARACTERS)),
        *_neighbours(item.after),
        Text.assemble((plain(item.thread or item.kind), "cyan"), (f"  {item.why}", "cyan")),
    ]
    return Text("\n").join(lines)


def _neighbours(messages: Iterable[Message]) -> list[Text]:
    return [
        Text(f"{speaker(message)}: {one_line(words(message), _NEIGHBOUR_CHARACTERS)}", style="dim")
        for message in messages
    ]
