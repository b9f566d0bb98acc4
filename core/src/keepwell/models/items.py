"""Where the items of a key-value store lie: a namespace and a key, written as one text that sorts by namespace.

The text is the item's fact key. What is below a namespace begins with that namespace's text, so that a search of it is
one stretch of an index.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from keepwell.errors import UsageError
from keepwell.models.scope import Owner

ITEM: Final = "item"
"""The kind of a fact that is an item."""
Tree = Literal["items:/", "own-items:/"]
"""Two trees of namespaces: one that a tenant's owners share, where the namespace says whose an item is, and one that
each owner has alone."""
SHARED: Final[Tree] = "items:/"
OWN: Final[Tree] = "own-items:/"
NOBODY: Final = Owner("", "keepwell.nobody", "")
"""Whose the items are whose namespace names nobody: no person's recall sees them."""
MAX_PATH_BYTES: Final = 1000
"""With a tenant and an owner of the longest ids it still fits into one entry of an index."""
PARAGRAPH: Final = "\u2029"
"""What stands between the fields of an item in its statement; a text is cut there before it is embedded."""
_UNSAFE = re.compile("[%/\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_UNSAFE_IN_KEY = re.compile("[%\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_ESCAPED = re.compile("(?:%[0-9A-F]{2})+")


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a store: a value under a key in a namespace.

    ``number`` names this version of it in its store; ``score`` is how well it fits a query, None without one.
    ``ttl`` is in minutes.
    """

    namespace: tuple[str, ...]
    key: str
    value: Mapping[str, Any]
    owner: Owner
    created_at: dt.datetime
    updated_at: dt.datetime
    expires_at: dt.datetime | None = None
    ttl: float | None = None
    number: int = 0
    score: float | None = None


def prefix_of(tree: Tree, namespace: Sequence[str]) -> str:
    """Give what the paths of all items in a namespace, and below it, begin with.

    Example:
        >>> prefix_of(SHARED, ("memories", "ada"))
        'items:/memories/ada/'
    """
    return tree + "".join(f"{_label(label)}/" for label in namespace)


def path_of(tree: Tree, namespace: Sequence[str], key: str) -> str:
    """Give the path of an item.

    Raises:
        UsageError: namespace and key are too long together.

    Example:
        >>> path_of(SHARED, ("memories", "ada"), "home")
        'items:/memories/ada/:home'
    """
    path = f"{prefix_of(tree, namespace)}:{_UNSAFE_IN_KEY.sub(_escape, key)}"
    if len(path.encode()) > MAX_PATH_BYTES:
        raise UsageError(f"the namespace and key {path[:60]!r}... are longer than {MAX_PATH_BYTES} bytes together")
    return path


def place_of(path: str) -> tuple[tuple[str, ...], str]:
    """Give the namespace and key of a path."""
    space, _, key = path.partition("/:")
    return namespace_of(space), _unescape(key)


def namespace_of(space: str) -> tuple[str, ...]:
    """Give the namespace of a path's part before its key."""
    labels = space.partition(":/")[2]
    return tuple(_unescape(label) for label in labels.split("/")) if labels else ()


def label(text: str) -> str:
    """Give any text as a label that LangGraph allows: without dots, NUL and lone surrogates, and never empty.

    Example:
        >>> label("bob@mail.com")
        'bob@mail%2Ecom'
        >>> unlabel(label("bob@mail.com"))
        'bob@mail.com'
    """
    return re.sub("[%.\x00-\x1f\x7f\ud800-\udfff]", _escape, text) if text else "%"


def unlabel(label: str) -> str:
    """Give the text that :func:`label` was given."""
    return "" if label == "%" else _unescape(label)


def is_item(kind: str, key: str | None) -> bool:
    """Tell whether a fact is an item of a store."""
    return kind == ITEM and key is not None and key.startswith((SHARED, OWN))


def _label(label: str) -> str:
    text = _UNSAFE.sub(_escape, label)
    # A colon at the beginning marks the key.
    return f"%3A{text[1:]}" if text.startswith(":") else text


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


def _unescape(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass")

    return _ESCAPED.sub(plain, text) if "%" in text else text
