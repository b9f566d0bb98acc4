"""A fleet of workers on procrastinate (extra ``worker``): many processes, on as many machines.

The record itself knows what is due. Every few seconds one of the workers looks there and defers a job for each due
thread; whoever takes the job claims the thread's owner in the record. A job that is lost, or comes twice, changes
nothing: what is due is found again, what is done is not done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict

from keepwell.storage.facts import FindForming
from keepwell.work.draining import chores
from keepwell.work.fleet_tables import prepare_fleet, procrastinate, within_schema
from keepwell.work.forming import form_thread
from keepwell.work.tools import Tools

if TYPE_CHECKING:
    from procrastinate import App
    from procrastinate.tasks import Task

_log = logging.getLogger("keepwell.worker")
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a worker of a fleet serves, and how.

    ``tools_of`` gives the tools of a tenant, anew for each job. ``every``: seconds between two looks at what is due.
    ``chores_every``: seconds between two rounds of all other work of a tenant.
    """

    tools_of: Callable[[str], Tools]
    tenants: Sequence[str] = ("default",)
    concurrency: int = 4
    every: int = 5
    chores_every: int = 60


def run_fleet(
    dsn: str, schema: str, fleet: Fleet, *, wait: bool = True, admin_dsn: str | None = None, signals: bool = True
) -> None:
    """Work until a signal ends it, or with ``wait`` off until nothing is due; jobs under way are ended first.

    Procrastinate's tables are made in our schema where they are missing (as the role of ``admin_dsn``, if given).
    The DSN must lead to the server itself or to a pooler that keeps sessions, because the tables are found by the
    search path. ``signals`` off leaves the process's signals alone.

    Raises:
        MissingExtra: procrastinate is not installed.
        NotPermitted: the tables are missing and the role may not make them.
        StoreUnavailable: no server answers there.
    """
    role = conninfo_to_dict(dsn).get("user")
    prepare_fleet(admin_dsn or dsn, schema, grant=None if admin_dsn is None or role is None else str(role))
    asyncio.run(_work(dsn, schema, fleet, wait=wait, signals=signals))


async def _work(dsn: str, schema: str, fleet: Fleet, *, wait: bool, signals: bool) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(fleet.concurrency + 2))
    staff = staff_of(dsn, schema, fleet)
    async with staff.app.open_async():
        # Looked for here and not by a job, because a worker that does not wait ends while a job makes others.
        await staff.look()
        await staff.rounds()
        await staff.app.run_worker_async(
            wait=wait,
            concurrency=fleet.concurrency,
            listen_notify=False,
            fetch_job_polling_interval=min(1.0, float(fleet.every)),
            delete_jobs="always",
            install_signal_handlers=signals,
        )


@dataclass(frozen=True, slots=True)
class Staff:
    """Procrastinate's app with our tasks."""

    app: App
    fleet: Fleet
    form: Task[Any, Any, Any]
    chores: Task[Any, Any, Any]

    async def look(self) -> None:
        """Put a job in the queue for each thread that is due."""
        await _clear_stalled(self.app)
        for tenant in self.fleet.tenants:
            for thread in await asyncio.to_thread(_due, self.fleet, tenant):
                await _defer(self.form, f"keepwell:{tenant}:{thread}", tenant=tenant, thread=str(thread))

    async def rounds(self) -> None:
        """Put a job in the queue for the other work of each tenant."""
        for tenant in self.fleet.tenants:
            await _defer(self.chores, f"keepwell:chores:{tenant}", tenant=tenant)


def staff_of(dsn: str, schema: str, fleet: Fleet) -> Staff:
    """Give procrastinate's app, with connections of its own and our tasks."""
    engine = procrastinate()
    pool = {"conninfo": within_schema(dsn, schema), "min_size": 1, "max_size": fleet.concurrency + 2}
    app: App = engine.App(connector=engine.PsycopgConnector(**pool), periodic_defaults={"max_delay": 60})

    @app.task(name="keepwell:form")
    def form(tenant: str, thread: str) -> None:
        form_thread(fleet.tools_of(tenant), UUID(thread), early=False)

    @app.task(name="keepwell:chores")
    def do_chores(tenant: str) -> None:
        chores(fleet.tools_of(tenant))

    staff = Staff(app, fleet, form, do_chores)

    @app.periodic(cron=f"* * * * * */{fleet.every}")
    @app.task(name="keepwell:look", queueing_lock="keepwell:look")
    async def look(timestamp: int) -> None:
        del timestamp
        await staff.look()

    @app.periodic(cron=_cron(fleet.chores_every))
    @app.task(name="keepwell:rounds", queueing_lock="keepwell:rounds")
    async def rounds(timestamp: int) -> None:
        del timestamp
        await staff.rounds()

    return staff


def _due(fleet: Fleet, tenant: str) -> tuple[UUID, ...]:
    return fleet.tools_of(tenant).record.read(FindForming(_PAGE))


def _cron(seconds: int) -> str:
    """Give when something happens every so many seconds, in minutes from a minute on."""
    return f"* * * * * */{seconds}" if seconds < 60 else f"*/{min(59, seconds // 60)} * * * *"  # noqa: PLR2004 - a minute


async def _defer(task: Task[Any, Any, Any], lock: str, **arguments: Any) -> None:  # noqa: ANN401 - the task's own
    """Put a job in the queue, unless the same waits there already."""
    from procrastinate.exceptions import AlreadyEnqueued  # noqa: PLC0415 - an optional package

    try:
        await task.configure(queueing_lock=lock).defer_async(**arguments)
    except AlreadyEnqueued:
        _log.debug("%s waits already", lock)


async def _clear_stalled(app: App) -> None:
    """Take off jobs of workers that are gone: what they had is still due, and is found by the next look."""
    from procrastinate.jobs import Status  # noqa: PLC0415 - as above

    for job in await app.job_manager.get_stalled_jobs():
        _log.warning("a worker is gone; its job %s is taken over", job.task_name)
        await app.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
