"""What tests of formation's queue do with a record."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from keepwell import Message
from keepwell.models import Owner, Scope
from keepwell.storage.base import Appended, AppendMessages, Forming
from keepwell.storage.facts import ApplyEdits, Claim, ClaimThread, Formed, ReadUnformed
from keepwell.storage.postgres.record import PostgresRecord

ADA, BOB = Owner("ada", "", ""), Owner("bob", "", "")
AT_ONCE = Forming(pause=0.0)
NEVER = Forming(pause=None)
MINUTE = dt.timedelta(minutes=1)
NO_TIME = dt.timedelta()


def append(
    record: PostgresRecord, *texts: str, owner: Owner = ADA, thread: str = "t", forming: Forming = AT_ONCE
) -> Appended:
    """Append messages of these texts, which are their ids too."""
    messages = tuple(Message.user(text, id=text) for text in texts)
    return record.write(AppendMessages(owner, thread, messages, texts, forming=forming))


def claim(record: PostgresRecord, lease: dt.timedelta = MINUTE, **given: Any) -> Claim:
    """Claim a thread; there must be one."""
    found = record.write(ClaimThread(lease, **given))
    assert found is not None
    return found


def unclaimed(record: PostgresRecord, **given: Any) -> bool:
    """Tell whether there is nothing to claim."""
    return record.write(ClaimThread(MINUTE, **given)) is None


def texts(record: PostgresRecord, claimed: Claim, limit: int = 20) -> list[str]:
    """Give the texts of what a claim has to form."""
    return [message.text for _, message in record.read(ReadUnformed(claimed, limit)).messages]


def finish(record: PostgresRecord, claimed: Claim, upto: int | None = None, **given: Any) -> None:
    """Apply a formation that has read up to a number (the claim's last one) and changes no fact."""
    formed = Formed(claimed, claimed.last_seq if upto is None else upto, **given)
    view = Scope(claimed.owner.user_id)
    record.write(ApplyEdits(claimed.owner, (), "formation", uuid4(), view, formed=formed))


def form(record: PostgresRecord) -> Claim:
    """Claim a thread and form all of it."""
    claimed = claim(record)
    finish(record, claimed, again=tuple(record.read(ReadUnformed(claimed, 1000)).again))
    return claimed


def row(admin_dsn: str, record: PostgresRecord, thread: str = "t") -> dict[str, Any]:
    """Give the columns of a thread that formation goes by, and in how many seconds it is due."""
    with psycopg.connect(admin_dsn, row_factory=dict_row) as admin:
        found = admin.execute(
            "select formed_to, last_seq, due_at, due_from, form_attempts, form_error,"
            " extract(epoch from due_at - clock_timestamp())::float8 as due_in"
            " from keepwell.thread where tenant = %s and id = %s",
            [record._walls.tenant, thread],
        ).fetchone()
    assert found is not None
    return found


def change(admin_dsn: str, statement: str, *values: object) -> None:
    """Change rows as no operation does: to let time pass."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(statement, values)
