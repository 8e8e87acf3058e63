"""Postgres holds a table at the versions it names; a real one, read by its own psql."""

from __future__ import annotations

import json
import subprocess
from datetime import date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from lake.declare.destinations import ByDay, How, Postgres, Whole
from lake.declare.sink import Sink
from lake.errors import DestinationDiffers, DestinationDrift, DestinationUnreachable, SecretMissing, ValueRefused
from lake.serve.compare import find_differing
from lake.serve.publish import Published, publish
from lake.serve.target import Place
from lake.testing.laws import a_sink_holds_its_table_at_the_versions_it_names
from lake.write.store import DeltaStore
from tests.lakes import without_spark
from tests.postgres import PASSWORD, program
from tests.served import (
    D1,
    D2,
    D3,
    add,
    at_point,
    deeper,
    delta_rows,
    facts,
    grown,
    lookup,
    nested,
    refill,
    row,
    sink_of,
    some_rows,
    survey_of,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path / "lake")


@pytest.fixture
def place(tmp_path: Path, dsn: str) -> Place:
    return Place(tmp_path, {"WAREHOUSE_DSN": dsn})


@pytest.fixture
def to() -> Postgres:
    """A schema of the test's own."""
    return Postgres("WAREHOUSE_DSN", schema=f"mart_{uuid4().hex[:8]}")


def load(store: DeltaStore, place: Place, sink: Sink, *, anew: bool = False) -> Published:
    return publish(sink, survey_of(store, sink.reads), place, anew=anew)


def ask(dsn: str, query: str) -> list[str]:
    command = [str(program("psql")), "--no-psqlrc", "-At", "-c", f"SET TIME ZONE 'UTC'; {query}", dsn]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[1:]


def in_postgres(place: Place, to: Postgres) -> list[object]:
    rows = ask(place.secrets["WAREHOUSE_DSN"], f"SELECT row_to_json(t) FROM {to.schema}.board t")
    return sorted((json.loads(one, parse_float=Decimal) for one in rows), key=repr)


def in_delta(store: DeltaStore, sink: Sink) -> list[object]:
    """The rows of the table, spelled as Postgres spells rows in JSON."""
    names = sink.reads.contract.stored_names
    rows = ({name: spelled(one.get(name)) for name in names} for one in delta_rows(store, sink.reads))
    return sorted((json.loads(json.dumps(one, default=str), parse_float=Decimal) for one in rows), key=repr)


def spelled(value: object) -> object:
    if isinstance(value, datetime):
        fraction = f"{value:.%f}".rstrip("0").rstrip(".") if value.microsecond else ""
        return f"{value.year:04}-{value:%m-%dT%H:%M:%S}{fraction}+00:00"
    if isinstance(value, date):
        return str(value)
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, float) and not isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return value


def numbers(value: object) -> object:
    """Numbers as they are, however they are spelled."""
    if isinstance(value, dict):
        return {name: numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [numbers(one) for one in value]
    if isinstance(value, str):
        try:
            return Decimal(value).normalize() if value[:1] in "-0123456789" and value != "-" else value
        except ArithmeticError:
            return value
    return Decimal(value).normalize() if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def assert_equal(store: DeltaStore, place: Place, sink: Sink) -> None:
    assert isinstance(sink.to, Postgres)
    found, expected = (list(map(numbers, rows)) for rows in (in_postgres(place, sink.to), in_delta(store, sink)))
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_the_first_load_is_whole_and_later_ones_only_what_changed(
    store: DeltaStore, place: Place, to: Postgres
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1, D2], [*some_rows(Random(1), D1, 50), *some_rows(Random(2), D2, 50)])
    assert load(store, place, board).rows == 100
    assert load(store, place, board).days == {}
    refill(store, facts, [D2], [row("b", D2, big=2)])
    add(store, facts, [row("c", D3)])

    assert load(store, place, board).reasons == {D2: "changed by version 2", D3: "never loaded"}
    assert_equal(store, place, board)
    a_sink_holds_its_table_at_the_versions_it_names(board, store, place)


def test_keys_nulls_types_and_comments_are_those_of_the_contract(
    store: DeltaStore, place: Place, to: Postgres, dsn: str
) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, sink_of(facts, to))
    of_table = f"attrelid = '{to.schema}.board'::regclass AND attnum > 0"
    says = "attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum)"

    columns = ask(dsn, f"SELECT {says} FROM pg_attribute WHERE {of_table} ORDER BY attnum")
    of_key = f"conrelid = '{to.schema}.board'::regclass AND contype = 'p'"
    key = ask(dsn, f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE {of_key}")

    assert columns == [
        "name|text|t|what it's called",
        "day|date|t|when",
        "at|timestamp with time zone|f|when exactly, UTC",
        "big|bigint|f|a whole number",
        "small|integer|f|a smaller one",
        "price|numeric(18,4)|f|what it costs, EUR",
        "ratio|double precision|f|a share",
        "is_good|boolean|f|whether it is good",
        "raw|bytea|f|bytes as they came",
        'order|text|f|a "reserved" word',
        "point|json|f|where",
        "labels|json|f|words",
    ]
    assert key == ["PRIMARY KEY (name, day)"]


def test_a_column_is_added_and_other_changes_are_refused(
    store: DeltaStore, place: Place, to: Postgres, dsn: str
) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, sink_of(facts, to))
    refill(store, grown, [D2], [row("b", D2, note="new")])
    load(store, place, sink_of(grown, to))
    assert_equal(store, place, sink_of(grown, to))
    refill(store, grown, [D2], [row("b", D2, note="newer")])
    ask(dsn, f"ALTER TABLE {to.schema}.board ALTER big TYPE text")

    with pytest.raises(DestinationDrift, match="big is text there and bigint in the contract"):
        load(store, place, sink_of(grown, to))

    load(store, place, sink_of(grown, to), anew=True)
    assert_equal(store, place, sink_of(grown, to))


def test_new_fields_of_structs_are_in_the_json_of_what_is_loaded_then(
    store: DeltaStore, place: Place, to: Postgres, dsn: str
) -> None:
    refill(store, nested, [D1, D2], [at_point("a", D1, x=1.5), at_point("b", D2, x=2.5)])
    load(store, place, sink_of(nested, to))
    refill(store, deeper, [D2], [at_point("b", D2, x=2.5, height=100.0)])

    load(store, place, sink_of(deeper, to))

    query = f"SELECT name, point->>'height', visits->0->>'height', by_name->'here'->>'height' FROM {to.schema}.board"
    assert sorted(ask(dsn, query)) == ["a|||", "b|100.0|100.0|100.0"]
    a_sink_holds_its_table_at_the_versions_it_names(sink_of(deeper, to), store, place)
    assert find_differing(sink_of(deeper, to), survey_of(store, deeper), place) == (2, {})
    ask(dsn, f"""UPDATE {to.schema}.board SET point = '{{"x":1.5,"label":"other"}}' WHERE name = 'a'""")
    assert list(find_differing(sink_of(deeper, to), survey_of(store, deeper), place)[1]) == [D1]


def test_a_table_without_days_is_replaced_whole(store: DeltaStore, place: Place, to: Postgres) -> None:
    refill(store, lookup, None, [{"name": "a", "meaning": "A"}, {"name": "b", "meaning": None}])
    load(store, place, sink_of(lookup, to))
    refill(store, lookup, None, [{"name": "b", "meaning": "B"}])
    load(store, place, sink_of(lookup, to))

    assert load(store, place, sink_of(lookup, to)).days == {}
    assert_equal(store, place, sink_of(lookup, to))


def test_a_table_that_somebody_dropped_is_loaded_again(store: DeltaStore, place: Place, to: Postgres, dsn: str) -> None:
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, sink_of(facts, to))
    ask(dsn, f"DROP TABLE {to.schema}.board")

    assert load(store, place, sink_of(facts, to)).reasons == {D1: "never loaded"}
    assert_equal(store, place, sink_of(facts, to))


def test_what_a_trigger_changes_is_noticed_and_rolled_back(
    store: DeltaStore, place: Place, to: Postgres, dsn: str
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1], [row("a", D1, big=1)])
    load(store, place, board)
    before = in_postgres(place, to)
    refill(store, facts, [D1], [row("a", D1, big=2)])
    ask(
        dsn, f"CREATE FUNCTION {to.schema}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.big = 3; RETURN NEW; END'"
    )
    ask(dsn, f"CREATE TRIGGER t BEFORE INSERT ON {to.schema}.board FOR EACH ROW EXECUTE FUNCTION {to.schema}.f()")

    with pytest.raises(DestinationDiffers, match="2024-02-27"):
        load(store, place, board)

    assert in_postgres(place, to) == before


def test_a_text_with_nul_is_refused_with_its_day_and_nothing_is_changed(
    store: DeltaStore, place: Place, to: Postgres
) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1], [row("a", D1)])
    load(store, place, board)
    refill(store, facts, [D1, D2], [row("b", D1), row("c", D2, order="x\0y")])

    with pytest.raises(ValueRefused, match=r"column order, days 2024-02-28 \(1\)"):
        load(store, place, board)

    assert [one["name"] for one in in_postgres(place, to)] == ["a"]  # type: ignore[index]


def test_a_number_in_a_struct_that_json_has_not_is_refused(store: DeltaStore, place: Place, to: Postgres) -> None:
    spoken = {"x": 1.0, "label": "NaN, Infinity"}
    refill(store, facts, [D1], [row("a", D1, point=spoken), row("b", D1, point={"x": float("nan"), "label": None})])

    with pytest.raises(ValueRefused, match=r"column point, days 2024-02-27 \(1\): numbers in it are NaN"):
        load(store, place, sink_of(facts, to))


def test_no_message_repeats_the_secret(store: DeltaStore, tmp_path: Path, dsn: str, to: Postgres) -> None:
    board = sink_of(facts, to)
    refill(store, facts, [D1], [row("a", D1)])
    with pytest.raises(SecretMissing, match="the variable WAREHOUSE_DSN is not set"):
        load(store, Place(tmp_path, {}), board)
    for wrong in (
        f"postgres//x:{PASSWORD}@host",
        dsn.replace("@127.0.0.1", "@127.0.0.1:1/x?"),
        dsn.replace("lake:", "me:"),
    ):
        secret_place = Place(tmp_path, {"WAREHOUSE_DSN": wrong})
        with pytest.raises(DestinationUnreachable) as refused:
            load(store, secret_place, board)
        assert PASSWORD not in str(refused.value) + repr(refused.value) + repr(secret_place)
        assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "seed", [seed if seed < 2 else pytest.param(seed, marks=pytest.mark.streams) for seed in range(6)]
)
def test_after_any_series_of_changes_the_destination_equals_the_table(
    seed: int, store: DeltaStore, place: Place, to: Postgres, dsn: str
) -> None:
    random = Random(seed)
    how: How = random.choice([ByDay(), Whole()])
    days = [date(2024, 2, 25) + timedelta(days=number) for number in range(5)]
    read = facts
    for _ in range(8):
        step = random.choice(["backfill", "stream", "empty", "grow", "publish", "lose", "anew"])
        chosen = sorted(random.sample(days, random.randrange(1, 5)))
        read = grown if step == "grow" else read
        if step in ("backfill", "grow"):
            rows = [one for day in chosen for one in some_rows(random, day, 5, with_note=read is grown)]
            refill(store, read, chosen, rows)
        elif step == "stream":
            add(store, read, some_rows(random, chosen[0], 3, with_note=read is grown))
        elif step == "empty":
            refill(store, read, chosen, [])
        elif step == "lose":
            ask(dsn, f"DROP SCHEMA IF EXISTS {to.schema} CASCADE")
        else:
            load(store, place, sink_of(read, to, how), anew=step == "anew")
    refill(store, read, days[:1], some_rows(random, days[0], 2, with_note=read is grown))
    board = sink_of(read, to, how)

    load(store, place, board)

    assert load(store, place, board).days == {}
    assert_equal(store, place, board)
    a_sink_holds_its_table_at_the_versions_it_names(board, store, place)
