"""Refuse a test run in which something was skipped that this machine could have.

Reads the JUnit report of a run. A skip is in order only where its reason begins with `not available here:`,
which says that the machine lacks the thing itself (a server, an architecture), not that a package was left out
or a test switched off; or where a suite is run on a store that says itself that it lacks a capability, as those
of others do, and as our Neo4j store does, which names what it lacks in its documentation. What is expected to fail
is no skip, though the report calls it one. A run without a single test is refused as well.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

IN_ORDER = "not available here:"
LACKING = "this store does not claim"
OTHER_STORES = ("conformance.test_neo4j.", "TestInMemoryStore", "TestPostgresStore")
"""Where a store may lack what a suite asks for; ours on PostgreSQL may not."""


def main(report: Path) -> int:
    """Print each skip that is not in order; the exit code says whether there was one."""
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 - our own test run wrote it
    wrong = [line for case in cases for line in unexplained(case)]
    for line in wrong:
        print(f"skipped, but could run here: {line}", file=sys.stderr)
    if not cases:
        print("no test ran", file=sys.stderr)
    return 1 if wrong or not cases else 0


def unexplained(case: ET.Element) -> list[str]:
    """Give a line for each skip of a test whose reason does not say what is missing here."""
    skips = [skip for skip in case.iter("skipped") if skip.get("type") != "pytest.xfail"]
    name = f"{case.get('classname')}::{case.get('name')}"
    return [f"{name} ({skip.get('message')})" for skip in skips if not in_order(name, skip.get("message", ""))]


def in_order(name: str, reason: str) -> bool:
    """Tell whether a test of that name may be skipped for a reason."""
    return reason.startswith(IN_ORDER) or (reason.startswith(LACKING) and any(one in name for one in OTHER_STORES))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
