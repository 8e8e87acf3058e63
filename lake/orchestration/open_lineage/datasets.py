"""Say what tables and feeds are, in the words of OpenLineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from openlineage.client.facet_v2 import (
    DatasetFacet,
    column_lineage_dataset,
    dataset_version_dataset,
    documentation_dataset,
    ownership_dataset,
    schema_dataset,
    symlinks_dataset,
    tags_dataset,
)

from lake.declare.column_lineage import ColumnLineage
from lake.declare.column_origins import InputColumn
from lake.declare.delta_feed import DeltaFeed
from lake.declare.feed import Feed
from lake.declare.table import Table
from lake.project.settings import Settings
from lake.storage.delta_folder import DeltaFolder
from lake.storage.location import is_local

__all__ = ["Name", "dataset_name", "feed_facets", "lineage_facet", "table_facets"]

_DIRECT = {"same": "IDENTITY", "computed": "TRANSFORMATION", "aggregated": "AGGREGATION"}
_INDIRECT = {"window": "WINDOW", "filter": "FILTER", "group": "GROUP_BY", "join": "JOIN", "order": "SORT"}


class Name(NamedTuple):
    """Name a dataset by where it lies.

    That is `s3://bucket` and the path in it, or `file` and a folder.
    """

    namespace: str
    name: str


def dataset_name(settings: Settings, source: Table | Feed) -> Name:
    """Name a table or a feed by where it lies."""
    place = _place(settings, source)
    if is_local(place):
        return Name("file", str(Path(place).absolute()))
    url = urlsplit(place)
    scheme = {"s3a": "s3"}.get(url.scheme, url.scheme)
    return Name(f"{scheme}://{url.netloc}", url.path.strip("/"))


def _place(settings: Settings, source: Table | Feed) -> str:
    if isinstance(source, Table):
        return f"{settings.tables}/{source.path}"
    location = settings.landing.location
    if isinstance(source, DeltaFeed):
        return str(DeltaFolder(source, location).location)
    return f"{location}/{source.pattern.text if source.pattern else source.name}"


def table_facets(
    table: Table, lake: str, table_id: str | None = None, version: int | None = None
) -> dict[str, DatasetFacet]:
    """Say all that is declared of a table.

    Args:
        table: the table.
        lake: the namespace in which it is called `layer.name`.
        table_id: Delta's id, which a table that is made anew does not keep.
        version: the version that was read or written; None where it is not known.
    """
    called = symlinks_dataset.Identifier(lake, table.full_name, "TABLE")
    facets: dict[str, DatasetFacet] = {
        "documentation": documentation_dataset.DocumentationDatasetFacet(table.description),
        "ownership": ownership_dataset.OwnershipDatasetFacet([ownership_dataset.Owner(table.owner)]),
        "schema": schema_dataset.SchemaDatasetFacet(
            [
                schema_dataset.SchemaDatasetFacetFields(one.name, one.dtype.simpleString(), one.description, place)
                for place, one in enumerate(table.contract.stored, 1)
            ]
        ),
        "symlinks": symlinks_dataset.SymlinksDatasetFacet([called]),
    }
    if tags := list(_tags(table)):
        facets["tags"] = tags_dataset.TagsDatasetFacet(tags)
    if version is not None:
        said = str(version) if table_id is None else f"{table_id}@{version}"
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(said)
    return facets


def feed_facets(feed: Feed) -> dict[str, DatasetFacet]:
    """Say what arrives in a feed."""
    return {"documentation": documentation_dataset.DocumentationDatasetFacet(feed.description)}


def _tags(table: Table) -> Iterable[tags_dataset.TagsDatasetFacetFields]:
    for key, value in sorted(table.tags.items()):
        yield tags_dataset.TagsDatasetFacetFields(key, value, "DECLARATION")
    for column in table.contract.stored:
        if column.is_personal:
            yield tags_dataset.TagsDatasetFacetFields("pii", str(column.pii), "DECLARATION", column.name)


def lineage_facet(
    lineage: ColumnLineage, names: Mapping[str, Name]
) -> column_lineage_dataset.ColumnLineageDatasetFacet | None:
    """Say of which columns each column is made, as far as that is exact.

    A column of which nobody knows it is left out, and so is what decides on rows, where not all of that is known.

    Args:
        lineage: of a table.
        names: of what it reads, by `layer.table` and `feeds.name`.
    """
    fields = {
        name: column_lineage_dataset.Fields([_field(one, names, hows) for one, hows in sorted(origin.items())])
        for name, origin in lineage.columns.items()
        if origin
    }
    decided = [_field(one, names, whys) for one, whys in sorted((lineage.decided_by or {}).items())]
    return column_lineage_dataset.ColumnLineageDatasetFacet(fields, decided) if fields or decided else None


def _field(column: InputColumn, names: Mapping[str, Name], hows: Iterable[str]) -> column_lineage_dataset.InputField:
    said = [
        column_lineage_dataset.Transformation("DIRECT", _DIRECT[how])
        if how in _DIRECT
        else column_lineage_dataset.Transformation("INDIRECT", _INDIRECT[how])
        for how in sorted(hows)
    ]
    return column_lineage_dataset.InputField(*names[column.source], column.column, said)
