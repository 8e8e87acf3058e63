from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of, stored
from lakehouse_assets.bronze.station_files import station_files
from lakehouse_assets.silver.stations import stations


def test_the_line_that_landed_last_wins(spark: SparkSession) -> None:
    line = '{"station": "CEN", "name": "Central Square", "district": "Old Town", "docks": %d}'
    lines = [
        {"line": line % 20, "file": "stations.jsonl", "line_number": 1, "landed_on": "2024-03-01"},
        {"line": line % 30, "file": "stations.jsonl", "line_number": 1, "landed_on": "2024-03-02"},
    ]

    assert rows_of(stored(stations, stations(frame(spark, station_files, lines)))) == [
        {"station": "CEN", "name": "Central Square", "district": "Old Town", "docks": 30}
    ]
