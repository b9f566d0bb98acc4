"""How well rankings find the evidence: shares of questions with all, any or a part of it among the best k."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.conversations import UNANSWERABLE, Conversation

DEPTHS = (5, 10, 20, 50)
HEADLINE = "headline"
Rankings = Mapping[str, Sequence[str]]


def measured(ranking: Sequence[str], evidence: Sequence[str]) -> dict[str, float]:
    """Give the figures of one question; the ranking is best first."""
    wanted = set(evidence)
    places = [place for place, ident in enumerate(dict.fromkeys(ranking)) if ident in wanted]
    figures: dict[str, float] = {}
    for depth in DEPTHS:
        hits = sum(place < depth for place in places)
        figures |= {f"all@{depth}": float(hits == len(wanted)), f"frac@{depth}": hits / len(wanted)}
    gain = sum(1 / math.log2(place + 2) for place in places if place < 10)
    best = sum(1 / math.log2(place + 2) for place in range(min(len(wanted), 10)))
    return figures | {"ndcg@10": gain / best, "mrr": 1 / (1 + min(places)) if places else 0.0}


def by_category(rankings: Rankings, conversations: Sequence[Conversation]) -> dict[str, dict[str, float]]:
    """Give the mean figures in percent of each category, and of all but those that nothing answers."""
    groups: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for question in (question for one in conversations for question in one.questions):
        figures = measured(rankings.get(question.ident, ()), question.evidence)
        for group in {question.category} | (set() if question.category == UNANSWERABLE else {HEADLINE}):
            groups[group].append(figures)
    return {
        group: {"n": float(len(rows))} | {name: 100 * sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        for group, rows in groups.items()
    }


def show(title: str, rankings: Mapping[str, Rankings], conversations: Sequence[Conversation]) -> None:
    """Print one line a system and category."""
    names = ("all@5", "all@10", "all@20", "all@50", "frac@10", "ndcg@10", "mrr")
    table = Table("system", "category", "n", *names, title=title, title_justify="left")
    for system, ranking in rankings.items():
        figures = by_category(ranking, conversations)
        for group in sorted(figures, key=lambda name: (name != HEADLINE, name)):
            row = figures[group]
            table.add_row(system, group, f"{row['n']:.0f}", *(f"{row[name]:.1f}" for name in names))
        table.add_section()
    Console(width=140).print(table)
