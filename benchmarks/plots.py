"""Draw how well systems find the evidence: ``python -m benchmarks.plots --data FILE --out PLOT NAME=RANKINGS ...``.

Each ranking is a file as ``benchmarks.recall`` and ``benchmarks.learn`` write it: ``{question: [turn, ...]}``. A bar is
the share of the questions whose evidence is all among the best ten. Names that begin with *keepwell* are set off.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.conversations import Conversation, read
from benchmarks.scores import HEADLINE, by_category

FIGURE = "all@10"
_OURS, _OTHERS = "#2a6f97", "#b8b8b8"


def shares(systems: Sequence[tuple[str, Path]], conversations: Sequence[Conversation]) -> list[tuple[str, float]]:
    """Give each system's name and its share in percent, in the order given."""
    return [
        (name, by_category(json.loads(path.read_text("utf-8")), conversations)[HEADLINE][FIGURE])
        for name, path in systems
    ]


def draw(rows: Sequence[tuple[str, float]], path: Path) -> None:
    """Write bars into a file, the first on top; the same rows give the same file."""
    plots = _plots()
    figure, axes = plots.subplots(figsize=(7, 0.9 + 0.45 * len(rows)))
    names, values = [name for name, _ in rows[::-1]], [value for _, value in rows[::-1]]
    bars = axes.barh(names, values, color=[_OURS if name.startswith("keepwell") else _OTHERS for name in names])
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9)
    axes.set_xlim(0, 100)
    axes.set_xlabel("questions with all evidence in the best ten, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plots.close(figure)


def _plots() -> Any:  # noqa: ANN401 - a module that may be missing
    """Give the plotting library, set to write text as text and no random ids."""
    try:
        import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - where it is installed
    except ImportError as error:
        message = "plots are drawn by matplotlib, which nothing else needs: pip install matplotlib"
        raise SystemExit(message) from error
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "keepwell", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - after its settings

    return plt


def _system(given: str) -> tuple[str, Path]:
    name, mark, path = given.partition("=")
    if not mark:
        message = f"not NAME=FILE: {given}"
        raise argparse.ArgumentTypeError(message)
    return name, Path(path)


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the labelled conversations that were ranked")
    parser.add_argument("--out", type=Path, required=True, help="a file for the plot (.svg)")
    parser.add_argument("systems", nargs="+", type=_system, metavar="NAME=FILE", help="rankings to compare")
    given = parser.parse_args()
    draw(shares(given.systems, read(given.data)), given.out)


if __name__ == "__main__":
    main()
