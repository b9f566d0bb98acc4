"""Doing what is due until somebody says stop: one process, or one of a fleet."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from keepwell.errors import NoLanguageModel
from keepwell.memory.forming import tools_of
from keepwell.memory.front import Memory
from keepwell.work.tools import Tools

if TYPE_CHECKING:
    from types import FrameType

Options = dict[str, Any]


def work_alone(options: Options) -> None:
    """Do what is due in the store of these options of ``Memory.open``, until the process is told to end.

    Raises:
        NoLanguageModel: neither the options nor the settings name one.
    """
    with Memory.open(**{**options, "worker": "thread"}) as memory:
        check_model(memory)
        with _told_to_end() as ended:
            ended.wait()


def work_in_fleet(
    dsn: str,
    schema: str,
    options: Options,
    tenants: Sequence[str],
    *,
    concurrency: int = 4,
    wait: bool = True,
    admin_dsn: str | None = None,
) -> None:
    """Take part in the work of a fleet on a server, for these tenants, until the process is told to end.

    With ``wait`` off it ends when nothing is due any more.

    Raises:
        MissingExtra: procrastinate is not installed.
        NoLanguageModel: neither the options nor the settings name one.
    """
    from keepwell.work.fleet import Fleet, run_fleet  # noqa: PLC0415 - an extra

    with ExitStack() as stack:
        memories = {
            tenant: stack.enter_context(
                Memory.open(dsn, schema=schema, **{**options, "tenant": tenant, "worker": "none"})
            )
            for tenant in tenants
        }
        for memory in memories.values():
            check_model(memory)

        def tools(tenant: str) -> Tools:
            return tools_of(memories[tenant]._engine)  # noqa: SLF001 - the memory's own work

        run_fleet(dsn, schema, Fleet(tools, tuple(tenants), concurrency), wait=wait, admin_dsn=admin_dsn)


def check_model(memory: Memory) -> None:
    """Refuse to work without a language model: nothing would ever be formed.

    Raises:
        NoLanguageModel: there is none.
    """
    if memory._engine.models.language is None:  # noqa: SLF001 - as above
        raise NoLanguageModel("a worker needs a language model; give --model, or set KEEPWELL_LANGUAGE_MODEL")


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Give an event that is set when the process is asked to end; a second Ctrl-C interrupts as ever."""
    ended = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def tell(number: int, frame: FrameType | None) -> None:
        del number, frame
        ended.set()
        _put_back(before)

    for one in (signal.SIGINT, signal.SIGTERM):
        before[one] = signal.signal(one, tell)
    try:
        yield ended
    finally:
        _put_back(before)


def _put_back(before: dict[signal.Signals, Any]) -> None:
    while before:
        signal.signal(*before.popitem())
