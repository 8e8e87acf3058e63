"""The Dagster resources: a Spark session and the Delta tables of one environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import dagster as dg
from dagster_deltalake.config import AzureConfig, ClientConfig, GcsConfig, LocalConfig, S3Config
from dagster_pyspark import LazyPySparkResource
from pydantic import PrivateAttr, ValidationError
from pyspark.sql import SparkSession

from lake.engine.compiling import Work
from lake.errors import BadSetting
from lake.project.opening import open_session, open_store
from lake.project.settings import Settings
from lake.storage.location import scheme_of
from lake.storage.s3 import VENDOR
from lake.write.store import DeltaStore

__all__ = ["Lakehouse", "LakehouseResource", "SparkResource", "check_storage_options"]

_STORAGES: Mapping[str, type[AzureConfig | GcsConfig | LocalConfig | S3Config]] = {
    "s3": S3Config,
    "s3a": S3Config,
    "abfs": AzureConfig,
    "abfss": AzureConfig,
    "az": AzureConfig,
    "gs": GcsConfig,
}


class SparkResource(LazyPySparkResource):
    """dagster-pyspark's lazy session, started on first use as `lake.project.opening` starts it for commands.

    A run that reads only logs never starts a JVM. A process has one session: later runs in it get the same.
    """

    _settings: Settings = PrivateAttr()
    _work: Callable[[], Work] = PrivateAttr()

    def __init__(self, settings: Settings) -> None:
        super().__init__(spark_config={})
        self._settings = settings
        self._work = lambda: Work.MUCH

    def expect(self, work: Callable[[], Work]) -> None:
        """Note how to find out how much this process computes.

        It is asked when the session starts.
        """
        self._work = work

    def _init_session(self) -> None:
        if self._spark_session is None:
            self._spark_session = open_session(self._settings, self._work())

    def interrupt(self) -> None:
        """Make the jobs of the session fail, if it was started."""
        if self._spark_session is not None:
            self._spark_session.interruptAll()


@dataclass(frozen=True)
class LakehouseResource:
    """The Delta tables of one environment.

    Rows come through Spark, logs and counts without a JVM.

    Attributes:
        settings: of the environment.
        spark: the session.
    """

    settings: Settings
    spark: SparkResource

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Build the resource of an environment.

        Raises:
            BadSetting: an option of the storage cannot be used.
        """
        check_storage_options(settings.tables, settings.storage_options)
        return cls(settings, SparkResource(settings))

    def definition(self, work_of_run: Callable[[dg.DagsterRun], Work] = lambda _: Work.MUCH) -> dg.ResourceDefinition:
        """Return this resource for Dagster, without configuration.

        No run may choose other tables or another storage.

        Args:
            work_of_run: tells how much the process of a run computes.
        """

        def begin(context: dg.InitResourceContext) -> LakehouseResource:
            if (run := context.run) is not None:
                self.spark.expect(lambda: work_of_run(run))
            return self

        return dg.ResourceDefinition(begin, config_schema={}, description=type(self).__doc__)

    def store(self, on_wait: Callable[[str], None] | None = None) -> DeltaStore:
        """Open the store, without a Spark session yet.

        The session starts when rows are first read or written through Spark.

        Args:
            on_wait: told when a wait for another writer of a table begins; standard error if None.
        """
        return open_store(self.settings, self._session, on_wait)

    def _session(self) -> SparkSession:
        session: SparkSession = self.spark.spark_session
        return session


Lakehouse = dg.ResourceParam[LakehouseResource]
"""How an asset, a check or a sensor asks for the resource."""


def check_storage_options(tables: str, given: Mapping[str, str]) -> None:
    """Check options of an object store by dagster-deltalake's storage configs.

    Args:
        tables: folder or URL of the tables; its scheme says which storage it is.
        given: options under any of the names that delta-rs takes (`AWS_REGION`, `aws_region`, `region`).

    Raises:
        BadSetting: an option that the configs know has a value that they refuse.
    """
    storage = _STORAGES.get(scheme_of(tables), LocalConfig)
    short = {VENDOR.sub("", key.lower()): value for key, value in given.items()}
    for config in (storage, ClientConfig):
        try:
            config.model_validate({name: short[name] for name in config.model_fields if name in short})
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise BadSetting("LAKEHOUSE_STORAGE_OPTIONS", f"({name}, not shown)", f"{name}: {first['msg']}") from None
