from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of
from lakehouse_assets.gold.daily_districts import daily_districts
from lakehouse_assets.silver.repairs import repairs
from lakehouse_assets.silver.rides import rides
from lakehouse_assets.silver.stations import stations


def test_a_district_has_the_rides_and_repairs_of_its_stations_and_what_is_not_listed_is_unknown(
    spark: SparkSession,
) -> None:
    day = "2024-03-01"
    ridden = [{"ended_on": day, "end_station": "CEN"}, {"ended_on": day, "end_station": "AIR"}]
    repaired = [
        {"repaired_on": day, "station": "CEN", "cents": 450},
        {"repaired_on": day, "station": "CEN", "cents": 50},
    ]
    listed = [{"station": "CEN", "district": "Old Town"}]

    found = daily_districts(
        frame(spark, rides, ridden), frame(spark, repairs, repaired), frame(spark, stations, listed)
    )

    assert rows_of(found) == [
        {"day": day, "district": "Old Town", "rides": 1, "repairs": 2, "repair_cents": 500},
        {"day": day, "district": "unknown", "rides": 1, "repairs": 0, "repair_cents": 0},
    ]
