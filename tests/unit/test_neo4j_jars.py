"""The Neo4j that the tests start: what is fetched is what was locked, and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import neo4j_jars
from scripts.check_skips import IN_ORDER
from tests import neo4j_server


def test_what_the_machine_lacks_is_a_skip_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Java, or without Maven and the jars, the reason is one that a run may have."""
    monkeypatch.setattr(neo4j_jars, "_folder", lambda: tmp_path / "none")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (neo4j_server.lacking() or "").startswith(IN_ORDER)
    monkeypatch.setattr(neo4j_jars, "java", lambda: "java")
    assert neo4j_server.lacking() == f"{IN_ORDER} Maven"


def test_jars_that_could_have_been_fetched_are_no_excuse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where Java and Maven are there and the jars are not, the skip is one that fails a run."""
    monkeypatch.setattr(neo4j_jars, "_folder", lambda: tmp_path / "none")
    monkeypatch.setattr(neo4j_jars, "java", lambda: "java")
    monkeypatch.setattr(neo4j_jars.shutil, "which", lambda name: name)
    reason = neo4j_server.lacking()
    assert reason is not None
    assert not reason.startswith(IN_ORDER)


def test_a_jar_that_is_not_the_locked_one_is_named(tmp_path: Path) -> None:
    """A changed, an added and a missing jar are all found by the lock."""
    names = [line.split()[1] for line in (neo4j_jars.LOCK / "jars.txt").read_text().splitlines()]
    (tmp_path / names[0]).write_bytes(b"something else")
    (tmp_path / "another.jar").write_bytes(b"")
    wrong = neo4j_jars._differing(tmp_path)
    assert {names[0], "another.jar", names[-1]} <= set(wrong)


def test_the_lock_and_the_versions_agree() -> None:
    """The jars of the lock are those of the version that the pom asks for."""
    pom = (neo4j_jars.LOCK / "pom.xml").read_text()
    assert "<version>5.26.30</version>" in pom
    assert " neo4j-5.26.30.jar" in (neo4j_jars.LOCK / "jars.txt").read_text()
