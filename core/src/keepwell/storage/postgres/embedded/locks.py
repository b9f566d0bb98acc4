"""Locks that end with the process that holds them, however it ends."""

import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def acquire(file: int) -> bool:
        """Take the lock of an open file; False where another has it."""
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def release(file: int) -> None:
        """Give the lock back."""
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    def _free(file: int) -> bool:
        if acquire(file):
            release(file)
            return True
        return False

else:
    import fcntl

    # `flock`, not `lockf`: it belongs to the open file, so two threads exclude each other too,
    # and closing another handle of the same file does not lose it.

    def _try(file: int, kind: int) -> bool:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def acquire(file: int) -> bool:
        """Take the lock of an open file; False where another has it."""
        return _try(file, fcntl.LOCK_EX)

    def release(file: int) -> None:
        """Give the lock back, for every copy of the file that a fork made, too."""
        fcntl.flock(file, fcntl.LOCK_UN)

    def _free(file: int) -> bool:
        return _try(file, fcntl.LOCK_SH)  # shared, so that two who ask do not take each other for the holder


def create_held(place: Path) -> int:
    """A new file that is locked for as long as it is open."""
    file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    while not acquire(file):  # somebody asks `held` this very moment
        time.sleep(0.001)
    return file


def held(place: Path) -> bool:
    """Whether the process that made this file lives and still has it open."""
    try:
        file = os.open(place, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _free(file)
    finally:
        os.close(file)
