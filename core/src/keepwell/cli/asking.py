"""Commands that look: ``recall``, ``threads``, ``show``."""

from __future__ import annotations

import datetime as dt
import time
from typing import Annotated

import typer
from rich.text import Text

from keepwell import Message, Recollections, ScopedThread
from keepwell.cli.desk import Agent, Desk, Run, User, Whose, at_desk, find_thread, view_of
from keepwell.cli.plain import counted, document, message_fields, plain, recollection_fields, thread_fields
from keepwell.cli.tables import recollection_table, thread_table, transcript
from keepwell.errors import InvalidQuery

OneThread = Annotated[str | None, typer.Option("--thread", help="Only in this thread.", show_default=False)]
Day = Annotated[dt.datetime | None, typer.Option(help="A date, or a time in UTC.", show_default=False)]


@at_desk
def recall(
    desk: Desk,
    *,
    query: Annotated[str, typer.Argument(help="What to look for, in your own words.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    thread: OneThread = None,
    since: Day = None,
    until: Day = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 10,
    neighbours: Annotated[int, typer.Option(help="How many messages around each to show.")] = 1,
    explain: Annotated[bool, typer.Option("--explain", help="Show each source's rank, and how it was done.")] = False,
) -> None:
    """Find what was said that bears on a question, best first."""
    whose = Whose(user, agent, run)
    with desk.memory("auto") as memory:
        view = view_of(memory, whose)
        within = None if thread is None else find_thread(view, thread, whose)
        begun = time.perf_counter()
        found = view.recall(
            query, limit=limit, thread=within, since=since, until=until, neighbours=neighbours, explain=explain
        )
        seconds = time.perf_counter() - begun
    fields = [recollection_fields(item) for item in found]
    answer = {"query": query, "found": fields, "skipped": found.skipped, "loaded": found.loaded, "seconds": seconds}
    desk.tell(answer, recollection_table(found) if found else "nothing was found")
    _explain(desk, found, seconds, explain=explain)


@at_desk
def threads(
    desk: Desk,
    *,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    limit: Annotated[int, typer.Option(help="How many at most, 1 to 1000.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on after a page: its mark.", show_default=False)] = None,
) -> None:
    """List conversations, those last written to first."""
    with desk.memory() as memory:
        page = view_of(memory, Whose(user, agent, run)).threads(limit=limit, after=after)
    answer = {"threads": [thread_fields(thread) for thread in page], "next": page.next}
    desk.tell(answer, thread_table(page) if page else "there are no threads")
    if page.next is not None:
        desk.note(f"there are more: --after {page.next}", "dim")


@at_desk
def show(
    desk: Desk,
    *,
    thread: Annotated[str, typer.Argument(help="The thread's id.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    last: Annotated[int | None, typer.Option(help="Only so many of the newest messages.", show_default=False)] = None,
) -> None:
    """Show a conversation, oldest message first."""
    if last is not None and last < 1:
        raise InvalidQuery(f"--last is {last}; give 1 or more")
    whose = Whose(user, agent, run)
    with desk.memory() as memory:
        chat = find_thread(view_of(memory, whose), thread, whose)
        messages = chat.iterate() if last is None else iter(chat.messages(last))
        if desk.as_json:
            typer.echo(document(_whole(chat, list(messages))))
            return
        _head(desk, chat)
        for paragraph in transcript(messages):
            desk.say(paragraph)


def _explain(desk: Desk, found: Recollections, seconds: float, *, explain: bool) -> None:
    for source, why in found.skipped.items():
        desk.note(f"without {source}: {why}", "yellow")
    if explain:
        way = f" by {found.loaded}" if found.loaded else ""
        desk.note(f"{len(found)} found in {seconds * 1000:.0f} ms{way}", "dim")


def _whole(chat: ScopedThread, messages: list[Message]) -> dict[str, object]:
    known = chat.info()
    return {
        "thread": None if known is None else thread_fields(known),
        "messages": [message_fields(message) for message in messages],
    }


def _head(desk: Desk, chat: ScopedThread) -> None:
    known = chat.info()
    if known is not None:
        title = f"{known.title}, " if known.title else ""
        desk.say(Text(plain(f"{known.id}: {title}{counted(known.message_count, 'message')}\n"), style="bold"))
