from lakehouse_assets.bronze.repair_files import repair_files
from lakehouse_assets.silver.repairs import repairs
from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of, stored


def test_a_field_in_quotes_may_hold_a_comma_and_a_line_that_is_no_repair_is_rejected(spark: SparkSession) -> None:
    days = {"landed_on": "2024-03-01", "event_date": "2024-03-01", "file": "a.csv"}
    lines = [{**days, "line_number": 1, "line": '4,CEN,"bell, loud",450'}, {**days, "line_number": 2, "line": "oops"}]

    assert rows_of(stored(repairs, repairs(frame(spark, repair_files, lines)))) == [
        {"bicycle": 4, "station": "CEN", "part": "bell, loud", "cents": 450, "reported_on": "2024-03-01"}
    ]
