"""Write the file and the test of a new table, to be filled in."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyspark.sql.types as T

from lake.declare.feed import Feed, TopicFeed
from lake.declare.names import is_name
from lake.declare.table import LAYERS, Table, pascal_case
from lake.errors import BadName, FilesThere, UnknownTable
from lake.project.start import TEMPLATES, fill_in

__all__ = ["Input", "add_table", "inputs_of"]

_MESSAGE = {
    "@READ@": "read_messages",
    "@FIRST_BY@": '"_timestamp", "_topic", "_partition", "_offset"',
    "@LINEAGE@": '"_timestamp", "_topic", "_partition", "_offset"',
    "@BODY@": "value",
    "@PLACE@": "offset",
}
_LINE = {
    "@READ@": "read_lines",
    "@FIRST_BY@": '"_landed_on", "_landed_at", "_file", "_line_number"',
    "@LINEAGE@": '"_landed_on", "_landed_at", "_file", "_line_number"',
    "@BODY@": "line",
    "@PLACE@": "line_number",
}
_TOPIC = {"@ROW@": "message", "@BODY@": "value", "@LANDED@": "_landed_on"}
_FILES = {"@ROW@": "line", "@BODY@": "line", "@LANDED@": "landed_on"}


@dataclass(frozen=True)
class Input:
    """A table or feed, and the module that declares it."""

    source: Table | Feed
    module: str

    @property
    def name(self) -> str:
        """The name that a new table uses: `layer.name` or `feeds.name`."""
        return self.source.full_name


def inputs_of(package: str, tables: Mapping[str, Table]) -> dict[str, Input]:
    """Find the tables and feeds of a project.

    Feeds that no table reads yet are among them.
    """
    inputs = [Input(table, table.transform.__module__) for table in tables.values()]
    feeds = importlib.import_module(f"{package}.feeds")
    for info in pkgutil.iter_modules(feeds.__path__, f"{feeds.__name__}."):
        things = vars(importlib.import_module(info.name))
        inputs += [Input(feed, info.name) for name, feed in things.items() if _is_feed(feed, name)]
    return {one.name: one for one in inputs}


def _is_feed(thing: object, name: str) -> bool:
    return isinstance(thing, Feed) and thing.name == name


def add_table(
    root: Path, package: str, layer: str, name: str, reads: Sequence[str], known: Mapping[str, Input]
) -> tuple[Path, Path]:
    """Write the file of a new table and its test, and return the two.

    What is written can be imported and computes something, and its test passes; FILL IN says what is to be replaced.

    Args:
        root: folder of the project.
        package: the package that holds the tables.
        layer: the layer of the new table.
        name: its name.
        reads: its inputs, as `layer.name`; a table of bronze has one feed, `feeds.name`.
        known: the tables and feeds that there are.

    Raises:
        BadName: the layer or the name cannot be one, or no input was named.
        UnknownTable: there is no such input, or a table of this layer cannot read it.
        FilesThere: one of the files exists. Nothing was written.
    """
    if layer not in LAYERS:
        raise BadName(layer, "layer", f"there is no such layer; the layers are {', '.join(LAYERS)}")
    if not is_name(name):
        raise BadName(name, "table", "this cannot be the name of a table")
    chosen = _choose(layer, reads, known)
    folder = root.joinpath(*package.split("."), layer)
    files = folder / f"{name}.py", root / "tests" / layer / f"test_{name}.py"
    if taken := [str(file) for file in files if file.exists()]:
        raise FilesThere(f"{layer}.{name}", taken)
    kind, words = _words(chosen)
    own = f"from {package}.{layer}.{name} import {name}"
    words |= {"@TABLE@": name, "@CONTRACT@": pascal_case(name)}
    words["@TEST_IMPORTS@"] = "\n".join(sorted([own, *words["@IMPORTS@"].splitlines()]))
    for file, template in zip(files, (f"{kind}.py.in", f"{kind}_test.py.in"), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(fill_in(TEMPLATES.parent / "table" / template, words), encoding="utf-8")
    if not (folder / "__init__.py").exists():
        (folder / "__init__.py").write_text(f'"""The layer {layer}."""\n', encoding="utf-8")
    return files


def _choose(layer: str, reads: Sequence[str], known: Mapping[str, Input]) -> list[Input]:
    if not reads:
        raise BadName("", "table", "a table reads something: name its inputs, as --reads silver.orders")
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    possible = {
        name: one
        for name, one in known.items()
        if (layer == "bronze") == isinstance(one.source, Feed)
        and (isinstance(one.source, Feed) or one.source.layer in allowed)
    }
    for name in reads:
        if name not in possible:
            problem = "no such input" if name not in known else f"a table of {layer} cannot read it"
            raise UnknownTable(name, list(possible), problem)
    if layer == "bronze" and len(reads) > 1:
        raise UnknownTable(", ".join(reads), list(possible), "a table of bronze reads one feed")
    return [possible[name] for name in dict.fromkeys(reads)]


def _words(inputs: Sequence[Input]) -> tuple[str, dict[str, str]]:
    """Choose the template for these inputs, and what its words stand for."""
    first, *others = (one.source for one in inputs)
    words = {
        "@INPUT@": first.name,
        "@IMPORTS@": "\n".join(sorted(f"from {one.module} import {one.source.name}" for one in inputs)),
        "@READS@": ", ".join(one.source.name for one in inputs),
        "@PARAMETERS@": ", ".join(f"{one.source.name}: DataFrame" for one in inputs),
        "@FRAMES@": ", ".join([f"frame(spark, {first.name}, arrived)", *(f"frame(spark, {o.name})" for o in others)]),
    }
    if isinstance(first, Feed):
        return "bronze", words | (_TOPIC if isinstance(first, TopicFeed) else _FILES)
    columns = set(first.contract.stored_names)
    if first.layer == "bronze" and columns & {"value", "line"}:
        return "parsed", words | (_MESSAGE if "value" in columns else _LINE)
    if first.read_by is not None:
        return "counted", words | {"@DAY@": first.read_by}
    key = next(column for column in first.contract.stored if column.name == first.key[0])
    value = "7" if isinstance(key.dtype, T.NumericType) else '"7"'
    return "listed", words | {"@KEY@": key.name, "@VALUE@": value}
