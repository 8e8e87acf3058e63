"""The pages of any lake, drawn without a browser by Streamlit's own test runner."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from lake.dashboard import sight as sights
from lake.dashboard.lag import Lags
from lake.dashboard.seen import computed_from
from lake.dashboard.sight import Sight
from lake.ownership.frontier import Frontier, FrontierTable
from lake.ownership.ledger import Ledger
from lake.project.environment import Environment
from lake.project.settings import Settings
from lake.serve.api.page import Reader
from lake.serve.api.settled import Settled
from lake.serve.api.snapshot import Snapshots
from lake.stream.progress import StreamStatus, write_status
from lake.write.store import DeltaStore
from tests.lake.serve.api.readings import D1, D2, D3, compute, fill, mark_lines, meters, readings, some_readings
from tests.lakes import without_spark
from tests.served import add

pytestmark = pytest.mark.slow

Draw = Callable[[str], AppTest]
TABLES = {table.full_name: table for table in (mark_lines, meters, readings)}


@pytest.fixture
def store(tmp_path: Path) -> DeltaStore:
    return without_spark(tmp_path)


@pytest.fixture
def draw(tmp_path: Path, store: DeltaStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Draw]:
    """Draws a page by its name over the store."""
    calendar = {"LAKEHOUSE_FIRST_DAY": "2024-02-01", "LAKEHOUSE_LAST_DAY": "2024-03-31"}
    settings = Settings.from_env({"LAKEHOUSE_HOME": str(tmp_path), "LAKEHOUSE_NOW": "2024-03-01T12:00:00Z", **calendar})
    sight = Sight(Environment(settings, TABLES, store), Snapshots(store), Settled(store), Reader(60))
    monkeypatch.setattr(sights, "open_sight", lambda: sight)
    script = "from lake.dashboard import pages, sight\nsight.guarded(pages.{})()"
    yield lambda page: AppTest.from_string(script.format(page), default_timeout=120).run()
    st.cache_data.clear()
    st.cache_resource.clear()


def some_lake(store: DeltaStore) -> None:
    compute(store, readings, [D1, D2], some_readings(D1) + some_readings(D2, 3))
    fill(store, readings, [D3], some_readings(D3, 5))
    compute(store, meters, None, [{"meter": "m", "price": Decimal(1)}])


def texts(page: AppTest) -> str:
    assert not page.exception, page.exception
    shown = (page.markdown, page.caption, page.info, page.success, page.warning, page.error)
    return "\n".join(str(one.value) for kind in shown for one in kind)


def test_a_lake_that_is_empty_says_what_to_do_first(draw: Draw) -> None:
    assert "lakehouse follow" in texts(draw("operations"))
    assert "lakehouse refresh" in texts(draw("quality"))
    assert "bronze.mark_lines was never written; next: lakehouse refresh" in texts(draw("browse"))


def test_a_table_is_browsed_day_by_day_and_open_days_are_marked(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    page = draw("browse")
    page.selectbox(key="browse_table").set_value("gold.readings").run()

    assert page.selectbox(key="day_readings").options == [f"{D3} (open: early)", str(D2), str(D1)]
    assert "late rows may be missing" in texts(page)
    assert len(page.dataframe[0].value) == 5
    page.selectbox(key="day_readings").set_value(D2).run()
    assert "late rows" not in texts(page)
    assert sorted(page.dataframe[0].value["meter"]) == sorted(row["meter"] for row in some_readings(D2, 3))
    page.selectbox(key="browse_table").set_value("silver.meters").run()
    assert page.dataframe[0].value["meter"].tolist() == ["m"]


def test_a_new_version_is_shown_at_the_next_look(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    page = draw("browse")
    page.selectbox(key="browse_table").set_value("gold.readings").run()
    compute(store, readings, [D3], some_readings(D3, 2))
    page.run()

    assert len(page.dataframe[0].value) == 2
    assert page.selectbox(key="day_readings").options[0] == str(D3)


def test_what_a_number_was_computed_from_is_said(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    page = draw("quality")
    page.selectbox(key="quality_table").set_value("gold.readings").run()

    assert page.dataframe[0].value["table"].tolist() == ["silver.meters", "gold.readings"]
    counts = page.dataframe[0].value[["table", "rows in", "rows out"]]
    assert counts.values.tolist() == [["silver.meters", 1, 1], ["gold.readings", 2, 2]]
    assert page.selectbox(key="quality_day_gold.readings").options == [str(D2), str(D1)]
    assert f"as version {store.version(readings) - 1}: 1 row in = 1 out + 0 rejected + 0 duplicates" in texts(page)  # type: ignore[operator]


def test_rejected_rows_are_shown_with_the_rules_that_they_break(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    rejects = {"day": [D2], "rules": [["ratio:ge"]], "raw": ["as it came"], "row": ["{}"]}
    schema = pa.schema(
        [("day", pa.date32()), ("rules", pa.list_(pa.string())), ("raw", pa.string()), ("row", pa.string())]
    )
    store.store_quarantine(readings, pa.table(rejects, schema=schema), None)
    page = draw("quality")
    page.selectbox(key="quality_table").set_value("gold.readings").run()

    assert page.dataframe[1].value["raw"].tolist() == ["as it came"]
    page.selectbox(key="quality_day_gold.readings").set_value(D1).run()
    assert "nothing of it is in quarantine" in texts(page)


def test_operations_say_what_is_late_and_who_owns_which_day(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    state = Frontier(D1, D2, claimed=frozenset([readings.full_name]), generations={readings.full_name: 1})
    FrontierTable(store).change(lambda _: state, "test")
    page = draw("operations")

    found = {row["table"]: row for row in page.dataframe[0].value.to_dict("records")}
    assert list(found) == list(TABLES)
    assert (found["gold.readings"]["open from"], found["gold.readings"]["newest day"]) == (D2, D3)
    assert found["bronze.mark_lines"]["state"] == "✗ late"
    assert found["bronze.mark_lines"]["why late"].startswith("late: ")
    assert found["gold.readings"]["state"] == "✗ late"
    assert "late" in texts(page)
    assert page.dataframe[0].proto.HasField("placeholder")  # else "None" stands where there is nothing to say


def stream(store: DeltaStore, newest: datetime) -> None:
    add(store, readings, some_readings(D3, 1), generation=1, batch=0, newest_event_at=newest.isoformat())


def test_the_lag_of_a_stream_is_what_its_commits_say(store: DeltaStore) -> None:
    lags = Lags(store, lambda: datetime.now(UTC))
    assert lags.of(readings) == []
    some_lake(store)  # batch says nothing of lag
    for minutes in (10, 3):
        stream(store, datetime.now(UTC) - timedelta(minutes=minutes))

    found = lags.of(readings)
    assert [round((lag.seconds or 0) / 60) for lag in found] == [10, 3]
    assert [lag.version for lag in found] == [store.version(readings) - 1, store.version(readings)]  # type: ignore[operator]
    stream(store, datetime.now(UTC) + timedelta(minutes=1))  # by a clock that is ahead
    assert [lag.seconds for lag in lags.of(readings)][2:] == [0.0]
    shutil.rmtree(store.path(readings))
    stream(store, datetime.now(UTC) - timedelta(minutes=5))
    assert [round((lag.seconds or 0) / 60) for lag in lags.of(readings)] == [5]


def test_in_a_replay_of_the_past_a_stream_lags_behind_the_clock_of_the_replay(store: DeltaStore) -> None:
    stream(store, datetime(2024, 3, 1, 11, 58, tzinfo=UTC))

    assert [lag.seconds for lag in Lags(store, lambda: datetime(2024, 3, 1, 12, tzinfo=UTC)).of(readings)] == [120.0]


def test_operations_draw_the_lag_of_streams_over_time(store: DeltaStore, draw: Draw, tmp_path: Path) -> None:
    some_lake(store)
    state = Frontier(D1, D3, claimed=frozenset([readings.full_name]), generations={readings.full_name: 1})
    FrontierTable(store).change(lambda _: state, "test")
    (tmp_path / "streams").mkdir()
    write_status(tmp_path / "streams", StreamStatus(readings.full_name, state="stopped"))
    page = draw("operations")
    assert "no commit of a stream says how old its newest event was" in texts(page)

    stream(store, datetime.now(UTC) - timedelta(hours=3))
    st.cache_resource.clear()
    page = draw("operations")
    assert page.subheader[2].value == "Lag of the streams"
    assert "no commit of a stream" not in texts(page)


def test_a_number_says_from_which_versions_it_was_computed(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    ledger, at = Ledger(store), datetime(2024, 3, 1, 9, 30, tzinfo=UTC)
    for day, version in ((D1, 4), (D2, 7)):
        entry = ledger.latest("gold.readings")[day]
        inputs = {"bronze.mark_lines": version, "feed:mark_feed": {"a": 1, f"b-{day}": 2}}
        ledger.record([replace(entry, inputs=inputs, recorded_at=at + timedelta(hours=version))])
    sight = sights.open_sight()
    shown = sight.show(readings)

    assert computed_from(sight, shown, [D1]) == (
        "gold.readings computed from bronze.mark_lines version 4, feed:mark_feed 2 files at 2024-03-01 13:30:00 UTC"
    )
    assert computed_from(sight, shown, [D1, D2, D3]) == (
        "gold.readings computed from bronze.mark_lines versions 4..7, feed:mark_feed 3 files "
        f"at 2024-03-01 13:30:00..2024-03-01 16:30:00 UTC; {D3} is open: early, as gold.readings holds it at version 2"
    )
    page = draw("browse")
    page.selectbox(key="browse_table").set_value("gold.readings").run()
    page.selectbox(key="day_readings").set_value(D2).run()
    assert "computed from bronze.mark_lines version 7, feed:mark_feed 2 files" in texts(page)


def test_a_table_that_is_damaged_is_an_error_on_its_page_and_others_are_shown(store: DeltaStore, draw: Draw) -> None:
    some_lake(store)
    newest = Path(store.path(readings)) / "_delta_log" / f"{store.version(readings):020d}.json"
    newest.write_text("{")
    page = draw("browse")
    page.selectbox(key="browse_table").set_value("gold.readings").run()

    assert [newest.name in str(error.value) for error in page.error] == [True]
    assert "\n\nnext: " in re.sub(r"\n\n +", "\n\n", str(page.error[0].value))  # Markdown would join the lines
    page.selectbox(key="browse_table").set_value("silver.meters").run()
    assert (len(page.error), len(page.dataframe)) == (0, 1)
    assert newest.name in texts(draw("operations"))
