"""Look the code over: lint, formatting, types, and the floors of the house.

All four are run, so that one call shows everything there is to mend; the exit code says whether all are content.
With `--fix`, what can be mended by itself is.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT_LINTER = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


def main() -> int:
    """Run the tools over the paths given."""
    paths = [word for word in sys.argv[1:] if word != "--fix"]
    if "--fix" in sys.argv[1:]:
        steps = [("-m", "ruff", "format", *paths), ("-m", "ruff", "check", "--fix", *paths)]
    else:
        steps = [
            ("-m", "ruff", "check", *paths),
            ("-m", "ruff", "format", "--check", *paths),
            ("-m", "mypy"),
            ("-c", IMPORT_LINTER),
        ]
    failed = [step for step in steps if not well(*step)]
    return 1 if failed else 0


def well(*arguments: str) -> bool:
    """Run one tool and tell whether it is content."""
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
