"""The OS user that the server runs as where root opens the store."""

import os
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from keepwell.errors import DataFolderError

if sys.platform != "win32":
    import pwd

NAME = "pgserver"  # the name that the wheel's own server uses, too
_USERADD = ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class OsUser:
    """An OS user other than the one who runs this process."""

    uid: int
    gid: int

    def may_enter(self, place: Path) -> bool:
        """Whether the mode of a folder or program lets this user in (search or execute)."""
        info = place.stat()
        if info.st_uid == self.uid:
            return bool(info.st_mode & stat.S_IXUSR)
        return bool(info.st_mode & (stat.S_IXGRP if info.st_gid == self.gid else stat.S_IXOTH))

    def may_reach(self, place: Path) -> bool:
        """Whether this user may enter every folder above a place that is there."""
        return self.barred_from(place) is None

    def barred_from(self, path: Path) -> Path | None:
        """The first folder above a path that this user may not enter."""
        return next((place for place in reversed(path.parents) if place.exists() and not self.may_enter(place)), None)


_NOBODY = OsUser(-1, -1)  # whoever is created later is neither owner nor in the group of what is there now


def server_user(path: Path, owner: OsUser | None) -> OsUser | None:
    """The OS user that the server of a data folder runs as; None where that is whoever runs this process.

    An ordinary user runs it as themselves. Root cannot (PostgreSQL refuses): a folder that belongs to somebody is
    served as them, any other as ``pgserver``, who is created if need be. DataFolderError where they would have to be
    let into a private folder above: no mode of a folder above is ever changed.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    user = owner or _known()
    _check_reach(path, user or _NOBODY)
    if user is None:
        user = _created()
        _check_reach(path, user)
    return user


def _check_reach(path: Path, user: OsUser) -> None:
    barred = user.barred_from(path)
    if barred is not None:
        message = (
            f"the data folder {path} lies below {barred}, which is private: for root the server runs as "
            f"another OS user ({NAME}), who would have to be let in there. "
            "Choose a folder elsewhere, or run as an ordinary user"
        )
        raise DataFolderError(message)


def _known() -> OsUser | None:
    if sys.platform == "win32":  # where `pwd` is not
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return OsUser(entry.pw_uid, entry.pw_gid)


def _created() -> OsUser:
    """The new OS user; several processes may try at once, and useradd lets only one write at a time."""
    error: Exception | None = None
    for _ in range(_TRIES):
        try:
            subprocess.run(_USERADD, check=True, capture_output=True, timeout=30)  # noqa: S603 - fixed words
        except (OSError, subprocess.SubprocessError) as failed:
            error = failed
        if user := _known():
            return user
        time.sleep(0.2)
    message = (
        f"PostgreSQL does not run as root, and the OS user {NAME!r} to run it could not be created by useradd "
        f"({error}): create that user, or run as an ordinary user"
    )
    raise DataFolderError(message) from error
