"""Columns about persons: stated once, and left out or hashed where others read."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import duckdb
import pyspark.sql.types as T
import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame

from lake.commands.catalog import facts_of, render_catalog
from lake.declare.contract import Contract, Field, compile_contract
from lake.declare.destinations import Destination, DuckDb, Iceberg, KafkaTopic, ParquetFolders, Postgres
from lake.declare.received import received
from lake.declare.sink import OnPii, Sink, sink
from lake.declare.table import Replace, table
from lake.errors import CannotCompile, DeclarationError, DestinationDrift, SecretMissing
from lake.orchestration.assets import build_column
from lake.serve.compare import find_differing
from lake.serve.new_rows import NewRows
from lake.serve.publish import Published, publish
from lake.serve.source import open_for
from lake.serve.target import Place
from lake.testing.laws import a_sink_holds_its_table_at_the_versions_it_names
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.people import nameless, people, some_people
from tests.served import D1, D2, FACTS, FEED, fact_files, refill, survey_of

pytestmark = pytest.mark.slow

SECRET = "a long secret of the tests"
ADDRESS = "person0@example.org"


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    store = without_spark(tmp_path / "lake")
    refill(store, people, [D1, D2], [*some_people(Random(1), D1, 5), *some_people(Random(2), D2, 3)])
    return store


@pytest.fixture
def place(tmp_path: Path, dsn: str) -> Place:
    with adbc.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS lakehouse CASCADE")
        cursor.execute("DROP TABLE IF EXISTS public.board")
        connection.commit()
    return Place(tmp_path / "home", {"PII_KEY": SECRET, "DSN": dsn}, lock_timeout_seconds=5)


DESTINATIONS = [DuckDb("warehouse.duckdb"), ParquetFolders("exports"), Postgres("DSN")]
every_destination = pytest.mark.parametrize("to", DESTINATIONS, ids=lambda to: type(to).__name__)


def board(to: Destination, pii: OnPii = "drop", key: str | None = "PII_KEY") -> Sink:
    return sink(reads=people, to=to, settled_only=False, name="board", pii=pii, pii_key_from=key)


def load(store: DeltaStore, place: Place, sink: Sink, *, anew: bool = False) -> Published:
    return publish(sink, survey_of(store, sink.reads), place, anew=anew)


def read(place: Place, to: Destination) -> list[dict[str, Any]]:
    """Read the destination by its own means."""
    query = "SELECT * FROM {} ORDER BY day, visits"
    if isinstance(to, Postgres):
        with adbc.connect(place.secrets["DSN"]) as connection, connection.cursor() as cursor:
            cursor.execute(query.format("board"))
            rows: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            return rows
    held = str(place.home / "warehouse.duckdb") if isinstance(to, DuckDb) else ":memory:"
    with duckdb.connect(held, read_only=isinstance(to, DuckDb)) as connection:
        files = f"read_parquet('{place.home}/exports/board/*/*.parquet', hive_partitioning=true)"
        found: list[dict[str, Any]] = (
            connection.execute(query.format("board" if isinstance(to, DuckDb) else files)).to_arrow_table().to_pylist()
        )
        return found


def hash_of(text: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


@every_destination
def test_columns_about_persons_are_left_out_and_those_of_the_key_hashed(
    to: Destination, store: DeltaStore, place: Place
) -> None:
    assert load(store, place, board(to)).rows == 8

    rows = read(place, to)
    stored = DeltaTable(store.path(people)).to_pyarrow_table().to_pylist()
    assert {tuple(sorted(one)) for one in rows} == {("day", "email", "number", "visits")}
    expected = {(hash_of(one["email"]), hash_of(str(one["number"])), one["visits"]) for one in stored}
    assert {(one["email"], one["number"], one["visits"]) for one in rows} == expected
    held = [file for file in place.home.rglob("*") if file.is_file()]
    assert not [file for file in held if ADDRESS.encode() in file.read_bytes()]
    assert load(store, place, board(to)).days == {}
    assert find_differing(board(to), survey_of(store, people), place) == (2, {})
    a_sink_holds_its_table_at_the_versions_it_names(board(to), store, place)


@every_destination
@pytest.mark.parametrize("pii", ["hash", "keep"])
def test_a_sink_that_asks_has_hashes_of_all_or_all_as_it_is(
    to: Destination, pii: OnPii, store: DeltaStore, place: Place
) -> None:
    load(store, place, board(to, pii))

    rows = read(place, to)
    stored = DeltaTable(store.path(people)).to_pyarrow_table().to_pylist()
    assert {tuple(sorted(one)) for one in rows} == {tuple(sorted(people.contract.stored_names))}
    born = {None if one["born_on"] is None else str(one["born_on"]) for one in stored}
    as_shown = {said and hash_of(f'"{said}"') for said in born} if pii == "hash" else born
    assert {one["born_on"] and str(one["born_on"]) for one in rows} == as_shown
    assert find_differing(board(to, pii), survey_of(store, people), place) == (2, {})
    a_sink_holds_its_table_at_the_versions_it_names(board(to, pii), store, place)


@every_destination
def test_another_secret_loads_all_days_again(to: Destination, store: DeltaStore, place: Place) -> None:
    load(store, place, board(to))
    other = Place(place.home, {**place.secrets, "PII_KEY": "another"}, lock_timeout_seconds=5)

    assert set(load(store, other, board(to)).reasons.values()) == {"what is personal is shown otherwise"}
    assert {one["email"] for one in read(place, to)} == {hash_of(f"person{n}@example.org", "another") for n in range(5)}


@every_destination
def test_a_class_that_is_added_is_no_reason_to_leave_what_was_loaded(
    to: Destination, store: DeltaStore, place: Place
) -> None:
    """The destination is refused until it is made anew, which removes what it holds."""
    before = sink(reads=nameless, to=to, settled_only=False, name="board")
    load(store, place, before)

    with pytest.raises(DestinationDrift, match="--anew"):
        load(store, place, board(to))
    load(store, place, board(to), anew=True)
    assert {len(one["email"]) for one in read(place, to)} == {64}


@every_destination
def test_hashes_never_lie_beside_what_they_hide(to: Destination, store: DeltaStore, place: Place) -> None:
    load(store, place, board(to, "hash"))
    with pytest.raises(DestinationDrift):
        load(store, place, board(to, "keep"))
    load(store, place, board(to, "keep"), anew=True)
    assert ADDRESS in {one["email"] for one in read(place, to)}


def test_a_topic_has_neither_columns_nor_ids_that_name_a_person(store: DeltaStore, place: Place) -> None:
    alerts = board(KafkaTopic("people"))
    source = open_for(alerts, store, place.secret)
    assert source is not None
    new = NewRows(source, None, None)

    rows = [row for added, removed in new.files_by_day().values() for row in new.rows(added, removed)]

    assert len(rows) == 8
    assert {tuple(json.loads(row.value)) for row in rows} == {("email", "number", "day", "visits")}
    assert hash_of(ADDRESS) in {json.loads(row.id)[0] for row in rows}
    assert not [row for row in rows if "@" in row.id + row.value]


def test_an_iceberg_table_shares_the_files_and_so_has_to_ask() -> None:
    with pytest.raises(DeclarationError, match="hold born_on, email, number, salary") as refused:
        board(Iceberg())
    assert 'pii="keep"' in str(refused.value)
    assert board(Iceberg(), "keep").shown.contract.stored_names == people.contract.stored_names


def test_a_hash_needs_the_name_of_a_secret_and_the_secret(store: DeltaStore, place: Place) -> None:
    with pytest.raises(DeclarationError, match="hashes email, number without a secret"):
        board(DuckDb(), key=None)
    with pytest.raises(DeclarationError, match="no name of an environment variable") as refused:
        board(DuckDb(), key="the secret itself")
    assert "the secret itself" not in str(refused.value)
    with pytest.raises(SecretMissing, match="PII_KEY"):
        load(store, Place(place.home, {}), board(DuckDb()))
    assert SECRET not in repr(open_for(board(DuckDb()), store, place.secret))


def test_a_class_is_said_again_where_a_column_is_passed_on() -> None:
    class Passed(Contract):
        """A row."""

        born_on: T.DateType = Field(description="date of birth")
        visits: T.IntegerType = Field(description="how often")

    class Cleared(Passed):
        """The same."""

        born_on: T.DateType = Field(description="date of birth", metadata={"pii": "none"})

    def passed(people: DataFrame) -> DataFrame:
        """One row per date."""
        return people

    facts: dict[str, Any] = {"reads": [people], "key": ["born_on"], "day": None, "write": Replace(), "layer": "gold"}
    with pytest.raises(DeclarationError, match=r"column born_on is quasi in gold.people, and has no class here"):
        table(contract=Passed, **facts, **FACTS)(passed)
    passed.__name__ = "cleared"
    assert table(contract=Cleared, **facts, **FACTS)(passed).contract.personal == ()


def test_a_day_cannot_be_hidden_and_a_class_is_one_of_few() -> None:
    class Days(Contract):
        """A row."""

        day: T.DateType = Field(description="date of birth", metadata={"pii": "quasi"})

    def days(fact_files: DataFrame) -> DataFrame:
        """One row per date."""
        return fact_files

    with pytest.raises(DeclarationError, match="its day day has the class quasi"):
        table(reads=[fact_files], contract=Days, key=["day"], day="day", write=Replace(), layer="gold", **FACTS)(days)

    class Odd(Contract):
        """A row."""

        name: T.StringType = Field(description="name", metadata={"pii": "secret"})

    with pytest.raises(CannotCompile, match="write one of direct, quasi, sensitive, none"):
        compile_contract(Odd)


def test_what_a_source_sends_of_persons_is_marked_in_bronze() -> None:
    @received(FEED, fresh_within=timedelta(hours=1), owner="team:tests", layer="bronze", pii="direct")
    def lines() -> None:
        """One row per line."""

    assert [(one.name, one.pii) for one in lines.contract.personal] == [("line", "direct")]


def test_owner_tags_and_classes_stand_in_delta_and_are_brought_up_to_date(store: DeltaStore) -> None:
    stored = DeltaTable(store.path(people))
    assert stored.metadata().configuration["lakehouse.owner"] == "team:tests"
    assert json.loads(stored.metadata().configuration["lakehouse.tags"]) == {"domain": "staff"}
    classes = {field.name: field.metadata.get("pii") for field in stored.schema().fields}
    assert classes == {
        **dict.fromkeys(["email", "number"], "direct"),
        "born_on": "quasi",
        "salary": "sensitive",
        **dict.fromkeys(["day", "visits"]),
    }
    before, rows = stored.version(), stored.to_pyarrow_table()
    store._of_table(people)
    assert DeltaTable(store.path(people)).version() == before

    store._of_table(nameless)

    later = DeltaTable(store.path(people))
    assert {field.metadata.get("pii") for field in later.schema().fields} == {None, "none"}
    assert {field.metadata["comment"] for field in later.schema().fields} >= {"address", "when"}
    assert later.to_pyarrow_table() == rows
    assert store.table_log(people).newest_touch("day") == {D1: before, D2: before}


def test_dagster_shows_the_class_of_a_column() -> None:
    tags = {one.name: build_column(people, one).tags for one in people.contract.stored}
    assert tags["salary"] == {"pii": "sensitive"}
    assert tags["email"] == {"key": "", "pii": "direct"}
    assert tags["visits"] == {}


def test_the_catalog_says_tags_and_what_is_personal() -> None:
    page = render_catalog([fact_files, people])
    assert "| born_on | date | yes | date of birth (personal: quasi) |" in page
    assert "- tags: domain=staff" in page
    assert "tags" not in facts_of(fact_files)
