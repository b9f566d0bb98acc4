"""Fetch the Neo4j server that the tests run against, once, into a cache folder of the user's.

Needs Maven and Java 17 or newer, and does nothing where they are missing: the tests that need the server skip then.
The version is pinned in `requirements/neo4j/pom.xml`; every jar is checked against its hash in `jars.txt` beside it.
Where `NEO4J_URI` is set the tests use that server, and nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "neo4j"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
OLDEST_JAVA = 17


def main() -> int:
    """Fetch what is missing, and say in a line why the tests will go without where it cannot be had."""
    if os.environ.get("NEO4J_URI"):
        return 0
    reason = lacking()
    if reason is None and not jars():
        print("fetching the Neo4j server for the tests (123 MB, once)", flush=True)
        reason = fetch()
    if reason is not None:
        print(f"the tests with Neo4j are skipped: {reason}", file=sys.stderr)
    return 0


def jars() -> Path | None:
    """Give the folder with the server's jars; None where they were not fetched yet."""
    folder = _folder()
    return folder if folder.is_dir() else None


def lacking() -> str | None:
    """Say what this machine lacks to have the server; None where it lacks nothing."""
    if java() is None:
        return f"not available here: Java {OLDEST_JAVA} or newer"
    if shutil.which("mvn") is None and jars() is None:
        return "not available here: Maven"
    return None


def java() -> str | None:
    """Give the Java to start the server with; None where there is none that is new enough."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if found is None:
        return None
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', said.stderr + said.stdout)
    return found if version is not None and int(version[1]) >= OLDEST_JAVA else None


def fetch() -> str | None:
    """Fetch the jars and check them; what went wrong, in words, or None."""
    target = _folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        shutil.copy(LOCK / "pom.xml", work)
        got = Path(work) / "jars"
        asked = ["mvn", "-B", "-q", "-f", "pom.xml", _PLUGIN, "-DincludeScope=runtime", f"-DoutputDirectory={got}"]
        done = subprocess.run(asked, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"Maven could not fetch the server: {_first_line(done.stdout + done.stderr)}"
        wrong = _differing(got)
        if wrong:
            return f"{len(wrong)} jars are not those of requirements/neo4j/jars.txt: {', '.join(wrong[:3])}"
        try:
            got.rename(target)
        except OSError:
            if not target.is_dir():  # else somebody else was quicker, with the same jars
                raise
    return None


def _folder() -> Path:
    """Give where the jars of this lock belong: another lock, another folder."""
    lock = hashlib.sha256((LOCK / "jars.txt").read_bytes()).hexdigest()[:16]
    return user_cache_path("keepwell") / "neo4j" / lock


def _differing(folder: Path) -> list[str]:
    """Give the names of jars that are missing, too many, or not as the lock has them."""
    lines = (line.split() for line in (LOCK / "jars.txt").read_text().splitlines())
    wanted = {name: digest for digest, name in lines}
    got = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    return sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))


def _first_line(said: str) -> str:
    lines = [line for line in said.splitlines() if "ERROR" in line] or said.splitlines() or ["no word of why"]
    return lines[0].strip()


if __name__ == "__main__":
    sys.exit(main())
