import json

from pyspark.sql import SparkSession

from lake.testing.frames import frame, rows_of, stored
from lakehouse_assets.bronze.repair_files import repair_files
from lakehouse_assets.silver.repairs import repairs

ROW = {"bicycle": "4", "station": "CEN", "part": "bell, loud", "cents": "450", "repaired_on": "2024-03-01"}


def test_numbers_are_read_from_text_and_what_is_none_or_of_another_day_is_rejected(spark: SparkSession) -> None:
    rows = [ROW, {**ROW, "cents": "much"}, {**ROW, "repaired_on": "2023-03-01"}]
    about = {"file": "a.csv", "landed_on": "2024-03-01", "event_date": "2024-03-01"}
    lines = [{**about, "line_number": place, "line": json.dumps(row)} for place, row in enumerate(rows, start=1)]

    assert rows_of(stored(repairs, repairs(frame(spark, repair_files, lines)))) == [{**ROW, "bicycle": 4, "cents": 450}]
