"""Declare where a sink loads rows to.

No declaration holds a secret: it names the variable that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lake.declare.names import is_name

__all__ = [
    "ByDay",
    "Destination",
    "DuckDb",
    "EachNewRow",
    "How",
    "Iceberg",
    "KafkaTopic",
    "ParquetFolders",
    "Postgres",
    "Whole",
    "secret_problems",
]

Problem = tuple[str, str]
"""What is wrong, and what to write instead."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class How:
    """Name a way in which rows reach a destination."""


@dataclass(frozen=True)
class ByDay(How):
    """Replace the days that have changed, and no other."""


@dataclass(frozen=True)
class Whole(How):
    """Replace everything at once where any of it has changed.

    So all rows are of one version.
    """


@dataclass(frozen=True)
class EachNewRow(How):
    """Hand on each row once, in the order in which rows were added."""


@dataclass(frozen=True)
class Destination:
    """Name a place outside of the lake.

    A team's own kind is a frozen dataclass under this one: what a declaration says are its fields.

    Attributes:
        opened_by: `module:Class` of a `lake.serve.target.Target`, or of a `Follower` where it follows the log. The
            class is called with sink, place and whether to begin anew. A text, because a declaration imports no driver.
        extra: the extra of this distribution with the packages that the class needs, if any.
        ways: how rows can reach a destination of this kind.
        follows_log: whether it compares itself with the table's log file by file; else days are compared with what the
            destination says of them.
        shares_files: whether its readers read the files of the table itself.
    """

    opened_by: ClassVar[str] = ""
    extra: ClassVar[str | None] = None
    ways: ClassVar[tuple[type[How], ...]] = (ByDay, Whole)
    follows_log: ClassVar[bool] = False
    shares_files: ClassVar[bool] = False

    def problems(self) -> Iterator[Problem]:
        """Say what is wrong with the declaration."""
        yield from ()


@dataclass(frozen=True)
class DuckDb(Destination):
    """A DuckDB file, with one table for each sink.

    Readers never wait, because the file is replaced whole.

    Attributes:
        file: where it lies; a relative path begins at the home of the lake.
    """

    opened_by: ClassVar[str] = "lake.serve.duckdb_file:DuckDbTarget"
    file: str = "warehouse.duckdb"

    def problems(self) -> Iterator[Problem]:
        yield from _local_problems(self.file, "file")


@dataclass(frozen=True)
class ParquetFolders(Destination):
    """Parquet files in folders by day, `<folder>/<sink>/<day column>=2024-01-31/data.parquet`, for any reader.

    Attributes:
        folder: where they lie; a relative path begins at the home of the lake.
    """

    opened_by: ClassVar[str] = "lake.serve.parquet_folders:ParquetTarget"
    folder: str = "exports"

    def problems(self) -> Iterator[Problem]:
        yield from _local_problems(self.folder, "folder")


@dataclass(frozen=True)
class Postgres(Destination):
    """A table in Postgres, loaded by ADBC (extra `postgres`).

    Attributes:
        dsn_from: name of the environment variable that holds `postgresql://user:password@host/database`.
        schema: schema of the table; it is made where it is missing.
    """

    opened_by: ClassVar[str] = "lake.serve.postgres:PostgresTarget"
    extra: ClassVar[str | None] = "postgres"
    dsn_from: str
    schema: str = "public"

    def problems(self) -> Iterator[Problem]:
        yield from secret_problems("dsn_from", self.dsn_from)
        if not is_name(self.schema):
            yield f"has the schema {self.schema!r}", "use lower case letters, digits and underscores"


@dataclass(frozen=True)
class Iceberg(Destination):
    """An Iceberg table over the data files of the Delta table itself.

    It needs the extra `iceberg`, and copies no row.

    Attributes:
        namespace: of the table in the catalog.
        catalog_from: name of the environment variable that says which catalog: the URL of a REST catalog, or a JSON
            object of properties as PyIceberg takes them. None for the lake's own: a SQLite file in its home.
    """

    opened_by: ClassVar[str] = "lake.serve.iceberg:IcebergTarget"
    extra: ClassVar[str | None] = "iceberg"
    follows_log: ClassVar[bool] = True
    shares_files: ClassVar[bool] = True
    namespace: str = "lake"
    catalog_from: str | None = None

    def problems(self) -> Iterator[Problem]:
        if self.catalog_from is not None:
            yield from secret_problems("catalog_from", self.catalog_from)
        if not is_name(self.namespace):
            yield f"has the namespace {self.namespace!r}", "use lower case letters, digits and underscores"


@dataclass(frozen=True)
class KafkaTopic(Destination):
    """A topic of the lake's Kafka, with a message for each new row.

    It needs the extra `kafka`. A message lies under the values of the table's key.

    Attributes:
        topic: its name. Beside it lie `<topic>.cursor` and `<topic>.dead`.
        in_transaction: whether the rows of one publication become visible at once, each exactly once to who reads
            committed messages only.
    """

    opened_by: ClassVar[str] = "lake.serve.kafka_topic:KafkaTarget"
    extra: ClassVar[str | None] = "kafka"
    ways: ClassVar[tuple[type[How], ...]] = (EachNewRow,)
    follows_log: ClassVar[bool] = True
    topic: str
    in_transaction: bool = False

    def problems(self) -> Iterator[Problem]:
        if not _TOPIC.fullmatch(self.topic):
            yield f"names the topic {self.topic!r}", "use letters, digits, dots, dashes and underscores, at most 200"


def secret_problems(fact: str, variable: str) -> Iterator[Problem]:
    """Refuse what is no name of a variable, without repeating it.

    It may be the secret itself.
    """
    if not _VARIABLE.fullmatch(variable):
        yield f"states in {fact} no name of an environment variable", f'name the variable: {fact}="WAREHOUSE_DSN"'


def _local_problems(path: str, what: str) -> Iterator[Problem]:
    if not path or "://" in path:
        yield f"names the {what} {path!r}", "name a path of this machine"
