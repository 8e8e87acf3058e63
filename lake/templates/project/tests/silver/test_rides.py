import json
from typing import Any

from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of, stored, verdicts
from lakehouse_assets.bronze.ride_events import ride_events
from lakehouse_assets.silver.rides import rides

SAID = {
    "ride": 1, "bicycle": 7, "start_station": "CEN", "end_station": "HBR",
    "ended_at": "2024-03-01T06:12:01Z", "minutes": 11,
}  # fmt: skip


def event(offset: int, value: str) -> dict[str, Any]:
    days = {"event_date": "2024-03-01", "landed_on": "2024-03-01", "timestamp": "2024-03-01T06:12:04Z"}
    return {"topic": "rides", "partition": 0, "offset": offset, "value": value, **days}


def test_of_two_messages_about_one_ride_the_first_is_kept(spark: SparkSession) -> None:
    events = [event(5, json.dumps({**SAID, "minutes": 12})), event(4, json.dumps(SAID))]

    assert rows_of(stored(rides, rides(frame(spark, ride_events, events)))) == [{**SAID, "ended_on": "2024-03-01"}]


def test_what_is_broken_or_impossible_is_rejected(spark: SparkSession) -> None:
    bad = ['{"ride": 1, "bic', {**SAID, "minutes": -4}, {**SAID, "end_station": "home"}, {**SAID, "ended_at": "noon"}]
    texts = [value if isinstance(value, str) else json.dumps(value) for value in [SAID, *bad]]
    events = [event(number, text) for number, text in enumerate(texts)]

    found = verdicts(rides, rides(frame(spark, ride_events, events)), by="_offset")

    assert [found[number] == [] for number in range(5)] == [True, False, False, False, False]
    assert found[2] == ["minutes:in_range"]
