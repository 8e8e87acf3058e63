"""SQL over the lake reads the lake, and cannot be talked into anything else."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from rich.console import Console

from lake.commands.query import confine, connect, run_query
from lake.commands.query_output import Show, show_csv, show_json, show_table, write_parquet
from lake.commands.terminal import Terminal
from lake.ownership.ledger import Entry, Ledger
from lake.write.enforce import NOTHING_DROPPED
from lake.write.store import DeltaStore, Txn
from tests.lakehouse_assets.conftest import Lakehouse
from tests.lakes import without_spark
from tests.tiny import day_of, marks

D1 = day_of(1)
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> DeltaStore:
    home = tmp_path_factory.mktemp("a lake's")
    store = without_spark(home)
    store.append(
        marks,
        pa.Table.from_pylist([{"name": "a", "day": D1, "points": 1}], schema=marks.contract.arrow_schema),
        Txn("follow", 0),
        {},
    )
    schema = NOTHING_DROPPED.rejected.schema
    rejected = {"day": D1, "rules": ["points"], "raw": "\x1b]0;owned\x07\x1b[2J{}", "row": "{}"}
    row = pa.Table.from_pylist([{name: rejected.get(name) for name in schema.names}], schema=schema)
    store.store_quarantine(marks, row, None)
    Ledger(store).record([Entry("silver.marks", D1, "written", 1, 1, 0, 0, {}, 1, "code", 0.1)])
    (home / "secret.csv").write_text("a\n1\n")
    write_deltalake(home / "other", pa.table({"a": [1]}))
    return store


def views_for(lake: DeltaStore, query: str) -> set[str]:
    """The views that a connection for a query has."""
    with connect(lake, [marks], query=query) as connection:
        listed = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        return {name for (name,) in connection.execute(listed).fetchall()}


ALL_VIEWS = {"silver.marks", "quarantine.silver_marks", "lake.ledger"}


@pytest.mark.parametrize(
    ("query", "views"),
    [
        ("select * from silver.marks", {"silver.marks"}),
        ('FROM Silver."MARKS" LIMIT 1', {"silver.marks"}),
        (
            "with few as (from silver.marks) select (select count(*) from lake.ledger) from few",
            {"silver.marks", "lake.ledger"},
        ),
        ("explain select 1 from quarantine.silver_marks", {"quarantine.silver_marks"}),
        ("show all tables", ALL_VIEWS),
        ("select 1 as one", ALL_VIEWS),
        ("select * from silver.mark", ALL_VIEWS),
        ("select view_name from duckdb_views(), silver.marks", ALL_VIEWS),
        ("select table_name from information_schema.tables", ALL_VIEWS),
        ("select name from silver.marks, query_table('lake.' || 'ledger')", ALL_VIEWS),
        ("select * from memory.silver.marks", ALL_VIEWS),
        ("no sql", ALL_VIEWS),
        ("select 1; from silver.marks", ALL_VIEWS),
    ],
)
def test_views_are_made_of_what_a_query_names_or_of_all(lake: DeltaStore, query: str, views: set[str]) -> None:
    assert views_for(lake, query) == views


def test_finding_the_names_of_views_reads_no_file(lake: DeltaStore, tmp_path: Path) -> None:
    (tmp_path / "beside.csv").write_text("a\n1\n")
    query = f"select * from silver.marks, read_csv('{tmp_path}/beside.csv')"
    assert views_for(lake, query) == ALL_VIEWS, "it was refused"


@pytest.fixture(scope="module")
def sql(lake: DeltaStore) -> duckdb.DuckDBPyConnection:
    connection = connect(lake, [marks])
    confine(connection, lake)
    return connection


def ask(sql: duckdb.DuckDBPyConnection, query: str) -> tuple[bool, str, str]:
    """Whether `lakehouse sql` ran it, what it printed, and what it said of errors."""
    out, err = io.StringIO(), io.StringIO()
    ran = run_query(sql, Console(file=err, width=200), query, show_table(Console(file=out, width=200)))
    return ran, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("from silver.marks", "a"),
        ("select raw from quarantine.silver_marks", "owned"),
        ("select \"table\" from lake.ledger", "silver.marks"),
        ("show all tables", "silver_marks"),
        ("describe silver.marks", "points"),
        ("explain select * from silver.marks", "DELTA"),
        ("explain analyze select count(*) from silver.marks", "Total Time"),
    ],
)  # fmt: skip
def test_the_tables_the_quarantine_and_the_ledger_are_read(
    sql: duckdb.DuckDBPyConnection, query: str, shown: str
) -> None:
    ran, out, err = ask(sql, query)

    assert (ran, err) == (True, "")
    assert shown in out


ATTEMPTS = [
    "from read_text('/etc/passwd')",
    "from '{home}/secret.csv'",
    "from read_csv('{tables}/../secret.csv')",
    "from read_blob('{home}/secret.csv')",
    "from sniff_csv('{home}/secret.csv')",
    "from glob('/etc/*')",
    "from delta_scan('{home}/other')",
    "select getenv('HOME')",
    "select * from which_secret('s3://x', 's3')",
    "copy (select 1) to '{home}/out.csv'",
    "copy (select 1) to '{tables}/out.csv'",
    "explain analyze copy (select 1) to '{tables}/out.csv'",
    "/* */ explain analyze copy (select 1) to '{tables}/out.csv'",
    "select 1; copy (select 1) to '{tables}/out.csv'",
    "from query('copy (select 1) to ''{tables}/out.csv''')",
    "attach '{tables}/out.db'",
    "export database '{tables}/out'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "reset lock_configuration",
    "pragma enable_profiling",
    "call pragma_database_size()",
    "create secret (type s3, key_id 'a')",
    "create table t as select 1",
    "from environment",
    "insert into silver.marks values ('b', DATE '2013-01-02', 1)",
    "update silver.marks set points = 2",
    "delete from silver.marks",
    "drop view silver.marks",
    "create or replace view silver.marks as select 1",
    "create temp table t as select 1",
    "-- \n copy (select 1) to '{tables}/out.csv'",
    "select 1 \0; copy (select 1) to '{tables}/out.csv'",
    "begin transaction",
    "execute p",
    "prepare p as copy (select 1) to '{tables}/out.csv'",
    "select 1; select 2",
    "explain select 1; select 2",
    "select '\ud800'",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_else_is_read_and_nothing_written(
    sql: duckdb.DuckDBPyConnection, lake: DeltaStore, attempt: str
) -> None:
    home = lake.landing.root.parent
    before = sorted(home.rglob("*"))

    ran, out, err = ask(sql, attempt.format(home=str(home).replace("'", "''"), tables=lake.tables.replace("'", "''")))

    assert not ran, out
    assert err
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("attempt", [one for one in ATTEMPTS if "set" in one or "passwd" in one or "load" in one])
def test_who_has_the_connection_cannot_open_it_either(sql: duckdb.DuckDBPyConnection, attempt: str) -> None:
    with pytest.raises(duckdb.Error):
        sql.execute(attempt).fetchall()


WIDE = (
    "select " + ", ".join(f"{number} as column_number_{number}" for number in range(60)) + ", repeat('x', 500) as long"
)
MANY = "select range as number from range(1, 301)"


def told(sql: duckdb.DuckDBPyConnection, query: str, show: Callable[[Console], Show], **console: Any) -> str:
    """What is printed of a query that is run."""
    out, err = io.StringIO(), io.StringIO()
    assert run_query(sql, Console(file=err), query, show(Terminal(file=out, **console))), err.getvalue()
    return out.getvalue()


def test_a_file_or_a_pipe_gets_every_column_every_row_and_whole_values(sql: duckdb.DuckDBPyConnection) -> None:
    wide, many = told(sql, WIDE, show_table, width=10_000), told(sql, MANY, show_table, width=10_000)

    assert [name for name in (f"column_number_{number}" for number in range(60)) if name not in wide] == []
    assert "x" * 500 in wide
    assert {line.strip("│ ") for line in many.splitlines()} >= {str(number) for number in range(1, 301)}


def test_a_terminal_that_is_too_narrow_for_all_columns_shows_a_line_per_value(sql: duckdb.DuckDBPyConnection) -> None:
    shown = told(sql, WIDE, show_table, width=80, force_terminal=True, color_system=None)

    lines = shown.splitlines()
    assert lines[:2] == ["-- row 1", "column_number_0   0"]
    assert lines[60] == "column_number_59  59"
    assert lines[61] == "long" + " " * 14 + "x" * 500


def test_a_terminal_is_told_how_many_rows_it_is_not_shown(sql: duckdb.DuckDBPyConnection) -> None:
    shown = told(sql, MANY, show_table, width=80, force_terminal=True, color_system=None)

    assert "300 rows (40 shown)" in " ".join(shown.split())


EVERY_TYPE = r"""
select 1 as a, 2 as a, 12345678901234567890::hugeint as huge, 1.50::decimal(10, 2) as exact, 0.5::double as half,
    'nan'::double as nan, true as truth, null as nothing, date '2013-01-31' as day, '\xff'::blob as bytes,
    timestamptz '2013-01-31 10:00:00+02' as moment, timestamp '2013-01-31 10:00:00.5' as local, [1, 2] as list,
    {'b': 1.5::decimal(2, 1)} as struct, map {date '2013-01-01': 'x'} as map, chr(27) || 'é' as text
"""


def test_json_says_each_value_exactly(sql: duckdb.DuckDBPyConnection) -> None:
    said = json.loads(told(sql, EVERY_TYPE, show_json))

    assert said["version"] == 1
    assert said["columns"][:4] == [
        {"name": "a", "type": "INTEGER"},
        {"name": "a_1", "type": "INTEGER"},
        {"name": "huge", "type": "HUGEINT"},
        {"name": "exact", "type": "DECIMAL(10,2)"},
    ]
    assert said["rows"] == [
        {
            "a": 1, "a_1": 2, "huge": 12345678901234567890, "exact": "1.50", "half": 0.5, "nan": "nan", "truth": True,
            "nothing": None, "day": "2013-01-31", "bytes": "ff", "moment": "2013-01-31T08:00:00+00:00",
            "local": "2013-01-31T10:00:00.500000", "list": [1, 2], "struct": {"b": "1.5"}, "map": {"2013-01-01": "x"},
            "text": "\x1bé",
        }
    ]  # fmt: skip


def test_csv_has_each_row_of_a_result_of_many(sql: duckdb.DuckDBPyConnection) -> None:
    rows = told(sql, "select range as number, 'a,\"b' as text from range(120000)", show_csv).splitlines()

    assert rows[:2] == ["number,text", '0,"a,""b"']
    assert len(rows) == 120_001


def test_parquet_has_the_rows_and_types_of_the_query(sql: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    file = tmp_path / "it's.parquet"
    file.write_text("what was there before")

    said = told(
        sql, "select 1 as a, 2.5::decimal(5, 1) as a, DATE '2013-01-01' as day", lambda out: write_parquet(out, file)
    )

    assert said == f"wrote 1 rows to {file}\n"
    assert pq.read_table(file).to_pylist() == [{"a": 1, "a_1": Decimal("2.5"), "day": date(2013, 1, 1)}]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("query", ["select interval 1 month as i", "select error('no')"])
def test_a_file_that_cannot_be_written_is_explained_and_the_old_one_stays(
    sql: duckdb.DuckDBPyConnection, tmp_path: Path, query: str
) -> None:
    (tmp_path / "rows.parquet").write_text("old")
    err = io.StringIO()

    assert not run_query(sql, Console(file=err), query, write_parquet(Terminal(), tmp_path / "rows.parquet"))

    assert err.getvalue()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rows.parquet", "old")]


def test_a_folder_that_is_not_there_is_explained(sql: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    err = io.StringIO()

    assert not run_query(sql, Console(file=err), "select 1", write_parquet(Terminal(), tmp_path / "no" / "a.parquet"))

    assert "not written" in err.getvalue()


# Where the query comes from


def test_a_query_comes_from_the_argument_a_file_or_standard_input(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "query.sql"
    file.write_text("\ufeff-- how many\nselect 'é' as said;\n")

    def piped() -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))

    given = [
        lakehouse(tmp_path, "sql", "select 'é' as said", "--csv"),
        lakehouse(tmp_path, "sql", "-f", str(file), "--csv"),
    ]
    for arguments in (["sql", "--csv"], ["sql", "-", "--csv"], ["sql", "--csv", "-f", "-"]):
        piped()
        given.append(lakehouse(tmp_path, *arguments))

    assert [(done.returncode, done.stdout) for done in given] == [(0, "said\né\n")] * 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sql", "select 1", "-f", "query.sql"], "two queries"),
        (["sql", "-f", "no.sql"], "No such file"),
        (["sql", "-f", "binary.sql"], "decode"),
        (["sql", "select 1", "--csv", "--json"], "choose one"),
        (["sql", "-f", "."], "Is a directory"),
    ],
)  # fmt: skip
def test_a_call_without_one_query_and_one_output_ends_with_2(
    lakehouse: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAKEHOUSE_PROJECT", str(PROJECT))
    (tmp_path / "query.sql").write_text("select 1")
    (tmp_path / "binary.sql").write_bytes(b"\xff\xfe")

    done = lakehouse(tmp_path, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
