"""What the reference does with docstrings before it shows them."""  # noqa: INP001 - loaded by mkdocs, by its path

import re

import griffe

_ROLE = re.compile(r":(?:class|meth|func|attr|mod|exc):`~?([^`]*)`")
_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Readable(griffe.Extension):
    """Makes roles plain code, and has examples shown as code."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Change the text of an object's docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(r"``\1``", obj.docstring.value)
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", text)
