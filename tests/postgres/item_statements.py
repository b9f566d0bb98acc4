"""Items of stores, and parameters for the statements on them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

from keepwell.models import Owner
from keepwell.models.items import SHARED, path_of, prefix_of
from keepwell.storage.base import Record
from keepwell.storage.items import ReadItems
from keepwell.storage.postgres.items import _mark, _row
from keepwell.testing.conformance.items_base import item, put

ADA = Owner("ada", "", "")
SPACE = ("notes", "ada")


def furnish_items(record: Record) -> int:
    """Give a tenant items, one of which does not live for ever, and give its number."""
    put(record, item("k", "nut cake", ttl=60), item("l", "nut oil"))
    (found,) = record.read(ReadItems(((ADA, path_of(SHARED, SPACE, "k")),)))
    assert found is not None
    return found.number


def item_parameters(number: int, space: int, vector: Any, expired: UUID) -> dict[str, dict[str, Any]]:
    """Give what the statements on items are run with."""
    stretch = {"least": prefix_of(SHARED, SPACE), "most": prefix_of(SHARED, SPACE)[:-1] + "0"}
    search = {**stretch, "where": None, "operands": "{}", "limit": 10, "offset": 0}
    words = {**search, "terms": ["nut"], "vector": vector, "space": space, "nearness": 0.75}
    many = {"first": True, "large": 1, "share": 600, "dimension": 8}
    near = {**words, "terms": ["nut"], "width": 100, "breadth": 100, "scanned": 1000}
    rows = json.dumps([_row(item("k", "nut butter"), 0), _row(item("new", "nut milk"), 1)])
    put_ = {"items": rows, "embedded": [0], "chunks": [0], "vectors": vector, "space": space, "actor": "tests"}
    put_ |= {"large": 1, "noted_every": 1}
    path = path_of(SHARED, SPACE, "k")
    return {
        "put_items": {**put_, "batch": uuid4(), "alone": True},
        "read_item": {"path": path, "mark": _mark(path)},
        "read_items": {"users": ["ada"], "agents": [""], "runs": [""], "paths": [path], "marks": [_mark(path)]},
        "newest_items": search,
        "newest_items_of_all": search,
        "best_items": {**words, **many},
        "nearest_items": near,
        "best_items_of_all": words,
        "namespaces": stretch,
        "namespaces_of_all": stretch,
        "keep_items": {"keys": [number]},
        "expired_still": {"facts": [expired]},
    }
