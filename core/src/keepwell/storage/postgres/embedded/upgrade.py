"""Bring a data folder of an older PostgreSQL to the one that is installed."""

import shutil
from dataclasses import replace
from pathlib import Path

from keepwell.errors import StoreError, StoreUnavailable
from keepwell.storage.postgres.embedded import cluster, leases, programs
from keepwell.storage.postgres.embedded.folder import Folder
from keepwell.storage.postgres.embedded.patience import Patience
from keepwell.storage.postgres.embedded.programs import Programs


def upgrade(folder: Folder, patience: Patience) -> Path:
    """Where the old data lie, untouched, after new ones were made from them; the caller holds the folder's lock.

    Cut off at any moment, it leaves the old data in use or the new ones, whole.
    """
    old, new = _versions(folder)
    if users := leases.processes(folder):
        message = f"{folder.path} is in use by the processes {users}: close the store there first"
        raise StoreUnavailable(message)
    folder.sweep()
    state = folder.state()
    _shut_down_cleanly(folder, old, patience)
    draft = cluster.initialise(folder, state, new, patience)
    _pg_upgrade(folder, old, new, draft, patience)
    folder.remember(replace(state, set_up_by=None))
    upgraded, kept = folder.path / cluster.UPGRADED, _free_name(folder.path / f"data-{old.major}")
    shutil.rmtree(upgraded, ignore_errors=True)
    draft.rename(upgraded)
    folder.data.rename(kept)
    upgraded.rename(folder.data)
    return kept


def _versions(folder: Folder) -> tuple[Programs, Programs]:
    new, major = programs.find(), folder.major()
    if major is None:
        message = f"nothing to upgrade: there are no data in {folder.path}"
        raise StoreError(message)
    if major >= new.major:
        message = f"nothing to upgrade: {folder.path} is of PostgreSQL {major}, and {new.major} is installed"
        raise StoreError(message)
    return programs.reachable(programs.find(major), folder), programs.reachable(new, folder)


def _shut_down_cleanly(folder: Folder, old: Programs, patience: Patience) -> None:
    """Start and stop the old server, so that nothing is left to recover after a crash."""
    cluster.bring_up(folder, old, patience)
    cluster.stop(folder, patience)


def _pg_upgrade(folder: Folder, old: Programs, new: Programs, draft: Path, patience: Patience) -> None:
    """Copy the old data into the new; the old are only read."""
    arguments = [
        f"--old-bindir={old.path('postgres').parent}",
        f"--new-bindir={new.path('postgres').parent}",
        f"--old-datadir={folder.data.name}",
        f"--new-datadir={draft.name}",
        f"--username={cluster.ADMIN}",
        f"--socketdir={folder.socket_folder()}",
    ]
    password = folder.state().admin_password
    programs.run(new, folder, "pg_upgrade", *arguments, patience=patience, password=password)
    for script in ("delete_old_cluster.sh", "update_extensions.sql"):  # the one would delete the new data by then
        (folder.path / script).unlink(missing_ok=True)


def _free_name(place: Path) -> Path:
    number = 1
    while place.exists():
        number += 1
        place = place.with_name(f"{place.name.partition('.')[0]}.{number}")
    return place
