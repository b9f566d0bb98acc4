"""What every measurement stands on: a server of its own, clocks, and a table to print."""

from __future__ import annotations

import itertools
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from keepwell.storage.postgres import embedded
from keepwell.storage.postgres.embedded import EmbeddedServer
from keepwell.storage.postgres.schema import migrate

_SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu".split()
VOCABULARY = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
"""8,000 words that no list of empty words has."""
_FREQUENCY = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(VOCABULARY))))
"""How often each is used, added up: as Zipf found for words of a language."""


@dataclass(frozen=True)
class Ground:
    """A database to measure on: as the role that policies bind, and as its owner."""

    dsn: str
    admin_dsn: str

    def role(self, setting: str) -> None:
        """Give all later connections of the role a setting."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            admin.execute(f"alter role keepwell set {setting}")


@contextmanager
def ground() -> Iterator[Ground]:
    """Start a server in a temporary folder and make a database in it."""
    folder = Path(tempfile.mkdtemp(prefix="keepwell-bench-"))
    folder.chmod(0o755)
    server = embedded.start(folder / "store")
    try:
        yield _database(server)
    finally:
        server.release()
        shutil.rmtree(folder, ignore_errors=True)


def _database(server: EmbeddedServer) -> Ground:
    with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
        admin.execute("create database bench")
    admin_dsn = make_conninfo(server.admin_dsn, dbname="bench")
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        migrate(admin, "keepwell", grant="keepwell")
        admin.execute("create table raw (id text primary key, body json)")
        admin.execute("create table raw_list (thread int, seq int, body json, primary key (thread, seq))")
        admin.execute("grant all on raw, raw_list to keepwell")
    return Ground(make_conninfo(server.dsn, dbname="bench"), admin_dsn)


def sentence(number: int, length: int = 14) -> str:
    """Give a sentence of words as frequent as words are, the same for the same number."""
    return " ".join(random.Random(number).choices(VOCABULARY, cum_weights=_FREQUENCY, k=length))


def medians(*actions: Callable[[], object], rounds: int = 1000, warm: int = 30) -> list[float]:
    """Give each action's median in seconds; they take turns, so that a slow spell slows all of them."""
    for action in actions:
        for _ in range(warm):
            action()
    taken: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for action, times in zip(actions, taken, strict=True):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def quantile(times: list[float], share: float) -> float:
    """Give the time that this share of them stays under."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def timed(action: Callable[[], object]) -> float:
    """Give how long an action takes, in seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def show(title: str, rows: list[tuple[str, str, str]]) -> None:
    """Print rows of what, measured and bound."""
    table = Table("what", "measured", "bound", title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=140).print(table)
