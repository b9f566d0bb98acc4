"""Write the locks in `requirements/` anew: every package that work on keepwell installs, by version and hash.

The files name versions and hashes and no host, and hold for every platform and Python that keepwell supports.
Pins stay where they are as far as they can; `--upgrade` lets them move.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = ("core", "integrations/langchain", "integrations/llama-index")
OWN = ("keepwell", "langchain-keepwell", "llama-index-memory-keepwell")
OLDEST = "3.11"


def main() -> None:
    """Write both locks."""
    more = sys.argv[1:]
    projects = [f"{member}/pyproject.toml" for member in MEMBERS]
    skipped = [word for name in OWN for word in ("--no-emit-package", name)]
    lock("requirements/uv.txt", "requirements/uv.in", *more)
    lock("requirements/dev.txt", *projects, "--all-extras", "--group", "pyproject.toml:dev", *skipped, *more)


def lock(target: str, *sources: str) -> None:
    """Resolve the sources for all platforms and write the pins."""
    options = ["--universal", "--python-version", OLDEST, "--generate-hashes", "--no-header", "--quiet"]
    command = [sys.executable, "-m", "uv", "pip", "compile", *options, "--output-file", target, *sources]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
