"""The Dagster resources: a Spark session and the Delta tables of one environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster_deltalake.config import AzureConfig, ClientConfig, GcsConfig, LocalConfig, S3Config
from dagster_pyspark import LazyPySparkResource
from pydantic import Field
from pyspark.sql import SparkSession

from lake.feed import Landing
from lake.session import build_session
from lake.store import DeltaStore
from resources.settings import Settings

__all__ = ["Lakehouse", "LakehouseResource", "SparkResource", "storage_options"]

_STORAGES: Mapping[str, type[AzureConfig | GcsConfig | LocalConfig | S3Config]] = {
    "s3": S3Config,
    "s3a": S3Config,
    "abfs": AzureConfig,
    "abfss": AzureConfig,
    "az": AzureConfig,
    "gs": GcsConfig,
}
_VENDOR = re.compile(r"^(aws|azure_storage|azure|google)_")


class SparkResource(LazyPySparkResource):
    """dagster-pyspark's lazy session, started on first use with the settings of `lake.session`.

    A run that reads only logs never starts a JVM. A process has one session: later runs in it get the same.
    """

    spark_config: dict[str, Any] = Field(default={}, description="Settings that win over those of lake/session.py.")
    master: str = Field(default="local[*]", description="Any Spark master.")
    remote: str | None = Field(default=None, description="A Spark Connect endpoint that replaces the master.")

    def _init_session(self) -> None:
        if self._spark_session is None:
            extra = {key: str(value) for key, value in self.spark_config.items()}
            self._spark_session = build_session(
                app_name="lakehouse", master=self.master, remote=self.remote, extra_conf=extra
            )


@dataclass(frozen=True)
class LakehouseResource:
    """The Delta tables of one environment: rows through Spark, logs and counts without a JVM.

    Attributes:
        home: folder for landing files and locks.
        tables: folder or URL of the Delta tables.
        spark: the session.
        lock_timeout_seconds: how long to wait for a table that is being written.
        options: for object stores, as delta-rs takes them.
    """

    home: Path
    tables: str
    spark: SparkResource
    lock_timeout_seconds: float = 1800.0
    options: Mapping[str, str] = field(default_factory=dict, repr=False)  # they may hold a key

    @classmethod
    def from_settings(cls, settings: Settings, spark_config: Mapping[str, str] | None = None) -> Self:
        """The resource of an environment."""
        spark = SparkResource(
            master=settings.spark_master, remote=settings.spark_remote, spark_config=dict(spark_config or {})
        )
        return cls(settings.home, settings.tables, spark, settings.lock_timeout_seconds, settings.storage_options)

    def definition(self) -> dg.ResourceDefinition:
        """This resource for Dagster, without configuration: no run may choose other tables or another storage."""
        return dg.ResourceDefinition(lambda _: self, config_schema={}, description=type(self).__doc__)

    def store(self, on_wait: Callable[[str], None] | None = None) -> DeltaStore:
        """The store; its Spark session starts when rows are first read or written through Spark.

        Args:
            on_wait: told when a wait for another writer of a table begins; standard error if None.
        """
        store = DeltaStore(
            tables=self.tables,
            landing=Landing(self.home / "landing"),
            locks=self.home / "locks",
            session=self._session,
            storage_options=storage_options(self.tables, self.options),
            lock_timeout_seconds=self.lock_timeout_seconds,
        )
        if on_wait is not None:
            store.on_wait = on_wait
        return store

    def _session(self) -> SparkSession:
        session: SparkSession = self.spark.spark_session
        return session


Lakehouse = dg.ResourceParam[LakehouseResource]
"""How an asset, a check or a sensor asks for the resource."""


def storage_options(tables: str, given: Mapping[str, str]) -> dict[str, str]:
    """Options for reading and writing table logs, checked and completed by dagster-deltalake's storage configs.

    Args:
        tables: folder or URL of the tables; its scheme says which storage it is.
        given: options under any of the names that delta-rs takes (`AWS_REGION`, `aws_region`, `region`). Those that the
            configs do not know are passed on as they are.
    """
    scheme, separator, _ = tables.partition("://")
    storage = _STORAGES.get(scheme, LocalConfig) if separator else LocalConfig
    short = {_VENDOR.sub("", key.lower()): value for key, value in given.items()}
    known: dict[str, str] = {}
    for config in (storage, ClientConfig):
        fields = {name: short.pop(name) for name in config.model_fields if name in short}
        # As its str_dict() gives them, which calls a deprecated method of pydantic.
        known |= {
            name: str(value) for name, value in config.model_validate(fields).model_dump(exclude_none=True).items()
        }
    rest = {key: value for key, value in given.items() if _VENDOR.sub("", key.lower()) in short}
    return rest | known
