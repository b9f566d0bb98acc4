"""What every command works with: which store, whose memory, and where its words go."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn
from rich.text import Text

from keepwell import Memory, ScopedMemory, ScopedThread, Thread
from keepwell.cli.plain import document, plain
from keepwell.errors import InvalidScope, ThreadNotFound, UsageError
from keepwell.settings import read_settings

_PAGE = 1000
_STORE = "Store"

Dsn = Annotated[
    str | None,
    typer.Option("--dsn", help="A PostgreSQL server. Else KEEPWELL_DSN.", rich_help_panel=_STORE, show_default=False),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--path",
        help="The embedded server's data folder. Else KEEPWELL_PATH.",
        rich_help_panel=_STORE,
        show_default=False,
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema", help="The schema of the tables. Else KEEPWELL_SCHEMA.", rich_help_panel=_STORE, show_default=False
    ),
]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", help="The tenant. Else KEEPWELL_TENANT.", rich_help_panel=_STORE, show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout and nothing else.")]
User = Annotated[str | None, typer.Option("--user", "-u", help="Whose memory: the user's id.", show_default=False)]
Agent = Annotated[str | None, typer.Option("--agent", help="The agent's id.", show_default=False)]
Run = Annotated[str | None, typer.Option("--run", help="The run's id.", show_default=False)]


@dataclass(frozen=True)
class Whose:
    """The ids that were given."""

    user: str | None
    agent: str | None
    run: str | None

    def __str__(self) -> str:
        """Give them in words."""
        given = {"user": self.user, "agent": self.agent, "run": self.run}
        return ", ".join(f"{name} {value!r}" for name, value in given.items() if value is not None)


@dataclass(frozen=True)
class Desk:
    """The store that was named, and the two streams."""

    dsn: str | None = None
    path: Path | None = None
    schema: str | None = None
    tenant: str | None = None
    as_json: bool = False

    def over(self, before: object) -> Desk:
        """Give this desk with what was given before the command, where the command itself was given nothing."""
        if not isinstance(before, Desk):
            return self
        fields = dataclasses.asdict(self)
        return Desk(**{name: value or getattr(before, name) for name, value in fields.items()})

    @property
    def out(self) -> Console:
        """Where answers go: stdout."""
        return Console(highlight=False, emoji=False)

    @property
    def err(self) -> Console:
        """Where everything else goes: stderr, and nowhere with ``--json``."""
        return Console(stderr=True, highlight=False, emoji=False, quiet=self.as_json)

    def progress(self, *columns: ProgressColumn) -> Progress:
        """Give a progress bar, which shows itself only on a terminal."""
        console = self.err
        shown = console.is_terminal and not console.quiet
        return Progress(*columns, console=console, transient=True, disable=not shown)

    @contextmanager
    def memory(
        self,
        embedder: str | None = None,
        language_model: str | None = None,
        language: str | None = None,
        graph: str | None = None,
    ) -> Iterator[Memory]:
        """Open the store, with ``embedder="auto"`` for what makes or compares vectors; a command has no worker."""
        with Memory.open(
            self.dsn,
            path=self.path,
            schema=self.schema,
            tenant=self.tenant,
            embedder=embedder,
            language_model=language_model,
            worker="none",
            language=language,
            graph=graph,
        ) as memory:
            yield memory

    def data_folder(self) -> Path | None:
        """Give the embedded server's folder; None for the default one.

        Raises:
            UsageError: the store is a server elsewhere.
        """
        settings = read_settings()
        if self.dsn is not None or (self.path is None and settings.dsn is not None):
            raise UsageError("this is for the embedded server, and the store is a server of its own; give --path")
        return self.path or settings.path

    def tell(self, answer: object, *shown: RenderableType) -> None:
        """Write the answer: as a document with ``--json``, else as it is shown."""
        if self.as_json:
            typer.echo(document(answer))
            return
        for item in shown:
            self.say(item)

    def say(self, item: RenderableType) -> None:
        """Show something on stdout; where that is no terminal, lines of text stay as long as they are."""
        console = self.out
        text = Text(item) if isinstance(item, str) else item
        console.print(text, soft_wrap=isinstance(text, Text) and not console.is_terminal)

    def note(self, words: str, style: str = "") -> None:
        """Say something beside the answer, on stderr; nothing with ``--json``."""
        self.err.print(Text(plain(words), style=style), soft_wrap=True)


def view_of(memory: Memory, whose: Whose) -> ScopedMemory:
    """Give the view of the ids that were given.

    Raises:
        InvalidScope: none was.
    """
    if whose == Whose(None, None, None):
        raise InvalidScope("whose memory? give --user (or --agent, or --run)")
    return memory.scope(user_id=whose.user, agent_id=whose.agent, run_id=whose.run)


def every_thread(view: ScopedMemory) -> Iterator[Thread]:
    """Give all threads of a scope, a page at a time."""
    after: str | None = None
    while True:
        page = view.threads(after=after, limit=_PAGE)
        yield from page
        if (after := page.next) is None:
            return


def find_thread(view: ScopedMemory, ident: str, whose: Whose) -> ScopedThread:
    """Give the thread of that id: the exact owner's, else the only one of that id in the scope.

    Raises:
        ThreadNotFound: there is none.
        UsageError: several owners have one.
    """
    exact = view.thread(ident)
    if exact.info() is not None:
        return exact
    others = [thread for thread in every_thread(view) if thread.id == ident]
    if len(others) > 1:
        raise UsageError(f"{len(others)} agents or runs have a thread {ident!r}; give --agent or --run")
    found = view.find(others[0].key) if others else None
    if found is None:
        raise ThreadNotFound(f"there is no thread {ident!r} of {whose}; see: keepwell threads")
    return found


def _shared(
    dsn: Dsn = None, path: Folder = None, schema: Schema = None, tenant: Tenant = None, as_json: AsJson = False
) -> Desk:
    return Desk(dsn, path, schema, tenant, as_json)


def at_desk(work: Callable[..., None]) -> Callable[..., None]:
    """Give a function whose first parameter is a desk as a command, with the options that make the desk.

    So each command takes them after its name, too, and none has to list them.
    """
    shared, own = _options(_shared), _options(work)[1:]

    def run(ctx: typer.Context, **given: Any) -> None:  # noqa: ANN401 - typer has checked each of them
        made = _shared(**{option.name: given.pop(option.name) for option in shared})
        work(made.over(ctx.obj), **given)

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *own, *shared]
    run.__doc__, run.__name__ = work.__doc__, work.__name__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect and typer read
    return run


def _options(function: Callable[..., object]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = inspect.signature(function).parameters.values()
    return [option.replace(annotation=hints[option.name], kind=inspect.Parameter.KEYWORD_ONLY) for option in found]
