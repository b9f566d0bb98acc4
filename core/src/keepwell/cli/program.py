"""All commands put together."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib.metadata import version as installed
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from keepwell.cli import asking, copying, facts, filling, forgetting, graph, keeping, working
from keepwell.cli.demo.command import demo
from keepwell.cli.desk import AsJson, Desk, Dsn, Folder, Schema, Tenant
from keepwell.cli.failing import log_on_one_line, on_one_line

_MEMORY, _FACTS, _CARE = "Memory", "Facts", "Looking after the store"


class Program(TyperGroup):
    """The group of all commands; what goes wrong in one is a line on stderr and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401 - passed on
    ) -> NoReturn:
        """Run the command and end with its exit code, ``standalone_mode`` or not."""
        del standalone_mode, windows_expand_args
        words = list(sys.argv[1:] if args is None else args)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows the rest
        with on_one_line(as_json="--json" in words):
            code = super().main(words, prog_name or "keepwell", complete_var, standalone_mode=False, **extra)
        sys.exit(code if isinstance(code, int) else 0)


def program() -> typer.Typer:
    """Give the program, for this process's arguments or for a test's."""
    app = typer.Typer(cls=Program, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.callback(invoke_without_command=True)(_begin)
    app.command("demo", rich_help_panel=_MEMORY)(demo)
    app.command("import", rich_help_panel=_MEMORY)(filling.import_)
    app.command("recall", rich_help_panel=_MEMORY)(asking.recall)
    app.command("threads", rich_help_panel=_MEMORY)(asking.threads)
    app.command("show", rich_help_panel=_MEMORY)(asking.show)
    app.command("forget", rich_help_panel=_MEMORY)(forgetting.forget)
    app.command("verify-erasure", rich_help_panel=_MEMORY)(forgetting.verify_erasure)
    app.command("export", rich_help_panel=_MEMORY)(working.export)
    app.command("copy", rich_help_panel=_CARE)(copying.copy)
    app.command("facts", rich_help_panel=_FACTS)(facts.facts)
    app.command("sources", rich_help_panel=_FACTS)(facts.sources)
    app.command("history", rich_help_panel=_FACTS)(facts.history)
    app.command("diff", rich_help_panel=_FACTS)(facts.diff)
    app.command("remember", rich_help_panel=_FACTS)(facts.remember)
    app.command("correct", rich_help_panel=_FACTS)(facts.correct)
    app.command("retract", rich_help_panel=_FACTS)(facts.retract)
    app.command("restore", rich_help_panel=_FACTS)(facts.restore)
    app.command("revert", rich_help_panel=_FACTS)(facts.revert)
    app.add_typer(graph.commands(), name="graph", rich_help_panel=_FACTS)
    app.command("status", rich_help_panel=_CARE)(keeping.status)
    app.command("schema", rich_help_panel=_CARE)(keeping.schema)
    app.command("migrate", rich_help_panel=_CARE)(keeping.migrate)
    app.command("reembed", rich_help_panel=_CARE)(keeping.reembed)
    app.command("reanalyse", rich_help_panel=_CARE)(keeping.reanalyse)
    app.command("drain", rich_help_panel=_CARE)(keeping.drain)
    app.command("worker", rich_help_panel=_CARE)(working.worker)
    app.command("retry", rich_help_panel=_CARE)(working.retry)
    app.command("stop", rich_help_panel=_CARE)(keeping.stop)
    app.command("upgrade", rich_help_panel=_CARE)(keeping.upgrade)
    return app


def run() -> NoReturn:
    """Run the program as this process."""
    log_on_one_line()
    program()()
    raise AssertionError  # a program ends by itself


def _begin(
    ctx: typer.Context,
    dsn: Dsn = None,
    path: Folder = None,
    schema: Schema = None,
    tenant: Tenant = None,
    *,
    as_json: AsJson = False,
    version: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """Long-term memory for agents, kept in your own PostgreSQL.

    Without --dsn or KEEPWELL_DSN it is the embedded one, which starts by itself.
    """
    if version:
        typer.echo(f"keepwell {installed('keepwell')}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit
    ctx.obj = Desk(dsn, path, schema, tenant, as_json)
