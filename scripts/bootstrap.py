"""Make `.venv` ready: the locked packages, and the three distributions of this workspace as editable ones.

Needs nothing but a Python: `python3 scripts/bootstrap.py`. Everything that is downloaded is pinned by version and
hash in `requirements/`, uv included, and comes from the package index that pip is configured for. Running it again
brings the environment to what the lock says; the Makefile does so when a lock or a `pyproject.toml` has changed.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".ready"
OLDEST = (3, 11)
NEWEST = (3, 14)
MEMBERS = ("core", "integrations/langchain", "integrations/llama-index")


def main() -> None:
    """Bring `.venv` to what the lock says and stamp it."""
    use_supported_python()
    STAMP.unlink(missing_ok=True)
    if not (works(PYTHON) and answers(PYTHON, "-m", "pip", "--version")):
        print(f"making .venv with Python {sys.version_info.major}.{sys.version_info.minor}", flush=True)
        make_environment()
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--require-hashes", "--no-deps", "--requirement", "requirements/uv.txt")
    install()
    STAMP.touch()


def make_environment() -> None:
    """Make `.venv` from nothing."""
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("this Python has no ensurepip, so it cannot make .venv; on Debian, install python3-venv")


def install() -> None:
    """Install the lock (and remove what it does not name), then the workspace without any dependency of its own."""
    uv = (PYTHON, "-m", "uv", "--quiet", "pip")
    index = same_index_as_pip()
    # Compiled at once: a demo of three processes would otherwise pay for it three times.
    sync = ("sync", "--require-hashes", "--only-binary", ":all:", "--compile-bytecode", "requirements/dev.txt")
    run(*uv, *sync, **index)
    # The build backend is in the lock, so nothing unlocked is fetched to build.
    editable = [word for member in MEMBERS for word in ("--editable", member)]
    run(*uv, "install", "--no-deps", "--no-build-isolation", *editable, **index)


def use_supported_python() -> None:
    """Start over with a Python that keepwell runs on, where this one is too old."""
    if sys.version_info[:2] >= OLDEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and works(found):
            os.execv(found, [found, __file__])  # noqa: S606 - the same program, by a newer interpreter
    sys.exit(f"keepwell needs Python {OLDEST[0]}.{OLDEST[1]} or newer; found only {sys.version.split()[0]}")


def works(python: "Path | str") -> bool:
    """Tell whether that interpreter starts and is new enough."""
    return answers(python, "-c", f"import sys; sys.exit(sys.version_info[:2] < {OLDEST})")


def answers(*command: "Path | str") -> bool:
    """Tell whether a command ends well, without a word of it."""
    try:
        # Not capture_output: this much must run on the oldest Python that may be found.
        return subprocess.call(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def same_index_as_pip() -> "dict[str, str]":
    """Give uv the index that pip is configured for: uv reads other settings, and the two must not differ."""
    if "UV_DEFAULT_INDEX" in os.environ or "UV_INDEX_URL" in os.environ:
        return {}
    for name in (":env:.index-url", "install.index-url", "global.index-url"):
        asked = [str(PYTHON), "-m", "pip", "config", "get", name]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            return {"UV_DEFAULT_INDEX": answer.stdout.strip()}
    return {}


def run(*command: "Path | str", **environment: str) -> None:
    """Run a step from the top of the workspace; end where it fails, with its own words on the terminal."""
    surroundings = {**os.environ, "VIRTUAL_ENV": str(VENV), **environment}
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env=surroundings, check=False)
    if done.returncode:
        words = " ".join(map(str, command[1:6]))
        sys.exit(f"setting up .venv stopped at: {words} ... (exit code {done.returncode})")


if __name__ == "__main__":
    main()
