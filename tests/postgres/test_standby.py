"""A read-only server serves the loading of a recall, and its texts too where the primary is away."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from keepwell import Memory, Message
from keepwell.errors import StoreUnavailable
from keepwell.testing import HashEmbedder


@pytest.fixture
def way_to_primary(dsn: str) -> Iterator[Path]:
    """Give a link to the server's socket, which can be cut while the server goes on for others."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "primary"
        link.symlink_to(str(conninfo_to_dict(dsn)["host"]))
        yield link


def cut(link: Path, dsn: str) -> None:
    """Take the way to the primary away, and end the connections that went over it."""
    link.unlink()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'primary' and pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("standby", [True, False])
def test_recall_while_the_primary_is_away(
    dsn: str, tenant: str, way_to_primary: Path, monkeypatch: pytest.MonkeyPatch, standby: bool
) -> None:
    """With a read-only server recall goes on and says so; without one it raises, and so does a write."""
    monkeypatch.setenv("KEEPWELL_POOL_SECONDS", "0.5")
    primary = make_conninfo(dsn, host=str(way_to_primary), application_name="primary")
    with Memory.open(primary, read_dsn=dsn if standby else None, tenant=tenant, embedder=HashEmbedder()) as memory:
        chat = memory.scope(user_id="ada").thread("t")
        chat.append(Message.user("I can't eat peanuts."))
        assert chat.recall("peanuts").skipped == {}
        cut(way_to_primary, dsn)
        if standby:
            found = memory.scope(user_id="ada").recall("peanuts")
            assert [item.text for item in found] == ["I can't eat peanuts."]
            assert "standby" in found.skipped["primary"]
        else:
            with pytest.raises(StoreUnavailable):
                memory.scope(user_id="ada").recall("peanuts")
        with pytest.raises(StoreUnavailable):
            chat.append(Message.user("and no cashews"))
