"""The command ``import``: conversations from elsewhere, a batch at a time, so that it can be stopped and run again."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from keepwell import Message, ScopedMemory, ScopedThread, Thread
from keepwell.cli.desk import Agent, Desk, Run, User, Whose, at_desk, view_of
from keepwell.cli.failing import INTERRUPTED
from keepwell.cli.plain import counted
from keepwell.cli.taking_over import LIBRARIES, Origin, take_over
from keepwell.cli.working import carried
from keepwell.errors import EmbeddingError, ImportFormatError, ThreadExists, UsageError
from keepwell.importing import Format, ImportedThread, LeftOut, detect, read
from keepwell.importing.kept import is_export

BATCH = 500
"""How many messages are committed at once."""
_SHOWN = 5
_HEAD_CHARACTERS = 10_000
_REASONS: dict[LeftOut, str] = {
    "branch": "of other branches",
    "hidden": "marked as hidden",
    "system": "instructions",
    "tool": "between model and tool",
    "reasoning": "thoughts of the model",
    "other": "of an unknown kind",
    "empty": "empty",
}

_Source = Annotated[
    str | None, typer.Option("--from", help="The other library's database: its address.", show_default=False)
]
_Table = Annotated[str | None, typer.Option("--table", help="Its table, or the database in Neo4j.", show_default=False)]
_Sessions = Annotated[
    list[str] | None, typer.Option("--session", help="Only this session; may be given again.", show_default=False)
]
_Label = Annotated[str, typer.Option("--node-label", help="In Neo4j, the label of session nodes.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="With --from: count, and write nothing.")]


class Choice(StrEnum):
    """The formats, and the word for finding out."""

    AUTO = "auto"
    CHATGPT = "chatgpt"
    CLAUDE = "claude"
    JSONL = "jsonl"
    KEEPWELL = "keepwell"

    def of(self, file: Path) -> Format | Literal["keepwell"]:
        """Give the format of a file."""
        match self:
            case Choice.KEEPWELL:
                return "keepwell"
            case Choice.CHATGPT:
                return "chatgpt"
            case Choice.CLAUDE:
                return "claude"
            case Choice.JSONL:
                return "jsonl"
            case Choice.AUTO:
                return "keepwell" if _is_ours(file) else detect(file)


@dataclass
class Tally:
    """What has been done so far."""

    threads: set[str] = field(default_factory=set)
    messages: int = 0
    new: int = 0
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    vectors: int = 0
    finished: bool = False
    trouble: str | None = None


@at_desk
def import_(
    desk: Desk,
    *,
    file: Annotated[
        Path,
        typer.Argument(
            help="An export (.zip, folder or .json) or a JSONL file; or, with --from, one of: " + ", ".join(LIBRARIES),
            show_default=False,
        ),
    ],
    user: User = None,
    agent: Agent = None,
    run: Run = None,
    format: Annotated[Choice, typer.Option(help="What the file is.")] = Choice.AUTO,  # noqa: A002 - the option's name
    thread_prefix: Annotated[str, typer.Option(help="Put before each thread's id.", show_default=False)] = "",
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out what cannot be read.")] = False,
    source: _Source = None,
    table: _Table = None,
    session: _Sessions = None,
    node_label: _Label = "Session",
    dry_run: _DryRun = False,
) -> None:
    """Import conversations: a ChatGPT or Claude export, or JSON lines with a text each; or what export wrote.

    With --from it takes over what another library keeps in a database. Run again, it adds only what is new. Stopped
    at any moment, it goes on where it was.
    """
    library = next((name for name in LIBRARIES if name == str(file)), None)
    if library is not None and not file.exists():
        origin = Origin(source, table, session or (), node_label, thread_prefix, dry_run)
        take_over(desk, library, origin, Whose(user, agent, run))
        return
    if source is not None or dry_run:
        raise UsageError(f"--from and --dry-run are for: {', '.join(LIBRARIES)}")
    tally = Tally()
    kind = format.of(file)
    if kind == "keepwell":
        _take_in(desk, file, Whose(user, agent, run))
        return
    on_broken = (lambda error: tally.broken.append(str(error))) if skip_broken else None
    with desk.memory("auto") as memory:
        view = view_of(memory, Whose(user, agent, run))
        try:
            _pour(desk, view, read(file, kind, on_broken=on_broken), thread_prefix, tally)
            tally.finished = True
            tally.vectors = memory.drain().embedded
        except EmbeddingError as error:  # the messages are in, and are found by their words
            tally.trouble = f"vectors are still due, see keepwell drain: {error}"
        except KeyboardInterrupt:
            desk.note("stopped; run it again to go on")
        except ImportFormatError:
            desk.note(_summary(tally))
            raise
    _tell(desk, file, kind, tally)


def _is_ours(file: Path) -> bool:
    """Tell whether a file is one that ``export`` wrote."""
    try:
        with file.open(encoding="utf-8") as text:
            return is_export(text.readline(_HEAD_CHARACTERS))
    except (OSError, UnicodeDecodeError):
        return False


def _take_in(desk: Desk, file: Path, whose: Whose) -> None:
    with desk.memory("auto") as memory:
        done = dataclasses.asdict(view_of(memory, whose).import_(file))
        vectors = memory.drain().embedded
    answer = {"file": str(file), "format": "keepwell", "finished": True, **done, "caught_up": vectors}
    desk.tell(answer, f"new: {carried(done)}")


def _pour(desk: Desk, view: ScopedMemory, pieces: Iterator[ImportedThread], prefix: str, tally: Tally) -> None:
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[messages]} messages"), TimeElapsedColumn())
    with desk.progress(*columns) as bar:
        task = bar.add_task("", total=1.0, messages=0)
        for piece in pieces:
            tally.left_out.update(piece.left_out)
            if piece.messages:
                _write(view.thread(prefix + piece.id), piece, tally, lambda: bar.update(task, messages=tally.messages))
            bar.update(task, completed=piece.progress)


def _write(chat: ScopedThread, piece: ImportedThread, tally: Tally, on_batch: Callable[[], None]) -> None:
    """Append a piece, a batch at a time; what is there already stays as it is."""
    known = _known(chat, piece)
    before = known.message_count
    for batch in _batches(piece.messages):
        chat.append(*batch)
        now = chat.info()
        after = before if now is None else now.message_count
        tally.threads.add(chat.id)
        tally.messages, tally.new, before = tally.messages + len(batch), tally.new + after - before, after
        on_batch()


def _known(chat: ScopedThread, piece: ImportedThread) -> Thread:
    """Give the thread, made or brought up to date; a title that it has is its own."""
    known = chat.info()
    if known is None:
        try:
            return chat.create(piece.title, piece.metadata)
        except ThreadExists:  # another import of the same was faster
            known = chat.info()
    if known is None:
        return chat.create(piece.title, piece.metadata)
    changed = {key: value for key, value in piece.metadata.items() if known.metadata.get(key) != value}
    title = piece.title if known.title is None else None
    return chat.update(title, changed) if changed or title is not None else known


def _batches(messages: tuple[Message, ...]) -> Iterator[tuple[Message, ...]]:
    rest = iter(messages)
    while batch := tuple(islice(rest, BATCH)):
        yield batch


def _tell(desk: Desk, file: Path, kind: Format, tally: Tally) -> None:
    answer = {
        "file": str(file),
        "format": kind,
        "finished": tally.finished,
        "threads": len(tally.threads),
        "messages": tally.messages,
        "new": tally.new,
        "caught_up": tally.vectors,
        "left_out": dict(tally.left_out),
        "broken": tally.broken,
        "trouble": tally.trouble,
    }
    desk.tell(answer, _summary(tally))
    for why in tally.broken[:_SHOWN]:
        desk.note(f"left out: {why}", "yellow")
    if len(tally.broken) > _SHOWN:
        desk.note(f"and {len(tally.broken) - _SHOWN} more that cannot be read", "yellow")
    if tally.trouble is not None:
        desk.note(tally.trouble, "yellow")
    if not tally.finished:
        raise typer.Exit(INTERRUPTED)


def _summary(tally: Tally) -> str:
    there = tally.messages - tally.new
    sizes = f"{counted(tally.messages, 'message')} in {counted(len(tally.threads), 'thread')}"
    told = [f"{sizes}: {tally.new:,} new, {there:,} there already"]
    if tally.left_out:
        reasons = ", ".join(f"{count} {_REASONS[reason]}" for reason, count in tally.left_out.most_common())
        told.append(f"not taken over: {reasons}")
    return "\n".join(told)
