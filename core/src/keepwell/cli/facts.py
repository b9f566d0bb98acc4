"""Commands about facts: what is held to be true, what was, and saying otherwise."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import typer

from keepwell import Change, Fact, ScopedMemory
from keepwell.cli.desk import Agent, Desk, Run, User, Whose, at_desk, view_of
from keepwell.cli.plain import change_fields, counted, fact_fields, message_fields, owner_fields
from keepwell.cli.tables import change_table, diff_lines, fact_table, source_lines
from keepwell.errors import UsageError

Day = Annotated[dt.datetime | None, typer.Option(help="A date, or a time in UTC.", show_default=False)]
TheFact = Annotated[str, typer.Argument(metavar="FACT", help="The fact's id.", show_default=False)]
Why = Annotated[str | None, typer.Option(help="Why, for the history.", show_default=False)]
After = Annotated[str | None, typer.Option(help="Go on after a page: its mark.", show_default=False)]
Limit = Annotated[int, typer.Option(help="How many at most, 1 to 1000.")]


@at_desk
def facts(
    desk: Desk,
    *,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    as_of: Day = None,
    valid_at: Day = None,
    key: Annotated[str | None, typer.Option(help="Only the fact of this key.", show_default=False)] = None,
    kind: Annotated[str | None, typer.Option(help="Only facts of this kind.", show_default=False)] = None,
    about: Annotated[str | None, typer.Option(help="Only facts about this subject.", show_default=False)] = None,
    limit: Limit = 50,
    after: After = None,
) -> None:
    """List the facts that stand, or (--as-of) those that were held then; newest first."""
    with _view(desk, user, agent, run) as view:
        page = view.facts(as_of=as_of, valid_at=valid_at, key=key, kind=kind, subject=about, limit=limit, after=after)
    desk.tell(
        {"facts": [fact_fields(fact) for fact in page], "next": page.next},
        fact_table(page) if page else "there are no facts",
    )
    _more(desk, page.next)


@at_desk
def sources(desk: Desk, *, fact: TheFact, user: User = None, agent: Agent = None, run: Run = None) -> None:
    """Show what a fact rests on: words of messages, and other facts."""
    with _view(desk, user, agent, run) as view:
        found = view.sources(fact)
    quotes = [
        {"thread": q.thread, **owner_fields(q.owner), "words": q.text, "message": message_fields(q.message)}
        for q in found.quotes
    ]
    answer = {"quotes": quotes, "facts": [fact_fields(one) for one in found.facts]}
    desk.tell(answer, source_lines(found) if len(found) else "it was said outright; it rests on nothing else")


@at_desk
def history(
    desk: Desk,
    *,
    fact: Annotated[
        str | None, typer.Argument(metavar="[FACT]", help="Only of the fact of this id.", show_default=False)
    ] = None,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    since: Day = None,
    until: Day = None,
    limit: Limit = 50,
    after: After = None,
) -> None:
    """Show what was changed, newest first: before, after, why, and by whom."""
    with _view(desk, user, agent, run) as view:
        page = view.history(fact, since=since, until=until, limit=limit, after=after)
    _tell_changes(desk, list(page), page.next, "nothing was changed")


@at_desk
def diff(
    desk: Desk,
    *,
    then: Annotated[dt.datetime, typer.Argument(help="A date, or a time in UTC.", show_default=False)],
    later: Annotated[dt.datetime | None, typer.Argument(help="Another; else now.", show_default=False)] = None,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
) -> None:
    """Show how what is held to be true differs between two instants."""
    with _view(desk, user, agent, run) as view:
        found = view.diff(then, later)
    answer = {
        "added": [fact_fields(fact) for fact in found.added],
        "removed": [fact_fields(fact) for fact in found.removed],
        "changed": [{"then": fact_fields(old), "later": fact_fields(new)} for old, new in found.changed],
    }
    desk.tell(answer, diff_lines(found) if found else "nothing differs")


@at_desk
def remember(
    desk: Desk,
    *,
    text: Annotated[str, typer.Argument(help="One short statement.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    key: Annotated[str | None, typer.Option(help="Take the place of the fact of this key.", show_default=False)] = None,
    about: Annotated[str, typer.Option(help="Whom or what it is about.", show_default=False)] = "",
    kind: Annotated[str, typer.Option(help="A word for what it is.", show_default=False)] = "",
    valid_from: Day = None,
    valid_to: Day = None,
    expires_at: Day = None,
) -> None:
    """Keep one statement as a fact; the same again changes nothing."""
    with _view(desk, user, agent, run, embedder="auto") as view:
        fact = view.remember(
            text,
            key=key,
            subject=about,
            kind=kind,
            valid_from=valid_from,
            valid_to=valid_to,
            expires_at=expires_at,
        )
    _tell_fact(desk, fact)


@at_desk
def correct(
    desk: Desk,
    *,
    fact: TheFact,
    text: Annotated[str, typer.Argument(help="What is right instead.", show_default=False)],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    why: Why = None,
) -> None:
    """Say what is right instead of a fact; what it said before cannot be learned again."""
    with _view(desk, user, agent, run, embedder="auto") as view:
        new = view.correct(fact, text, why=why)
    _tell_fact(desk, new)


@at_desk
def retract(
    desk: Desk,
    *,
    fact: TheFact,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    why: Why = None,
    reject: Annotated[bool, typer.Option("--reject", help="Never learn it again.")] = False,
) -> None:
    """Hold a fact to be true no longer; it stays in the history."""
    with _view(desk, user, agent, run) as view:
        change = view.retract(fact, why=why, reject=reject)
    _tell_changes(desk, [change], None, "")


@at_desk
def restore(
    desk: Desk,
    *,
    fact: TheFact,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    version: Annotated[int | None, typer.Option(help="As it was in this version.", show_default=False)] = None,
) -> None:
    """Hold a fact to be true again."""
    with _view(desk, user, agent, run, embedder="auto") as view:
        new = view.restore(fact, version)
    _tell_fact(desk, new)


@at_desk
def revert(
    desk: Desk,
    *,
    change: Annotated[
        str | None, typer.Argument(metavar="[CHANGE]", help="The change's id, see history.", show_default=False)
    ] = None,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    batch: Annotated[
        str | None, typer.Option(help="All changes of one call or formation: its id.", show_default=False)
    ] = None,
    actor: Annotated[str | None, typer.Option(help="All changes that this actor made.", show_default=False)] = None,
    by_agent: Annotated[
        str | None, typer.Option(help="All changes to facts of this agent.", show_default=False)
    ] = None,
    by_run: Annotated[str | None, typer.Option(help="All changes to facts of this run.", show_default=False)] = None,
    since: Day = None,
) -> None:
    """Take changes back: the facts are as they were before them. This can be taken back, too."""
    with _view(desk, user, agent, run, embedder="auto") as view:
        done = view.revert(change, batch=_id(batch), actor=actor, agent_id=by_agent, run_id=by_run, since=since)
    _tell_changes(desk, list(done), None, "nothing was to be done: the facts are as they were before")
    desk.note(counted(len(done), "change"), "dim")


@contextmanager
def _view(
    desk: Desk, user: str | None, agent: str | None, run: str | None, embedder: str | None = None
) -> Iterator[ScopedMemory]:
    """Open the store and give the view; with an embedder where a fact is written, so that it is found by meaning."""
    with desk.memory(embedder) as memory:
        yield view_of(memory, Whose(user, agent, run))


def _id(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is no id; see: keepwell history") from None


def _tell_fact(desk: Desk, fact: Fact) -> None:
    desk.tell(fact_fields(fact), fact_table([fact]))


def _tell_changes(desk: Desk, changes: list[Change], following: str | None, nothing: str) -> None:
    answer = {"changes": [change_fields(change) for change in changes], "next": following}
    desk.tell(answer, change_table(changes) if changes else nothing)
    _more(desk, following)


def _more(desk: Desk, following: str | None) -> None:
    if following is not None:
        desk.note(f"there are more: --after {following}", "dim")
