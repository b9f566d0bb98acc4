"""Settings: the only place that reads the environment (``KEEPWELL_*``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from keepwell.errors import UsageError


class Settings(BaseSettings):
    """What ``Memory.open`` uses where it is not told.

    ``dsn``: the server (embedded where absent). ``path``: the embedded server's data folder. ``read_dsn``: a
    read-only server for loading recalls. ``stores``: named DSNs (``KEEPWELL_STORES__NAME``).
    ``prepare_threshold``: psycopg's; -1 never prepares, for poolers that cannot keep prepared statements.
    ``snapshot_megabytes``: how much memory scopes may take in this process. ``embed_seconds``: how long a
    recall waits for a remote embedder. ``form``: whether facts are formed from messages, ``form_pause_seconds`` after
    the last of them or as soon as ``form_every`` wait. ``language_model``: a name or an address of the model that
    does it, ``worker``: who. ``instructions`` and ``never``: texts for it. ``tokens_per_day`` and ``calls_per_day``:
    what it may use for one owner. ``distil_hour`` (UTC): when patterns are looked for. ``retention_days``: how long
    messages are kept. ``secret``: what rejections are hashed under, instead of one that is kept in the store.
    ``language``: by whose rules words are stemmed (``german``; ``simple`` stems nothing); where nothing is said, that
    of what is kept already, English at first.
    ``ranking``: whether recalls weigh by what was learned, or by weights set by hand.
    ``graph``: ``record`` notes who is spoken of and how they stand to each other, ``none`` does not,
    the address of a Neo4j (``neo4j://...``) does, and projects it there as ``neo4j_user`` with ``neo4j_password``;
    ``graph_source``: whether recall walks it in the record or in Neo4j, which it waits ``graph_seconds`` for;
    ``merge_threshold``: how alike two names are (with their company) that are taken to be one.
    ``context_items`` and ``context_characters``: how much a context recalls, and of each.
    """

    model_config = SettingsConfigDict(env_prefix="KEEPWELL_", env_nested_delimiter="__", extra="ignore")

    dsn: str | None = None
    read_dsn: str | None = None
    path: Path | None = None
    db_schema: str = Field("keepwell", validation_alias="KEEPWELL_SCHEMA")
    tenant: str = "default"
    stores: dict[str, str] = Field(default_factory=dict)
    pool_size: int = Field(8, ge=1, le=1000)
    pool_seconds: float = Field(10.0, gt=0)
    prepare_threshold: int = Field(5, ge=-1)
    snapshot_megabytes: int = Field(256, ge=0)
    embed_seconds: float = Field(3.0, gt=0)
    form: bool = True
    form_pause_seconds: float = Field(30.0, ge=0)
    form_every: int = Field(20, ge=1)
    language_model: str | None = None
    worker: Literal["thread", "none"] | None = None
    instructions: str = ""
    never: str = ""
    tokens_per_day: int | None = Field(None, ge=0)
    calls_per_day: int | None = Field(None, ge=0)
    distil_hour: int | None = Field(3, ge=0, le=23)
    retention_days: float | None = Field(None, gt=0)
    secret: SecretStr | None = Field(None, min_length=16)
    language: str | None = None
    ranking: Literal["learned", "hand"] = "learned"
    graph: str = "record"
    graph_source: Literal["record", "neo4j"] = "record"
    graph_seconds: float = Field(1.0, gt=0)
    neo4j_user: str | None = None
    neo4j_password: SecretStr | None = None
    merge_threshold: float = Field(0.7, gt=0, le=1)
    context_items: int = Field(5, ge=1, le=1000)
    context_characters: int = Field(300, ge=20)


def read_settings() -> Settings:
    """Give the settings of the environment.

    Raises:
        UsageError: a variable holds something that it cannot.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(step) for step in problem["loc"]).upper().removeprefix("KEEPWELL_")
        raise UsageError(f"the environment variable KEEPWELL_{name} is not usable: {problem['msg']}") from None
