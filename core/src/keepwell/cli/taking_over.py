"""The command ``import``, where what is taken over lies in another library's database."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import unquote, urlsplit, urlunsplit

import typer

from keepwell import Memory, ScopedMemory
from keepwell.cli.desk import Desk, Whose, view_of
from keepwell.cli.failing import INTERRUPTED
from keepwell.cli.plain import counted
from keepwell.errors import EmbeddingError, MissingExtra, UsageError

Library: TypeAlias = Literal["mem0", "neo4j-chat-history", "postgres-chat-history", "postgres-store"]
LIBRARIES: Final[tuple[Library, ...]] = get_args(Library)
_TABLES: Final = {"mem0": "mem0", "postgres-chat-history": "chat_history", "postgres-store": "store"}
_LANGCHAIN: Final = "langchain_keepwell.importing"


@dataclass(frozen=True)
class Origin:
    """Where something is taken over from, and what of it."""

    source: str | None
    table: str | None = None
    sessions: Sequence[str] = ()
    node_label: str = "Session"
    prefix: str = ""
    dry_run: bool = False


def take_over(desk: Desk, library: Library, origin: Origin, whose: Whose) -> None:
    """Take over what a library kept, and tell what came of it."""
    if origin.source is None:
        raise UsageError(f"where is it? give --from with the address of the database: keepwell import {library} --from")
    done, trouble = None, None
    with desk.memory("auto") as memory:
        try:
            told: Any = _BY[library](memory, origin, whose)
            done = dataclasses.asdict(told)
            if not origin.dry_run:
                memory.drain()
        except EmbeddingError as error:  # all is in, and is found by its words
            trouble = f"vectors are still due, see keepwell drain: {error}"
        except KeyboardInterrupt:
            desk.note("stopped; run it again to go on")
    desk.tell({"source": library, "finished": done is not None, **(done or {}), "trouble": trouble}, _words(done))
    if trouble is not None:
        desk.note(trouble, "yellow")
    for reason in done["reasons"][:5] if done else ():
        desk.note(f"left out: {reason}", "yellow")
    if done is None:
        raise typer.Exit(INTERRUPTED)
    if done["missing"]:
        raise typer.Exit(1)


def _words(done: dict[str, Any] | None) -> str:
    if done is None:
        return "not finished"
    others = {
        name: value for name, value in done.items() if name not in ("found", "new", "reasons", "dry_run", "places")
    }
    told = [f"{value:,} {name}" for name, value in others.items() if value]
    would = "would be new" if done["dry_run"] else "new"
    return f"{counted(done['found'], 'item')}: {done['new']:,} {would}" + "".join(f", {one}" for one in told)


def _mem0(memory: Memory, origin: Origin, whose: Whose) -> object:
    from keepwell.memory.importers import import_mem0  # noqa: PLC0415 - when it is needed

    view = memory.scope(across_users=True) if whose == Whose(None, None, None) else view_of(memory, whose)
    return import_mem0(view, origin.source or "", origin.table or _TABLES["mem0"], dry_run=origin.dry_run)


def _postgres_chat_history(memory: Memory, origin: Origin, whose: Whose) -> object:
    return _langchain("import_postgres_chat_history")(
        view_of(memory, whose),
        origin.source,
        origin.table or _TABLES["postgres-chat-history"],
        sessions=list(origin.sessions) or None,
        thread_prefix=origin.prefix,
        dry_run=origin.dry_run,
    )


def _neo4j_chat_history(memory: Memory, origin: Origin, whose: Whose) -> object:
    try:
        driver_of = import_module("neo4j").GraphDatabase.driver
    except ImportError as error:
        raise MissingExtra("neo4j", "neo4j") from error
    address, auth = without_password(origin.source or "")
    with driver_of(address, auth=auth) as driver:
        return _langchain("import_neo4j_chat_history")(
            view_of(memory, whose),
            driver,
            database=origin.table,
            node_label=origin.node_label,
            sessions=list(origin.sessions) or None,
            thread_prefix=origin.prefix,
            dry_run=origin.dry_run,
        )


def _postgres_store(memory: Memory, origin: Origin, whose: Whose) -> object:
    view: ScopedMemory = view_of(memory, whose)
    return _langchain("import_postgres_store")(
        view, origin.source, origin.table or _TABLES["postgres-store"], dry_run=origin.dry_run
    )


def without_password(address: str) -> tuple[str, tuple[str, str] | None]:
    """Give a Neo4j address as its driver takes it, and the name and password that stood in it."""
    parts = urlsplit(address)
    if parts.username is None:
        return address, None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host)), (unquote(parts.username), unquote(parts.password or ""))


def _langchain(name: str) -> Callable[..., object]:
    """Give an importer of the distribution that knows LangChain's messages, which the core does not."""
    try:
        found: Callable[..., object] = getattr(import_module(_LANGCHAIN), name)
    except ImportError as error:
        raise UsageError("this needs langchain-keepwell; install it with: pip install langchain-keepwell") from error
    except AttributeError:
        raise UsageError("the installed langchain-keepwell cannot do this; upgrade it") from None
    return found


_BY: Final[dict[Library, Callable[[Memory, Origin, Whose], object]]] = {
    "mem0": _mem0,
    "neo4j-chat-history": _neo4j_chat_history,
    "postgres-chat-history": _postgres_chat_history,
    "postgres-store": _postgres_store,
}
