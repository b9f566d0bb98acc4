"""A message: what was said and by whom, in a neutral form that every framework can read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from keepwell.errors import InvalidMessage, InvalidScope
from keepwell.models.html import table
from keepwell.models.scope import check_id

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

MAX_ROLE_CHARACTERS = 64


class Value(BaseModel):
    """A frozen value; fields that it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class TextPart(Value):
    """Written words."""

    type: Literal["text"] = "text"
    text: str
    extras: Mapping[str, Any] = Field(default_factory=dict)


class MediaPart(Value):
    """An image, a sound, a film or a file: its bytes, or where they are."""

    type: Literal["image", "audio", "video", "file"]
    data: bytes | None = None
    url: str | None = None
    path: str | None = None
    file_id: str | None = None
    mime_type: str | None = None
    name: str | None = None
    extras: Mapping[str, Any] = Field(default_factory=dict)


class ReasoningPart(Value):
    """What a model thought before it spoke; signatures and token counts are in ``extras``."""

    type: Literal["reasoning"] = "reasoning"
    text: str
    extras: Mapping[str, Any] = Field(default_factory=dict)


class CitationPart(Value):
    """A passage that an answer rests on."""

    type: Literal["citation"] = "citation"
    text: str = ""
    source: str | None = None
    title: str | None = None
    extras: Mapping[str, Any] = Field(default_factory=dict)


class ToolCallPart(Value):
    """The place of a tool call among the other parts; ``index`` counts in ``Message.tool_calls``."""

    type: Literal["tool_call"] = "tool_call"
    index: int


class DataPart(Value):
    """Anything else that a framework puts into a message, with a word for what it is."""

    type: Literal["data"] = "data"
    kind: str
    value: Any = None


Part: TypeAlias = Annotated[
    TextPart | MediaPart | ReasoningPart | CitationPart | ToolCallPart | DataPart, Field(discriminator="type")
]


class ToolCall(Value):
    """A tool that a model asked for. ``args`` is a mapping, or the raw text where it was not valid JSON."""

    id: str | None = None
    name: str
    args: Any = Field(default_factory=dict)
    error: str | None = None


class Native(Value):
    """A framework's own lossless JSON: ``kind`` names framework and class, ``version`` the writer's version."""

    kind: str
    version: str
    data: Any


V = TypeVar("V", bound=Value)
_EVERY: set[str] = set()
"""What values made by ``trusted`` say was set: they are compared by what they hold, not by how they were made."""


def trusted(kind: type[V], fields: dict[str, Any]) -> V:
    """Give a value of fields that were checked before (all of them); a fifth of ``model_construct``'s time."""
    value = kind.__new__(kind)
    object.__setattr__(value, "__dict__", fields)
    object.__setattr__(value, "__pydantic_fields_set__", _EVERY)
    object.__setattr__(value, "__pydantic_extra__", None)
    object.__setattr__(value, "__pydantic_private__", None)
    return value


def utc(value: dt.datetime) -> dt.datetime:
    """Give a time in UTC; one without a zone is taken as UTC."""
    try:
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    except OverflowError:
        raise InvalidMessage(f"the time {value} is out of range of the calendar in UTC") from None


def now() -> dt.datetime:
    """Give this instant, in UTC."""
    return dt.datetime.now(dt.UTC)


def new_id() -> str:
    """Give an id that nothing else has."""
    return uuid4().hex


def _message_id(value: str) -> str:
    return check_id(value, "message id")


class Message(Value):
    """One entry of a thread.

    ``role`` is ``user``, ``assistant``, ``system``, ``developer``, ``tool``, ``function`` or a word of your
    own. ``created_at`` is when it was said (a time without a zone is taken as UTC); order within a thread
    is ``seq``, which the record gives. ``native`` holds the framework's own form, for a lossless way back.

    Example:
        >>> Message.user("I can't eat peanuts.").text
        "I can't eat peanuts."
    """

    role: str = Field(min_length=1, max_length=MAX_ROLE_CHARACTERS)
    parts: tuple[Part, ...] = ()
    id: Annotated[str, AfterValidator(_message_id)] = Field(default_factory=new_id)
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    created_at: Annotated[dt.datetime, AfterValidator(utc)] = Field(default_factory=now)
    seq: int | None = None
    native: Native | None = None

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - pydantic validates each of them
        """Check the fields and keep them.

        Raises:
            InvalidMessage: a field is missing, unknown or of the wrong kind.
        """
        try:
            super().__init__(**fields)
        except InvalidScope as error:
            raise InvalidMessage(str(error)) from None
        except ValidationError as error:
            raise InvalidMessage(_first_problem(error)) from error

    @classmethod
    def user(cls, content: str | Sequence[Part], **fields: Any) -> Self:  # noqa: ANN401 - fields of the class
        """Give a person's message."""
        return cls(role="user", parts=_parts(content), **fields)

    @classmethod
    def assistant(cls, content: str | Sequence[Part] = (), **fields: Any) -> Self:  # noqa: ANN401 - as above
        """Give a model's message."""
        return cls(role="assistant", parts=_parts(content), **fields)

    @classmethod
    def system(cls, content: str | Sequence[Part], **fields: Any) -> Self:  # noqa: ANN401 - as above
        """Give an instruction."""
        return cls(role="system", parts=_parts(content), **fields)

    @classmethod
    def tool(cls, content: str | Sequence[Part], *, tool_call_id: str, **fields: Any) -> Self:  # noqa: ANN401 - as above
        """Give a tool's answer to the call of that id."""
        return cls(role="tool", parts=_parts(content), tool_call_id=tool_call_id, **fields)

    @property
    def text(self) -> str:
        """The written words of all text parts, a line each."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    def _repr_html_(self) -> str:
        return table(("seq", "when", "who", "text"), [message_row(self)])


def message_row(message: Message) -> tuple[object, ...]:
    """Give the cells that a table of messages shows."""
    who = f"{message.name} ({message.role})" if message.name else message.role
    return message.seq, f"{message.created_at:%Y-%m-%d %H:%M}", who, message.text


def _parts(content: str | Sequence[Part]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    try:
        return tuple(content)
    except TypeError:
        raise InvalidMessage(f"content takes text or a list of parts, not {type(content).__name__}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in problem["loc"]) or "message"
    return f"a message cannot be made: {place}: {problem['msg']}"
