"""All settings, in one class; each is an environment variable ``PAYBATCH_<NAME>``."""

import os
from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from paybatch.domain.names import name_fault


def _default_home() -> Path:
    """Root gets a folder that the database's own user can reach; others their data folder."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/paybatch")
    return Path(platformdirs.user_data_dir("paybatch"))


def _name(text: str) -> str:
    """Take a name that can stand in the audit."""
    fault = name_fault(text)
    if fault is not None:
        raise ValueError(fault)
    return text


class Settings(BaseSettings):
    """How this installation runs."""

    model_config = SettingsConfigDict(env_prefix="PAYBATCH_", extra="ignore")

    database_url: str | None = Field(
        default=None, description="A PostgreSQL server (16 or later) in place of the embedded one."
    )
    home: Path = Field(
        default_factory=_default_home,
        description="Folder of the embedded database, the blobs and the keys.",
    )
    blob_url: str | None = Field(
        default=None, description="Where uploads are kept: s3://, gs://, az:// or a folder."
    )
    sender: Annotated[str, AfterValidator(_name)] = Field(
        default="local", description="Who hands in batches by the command line."
    )
    threads: int = Field(default=2, ge=1, le=64, description="How many chunks are worked at once.")
    chunk_rows: int = Field(
        default=50_000, ge=1, le=200_000, description="How many rows are claimed at once."
    )
    stop_chunk_rows: int = Field(
        default=500, ge=1, le=200_000, description="The same for a batch that may stop early."
    )
    patience_seconds: float = Field(
        default=15.0, ge=0, description="How long a run waits for calls whose effect is unknown."
    )
    drain_seconds: float = Field(
        default=10.0, ge=0, description="How long a close of day waits for calls under way."
    )
    breaker_calls: int = Field(
        default=20, ge=1, description="So many calls in a row without an answer pause a batch."
    )
    secret_hours: float = Field(
        default=24.0, gt=0, le=24, description="How long a CVV may wait to be sent."
    )
    row_text_days: int = Field(
        default=400, ge=31, description="How long the rows' own text is kept, by whole months."
    )
    file_bytes_max: int = Field(default=10 * 2**30, description="Size of a file, unpacked.")
    columns_max: int = Field(default=1_000, description="Columns of a file.")
    documents_bytes_max: int = Field(
        default=64 * 1024**2, ge=1, description="Size of all documents in an archive."
    )
    cell_characters_max: int = Field(default=65_536, ge=1, description="Length of a cell.")
