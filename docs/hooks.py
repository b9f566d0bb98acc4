"""A hook of the documentation build: roles in docstrings, which Markdown does not know, become plain code."""

import re
from typing import Any

_ROLE = re.compile(r":(?:class|meth|func|attr|mod|exc):<code>~?([^<]*)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Give the page with each role as the name that it stands for."""
    return _ROLE.sub(lambda found: f"<code>{found[1]}</code>", html)
