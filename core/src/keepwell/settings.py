"""Settings: the only place that reads the environment (``KEEPWELL_*``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from keepwell.errors import UsageError


class Settings(BaseSettings):
    """What ``Memory.open`` uses where it is not told.

    ``dsn``: the server (embedded where absent). ``path``: the embedded server's data folder. ``read_dsn``: a
    read-only server for loading recalls. ``stores``: named DSNs (``KEEPWELL_STORES__NAME``).
    ``prepare_threshold``: psycopg's; -1 never prepares, for poolers that cannot keep prepared statements.
    ``snapshot_megabytes``: how much memory scopes may take in this process. ``embed_seconds``: how long a
    recall waits for a remote embedder.
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
