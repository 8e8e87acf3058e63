from typing import Any

from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of
from lakehouse_assets.bronze.ride_events import ride_events
from lakehouse_assets.feeds.rides import rides


def message(offset: int, value: str) -> dict[str, Any]:
    about = {"topic": "rides", "partition": 0, "timestamp": "2024-03-02T07:00:00Z", "_landed_on": "2024-03-02"}
    return {**about, "offset": offset, "value": value}


def test_a_message_has_the_day_that_it_claims_and_a_broken_one_that_on_which_it_landed(spark: SparkSession) -> None:
    late, broken = '{"ended_at": "2024-03-01T23:59:59Z"}', '{"ended_at": '

    found = ride_events(frame(spark, rides, [message(1, late), message(2, broken)]))

    assert rows_of(found, "value", "landed_on", "event_date") == [
        {"value": broken, "landed_on": "2024-03-02", "event_date": "2024-03-02"},
        {"value": late, "landed_on": "2024-03-02", "event_date": "2024-03-01"},
    ]
