"""The commands ``forget``, for good and only after a yes, and ``verify-erasure``."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from keepwell import Fact, Forgotten, Message, Receipt, ScopedMemory, ScopedThread
from keepwell.cli.desk import Agent, Desk, Run, User, Whose, at_desk, every_thread, find_thread, view_of
from keepwell.cli.plain import counted, one_line, plain, speaker, words
from keepwell.cli.tables import pairs, receipt_lines
from keepwell.errors import MessageNotFound, UsageError

_SHOWN = 60


@at_desk
def forget(
    desk: Desk,
    *,
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    thread: Annotated[str | None, typer.Option(help="Only this thread.", show_default=False)] = None,
    message: Annotated[
        str | None, typer.Option(help="Only the message of this id, with its copies.", show_default=False)
    ] = None,
    fact: Annotated[
        str | None, typer.Option(help="Only the fact of this id, and never learn it again.", show_default=False)
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="With --fact: the messages it rests on as well.")
    ] = False,
    never_again: Annotated[
        bool, typer.Option("--never-again", help="Never learn again what the facts that go with it say.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove everything of somebody, or one thread, one message or one fact, with all that hangs on it.

    With --thread and --message, the message goes from that thread only. With --json it writes the receipt, which
    verify-erasure takes.
    """
    whose = Whose(user, agent, run)
    _check_together(thread, message, fact, everywhere=everywhere, never_again=never_again)
    with desk.memory() as memory:
        view = view_of(memory, whose)
        chat = None if thread is None else find_thread(view, thread, whose)
        known = None if fact is None else view.fact(fact)
        if not yes:
            _ask(_fact_in_words(known, everywhere=everywhere) if known else _what(view, chat, message, whose))
        if chat is not None and message is not None:
            _forget_there(desk, chat, message)
            return
        if known is not None:
            receipt = view.forget(known, everywhere=everywhere)
        elif message is not None:  # a message is known by its id
            receipt = view.forget(Message(role="user", id=message), never_again=never_again)
        else:
            receipt = view.forget(*([] if chat is None else [chat]), never_again=never_again)
    desk.tell(receipt_fields(receipt), receipt_lines(receipt))


@at_desk
def verify_erasure(
    desk: Desk,
    *,
    receipt: Annotated[Path, typer.Argument(help="What forget wrote with --json.", show_default=False)],
) -> None:
    """Look whether what a receipt says was forgotten is still gone, place by place."""
    known = _read_receipt(receipt)
    with desk.memory() as memory:
        what = known.what
        view = memory.scope(what.user_id, what.agent_id, what.run_id, across_users=what.across_users)
        remains = view.verify(known)
    left = sum(remains.values())
    told = f"{counted(left, 'row')} of it are there" if left else "nothing of it is there"
    desk.tell({"gone": not left, "remains": remains, "at": known.at}, pairs({**remains, "in all": told}))
    if left:
        raise typer.Exit(1)


def _check_together(
    thread: str | None, message: str | None, fact: str | None, *, everywhere: bool, never_again: bool
) -> None:
    if fact is not None and (thread is not None or message is not None):
        raise UsageError("--fact names one fact; give neither --thread nor --message with it")
    if everywhere and fact is None:
        raise UsageError("--everywhere goes with --fact")
    if never_again and thread is not None and message is not None:
        raise UsageError("--never-again goes with a scope, a thread, or a message with its copies")


def _fact_in_words(fact: Fact, *, everywhere: bool) -> str:
    resting = ", with the messages it rests on" if everywhere else ""
    return plain(f"the fact {one_line(fact.text, _SHOWN)!r}{resting}")


def _ask(what: str) -> None:
    """Ask a person.

    Raises:
        UsageError: there is none to ask.
        Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            f"this would forget {what}; nobody is there to confirm it, so give --yes. Nothing was forgotten"
        )
    typer.confirm(f"Forget {what}, for good?", abort=True, err=True)


def _what(view: ScopedMemory, chat: ScopedThread | None, message: str | None, whose: Whose) -> str:
    if message is not None:
        place = f"every thread of {whose}" if chat is None else f"thread {chat.id!r}"
        return plain(f"message {message!r} in {place}")
    if chat is not None:
        known = chat.info()
        return plain(f"thread {chat.id!r} with {counted(0 if known is None else known.message_count, 'message')}")
    sizes = [thread.message_count for thread in every_thread(view)]
    return plain(f"everything of {whose}: {counted(len(sizes), 'thread')} with {counted(sum(sizes), 'message')}")


def _forget_there(desk: Desk, chat: ScopedThread, ident: str) -> None:
    found = chat.around(ident, before=0, after=0)
    if not found or not chat.delete(ident):
        raise MessageNotFound(f"thread {chat.id!r} has no message {ident!r}; nothing was forgotten")
    gone = f"{speaker(found[0])}: {one_line(words(found[0]), _SHOWN)}"
    desk.tell({"counts": {"messages": 1}}, pairs({"messages": 1, "was": gone}))


def receipt_fields(receipt: Receipt) -> dict[str, object]:
    """Give a receipt for a document, from which it can be read again."""
    what = dataclasses.asdict(receipt.what)
    return {
        "counts": receipt.counts,
        "at": receipt.at,
        "digest": receipt.digest,
        "not_covered": list(receipt.not_covered),
        "what": {name: value for name, value in what.items() if value},
    }


def _read_receipt(file: Path) -> Receipt:
    """Read what ``receipt_fields`` gave.

    Raises:
        UsageError: it is no receipt.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        what = dict(told["what"])
        for name in ("thread", "fact"):
            if name in what:
                what[name] = UUID(what[name])
        return Receipt(told["counts"], dt.datetime.fromisoformat(told["at"]), told["digest"], (), Forgotten(**what))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{file} is no receipt; give what forget --json wrote ({type(error).__name__})") from error
