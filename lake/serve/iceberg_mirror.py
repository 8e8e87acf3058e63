"""Mirror a Delta table as an Iceberg table over the same data files.

No row is copied.

What a snapshot shows is the files of one version of the table. Its summary names the table's id, the version and where
the table lies, and that is the cursor: what is shown is compared with the log file by file, so a lost catalog, a
restored table, one that was made anew and a lake that has moved all need nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, ValidationError
from pyiceberg.io.pyarrow import UnsupportedPyArrowTypeException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import TableProperties, Transaction
from pyiceberg.table.name_mapping import create_mapping_from_schema
from pyiceberg.table.snapshots import Snapshot

from lake.engine.failpoints import failpoint
from lake.errors import CannotMirror, DestinationInUse
from lake.serve.file_facts import FileFacts, columns_of, fingerprint, root_of
from lake.serve.iceberg_files import data_file
from lake.serve.iceberg_look import FINGERPRINT
from lake.serve.source import Source
from lake.storage.stored_files import features_beyond_files

__all__ = ["Difference", "Mirror", "Shown", "refuse_features"]

_ID, _VERSION, _COMMITTED = "delta.table-id", "delta.version", "delta.committed-at"
_PROPERTIES = {
    # The files are the Delta table's: nobody may remove them by way of Iceberg.
    "gc.enabled": "false",
    # A commit that another one overtook was made from what that one has changed.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
_REASONS = {
    "deletionVectors": "its files may have deletion vectors, which say that rows of them are gone",
    "columnMapping": "its columns are mapped: files call them otherwise than the table",
}
_REMEDY = "load it into another destination, or write the table without that"


@dataclass(frozen=True)
class Shown:
    """The version of a Delta table that a snapshot shows.

    Attributes:
        table_id: of the Delta table.
        version: of the Delta table.
        committed_at: when that version was committed; its files were part of the table then.
    """

    table_id: str
    version: int
    committed_at: datetime


@dataclass(frozen=True)
class Difference:
    """The files that an Iceberg table has to add and to remove.

    It then shows what it shall show.

    Attributes:
        new: files to be added.
        gone: files to be removed.
    """

    new: Sequence[FileFacts]
    gone: Sequence[DataFile]

    def __bool__(self) -> bool:
        return bool(self.new or self.gone)


@dataclass(frozen=True)
class Mirror:
    """One Iceberg table.

    Attributes:
        sink: whose it is, for messages.
        catalog: that names it.
        name: of it: namespace and table.
        kept_for: how long a snapshot can be read after another one has taken its place.
    """

    sink: str
    catalog: Catalog
    name: tuple[str, str]
    kept_for: timedelta

    def table(self) -> IcebergTable | None:
        """Load the table.

        None where there is none, or its metadata are lost.
        """
        try:
            return self.catalog.load_table(self.name)
        except (NoSuchTableError, FileNotFoundError):
            return None

    def shown(self) -> Shown | None:
        """Return what readers see, None where they see nothing."""
        table = self.table()
        snapshot = table.current_snapshot() if table else None
        return None if snapshot is None else _shown(snapshot)

    def files(self) -> list[DataFile]:
        """The files that readers see."""
        return list(_files(self.table()).values())

    def forget(self) -> None:
        """Remove it from the catalog. The files are the Delta table's and stay."""
        with suppress(NoSuchTableError):
            self.catalog.drop_table(self.name)

    def compare(self, files: Iterable[FileFacts]) -> Difference:
        """Find what differs between what it shows and some files."""
        held, wanted = _files(self.table()), {one.location: one for one in files}
        new = [one for location, one in wanted.items() if location not in held]
        return Difference(new, [one for location, one in held.items() if location not in wanted])

    def show(self, source: Source, files: Collection[FileFacts]) -> Difference:
        """Let it show some files of a table's version, by one snapshot.

        By none where it shows them already.

        Returns:
            What was changed.

        Raises:
            CannotMirror: the table has something that Iceberg cannot express.
            DestinationInUse: another process changed it meanwhile.
        """
        refuse_features(self.sink, source.stored)
        schema, by = columns_of(source), list(source.stored.metadata().partition_columns)
        table = self.table()
        if table is None or not _can_grow(table, schema, by):
            self.forget()  # what it shows is lost, or of a table that is gone
            table = None
        found = self.compare(files)
        try:
            change = self._grown(table, schema) if table else self._created(schema, by)
            if found:
                summary = _summary(source) | {FINGERPRINT: fingerprint(source, (one.location for one in files))}
                self._add_snapshot(change, found, summary)
            failpoint("before_swap", self.sink)
            change.commit_transaction()
        except CommitFailedException as error:
            raise DestinationInUse(self.sink, ".".join(self.name), str(error)) from error
        failpoint("after_swap", self.sink)
        if found:
            self._expire(datetime.now(UTC))
        return found

    def _add_snapshot(self, change: Transaction, found: Difference, summary: dict[str, str]) -> None:
        metadata = change.table_metadata
        snapshot = change.update_snapshot(snapshot_properties=summary)
        with snapshot.overwrite() if found.gone else snapshot.merge_append() as producer:
            for one in found.new:
                producer.append_data_file(data_file(one, metadata.schema(), metadata.spec()))
            for gone in found.gone:
                producer.delete_data_file(gone)

    def _grown(self, table: IcebergTable, schema: pa.Schema) -> Transaction:
        change = table.transaction()
        with change.update_schema() as update:
            update.union_by_name(schema)
        return change

    def _created(self, schema: pa.Schema, by: Iterable[str]) -> Transaction:
        self.catalog.create_namespace_if_not_exists(self.name[0])
        try:
            change = self.catalog.create_table_transaction(self.name, schema, properties=_PROPERTIES)
        except (UnsupportedPyArrowTypeException, TypeError, ValueError) as error:
            raise CannotMirror(self.sink, f"Iceberg cannot express a column: {error}", _REMEDY) from error
        with change.update_spec() as update:
            for column in by:
                update.add_identity(column)
        mapping = create_mapping_from_schema(change.table_metadata.schema()).model_dump_json()
        return change.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})

    def _snapshots(self, table: IcebergTable, now: datetime) -> tuple[list[Snapshot], list[Snapshot]]:
        """Split snapshots into those still promised to readers and the others.

        Readers may be reading from a promised one.
        """
        ordered = sorted(table.snapshots(), key=lambda one: one.sequence_number or 0)
        promised, over = list[Snapshot](), list[Snapshot]()
        for one, successor in zip(ordered, [*ordered[1:], None], strict=True):
            is_over = successor is not None and _at(successor) + self.kept_for < now
            (over if is_over else promised).append(one)
        return promised, over

    def _expire(self, now: datetime) -> None:
        """Forget snapshots that nobody is promised, with the metadata that only they need."""
        table = self.table()
        promised, over = self._snapshots(table, now) if table else ([], [])
        if table is None or not over:
            return
        needed = {name for one in promised for name in _metadata_files(table, one)}
        unneeded = {name for one in over for name in _metadata_files(table, one)} - needed
        table.maintenance.expire_snapshots().by_ids([one.snapshot_id for one in over]).commit()
        for name in unneeded:
            with suppress(OSError):
                table.io.delete(name)


def refuse_features(sink: str, stored: DeltaTable) -> None:
    """Refuse a table whose files do not say by themselves which rows it has.

    Raises:
        CannotMirror: it names the feature.
    """
    for name in features_beyond_files(stored):
        raise CannotMirror(sink, _REASONS.get(name, f"readers of its files must know of {name}"), _REMEDY)


def _can_grow(table: IcebergTable, schema: pa.Schema, by: list[str]) -> bool:
    """Tell whether a table can take over the columns of a schema.

    It has the partition columns of the schema, and all other columns are old or new ones.
    """
    partition = [table.schema().find_column_name(one.source_id) for one in table.spec().fields]
    if partition != by or not {field.name for field in table.schema().fields} <= set(schema.names):
        return False
    try:
        with table.transaction().update_schema() as update:
            update.union_by_name(schema)
    except (ValidationError, ValueError, TypeError):
        return False
    return True


def _files(table: IcebergTable | None) -> dict[str, DataFile]:
    """The files that a table shows now."""
    snapshot = table.current_snapshot() if table else None
    if table is None or snapshot is None:
        return {}
    entries = (one for manifest in snapshot.manifests(table.io) for one in manifest.fetch_manifest_entry(table.io))
    return {one.data_file.file_path: one.data_file for one in entries}


def _metadata_files(table: IcebergTable, snapshot: Snapshot) -> list[str]:
    return [snapshot.manifest_list, *(one.manifest_path for one in snapshot.manifests(table.io))]


def _summary(source: Source) -> dict[str, str]:
    """Return what a snapshot says of the version that it shows."""
    commit = source.log.commit(source.version)
    return {
        _ID: source.table_id,
        _VERSION: str(source.version),
        _COMMITTED: (commit.committed_at if commit else datetime.fromtimestamp(0, UTC)).isoformat(),
        "delta.location": root_of(source.log),
    }


def _shown(snapshot: Snapshot) -> Shown | None:
    said = snapshot.summary.additional_properties if snapshot.summary else {}
    if _ID not in said:
        return None  # another program made it
    return Shown(said[_ID], int(said[_VERSION]), datetime.fromisoformat(said[_COMMITTED]))


def _at(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
