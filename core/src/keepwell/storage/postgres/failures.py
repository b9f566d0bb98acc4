"""The one place where errors of the driver become errors of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout

from keepwell.errors import (
    KeepwellError,
    MigrationRequired,
    MissingExtension,
    NotPermitted,
    StoreClosed,
    StoreFailed,
    StoreUnavailable,
)

_SECRET = re.compile(r"(password\s*=\s*)('[^']*'|\S+)|(://[^:/@\s]*:)[^@\s]*@", re.IGNORECASE)

_AWAY = (
    pg.ConnectionException,
    pg.AdminShutdown,
    pg.CrashShutdown,
    pg.CannotConnectNow,
    pg.IdleSessionTimeout,
    pg.TooManyConnections,
    pg.InvalidAuthorizationSpecification,
    pg.InvalidPassword,
    pg.InvalidCatalogName,
)
"""What a server says to whom it does not, or no longer, let in."""


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise errors of ours for errors of the driver; ``place`` says in words which store it was."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, place) from error


def translate(error: psycopg.Error, place: str) -> KeepwellError:  # noqa: PLR0911 - one a kind
    """Give the error of ours that says what the driver's means here, and what to do."""
    words = plain(str(error))
    match error:
        case PoolClosed():
            return StoreClosed(f"{place} was closed; open it again")
        case PoolTimeout():
            return StoreUnavailable(f"{place} gave no connection in time: {words}")
        case pg.InsufficientPrivilege():
            return NotPermitted(
                f"{place}: {words}; let a privileged role run: keepwell migrate --admin-dsn DSN --grant ROLE"
            )
        case pg.UndefinedFile() | pg.FeatureNotSupported() if "extension" in words:
            return MissingExtension(f"{place} has no pgvector ({words}); install it on the server")
        case pg.UndefinedTable() | pg.InvalidSchemaName() | pg.UndefinedColumn():
            return MigrationRequired(f"{place} lacks tables that are needed ({words}); run: keepwell migrate")
        case psycopg.OperationalError() if error.sqlstate is None or isinstance(error, _AWAY):
            return StoreUnavailable(f"{place} does not answer: {words}")
        case _:
            return StoreFailed(f"{place} refused: {words}")


def plain(words: str) -> str:
    """Give the first line of the server's words, with passwords blotted out."""
    line = " ".join(part.strip() for part in words.strip().splitlines()[:2])
    return _SECRET.sub(lambda m: f"{m[1]}***" if m[1] else f"{m[3]}***@", line)
