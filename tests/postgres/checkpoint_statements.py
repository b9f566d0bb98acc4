"""Checkpoints of a tenant, and parameters for the statements that reach them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from keepwell.models import Owner
from keepwell.storage.postgres.checkpoints import Lodger, lodging

ADA, BOB = Owner("ada", "", ""), Owner("bob", "", "")


def place(tenant: str, owner: Owner = ADA, thread: str = "t") -> str:
    """Give where the checkpoints of a thread are."""
    return lodging(Lodger(tenant, owner, thread))


def furnish_checkpoints(admin: psycopg.Connection[Any], tenant: str) -> None:
    """Give a tenant's thread two checkpoints with a blob and a write each, of a channel that is kept as differences."""
    there = place(tenant)
    admin.execute(
        "insert into keepwell.checkpoint_thread (tenant, user_id, agent_id, run_id, thread, lodging, written_at)"
        " values (%s, 'ada', '', '', 't', %s, '2020-01-01')",
        [tenant, there],
    )
    for number in (1, 2):
        kept = f'{{"v": 4, "channel_values": {{"c": true}}, "channel_versions": {{"c": "{number}"}}}}'
        admin.execute(
            "insert into keepwell.checkpoints (thread_id, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)"
            " values (%s, %s, %s, %s, %s)",
            [there, str(number), "1" if number > 1 else None, kept, '{"user_id": "ada"}'],
        )
        admin.execute(
            "insert into keepwell.checkpoint_blobs (thread_id, channel, version, type, blob)"
            " values (%s, 'c', %s, 'null', '')",
            [there, str(number)],
        )
        admin.execute(
            "insert into keepwell.checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, type, blob)"
            " values (%s, %s, 'task', 0, 'c', 'null', '')",
            [there, str(number)],
        )


def checkpoint_parameters(tenant: str, thread: UUID) -> dict[str, dict[str, Any]]:
    """Give values by statement, for the thread that was furnished; a tenant of that name need not be there."""
    held = {"lodgings": [place(tenant)]}
    new = {**held, "lodging": place(tenant, BOB)}
    return {
        "lodge": {"lodging": place(tenant), "written": True},
        "hold_lodging": {},
        "hold_lodgings": held,
        "hold_lodgings_of_threads": {"ids": None, "keys": None},
        "lodgings_of_scope": {"age": None},
        "lodgings_named": {"names": ["t"]},
        "lodgings_of_thread": {"key": thread, "message": None},
        "count_checkpoints": held,
        "drop_lodgings": held,
        "move_lodging": {**new, "metadata": "{}"},
        "copy_lodging": new,
        "list_checkpoints": held,
        "has_deltas": held,
        "trim_lodging": {**held, "spaces": [""], "doomed": ["1"]},
    }
