"""The command ``forget``: for good, and only after a yes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from keepwell import Message, Receipt, ScopedMemory, ScopedThread
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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove everything of somebody, or one thread, or one message, with all that hangs on it.

    With --thread and --message, the message goes from that thread only.
    """
    whose = Whose(user, agent, run)
    with desk.memory() as memory:
        view = view_of(memory, whose)
        chat = None if thread is None else find_thread(view, thread, whose)
        if not yes:
            _ask(_what(view, chat, message, whose))
        if chat is not None and message is not None:
            _forget_there(desk, chat, message)
            return
        if message is not None:
            receipt = view.forget(Message(role="user", id=message))  # a message is known by its id
        else:
            receipt = view.forget() if chat is None else view.forget(chat)
    desk.tell(_fields(receipt), receipt_lines(receipt))


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


def _fields(receipt: Receipt) -> dict[str, object]:
    return {
        "counts": receipt.counts,
        "at": receipt.at,
        "digest": receipt.digest,
        "not_covered": list(receipt.not_covered),
    }
