"""A drawing of a graph: names laid out by forces, relations as arrows between them, as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from keepwell.errors import MissingExtra, UsageError
from keepwell.models.graph import Entity, EntityType, Neighbourhood

Points = NDArray[np.float64]
_FILL: Mapping[EntityType, str] = {
    "person": "#cfe3f7", "place": "#d6efd0", "organisation": "#f7e2bf", "work": "#e6d9f2", "handle": "#e3e3e3",
    "thing": "#f4f0df",
}  # fmt: skip
_LINE, _INK, _FAINT = "#8a94a0", "#1f2730", "#5b6672"
_ROUNDS = 300
_CHARACTER, _HEIGHT, _MARGIN = 7.2, 26.0, 28.0
_LONGEST = 28
_TOGETHER = 1.0
"""How much everything is drawn to the middle, so that parts without a relation between them do not drift away."""
_MANY = 250
"""More entities than this are laid out with fewer rounds."""


@dataclass(frozen=True, slots=True)
class Node:
    """A name in its place."""

    x: float
    y: float
    name: str
    type: EntityType
    chief: bool

    @property
    def width(self) -> float:
        """How wide its box is."""
        return max(40.0, _CHARACTER * len(self.name) + 18)


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow from one node (its place in the list) to another, with what it says."""

    start: int
    end: int
    said: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph laid out; notebooks show it as it is.

    Example:
        >>> Drawing((), ()).svg.startswith("<svg")
        True
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        right = max((node.x + node.width / 2 for node in self.nodes), default=100.0)
        low = max((node.y + _HEIGHT / 2 for node in self.nodes), default=60.0)
        return right + _MARGIN, low + _MARGIN

    @property
    def svg(self) -> str:
        """The drawing as SVG; names are escaped, nothing is loaded from anywhere."""
        return "".join(_svg(self))

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write it to a file that ends in ``.svg``, or in ``.png`` where matplotlib is installed; give the path.

        Raises:
            UsageError: the file ends in neither.
            MissingExtra: a PNG is asked for and matplotlib is not installed.
        """
        target = Path(path)
        match target.suffix.lower():
            case ".svg":
                target.write_text(self.svg, encoding="utf-8")
            case ".png":
                _write_png(self, target)
            case _:
                raise UsageError(
                    f"a drawing is written as .svg or .png, not as {target.suffix or 'a file without an end'}"
                )
        return target


def drawn(around: Neighbourhood) -> Drawing:
    """Give the drawing of a neighbourhood; the same one is drawn the same way."""
    entities = sorted(around.entities.values(), key=lambda one: (around.hops.get(one.id, 1), str(one.id)))
    places = {one.id: place for place, one in enumerate(entities)}
    said: dict[tuple[int, int], list[str]] = {}
    for relation in around.relations:
        ends = places.get(relation.subject), places.get(relation.object)
        if ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
            said.setdefault((ends[0], ends[1]), []).append(relation.predicate)
    edges = tuple(Edge(start, end, ", ".join(dict.fromkeys(words))) for (start, end), words in said.items())
    if not entities:
        return Drawing((), ())
    widths = [max(40.0, _CHARACTER * len(_short(one.name)) + 18) for one in entities]
    points = _spread(_laid_out(len(entities), [(edge.start, edge.end) for edge in edges]), widths, edges)
    return Drawing(tuple(_nodes(entities, points, around.hops)), edges)


def _nodes(entities: Sequence[Entity], points: Points, hops: Mapping[UUID, int]) -> Iterator[Node]:
    for one, (x, y) in zip(entities, points, strict=True):
        yield Node(float(x), float(y), _short(one.name), one.type, hops.get(one.id) == 0)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\u2026"


def _laid_out(count: int, pairs: Sequence[tuple[int, int]]) -> Points:
    """Give places in the unit square: all push each other away, what is related is drawn together.

    After Fruchterman and Reingold, "Graph Drawing by Force-directed Placement", 1991.
    """
    angles = np.arange(count) * math.pi * (3 - math.sqrt(5))
    points: Points = np.stack([np.cos(angles), np.sin(angles)], 1)
    points *= np.sqrt((np.arange(count) + 0.5) / count)[:, None]
    linked = np.zeros((count, count))
    for one, two in pairs:
        linked[one, two] = linked[two, one] = 1.0
    ideal, heat = math.sqrt(2.0 / count), 0.2
    rounds = _ROUNDS if count <= _MANY else _ROUNDS // 5
    for _ in range(rounds):
        apart = points[:, None, :] - points[None, :, :]
        far = np.maximum(np.sqrt((apart**2).sum(2)), 1e-3)
        force = (apart * (ideal**2 / far**2 - linked * far / ideal)[:, :, None]).sum(1) - _TOGETHER * points
        length = np.maximum(np.sqrt((force**2).sum(1)), 1e-9)
        points += force / length[:, None] * np.minimum(length, heat)[:, None]
        heat = max(0.002, heat * 0.98)
    return points


def _spread(points: Points, widths: Sequence[float], edges: Sequence[Edge]) -> Points:
    """Give places in pixels, far enough apart for the names and for what is written on the arrows."""
    half = np.asarray(widths) / 2
    starts, ends = [edge.start for edge in edges], [edge.end for edge in edges]
    lengths = np.sqrt(((points[starts] - points[ends]) ** 2).sum(1)) if edges else np.ones(1)
    words = float(np.mean([min(len(edge.said), _LONGEST) for edge in edges])) if edges else 0.0
    wanted = 60 + float(np.mean(widths)) * 0.7 + _CHARACTER * words
    placed = points * (wanted / max(float(np.median(lengths)), 1e-6))
    placed[:, 1] *= 0.75
    for _ in range(200):
        if not _push_apart(placed, half):
            break
    placed[:, 0] += _MARGIN - (placed[:, 0] - half).min()
    placed[:, 1] += _MARGIN + _HEIGHT / 2 - placed[:, 1].min()
    return placed


def _push_apart(placed: Points, half: NDArray[np.float64]) -> bool:
    """Move boxes that lie on each other apart; tell whether there were any."""
    across = placed[:, None, 0] - placed[None, :, 0]
    down = placed[:, None, 1] - placed[None, :, 1]
    wide = half[:, None] + half[None, :] + 14 - np.abs(across)
    tall = _HEIGHT + 14 - np.abs(down)
    clash = (wide > 0) & (tall > 0)
    np.fill_diagonal(clash, val=False)
    if not clash.any():
        return False
    order = np.arange(len(placed))
    side = np.where(down == 0, np.sign(order[:, None] - order[None, :]), np.sign(down))
    placed[:, 1] += (clash * side * tall / 2).sum(1).clip(-_HEIGHT, _HEIGHT)
    return True


def _svg(drawing: Drawing) -> Iterator[str]:
    width, height = drawing.size
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="13">'
        f'<defs><marker id="keepwell-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="{_LINE}"/></marker></defs>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    for edge in drawing.edges:
        yield _arrow(drawing, edge)
    for node in drawing.nodes:
        yield _box(node)
    for edge in drawing.edges:
        yield _words(drawing, edge)
    yield "</svg>"


def _line(drawing: Drawing, edge: Edge) -> tuple[float, float, float, float]:
    """Give where an arrow begins and ends: at the edges of the boxes."""
    one, two = drawing.nodes[edge.start], drawing.nodes[edge.end]
    x1, y1 = _border(one, two)
    x2, y2 = _border(two, one)
    return x1, y1, x2, y2


def _border(one: Node, two: Node) -> tuple[float, float]:
    across, down = two.x - one.x, two.y - one.y
    scale = min(
        (one.width / 2 + 2) / abs(across) if across else math.inf, (_HEIGHT / 2 + 2) / abs(down) if down else math.inf
    )
    return (one.x + across * scale, one.y + down * scale) if math.isfinite(scale) else (one.x, one.y)


def _arrow(drawing: Drawing, edge: Edge) -> str:
    x1, y1, x2, y2 = _line(drawing, edge)
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_LINE}" stroke-width="1.4" '
        f'marker-end="url(#keepwell-arrow)"/>'
    )


def _middle(drawing: Drawing, edge: Edge) -> tuple[float, float]:
    """Give where an arrow's words stand: nearer to its beginning, so that those of two arrows there and back differ."""
    x1, y1, x2, y2 = _line(drawing, edge)
    back = any((other.start, other.end) == (edge.end, edge.start) for other in drawing.edges)
    share = 0.33 if back else 0.5
    return x1 + (x2 - x1) * share, y1 + (y2 - y1) * share


def _words(drawing: Drawing, edge: Edge) -> str:
    x, y = _middle(drawing, edge)
    said = html.escape(_short(edge.said))
    return (
        f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="11" fill="{_FAINT}" stroke="#ffffff" '
        f'stroke-width="4" paint-order="stroke">{said}</text>'
    )


def _box(node: Node) -> str:
    x, y = node.x - node.width / 2, node.y - _HEIGHT / 2
    weight, line = (2.2, _INK) if node.chief else (1.0, _LINE)
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{node.width:.1f}" height="{_HEIGHT:.0f}" rx="13" '
        f'fill="{_FILL[node.type]}" stroke="{line}" stroke-width="{weight}"/>'
        f'<text x="{node.x:.1f}" y="{node.y + 4.5:.1f}" text-anchor="middle" fill="{_INK}">'
        f"{html.escape(node.name)}</text>"
    )


def _write_png(drawing: Drawing, target: Path) -> None:
    figure_of = _matplotlib()
    width, height = drawing.size
    figure = figure_of(figsize=(width / 100, height / 100), dpi=160, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for edge in drawing.edges:
        x1, y1, x2, y2 = _line(drawing, edge)
        axes.annotate("", (x2, y2), (x1, y1), arrowprops={"arrowstyle": "-|>", "color": _LINE, "lw": 1.1})
    for edge in drawing.edges:
        x, y = _middle(drawing, edge)
        plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axes.text(x, y, _plain(edge.said), ha="center", va="center", fontsize=7.5, color=_FAINT, bbox=plate)
    for node in drawing.nodes:
        box = {"boxstyle": "round,pad=0.45", "facecolor": _FILL[node.type], "edgecolor": _INK if node.chief else _LINE}
        axes.text(node.x, node.y, _plain(node.name), ha="center", va="center", fontsize=9, color=_INK, bbox=box)
    figure.savefig(target)


def _plain(text: str) -> str:
    """Give words that matplotlib does not read as mathematics."""
    return _short(text).replace("$", r"\$")


def _matplotlib() -> Any:  # noqa: ANN401 - it is optional, and its types with it
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional package
    except ImportError:
        raise MissingExtra("graph", "matplotlib") from None
    return Figure
