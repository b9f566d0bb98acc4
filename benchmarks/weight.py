"""How long the import takes, and how much an installation weighs."""

from __future__ import annotations

import statistics
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

from benchmarks.ground import Ground, show

_IMPORT = "import time; start = time.perf_counter(); import keepwell; print(time.perf_counter() - start)"


def weigh(ground: Ground) -> None:  # noqa: ARG001 - every measurement is given the ground
    """Measure ``import keepwell`` in fresh processes, and count what each extra brings."""
    times = [
        float(subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout)
        for _ in range(9)
    ]
    rows = [("import keepwell", f"{statistics.median(times) * 1e3:.0f} ms", "< 300 ms")]
    for extra in ("", "embedded", "local", "cli", "all"):
        packages = _closure("keepwell", extra)
        size = sum(_size(package) for package in packages)
        rows.append(
            (f"keepwell[{extra}]" if extra else "keepwell", f"{len(packages)} packages, {size / 1e6:.0f} MB", "")
        )
    show("weight", rows)


def _closure(name: str, extra: str) -> list[Distribution]:
    """Give the distributions that an installation would bring here, itself included."""
    found: dict[str, Distribution] = {}
    waiting = [(name, extra)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted, with_extra = waiting.pop()
        if (wanted, with_extra) in seen:
            continue
        seen.add((wanted, with_extra))
        try:
            package = found.setdefault(wanted.lower(), distribution(wanted))
        except PackageNotFoundError:
            continue
        for text in package.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": with_extra}):
                waiting += [(requirement.name, one) for one in ("", *requirement.extras)]
    return list(found.values())


def _size(package: Distribution) -> int:
    return sum(file.size or 0 for file in package.files or [])
