"""Constraints and indexes of a Neo4j database, by ordered files that are each run once.

What ran is written on nodes ``KeepwellMigration``, one a file. Each statement says ``IF NOT EXISTS``, so two
programs that begin at the same time do no harm, and one that was killed in the middle begins its file again. What
changes nodes may be run twice as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keepwell.errors import MigrationRequired
from keepwell.storage.neo4j.driver import Bolt

_RAN = "MATCH (m:KeepwellMigration) RETURN m.name AS name"
_NOTE = "MERGE (m:KeepwellMigration {name: $name}) ON CREATE SET m.at = datetime()"
_ONCE = "CREATE CONSTRAINT keepwell_migration IF NOT EXISTS FOR (m:KeepwellMigration) REQUIRE m.name IS UNIQUE"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, and its statements."""

    name: str
    statements: tuple[str, ...]


@cache
def migrations() -> tuple[Migration, ...]:
    """Give the files in their order."""
    folder = files("keepwell.storage.neo4j") / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".cypher"))
    return tuple(
        Migration(name.removesuffix(".cypher"), _statements((folder / name).read_text("utf-8"))) for name in names
    )


def migrate(bolt: Bolt) -> tuple[str, ...]:
    """Run the files that were not run there yet, and give their names.

    Raises:
        MigrationRequired: a newer keepwell has been there.
    """
    known = {one.name for one in migrations()}
    ran = {row["name"] for row in bolt.rows(_RAN)}
    if ran - known:
        raise MigrationRequired(f"{bolt.name} was set up by a newer keepwell ({', '.join(sorted(ran - known))})")
    fresh = [one for one in migrations() if one.name not in ran]
    if fresh:
        bolt.arrange(_ONCE)
    for one in fresh:
        for statement in one.statements:
            bolt.arrange(statement)
        bolt.arrange(_NOTE, {"name": one.name})
    if fresh:
        bolt.alone("CALL db.awaitIndexes(300)")
    return tuple(one.name for one in fresh)


def _statements(text: str) -> tuple[str, ...]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
    return tuple(part.strip() for part in lines.split(";") if part.strip())
