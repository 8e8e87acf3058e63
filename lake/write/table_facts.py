"""Keep owner, tags and classes of columns in a Delta table.

Any engine reads them: owner and tags are properties of the table, a class is metadata of its column beside the comment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from deltalake import DeltaTable

from lake.declare.table import Table

__all__ = ["own_properties", "state_facts"]

_OWNER, _TAGS = "lakehouse.owner", "lakehouse.tags"


def own_properties(table: Table) -> dict[str, str]:
    """Return owner and tags as table properties."""
    return {_OWNER: table.owner, _TAGS: json.dumps(dict(table.tags), sort_keys=True)}


def state_facts(table: Table, location: str, stored: DeltaTable, options: Mapping[str, str]) -> list[int]:
    """Write down what the declaration says otherwise than the stored table.

    Changes no row.

    Args:
        table: the declaration.
        location: where it lies.
        stored: as it is.
        options: of the storage.

    Returns:
        The versions that this has made.
    """
    wanted = own_properties(table)
    held = stored.metadata().configuration
    classes = {field.name: field.metadata.get("pii", "none") for field in stored.schema().fields}
    facts = {c.name: {"pii": "none", **c.stored_facts} for c in table.contract.stored}  # no key can be removed
    changed = [name for name, said in classes.items() if name in facts and said != facts[name]["pii"]]
    if not changed and all(held.get(name) == value for name, value in wanted.items()):
        return []
    opened, before = DeltaTable(location, storage_options=dict(options)), stored.version()
    if any(held.get(name) != value for name, value in wanted.items()):
        opened.alter.set_table_properties(wanted, raise_if_not_exists=False)
    for name in changed:
        opened.alter.set_column_metadata(name, facts[name])
    return list(range(before + 1, opened.version() + 1))
