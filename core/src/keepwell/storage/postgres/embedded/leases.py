"""Who has the store open, by locks that no crash leaves behind."""

import logging
import os
import secrets

from keepwell.errors import KeepwellError
from keepwell.storage.postgres.embedded import cluster
from keepwell.storage.postgres.embedded.folder import Folder
from keepwell.storage.postgres.embedded.locks import held, release
from keepwell.storage.postgres.embedded.patience import Patience

_log = logging.getLogger("keepwell")
_WAIT = 60.0


class Lease:
    """One opening of the store: a file named after the process, locked until it ends or is ended."""

    def __init__(self, folder: Folder) -> None:
        """Write it down; the caller holds the folder's lock."""
        self.folder = folder
        self._pid = os.getpid()
        folder.make(folder.users)
        self._place = folder.users / f"{self._pid}-{secrets.token_hex(4)}"
        self._file: int | None = folder.hold(self._place)

    @property
    def _mine(self) -> bool:
        """Whether it is open still, and by this process: a forked child has no say in its parent's lease."""
        return self._file is not None and self._pid == os.getpid()

    def leave(self) -> None:
        """Give it up, and stop the server where nobody else has one; what fails is logged."""
        if not self._mine:
            return
        patience = Patience(_WAIT, self.folder.path)
        try:
            with self.folder.locked(patience):
                self.give_up(patience)
        except (KeepwellError, OSError) as error:
            _log.warning("the embedded PostgreSQL in %s may still run: %s", self.folder.path, error)
        finally:
            self._end()

    def give_up(self, patience: Patience) -> None:
        """The same for a caller who holds the folder's lock.

        A server that still recovers from a crash is left to finish that, or it would begin anew next time.
        """
        self._end()
        if not processes(self.folder) and cluster.ready(self.folder):
            cluster.stop(self.folder, patience)

    def _end(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        release(file)
        os.close(file)
        self._place.unlink(missing_ok=True)


def processes(folder: Folder) -> tuple[int, ...]:
    """The ids of the processes that have the store open, in order, each once."""
    places = folder.users.glob("*-*")
    return tuple(sorted({int(place.name.partition("-")[0]) for place in places if held(place)}))


def sweep(folder: Folder) -> None:
    """Remove what killed processes left; the caller holds the folder's lock."""
    for place in folder.users.glob("*-*"):
        if not held(place):
            place.unlink(missing_ok=True)
