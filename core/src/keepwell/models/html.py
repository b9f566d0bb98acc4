"""Tables for notebooks: every cell is escaped, because what is remembered is data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MAX_CELL = 300


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """Give an HTML table of the cells' text; long cells are cut at ``MAX_CELL`` characters."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    if len(text) > MAX_CELL:
        text = text[: MAX_CELL - 1] + "…"
    text = text.encode("utf-8", "replace").decode()
    return f"<td style='text-align:left'>{escape(text)}</td>"
