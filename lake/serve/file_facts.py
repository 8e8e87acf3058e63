"""Read what the log of a Delta table says of its files, for a mirror that shows them.

Nothing is opened but the log; of a file whose writer counted nothing there, the footer too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from lake.serve.source import Source
from lake.storage.location import is_local
from lake.storage.log import Log
from lake.storage.stored_files import features_beyond_files

__all__ = ["FileFacts", "columns_of", "file_facts", "fingerprint", "location_of", "root_of"]


@dataclass(frozen=True)
class FileFacts:
    """The facts that the log has about one file.

    Attributes:
        location: its URL.
        said: the columns of `DeltaTable.get_add_actions(flatten=True)`.
    """

    location: str
    said: Mapping[str, Any]

    def partition(self, column: str) -> Any:
        """Its value of a partition column."""
        return self.said.get(f"partition.{column}")


def root_of(log: Log) -> str:
    """The URL of a table's folder, as Iceberg writes it: nothing is escaped."""
    return f"file://{Path(log.location).resolve()}" if log.is_local else log.location.rstrip("/")


def location_of(root: str, path: str) -> str:
    """The URL of a file that the log names."""
    return f"{root}/{path}" if is_local(path) else path


def file_facts(log: Log, stored: DeltaTable) -> Iterator[FileFacts]:
    """Read what the log says of the files of a version."""
    root = root_of(log)
    for said in pa.table(stored.get_add_actions(flatten=True)).to_pylist():
        path = unquote(said["path"])
        if said["num_records"] is None:
            import pyarrow.parquet as pq  # which most looks at a lake do not need

            said["num_records"] = pq.read_metadata(log.open_file(path)).num_rows
        yield FileFacts(location_of(root, path), said)


def columns_of(source: Source) -> pa.Schema:
    """Return the columns that a mirror shows, none of them required.

    Files need not hold those that say which partition it is.
    """
    said = {one.name: one.description for one in source.table.contract.stored}
    return pa.schema(
        [
            pa.field(one.name, one.type, nullable=True, metadata={"doc": said.get(one.name, "")})
            for one in pa.schema(source.stored.schema())
        ]
    )


def fingerprint(source: Source, locations: Iterable[str]) -> str:
    """Sum up what a mirror of some files shows: columns, how they are partitioned, and which files.

    Features that a mirror refuses are part of it, so that no mirror has the fingerprint of such a table.
    """
    columns = [(one.name, str(one.type), one.metadata) for one in columns_of(source)]
    by, beyond = source.stored.metadata().partition_columns, features_beyond_files(source.stored)
    return sha256(repr((columns, by, beyond, sorted(locations))).encode()).hexdigest()
