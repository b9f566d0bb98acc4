"""The data folder: whose it is, what lies where in it, and the passwords.

::

    keepwell.lock    one process at a time starts, joins or leaves
    server.json      the two passwords, and whether the set-up is complete (mode 0600)
    data/            PostgreSQL's own folder
    socket/          the socket, where its path is short enough
    users/           one locked file for each opening of the store that lasts
    log              the server's log
    data-16/         what `upgrade` left as it was

The folder and all in it belong to the OS user that the server runs as, with modes 0700 and 0600. That is the user
who opens it; as root it is the folder's owner or, for a new folder, ``pgserver``, since PostgreSQL refuses to run
as root. No folder above is ever changed.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from keepwell.errors import DataFolderError
from keepwell.storage.postgres.embedded.locks import acquire, create_held, release
from keepwell.storage.postgres.embedded.os_user import OsUser, server_user
from keepwell.storage.postgres.embedded.patience import Patience

LOCK = "keepwell.lock"
_STATE = "server.json"
_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 103  # bytes; macOS allows 103, Linux 107
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class State:
    """What the folder remembers: the passwords of the two roles, and which release of the wheel set it up."""

    admin_password: str = field(repr=False)
    password: str = field(repr=False)
    set_up_by: str | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder that has been looked at and found fit; ``user`` is set only where root opens it."""

    path: Path
    user: OsUser | None

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self.path / "data"

    @property
    def users(self) -> Path:
        """The folder of those who have the store open."""
        return self.path / "users"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.path / "log"

    def major(self) -> int | None:
        """The major version of PostgreSQL that made the data; None where there are none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None
        except ValueError as error:
            message = f"{self.data / 'PG_VERSION'} is damaged"
            raise DataFolderError(message) from error

    def state(self) -> State:
        """The passwords; made and written down the first time."""
        place = self.path / _STATE
        try:
            return State(**json.loads(place.read_text()))
        except FileNotFoundError:
            pass
        except (ValueError, TypeError) as error:
            message = f"{place} is damaged: restore it from a backup, or open another folder"
            raise DataFolderError(message) from error
        if self.data.exists():
            message = f"{place}, which holds the passwords of the data beside it, is gone: restore it from a backup"
            raise DataFolderError(message)
        state = State(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self.remember(state)
        return state

    def remember(self, state: State) -> None:
        """Write the state so that a crash leaves the old one or the new."""
        self.write(self.path / _STATE, json.dumps(asdict(state)))

    def write(self, place: Path, text: str) -> None:
        """Write a file of mode 0600 for the server's user, whole or not at all."""
        draft = self._new()
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            self._give(file.fileno())
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(place)
        if sys.platform != "win32":
            _sync(place.parent)

    def draft(self) -> Path:
        """A new folder for work that may be cut off; `sweep` removes what was left."""
        return self.make(self._new())

    def _new(self) -> Path:
        return self.path / f"new-{secrets.token_hex(4)}"

    def sweep(self) -> None:
        """Remove what a process left that was killed during the set-up."""
        for left in self.path.glob("new-*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()

    def make(self, place: Path) -> Path:
        """A folder of mode 0700 for the server's user."""
        place.mkdir(mode=0o700, exist_ok=True)
        self.give(place)
        return place

    def give(self, place: Path, *, everything: bool = False) -> None:
        """Hand a place that this process made to the server's user."""
        if self.user is None or sys.platform == "win32":
            return
        for part in (place, *(place.rglob("*") if everything else ())):
            os.chown(part, self.user.uid, self.user.gid, follow_symlinks=False)

    def _give(self, file: int) -> None:
        if self.user is not None and sys.platform != "win32":
            os.fchown(file, self.user.uid, self.user.gid)

    def hold(self, place: Path) -> int:
        """A new file that is locked for as long as it is open."""
        file = create_held(place)
        self._give(file)
        return file

    @contextmanager
    def locked(self, patience: Patience) -> Iterator[None]:
        """Be the only one, of all threads and processes, to start, join or leave this server."""
        try:
            file = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            message = f"cannot write to {self.path}: {error.strerror}"
            raise DataFolderError(message) from error
        try:
            self._give(file)
            while not acquire(file):
                patience.pause("another process is starting or stopping it")
            try:
                yield
            finally:
                release(file)
        finally:
            os.close(file)

    def socket_folder(self) -> Path:
        """A private folder for the socket: in the data folder, or a short one for temporary files."""
        name = f"keepwell-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}"
        for place in (self.path / "socket", Path(tempfile.gettempdir()) / name, Path("/tmp") / name):  # noqa: S108
            short = len(os.fsencode(place / _SOCKET)) <= _SOCKET_PATH_LIMIT
            # PostgreSQL's clients take a comma for the start of a second host.
            if short and "," not in str(place) and (self.user is None or self.user.may_reach(place)):
                return self._private(place)
        message = f"no folder for the socket of {self.path} has a path short enough; choose a shorter one"
        raise DataFolderError(message)

    def _private(self, place: Path) -> Path:
        """The folder, made or found; one that somebody else put there first is refused."""
        if not os.path.lexists(place):
            self.make(place)
        info = place.lstat()
        if not stat.S_ISDIR(info.st_mode) or (sys.platform != "win32" and not self._is_private(info)):
            message = f"{place}, the folder for the server's socket, belongs to somebody else or lets others in"
            raise DataFolderError(message)
        self.give(place)  # root may have been killed just before it did so
        return place

    def _is_private(self, info: os.stat_result) -> bool:
        mine = {os.geteuid(), self.user.uid if self.user else os.geteuid()}
        return info.st_uid in mine and not info.st_mode & _OTHERS


def _sync(place: Path) -> None:
    """Make what was renamed in a folder outlast a power cut."""
    file = os.open(place, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def find(path: Path) -> Folder | None:
    """A data folder that is there already, or None; nothing is changed."""
    path = _resolved(path)
    info = _look(path)
    if info is None:
        return None
    _check(path, info)
    if not (path / LOCK).exists():
        return None
    return Folder(path, server_user(path, _owner(info)))


def prepare(path: Path) -> Folder:
    """A data folder to start a server in, made if need be; DataFolderError before anything is changed."""
    path = _resolved(path)
    info = _look(path)
    if info is not None:
        _check(path, info)
    user = server_user(path, _owner(info))
    try:
        _make_parents(path.parent, user)
        path.mkdir(mode=0o700, exist_ok=True)
        folder = Folder(path, user)
        folder.give(path)
    except OSError as error:
        message = f"cannot make the data folder {path}: {error.strerror}"
        raise DataFolderError(message) from error
    return folder


def _resolved(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        message = f"cannot find the data folder {path}: {error}"
        raise DataFolderError(message) from error


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"cannot look at the data folder {path}: {error.strerror}"
        raise DataFolderError(message) from error


def _check(path: Path, info: os.stat_result) -> None:
    """Refuse a folder that is not ours, or not ours alone."""
    if not stat.S_ISDIR(info.st_mode):
        message = f"{path} is not a folder"
        raise DataFolderError(message)
    if sys.platform != "win32":
        if os.geteuid() not in (0, info.st_uid):
            message = f"the data folder {path} belongs to another OS user"
            raise DataFolderError(message)
        if info.st_mode & _OTHERS:
            message = f"others may enter or read the data folder {path}; make it private first: chmod 700 {path}"
            raise DataFolderError(message)
    # In this order: the lock is the first thing that another process makes there.
    if any(path.iterdir()) and not (path / LOCK).exists():
        message = f"{path} holds something else than a keepwell store; give an empty folder or a new one"
        raise DataFolderError(message)


def _owner(info: os.stat_result | None) -> OsUser | None:
    """Whom the folder belongs to already, where that is an ordinary user."""
    return OsUser(info.st_uid, info.st_gid) if info is not None and info.st_uid != 0 else None


def _make_parents(parent: Path, user: OsUser | None) -> None:
    """Make the missing folders above: private for an ordinary user, open to the server's user for root."""
    missing = [place for place in (parent, *parent.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            place.chmod(0o755)
