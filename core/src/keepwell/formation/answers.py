"""What all answers of a language model have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


def _strict(schema: dict[str, Any]) -> None:
    """Ask for every field: strict modes of servers take no defaults, and small models leave out what they may."""
    for field in schema.get("properties", {}).values():
        field.pop("default", None)
    schema["required"] = list(schema.get("properties", {}))
    schema["additionalProperties"] = False


class AnswerModel(BaseModel):
    """An answer: its schema asks for every field and no other, and what comes is read with more patience."""

    # Built at the first use: an import of keepwell is to be quick.
    model_config = ConfigDict(extra="ignore", json_schema_extra=_strict, defer_build=True)
