"""Waiting that ends, and that is seen."""

import logging
import time
from pathlib import Path

from keepwell.errors import StoreUnavailable

_log = logging.getLogger("keepwell")
_SILENT = 2.0  # seconds; a first start takes one
_STEP = 0.01


class Patience:
    """A bounded wait for the server in one folder; it says in the log what it waits for after two seconds."""

    def __init__(self, seconds: float, path: Path) -> None:
        """Begin to wait now, for so many seconds at most."""
        self._path = path
        self._seconds = seconds
        self._begun = time.monotonic()
        self._told = False

    @property
    def left(self) -> float:
        """The seconds that are left, never below zero."""
        return max(0.0, self._seconds - (time.monotonic() - self._begun))

    def pause(self, doing: str) -> None:
        """Wait a moment; StoreUnavailable where the time is up."""
        waited = time.monotonic() - self._begun
        if waited > self._seconds:
            message = (
                f"the embedded PostgreSQL in {self._path} was not ready after {self._seconds:g} s ({doing}); "
                f"its log: {self._path / 'log'}"
            )
            raise StoreUnavailable(message)
        if waited > _SILENT and not self._told:
            self._told = True
            _log.warning("waiting for the embedded PostgreSQL in %s: %s", self._path, doing)
        time.sleep(_STEP)
