"""Tables of current rows: streams = batch = DuckDB, over late, double and broken messages in any order.

Messages of several seeds go into one lake, so that they cost one set of queries. They land in portions; between these
streams begin anew and are overtaken by batch, which rebuilds a table while a stream keeps it current.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyspark.sql.functions as F
import pytest
from pyspark.sql import SparkSession

from lake.batch.freshness import FreshnessJudge
from lake.batch.plan import steps_to_date
from lake.batch.refresh import refresh
from lake.batch.survey import Survey
from lake.declare.days import Days
from lake.declare.table import Table
from lake.errors import DeclarationError
from lake.ownership.frontier import FrontierTable
from lake.stream.driver import Followed
from lake.stream.follow import follow, release
from lake.testing.lakes import interpreted, open_lake, quarantined, stored_rows
from lake.testing.laws import LAWS, ComputedTwice, Law, compute_twice
from lake.testing.streamed import compute_as_streams, streams_give_the_rows_of_batch
from lake.write.store import DeltaStore
from tests.tiny_latest import EARLY, TABLES, Message, land, parcel_days, parcel_places, parcel_scans, parcels

pytestmark = [pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(600)]

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
CALENDAR = Days.between(date(2024, 4, 25), date(2024, 5, 20))
OTHER_RANGES = [Days.parse(f"2024-{pair}") for pair in ("05-06", "05-02..2024-05-05", "04-28..2024-05-02")]
SEEDS = (1, 2, 3, 4, 5)
PORTIONS = 5
LATEST = [parcels, parcel_places]
ALL = TABLES | EARLY
ROOT = Path(__file__).parents[2]


def said(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def scanned(chosen: random.Random, seed: int, number: int, portion: int) -> str:
    """What a message says: a scan of now or of days ago, at one of few moments, so that there are ties; or nonsense."""
    hours = 24 * portion + chosen.randrange(20) - (chosen.choice((0, 0, 0, 24, 72)))
    scan: dict[str, Any] = {
        "scan": 1000 * seed + number,
        "parcel": f"{seed}-{chosen.randrange(8)}",
        "at": said(FIRST + timedelta(hours=hours)),
        "place": chosen.choice(["Rome", "Oslo", "Zürich", "", None]),
    }
    if chosen.random() < 0.1:
        scan |= chosen.choice([{"scan": -1}, {"at": "soon"}, {"parcel": None}])
    return json.dumps(scan) if chosen.random() > 0.03 else "{nope"


def made(seeds: Sequence[int] = SEEDS) -> list[list[Message]]:
    """Messages by portion, each of a day. Some are sent twice, also portions later."""
    offset, parts = 0, []
    old: list[str] = []
    for portion in range(PORTIONS):
        values = []
        for seed in seeds:
            chosen = random.Random(f"{seed} {portion}")
            values += [scanned(chosen, seed, 100 * portion + number, portion) for number in range(20)]
            values += chosen.sample(old, min(len(old), 4))
            # The same scan says something else: equal but for the place.
            values.append(json.dumps({**json.loads(values[-9]), "place": "Bern"}) if "nope" not in values[-9] else "x")
        random.Random(portion).shuffle(values)
        old += values
        sent = said(FIRST + timedelta(days=portion, hours=21)).replace("Z", ".000Z")
        known = {"key": None, "topic": "parcels", "partition": 0, "timestamp": sent}
        parts.append([{**known, "offset": offset + place, "value": value} for place, value in enumerate(values)])
        offset += len(values)
    return parts


def by_duckdb(store: DeltaStore, *, of_scans: bool) -> list[tuple[object, ...]]:
    """The newest scan of each parcel, from the landing files; `of_scans`: of scans as they were first said."""
    files = f"{store.landing.root}/parcels/*/*.jsonl"
    first = "QUALIFY row_number() OVER (PARTITION BY scan, scanned_at::DATE ORDER BY message) = 1"
    return duckdb.sql(f"""
        WITH said AS (
            SELECT "offset" AS message, CASE WHEN json_valid(value) THEN value::JSON END AS said
            FROM read_json('{files}', columns={{'offset': 'BIGINT', 'value': 'VARCHAR'}}, format='newline_delimited')
        ), scans AS (
            SELECT message, said->>'parcel' AS parcel, try_cast(said->>'at' AS TIMESTAMP) AS scanned_at,
                (said->>'scan')::INT AS scan, said->>'place' AS place
            FROM said WHERE json_type(said) = 'OBJECT'
        ), valid AS (
            SELECT * FROM scans WHERE parcel IS NOT NULL AND scanned_at IS NOT NULL AND scan >= 0
            {first if of_scans else ""}
        )
        SELECT parcel, scanned_at, scan, place FROM valid
        QUALIFY row_number() OVER (PARTITION BY parcel ORDER BY scanned_at DESC, scan DESC, place ASC NULLS LAST) = 1
        ORDER BY parcel
    """).fetchall()


def rows(store: DeltaStore, table: Table) -> list[tuple[object, ...]]:
    found = (row | {"scanned_at": row["scanned_at"].replace(tzinfo=None)} for row in stored_rows(store, table))
    return sorted((tuple(row.values()) for row in found), key=lambda row: str(row[0]))


def rejects(store: DeltaStore, table: Table) -> Counter[str]:
    return Counter(json.dumps([row["rules"], row["raw"], row["row"]]) for row in quarantined(store, table))


def run_streams(
    store: DeltaStore, home: Path, known: Sequence[Table] = tuple(TABLES.values()), **options: Any
) -> Followed:
    end = datetime.combine(CALENDAR.last, datetime.min.time(), UTC)
    return follow(
        known, store, FrontierTable(store), home=home, until_idle=True, now=lambda: end, calendar=CALENDAR, **options
    )


def due(store: DeltaStore) -> dict[str, list[Any]]:
    states = Survey(list(TABLES.values()), store, CALENDAR).states
    found = {name: sorted({*state.missing, *state.stale}, key=str) for name, state in states.items()}
    return {name: days for name, days in found.items() if days}


def to_date(store: DeltaStore) -> list[str]:
    """Compute what batch owes; returns the tables in order."""
    done: list[str] = []
    for _ in range(20):
        steps = steps_to_date(Survey(list(TABLES.values()), store, CALENDAR), TABLES.values())
        if not steps:
            return done
        for step in steps:
            for table in step.tables:
                refresh(table, store, step.days, unless_equal=step.unless_equal)
                done.append(table.full_name)
    raise AssertionError(f"never to date: {due(store)}")


@pytest.fixture(scope="module", autouse=True)
def fast(spark: SparkSession) -> Iterator[None]:
    with interpreted(spark):
        yield


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> ComputedTwice:
    root = tmp_path_factory.mktemp("latest")
    landed = open_lake(root / "landed", spark)
    for number, part in enumerate(made()):
        land(landed, part, str(number))
    days = Days.between(FIRST.date() - timedelta(days=3), FIRST.date() + timedelta(days=PORTIONS))
    return compute_twice(spark, root / "lakes", ALL, landed.landing.root, days, ranges=OTHER_RANGES)


@pytest.mark.parametrize("table", ALL.values(), ids=ALL.keys())
@pytest.mark.parametrize("obeyed", LAWS, ids=lambda law: law.__name__)
def test_every_law_holds(lakes: ComputedTwice, table: Table, obeyed: Law) -> None:
    obeyed(lakes, table)


def test_batch_keeps_what_duckdb_finds_to_be_the_newest(lakes: ComputedTwice) -> None:
    expected = by_duckdb(lakes.store, of_scans=False)

    assert rows(lakes.store, parcels) == expected
    assert rows(lakes.store, parcel_places) == by_duckdb(lakes.store, of_scans=True)
    assert len(expected) == 8 * len(SEEDS)
    assert {row[3] for row in expected} >= {None, "Bern", "Rome"}, "places that were handed over, and ties"
    assert rejects(lakes.store, parcels).total() > 20


@pytest.mark.streams
def test_streams_give_the_rows_of_batch(lakes: ComputedTwice, tmp_path: Path) -> None:
    streamed = compute_as_streams(lakes, tmp_path)

    for table in LATEST:
        streams_give_the_rows_of_batch(lakes, streamed, table)
        assert rejects(streamed, table) == rejects(lakes.store, table)
    streams_give_the_rows_of_batch(lakes, streamed, parcel_days)
    assert len({row["scanned_on"] for row in stored_rows(streamed, parcel_days)}) > 1, "computed early"


@pytest.mark.streams
def test_a_stream_that_batch_rebuilds_and_that_begins_anew_ends_with_what_batch_computes(
    lakes: ComputedTwice, spark: SparkSession, tmp_path: Path
) -> None:
    store, rebuilt = open_lake(tmp_path, spark), []
    for number, part in enumerate(made()):
        land(store, part, str(number))
        anew = [table.full_name for table in LATEST] if number == 3 else []
        run_streams(store, tmp_path, since=CALENDAR.start if number == 0 else None, new_generation=anew)
        if number == 2:  # a rebuild in the middle, of which nothing was asked
            for table in LATEST:
                refresh(table, store, None)
        else:
            rebuilt.append(to_date(store))
        assert due(store) == {} or number == 2

    assert all({"silver.parcels", "gold.parcel_places"} <= set(done) for done in rebuilt), "each seal asks for one"
    for table in LATEST:
        assert rows(store, table) == rows(lakes.store, table)
        assert rejects(store, table) == rejects(lakes.store, table)
    now = datetime.combine(FIRST.date() + timedelta(days=PORTIONS), datetime.min.time(), UTC)
    judge = FreshnessJudge(Survey(list(TABLES.values()), store, CALENDAR), now + timedelta(hours=3))
    assert {table.name: judge.lack(table, FIRST.date()) for table in LATEST} == {"parcels": None, "parcel_places": None}


@pytest.mark.streams
def test_a_rebuild_takes_away_nothing_that_a_stream_wrote_and_the_stream_nothing_that_it_computed(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Streams are ahead of batch, then behind it; nothing is sealed here, so that only the two write."""
    store, parts = open_lake(tmp_path, spark), made()
    land(store, parts[0], "0")
    run_streams(store, tmp_path, since=CALENDAR.start)
    land(store, parts[1], "1")
    run_streams(store, tmp_path)
    ahead = rows(store, parcels)
    refresh(parcels, store, None)
    assert [row[0] for row in rows(store, parcels)] == [row[0] for row in ahead]
    assert all(new[1:3] >= old[1:3] for new, old in zip(rows(store, parcels), ahead, strict=True))
    computed = rows(store, parcels)

    version = store.version(parcels)
    run_streams(store, tmp_path, new_generation=[parcels.full_name])  # reads all that is open once more

    assert rows(store, parcels) == computed == by_duckdb(store, of_scans=False)
    assert store.version(parcels) != version, "the first micro-batch of a generation says that it was"
    release(FrontierTable(store))
    assert None in due(store)["silver.parcels"], "batch owns it again, and did not write it last"
    to_date(store)
    assert rows(store, parcels) == computed


def test_what_a_stream_could_not_keep_current_is_refused(spark: SparkSession) -> None:
    from lake.stream.generation import plan_stream

    counted = replace(
        parcels,
        name="counted",
        transform=lambda parcel_events: parcels(parcel_events).groupBy("parcel", "scanned_at", "place").agg(
            F.count("*").cast("int").alias("scan")
        ),
    )  # fmt: skip
    undated = replace(parcel_places, name="undated", transform=lambda parcel_scans: parcel_scans.drop("scanned_on"))

    for table, problem in ((counted, "groups rows"), (undated, "of which day of silver.parcel_scans a row is")):
        with pytest.raises(DeclarationError) as refused:
            plan_stream(table, spark)
        assert problem in refused.value.problem
    assert parcel_scans.write.has_days
