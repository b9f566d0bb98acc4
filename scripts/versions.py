"""Run the tests of a door, or of Neo4j, with other versions of its framework or driver than the workspace's lock has.

    python -m scripts.versions                        every set
    python -m scripts.versions llama-index-0.13.6     the sets named; what follows `--` is for pytest, tests too
    python -m scripts.versions --lock [--upgrade]     write the locks of the sets anew

Each set has a lock of its own in `requirements/versions/`, by version and hash as `requirements/dev.txt`, and is
tested in an environment that is made for it and removed afterwards, on the sources as they lie here.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

from scripts.bootstrap import MEMBERS, OLDEST, ROOT, same_index_as_pip
from scripts.check_skips import unexplained
from scripts.lock import OWN

LOCKS = ROOT / "requirements/versions"
TOOLS = (
    "hypothesis>=6.150",
    "pytest>=9",
    "pytest-asyncio>=1.3",
    "pytest-socket>=0.7",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.8",
)
"""What the tests of a door need beside the distributions, from the group `test` of the workspace."""
NOT_OURS = ("ignore::DeprecationWarning", "ignore:The 'validate_default' attribute")
"""Warnings of an old framework about itself, or of a newer pydantic about it."""
LLAMA_INDEX = ("tests/integrations/llama_index_door",)
LANGCHAIN = ("tests/integrations/langchain",)
NEO4J = ("tests/neo4j", "tests/conformance/test_neo4j.py")
AGENTS = ("embedded", "agents", "checkpoints")
SUITES = ("langchain-tests>=1.1.9", "langgraph-checkpoint-conformance==0.0.2")


@dataclass(frozen=True)
class Versions:
    """A set of versions: its name, what is pinned in it (all else is the newest that fits), and what is tested.

    ``extras`` of our distributions are installed with it.
    """

    name: str
    pins: tuple[str, ...]
    tests: tuple[str, ...]
    extras: tuple[str, ...] = ("embedded",)

    @property
    def lock(self) -> Path:
        """Where its versions and hashes are."""
        return LOCKS / f"{self.name}.txt"


SETS = (
    Versions("llama-index-0.13.6", ("llama-index-core==0.13.6", "pydantic>=2.11,<2.12"), LLAMA_INDEX),
    Versions("llama-index-0.14.0", ("llama-index-core==0.14.0",), LLAMA_INDEX),
    Versions("llama-index-0.14.23", ("llama-index-core==0.14.23", "pydantic>=2.11,<2.12"), LLAMA_INDEX),
    Versions("llama-index-newest", (), LLAMA_INDEX),
    Versions("langchain-lowest", ("langchain-core==1.7.0", "langchain==1.4.0", *SUITES), LANGCHAIN, AGENTS),
    Versions("langchain-newest", SUITES, LANGCHAIN, AGENTS),
    # The extra `neo4j` of the LangChain door wants a newer driver than the core does, so the driver is named here.
    Versions("neo4j-lowest", ("neo4j==5.28.0",), NEO4J, ("embedded", "local", "cli", "graph")),
)


def main() -> int:
    """Test the sets named on the command line, or all; the exit code says whether one failed."""
    words, more = sys.argv[1:], []
    if "--" in words:
        words, more = words[: words.index("--")], words[words.index("--") + 1 :]
    if "--lock" in words:
        for versions in SETS:
            lock(versions, *(word for word in words if word == "--upgrade"))
        return 0
    known = {versions.name: versions for versions in SETS}
    if unknown := set(words) - set(known):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    outcome = {name: test(known[name], more) for name in words or known}
    for name, well in outcome.items():
        print(f"{name}: {'passed' if well else 'FAILED'}")
    return 0 if all(outcome.values()) else 1


def lock(versions: Versions, *options: str) -> None:
    """Resolve a set for all platforms and write its pins."""
    projects = [f"{member}/pyproject.toml" for member in MEMBERS]
    skipped = [word for name in OWN for word in ("--no-emit-package", name)]
    LOCKS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.in"
        wanted.write_text("\n".join([*TOOLS, *versions.pins]) + "\n", encoding="utf-8")
        universal = ("--universal", "--python-version", ".".join(map(str, OLDEST)))
        form = ("--generate-hashes", "--no-header", "--no-annotate", "--quiet")
        target = ("--output-file", versions.lock.relative_to(ROOT))
        extras = [word for name in versions.extras for word in ("--extra", name)]
        uv("pip", "compile", *universal, *form, *target, *projects, wanted, *extras, *skipped, *options)


def test(versions: Versions, more: list[str]) -> bool:
    """Make the environment of a set, run its tests there, and tell whether all passed and none was left out."""
    with tempfile.TemporaryDirectory(prefix="keepwell-versions-") as folder:
        start = time.monotonic()
        environment = Path(folder) / "env"
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        uv("venv", "--quiet", "--python", sys.executable, environment)
        locked = ("--require-hashes", "--only-binary", ":all:", versions.lock)
        uv("pip", "sync", "--quiet", "--python", python, *locked)
        print(f"{versions.name}: the environment took {time.monotonic() - start:.0f} s", flush=True)
        report = ROOT / f"build/versions-{versions.name}.xml"
        named = any((ROOT / word.partition("::")[0]).exists() for word in more)
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(word for warning in NOT_OURS for word in ("-W", warning)),
            f"--junitxml={report}",
            *(() if named else versions.tests),
            *more,
        ]
        sources = os.pathsep.join(str(ROOT / member / "src") for member in MEMBERS)
        surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), sources])}
        done = subprocess.run(list(map(str, command)), cwd=ROOT, env=surroundings, check=False)
    return done.returncode == 0 and all_explained(report)


def all_explained(report: Path) -> bool:
    """Tell whether every skip says what this set of versions lacks, a whole module's too; print those that do not."""
    cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 - our own test run wrote it
    wrong = [line for case in cases for line in unexplained(case)]
    for line in wrong:
        print(f"skipped, but could run here: {line}", file=sys.stderr)
    return bool(cases) and not wrong


def uv(*arguments: "Path | str") -> None:
    """Run uv, that of the workspace if it is there; end where it fails, with its own words on the terminal."""
    found = shutil.which("uv")
    command = [sys.executable, "-m", "uv"] if find_spec("uv") else [found] if found else []
    if not command:
        sys.exit("uv is not installed here; `python3 scripts/bootstrap.py` makes the environment that has it")
    surroundings = {**os.environ, **same_index_as_pip()}
    done = subprocess.run([*command, *map(str, arguments)], cwd=ROOT, env=surroundings, check=False)
    if done.returncode:
        sys.exit(f"uv {' '.join(map(str, arguments[:2]))} failed (exit code {done.returncode})")


if __name__ == "__main__":
    sys.exit(main())
