"""SQL over the lake reads the lake, and cannot be talked into anything else."""

from __future__ import annotations

import io

import duckdb
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from rich.console import Console

from lake.commands.query import confine, connect, run_query
from lake.ownership.ledger import Entry, Ledger
from lake.write.enforce import NOTHING_DROPPED
from lake.write.store import DeltaStore, Txn
from tests.lakes import without_spark
from tests.tiny import day_of, marks

D1 = day_of(1)


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


@pytest.fixture(scope="module")
def sql(lake: DeltaStore) -> duckdb.DuckDBPyConnection:
    connection = connect(lake, [marks])
    confine(connection, lake)
    return connection


def ask(sql: duckdb.DuckDBPyConnection, query: str) -> tuple[bool, str, str]:
    """Whether `lakehouse sql` ran it, what it printed, and what it said of errors."""
    out, err = io.StringIO(), io.StringIO()
    ran = run_query(sql, Console(file=out, width=200), Console(file=err, width=200), query, as_csv=False)
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
