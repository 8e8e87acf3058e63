from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of
from lakehouse_assets.gold.hourly_station_rides import hourly_station_rides
from lakehouse_assets.silver.rides import rides


def test_rides_are_counted_in_the_hour_and_at_the_station_where_they_end(spark: SparkSession) -> None:
    ends = [("HBR", "2024-03-01T06:59:59Z", 11), ("HBR", "2024-03-01T06:00:00Z", 9), ("HBR", "2024-03-01T07:00:00Z", 5)]
    ridden = [{"end_station": station, "ended_at": at, "minutes": minutes} for station, at, minutes in ends]

    assert rows_of(hourly_station_rides(frame(spark, rides, ridden))) == [
        {"station": "HBR", "hour_at": "2024-03-01T06:00:00Z", "hour_on": "2024-03-01", "rides": 2, "minutes": 20},
        {"station": "HBR", "hour_at": "2024-03-01T07:00:00Z", "hour_on": "2024-03-01", "rides": 1, "minutes": 5},
    ]
