"""How latencies are found in what a side wrote: the arithmetic, without Spark or Kafka."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from airline.replay import Message
from benchmarks.errors import SidesDiffer
from benchmarks.streams.check import check_written, rows_in_gold
from benchmarks.streams.latency import Added, added_rows, first_reached, latencies_by_layer, percentile, waits
from benchmarks.streams.messages import flight_messages
from benchmarks.streams.report import render_streams
from benchmarks.streams.results import LatencyRun, Percentiles, SampledRun, StreamResults

START = datetime(2013, 6, 1, 12, tzinfo=UTC)


def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed() -> None:
    values = [float(number) for number in range(100, 0, -1)]

    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no percentile"):
        percentile([], 0.5)


def test_a_message_waits_until_the_first_commit_that_has_it() -> None:
    commits = [Added(1, 12.0, ["a"]), Added(2, 15.5, ["b", "a"])]

    assert waits({"a": 10.0, "b": 11.0, "c": 11.0}, commits) == {"a": 2.0, "b": 4.5}


def test_gold_holds_a_commit_of_silver_once_its_counts_reach_what_silver_held() -> None:
    assert first_reached([3, 5, 9, 9], [(1.0, 2), (2.0, 5), (4.0, 9)]) == [2.0, 2.0, 4.0, 4.0]
    assert first_reached([3, 10], [(1.0, 3)]) == [1.0, None]
    assert first_reached([], [(1.0, 3)]) == []


def test_no_two_messages_have_one_key_and_each_happened_before_it_was_sent() -> None:
    sent = messages(2_000)

    assert len({(message.topic, message.key) for message in sent}) == 2_000
    for message in sent:
        said = json.loads(message.value)
        happened = said["departed_at" if message.topic == "departures" else "arrived_at"]
        assert datetime.fromisoformat(happened) < message.timestamp
        assert message.key == "|".join(str(said[name]) for name in ("flight_date", "carrier", "flight", "origin"))


def test_latencies_are_read_from_the_commits_that_added_the_rows(tmp_path: Path) -> None:
    sent = messages(8)
    write_side(tmp_path, sent, gold=[sent[:2], sent])

    layers = latencies_by_layer(tmp_path, START.timestamp(), START.timestamp() + 60)

    log = added_rows(tmp_path / "bronze" / "departure_events", ["key"])
    assert [len(commit.keys) for commit in log] == [4]
    assert {layer: len(seconds) for layer, seconds in layers.items()} == {"bronze": 8, "silver": 8, "gold": 8}
    assert all(b < s < g for b, s, g in zip(*(sorted(seconds) for seconds in layers.values()), strict=True))
    assert latencies_by_layer(tmp_path, START.timestamp() + 60, START.timestamp() + 90)["gold"] == []


def test_what_a_side_wrote_counts_only_if_it_is_what_was_sent(tmp_path: Path) -> None:
    sent = messages(8)
    write_side(tmp_path, sent, gold=[sent])
    counts = {"departures": 4, "arrivals": 4}

    check_written("ours", tmp_path, counts)
    assert rows_in_gold(tmp_path) == counts
    assert rows_in_gold(tmp_path / "nowhere") == {"departures": 0, "arrivals": 0}

    with pytest.raises(SidesDiffer, match="4 rows, 4 different messages, 5 messages sent"):
        check_written("ours", tmp_path, {"departures": 5, "arrivals": 4})
    bronze = DeltaTable(str(tmp_path / "bronze" / "departure_events"))
    write_deltalake(bronze, bronze.to_pyarrow_table().slice(0, 1), mode="append")
    with pytest.raises(SidesDiffer, match="5 rows, 4 different messages, 5 messages sent"):
        check_written("ours", tmp_path, {"departures": 5, "arrivals": 4})


def test_gold_that_does_not_add_up_to_silver_is_a_difference(tmp_path: Path) -> None:
    sent = messages(8)
    write_side(tmp_path, sent, gold=[sent[:6]])

    with pytest.raises(SidesDiffer, match=r"gold\.hourly_airport_performance"):
        check_written("ours", tmp_path, {"departures": 4, "arrivals": 4})


def test_results_are_kept_and_the_report_says_which_targets_are_met(tmp_path: Path) -> None:
    results = StreamResults({"cores": "2"}, seconds=60)
    for side, p50 in (("ours", 0.8), ("plain", 3.0)):
        layers = {layer: Percentiles(p50, 2 * p50) for layer in ("bronze", "silver", "gold")}
        results.latency.append(LatencyRun(side, 1000, 1, 60_000, layers, dict.fromkeys(layers, 1.0), 1.5, 2.0))
    results.sampled = [
        SampledRun("state", "ours", [1.0, 1.5], {"keys": 100_000, "rows": 1_000, "state_rows": 101_000}),
        SampledRun("tick", "reconcile, nothing new", [0.02, 0.5, 0.03], {"tables": 19, "days": 32}),
        SampledRun("contract", "enforced silver.departures", [1.2], {"rows": 1_000}),
        SampledRun("contract", "selected silver.departures", [1.0], {"rows": 1_000}),
        SampledRun("contract", "enforced silver.departures", [2.1], {"rows": 5_000}),
        SampledRun("contract", "selected silver.departures", [2.0], {"rows": 5_000}),
    ]
    results.save(tmp_path / "streams.json")

    assert StreamResults.load(tmp_path / "streams.json") == results
    said = render_streams(results)
    assert "| 1,000 | bronze | at most 1.0 s | **0.80 s** | met |" in said
    assert "| 1,000 | gold | not above `plain`: 3.00 s | **0.80 s** | met |" in said
    assert "| silver.departures | 1,000 | 1200 ms | 1000 ms | **+20.0%** | at most 10% | **missed** |" in said
    assert "| reconcile, nothing new | 3 | **30 ms** | 500 ms |" in said
    assert "| silver.departures | 5,000 | 2100 ms | 2000 ms | **+5.0%** | at most 10% | met |" in said


def messages(count: int) -> list[Message]:
    return list(flight_messages(START + timedelta(milliseconds=number) for number in range(count)))


def write_side(tables: Path, sent: list[Message], gold: list[list[Message]]) -> None:
    """What a side writes of these messages; gold in as many commits as it is given."""
    for silver, bronze, event in (
        ("departures", "departure_events", "departed_at"),
        ("arrivals", "arrival_events", "arrived_at"),
    ):
        chosen = [message for message in sent if message.topic == silver]
        rows = [
            {"key": m.key, "value": m.value, "topic": m.topic, "partition": 0, "offset": n, "timestamp": m.timestamp}
            for n, m in enumerate(chosen)
        ]
        write_deltalake(tables / "bronze" / bronze, pa.Table.from_pylist(rows))
        write_deltalake(tables / "silver" / silver, pa.Table.from_pylist([event_row(m, event) for m in chosen]))
    for held in gold:
        write_deltalake(tables / "gold" / "hourly_airport_performance", hours(held), mode="overwrite")


def event_row(message: Message, event: str) -> dict[str, object]:
    said = json.loads(message.value)
    scheduled = next(value for name, value in said.items() if name.startswith("scheduled_"))
    return {
        **{name: said[name] for name in ("carrier", "flight", "origin", "dest", "tail_number")},
        "flight_date": moment(said[event]).date(),
        event: moment(said[event]),
        "delay_minutes": (moment(said[event]) - moment(scheduled)) // timedelta(minutes=1),
    }


def hours(held: list[Message]) -> pa.Table:
    """Gold of these messages, added up one by one."""
    rows: dict[tuple[str, datetime], dict[str, int]] = {}
    for message in held:
        is_departure = message.topic == "departures"
        row = event_row(message, "departed_at" if is_departure else "arrived_at")
        at = row["departed_at" if is_departure else "arrived_at"]
        assert isinstance(at, datetime)
        delay, airport = int(str(row["delay_minutes"])), str(row["origin" if is_departure else "dest"])
        what, one = ("departure", "departures") if is_departure else ("arrival", "arrivals")
        found = rows.setdefault((airport, at.replace(minute=0, second=0)), {"worst_delay_minutes": delay})
        for name, value in ((one, 1), (f"{one}_on_time", int(delay < 15)), (f"{what}_delay_minutes", delay)):
            found[name] = found.get(name, 0) + value
        found["worst_delay_minutes"] = max(found["worst_delay_minutes"], delay)
    names = ("departures", "departures_on_time", "departure_delay_minutes", "arrivals", "arrivals_on_time")
    counts = dict.fromkeys([*names, "arrival_delay_minutes"], 0)
    return pa.Table.from_pylist(
        [
            {"airport": airport, "hour_at": at, "hour_on": at.date(), **counts, **found}
            for (airport, at), found in rows.items()
        ]
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
