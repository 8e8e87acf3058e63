"""Show what a query finds.

It comes as a table for people, or as CSV, JSON or Parquet for other programs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow.parquet as pq
from rich.console import Console

from lake.commands.json_output import VERSION, in_json, print_json
from lake.commands.terminal import plain

__all__ = ["QueryColumn", "QueryResult", "Show", "show_csv", "show_json", "show_table", "write_parquet"]

Show = Callable[[duckdb.DuckDBPyRelation], None]
_WHOLE = 10**9
_ROWS_ON_A_TERMINAL = 40
_ROWS_AT_A_TIME = 50_000


@dataclass(frozen=True)
class QueryColumn:
    """A column of a result, with the name of its type in DuckDB."""

    name: str
    type: str


@dataclass(frozen=True)
class QueryResult:
    """The object that `lakehouse sql --json` prints.

    Attributes:
        version: of all reports in JSON.
        columns: in their order; where the query gives one name twice, the second is called `name_1`.
        rows: by name. Whole numbers, doubles, truth and null as in JSON; decimals, times, days and all else as text,
            exactly; bytes as hexadecimal text; lists and structs as lists and objects.
    """

    version: int
    columns: Sequence[QueryColumn]
    rows: Sequence[Mapping[str, Any]]


def show_table(out: Console) -> Show:
    """Print all columns, as a table where there is room for it.

    A line per value where a terminal is too narrow for the table. On a terminal the first and last rows, elsewhere all
    of them.
    """

    def show(relation: duckdb.DuckDBPyRelation) -> None:
        if relation.columns == ["explain_key", "explain_value"]:
            out.print("\n".join(plan for _, plan in relation.fetchall()).rstrip(), soft_wrap=True, markup=False)
            return
        text = io.StringIO()
        with redirect_stdout(text):
            rows = _ROWS_ON_A_TERMINAL if out.is_terminal else _WHOLE
            relation.show(max_width=_WHOLE, max_col_width=_WHOLE, max_rows=rows)
        table = text.getvalue().rstrip()
        if out.is_terminal and len(table.partition("\n")[0]) > out.width:
            table = _line_per_value(relation)
        out.print(table, soft_wrap=True, markup=False)

    return show


def _line_per_value(relation: duckdb.DuckDBPyRelation) -> str:
    names = relation.columns
    width = max(map(len, names))
    rows = relation.limit(_ROWS_ON_A_TERMINAL + 1).fetchall()
    lines = []
    for number, row in enumerate(rows[:_ROWS_ON_A_TERMINAL], start=1):
        lines.append(f"-- row {number}")
        lines += (f"{name:<{width}}  {value!s}" for name, value in zip(names, row, strict=True))
    if len(rows) > _ROWS_ON_A_TERMINAL:
        lines.append(
            f"-- more than {_ROWS_ON_A_TERMINAL} rows: add a LIMIT, or --csv, --json or --parquet FILE for all"
        )
    return "\n".join(lines) or "no rows"


def show_csv(out: Console) -> Show:
    """Write rows as CSV with a line of names, as DuckDB gives them.

    Not by a data frame, which makes doubles of decimals, and of whole numbers with nulls.
    """

    def show(relation: duckdb.DuckDBPyRelation) -> None:
        names: list[tuple[Any, ...]] = [tuple(relation.columns)]
        for rows in chain([names], _chunks(relation)):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(rows)
            out.file.write(plain(text.getvalue()) if out.is_terminal else text.getvalue())

    return show


def _chunks(relation: duckdb.DuckDBPyRelation) -> Iterator[list[tuple[Any, ...]]]:
    while rows := relation.fetchmany(_ROWS_AT_A_TIME):
        yield rows


def show_json(out: Console) -> Show:
    """Print one JSON object."""

    def show(relation: duckdb.DuckDBPyRelation) -> None:
        named = relation.project("*")  # every name once
        columns = [QueryColumn(name, str(kind)) for name, kind in zip(named.columns, named.types, strict=True)]
        rows = [dict(zip(named.columns, map(in_json, row), strict=True)) for row in named.fetchall()]
        print_json(out, QueryResult(VERSION, columns, rows))

    return show


def write_parquet(out: Console, file: Path) -> Show:
    """Write rows to a Parquet file.

    It replaces one of that name once it is whole.
    """

    def show(relation: duckdb.DuckDBPyRelation) -> None:
        reader = relation.project("*").to_arrow_reader(_ROWS_AT_A_TIME)
        begun, rows = file.with_name(f".{file.name}.{uuid4().hex}"), 0
        try:
            with pq.ParquetWriter(begun, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            begun.replace(file)
        finally:
            begun.unlink(missing_ok=True)
        out.print(f"wrote {rows:,} rows to {file}", markup=False, soft_wrap=True)

    return show
