"""Who gets into the embedded server, and with which rights."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from keepwell.storage.postgres import embedded

from .ground import NOBODY, fetch, only_root, other, said


def test_the_store_works_as_an_unprivileged_role(server: embedded.EmbeddedServer) -> None:
    """The role of `dsn` is no superuser, bypasses no row-level security, creates nothing and owns nothing."""
    query = (
        "SELECT current_user::text, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication, "
        "(SELECT count(*) FROM pg_class WHERE relowner = r.oid), has_database_privilege('keepwell', 'CREATE'), "
        "has_schema_privilege('public', 'CREATE') FROM pg_roles r WHERE rolname = current_user"
    )
    assert fetch(server.dsn, query) == [("keepwell", False, False, False, False, False, 0, False, False)]


def test_the_privileged_role_may_change_the_schema(server: embedded.EmbeddedServer) -> None:
    """The role of `admin_dsn` reaches the same database, in which pgvector is there."""
    query = "SELECT current_database()::text, rolsuper, '[1,2]'::vector <-> '[1,3]' FROM pg_roles WHERE rolname = user"
    assert fetch(server.admin_dsn, query) == [("keepwell", True, 1.0)]


@pytest.mark.parametrize("password", [None, "", "guess"])
@pytest.mark.parametrize("user", ["postgres", "keepwell"])
def test_a_password_is_required(server: embedded.EmbeddedServer, user: str, password: str | None) -> None:
    """Nobody connects without the password or with another one, not even the folder's owner."""
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(other(server.dsn, user=user, password=password))


def test_the_unprivileged_role_reaches_no_other_database(server: embedded.EmbeddedServer) -> None:
    """The store's role connects to the store's database only."""
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(other(server.dsn, dbname="postgres"))


def test_no_password_is_shown(server: embedded.EmbeddedServer) -> None:
    """Neither the value's text nor the server's log holds a password."""
    log = (server.path / "log").read_text()
    for dsn in (server.dsn, server.admin_dsn):
        password = str(conninfo_to_dict(dsn)["password"])
        assert len(password) > 30
        assert password not in repr(server) + str(server) + log


def test_everything_is_for_the_owner_alone(server: embedded.EmbeddedServer) -> None:
    """The folder, the socket's folder, the socket and the file of passwords let nobody else in."""
    places = [server.path, server.path / "data", server.path / "users", server.path / "socket"]
    assert [oct(place.stat().st_mode & 0o777) for place in places] == ["0o700"] * 4
    assert oct((server.path / "socket" / ".s.PGSQL.5432").stat().st_mode & 0o777) == "0o700"
    assert oct((server.path / "server.json").stat().st_mode & 0o777) == "0o600"
    assert len({place.stat().st_uid for place in [server.path, *server.path.iterdir()]}) == 1


@only_root
def test_another_os_user_cannot_connect(server: embedded.EmbeddedServer) -> None:
    """Another OS user is kept out even if they know the password."""
    for dsn in (server.dsn, server.admin_dsn):
        answer = said("login", dsn, NOBODY)
        assert answer.startswith("OperationalError")
        assert "Permission denied" in answer


@only_root
def test_another_os_user_cannot_open_the_folder(server: embedded.EmbeddedServer) -> None:
    """Opening somebody else's store is a clear error."""
    answer = said("begin", server.path, NOBODY)
    assert answer.startswith("DataFolderError")
    assert "belongs to another OS user" in answer
