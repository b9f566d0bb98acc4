"""The one place where errors of the Neo4j driver become errors of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from neo4j import exceptions as bolt

from keepwell.errors import KeepwellError, NotPermitted, StoreClosed, StoreFailed, StoreUnavailable

_SECRET = re.compile(r"(://[^:/@\s]*:)[^@\s]*@")
_AWAY = (
    bolt.ServiceUnavailable,
    bolt.SessionExpired,
    bolt.TransientError,
    OSError,
)
"""What the driver says, after its own tries, of a server that is not there or not now."""
_NO_CONNECTION = "failed to obtain a connection from the pool"
"""What the driver says where all connections are in use; the kind of the error is another one in 5.28 and 6."""
_TIMED_OUT = "Neo.ClientError.Transaction.TransactionTimedOut"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise errors of ours for errors of the driver; ``place`` says in words which server it was."""
    try:
        yield
    except (bolt.Neo4jError, bolt.DriverError, OSError) as error:
        raise translate(error, place) from error


def translate(error: Exception, place: str) -> KeepwellError:
    """Give the error of ours that says what the driver's means here."""
    # Errors of the driver's own have a message too, but 5.28 warns where it is read.
    said, code = (error.message, error.code) if isinstance(error, bolt.Neo4jError) else (None, None)
    words, code = plain(said or str(error)), code or ""
    if code.startswith(_TIMED_OUT):
        return StoreUnavailable(f"{place} gave no answer in time")
    match error:
        case bolt.AuthError():
            return StoreUnavailable(f"{place} does not let this user in: {words}")
        case bolt.Forbidden():
            return NotPermitted(f"{place}: {words}")
        case bolt.DriverError() if "closed" in words.lower() and "driver" in words.lower():
            return StoreClosed(f"{place} was closed; open it again")
        case _ if isinstance(error, _AWAY) or _NO_CONNECTION in words:
            return StoreUnavailable(f"{place} does not answer: {words}")
        case _:
            return StoreFailed(f"{place} refused: {words}")


def plain(words: str) -> str:
    """Give the first lines of the server's words, with passwords blotted out."""
    line = " ".join(part.strip() for part in str(words).strip().splitlines()[:2])
    return _SECRET.sub(lambda found: f"{found[1]}***@", line)
