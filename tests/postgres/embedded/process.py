"""A process of its own for the tests of the embedded server: ``process.py ACTION PLACE [UID]``.

It becomes the OS user with that id, if one is given, does one thing and says in one line how that went.
"""

import logging
import os
import sys
from pathlib import Path

import platformdirs  # noqa: F401 - whatever is used later is loaded before the user changes
import psutil  # type: ignore[import-untyped]  # noqa: F401 - as above
import psycopg

from keepwell.errors import KeepwellError
from keepwell.storage.postgres import embedded


def hold(place: str) -> str:
    """Open the store and end, without releasing it, when the input ends."""
    server = embedded.start(Path(place))
    print("ready", flush=True)  # noqa: T201 - this is how it speaks
    sys.stdin.read()
    return server.path.name


def fork(place: str) -> str:
    """Open the store, fork, let the child end as programs do, and ask whether the server is still there."""
    server = embedded.start(Path(place))
    if os.fork() == 0:
        server.release()
        sys.exit(0)
    os.wait()
    return "running" if embedded.status(server.path).running else "stopped"


def begin(place: str) -> str:
    """Open the store and release it."""
    server = embedded.start(Path(place))
    with psycopg.connect(server.dsn) as connection:
        connection.execute("SELECT 1")
    server.release()
    return "opened"


def login(place: str) -> str:
    """Connect with the words that are given."""
    psycopg.connect(place).close()
    return "connected"


def main(action: str, place: str, uid: str = "") -> None:
    """Do what the command line says."""
    logging.getLogger("keepwell").setLevel(logging.ERROR)  # on a busy machine it may tell that it waits
    if uid:
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    actions = {"hold": hold, "fork": fork, "begin": begin, "login": login}
    try:
        said = actions[action](place)
    except (KeepwellError, psycopg.Error) as error:
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
    print(said, flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main(*sys.argv[1:])
